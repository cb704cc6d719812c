"""How hard a job is put to the test while something befalls it. Plain figures, which options show."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Amounts:
    """How much is waited for: answered before, sent while it lasts and shows, answered again afterwards."""

    before: int
    during: int
    seconds: float
    """How long it lasts at most, once it shows."""
    after: int


@dataclass(frozen=True)
class Pace:
    """How hard a job is put to the test."""

    rate: int = 25
    """Requests a second that are sent from where a worker runs."""
    seconds: float = 3.0
    """How long a fault lasts, once it shows."""

    def amounts(self, *, serves: bool) -> Amounts:
        """What is waited for; a service is asked in rounds, each of which takes a second at most."""
        if serves:
            return Amounts(2, 4, self.seconds + 5, 2)
        return Amounts(self.rate, round(self.rate * self.seconds), self.seconds + 4, self.rate)
