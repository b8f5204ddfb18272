"""What work costs on this machine, learned from what it did cost lately."""

from memos_kernel.speed import Speed

_KEPT = 0.95
"""Weight of what was seen before, each time that something new is: some twenty pieces of work count."""


class SpeedMeter:
    """Fits a line through sizes and seconds; the newest count most."""

    def __init__(self) -> None:
        self._weight = self._size = self._seconds = self._square = self._product = 0.0

    def note(self, size: int, seconds: float) -> None:
        """Take note of a piece of work."""
        for name, value in (
            ("_weight", 1.0),
            ("_size", size),
            ("_seconds", seconds),
            ("_square", size * size),
            ("_product", size * seconds),
        ):
            setattr(self, name, _KEPT * getattr(self, name) + value)

    @property
    def speed(self) -> Speed | None:
        """What work costs; None before there was any. Neither part is negative, whatever the sizes were."""
        if not self._size:
            return None
        spread = self._square - self._size**2 / self._weight
        if spread > 1e-6 * self._square:
            slope = (self._product - self._size * self._seconds / self._weight) / spread
            start = (self._seconds - slope * self._size) / self._weight
            if slope >= 0 and start >= 0:
                return Speed(start, slope)
            if slope < 0:
                return Speed(self._seconds / self._weight, 0.0)
        return Speed(0.0, self._product / self._square)
