"""How long work takes by its size."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds that a piece of work takes however small it is, and those of each unit, such as a token or a byte."""

    seconds: float
    seconds_per_unit: float

    def of(self, units: int) -> float:
        """Return the seconds of so many units; none take none."""
        return self.seconds + units * self.seconds_per_unit if units else 0.0
