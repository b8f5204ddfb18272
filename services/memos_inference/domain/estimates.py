"""What work costs on this machine, learned from what it did cost lately."""

from memos_kernel.speed import Speed

_KEPT = 0.95
"""Weight of what was seen before, each time that something new is: some twenty pieces of work count."""


class SpeedMeter:
    """Fits a line through sizes and seconds; the newest count most."""

    def __init__(self) -> None:
        self._sums: tuple[float, ...] = (0.0,) * 5  # one thing, for it is read in another thread than it is written

    def note(self, size: int, seconds: float) -> None:
        """Take note of a piece of work."""
        new = (1.0, size, seconds, size * size, size * seconds)
        self._sums = tuple(_KEPT * old + value for old, value in zip(self._sums, new, strict=True))

    def forget(self) -> None:
        """Begin anew."""
        self._sums = (0.0,) * 5

    @property
    def speed(self) -> Speed | None:
        """What work costs; None before there was any. Neither part is negative, and more is never for nothing."""
        weight, size, seconds, square, product = self._sums
        if not size:
            return None
        spread = square - size**2 / weight
        if spread > 1e-6 * square:
            slope = (product - size * seconds / weight) / spread
            start = (seconds - slope * size) / weight
            if slope > 0 and start >= 0:
                return Speed(start, slope)
        return Speed(0.0, product / square)
