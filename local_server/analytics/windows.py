"""The times that statistics are about: whole minutes, hours and days of UTC, the current one included."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from local_server.domain.usage import Step


@dataclass(frozen=True, slots=True)
class Window:
    name: str
    step: Step
    """What a point of its charts stands for."""
    count: int

    def starts_at(self, now: datetime) -> datetime:
        """The last step is still going on at `now`."""
        return self.step.start_of(now) - (self.count - 1) * self.step.length

    def steps(self, now: datetime) -> list[datetime]:
        """When each step begins, oldest first."""
        first = self.starts_at(now)
        return [first + number * self.step.length for number in range(self.count)]


WINDOWS: Mapping[str, Window] = {
    window.name: window
    for window in (
        Window("1h", Step.MINUTE, 60),
        Window("24h", Step.HOUR, 24),
        Window("7d", Step.HOUR, 7 * 24),
        Window("30d", Step.DAY, 30),
    )
}
