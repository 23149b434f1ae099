"""The text format of Prometheus, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


@dataclass(slots=True)
class Family:
    """One metric: its samples differ in their labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    _lines: list[str] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> "Family":
        self._lines.append(_sample(self.name, labels, value))
        return self

    def add_histogram(self, bounds: Sequence[float], counts: Sequence[int], total: float, **labels: str) -> "Family":
        """`counts` has one more than `bounds`: of what exceeded them all. `total` is the sum of what was observed."""
        for bound, count in zip((*map(_number, bounds), "+Inf"), accumulate(counts), strict=True):
            self._lines.append(_sample(f"{self.name}_bucket", {**labels, "le": bound}, count))
        self._lines.append(_sample(f"{self.name}_sum", labels, total))
        self._lines.append(_sample(f"{self.name}_count", labels, sum(counts)))
        return self

    def text(self) -> str:
        told = self.help.replace("\\", "\\\\").replace("\n", "\\n")
        return "\n".join([f"# HELP {self.name} {told}", f"# TYPE {self.name} {self.kind}", *self._lines, ""])


def exposition(families: Iterable[Family]) -> str:
    return "".join(family.text() for family in families)


def _sample(name: str, labels: Labels, value: float) -> str:
    written = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{written}}} {_number(value)}" if written else f"{name} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """Whole numbers without a point, so that counts of any size are exact."""
    return str(int(value)) if value == int(value) else repr(value)
