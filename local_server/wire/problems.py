"""An error on the wire: RFC 9457, `application/problem+json`."""

from typing import Any

from pydantic import BaseModel, ConfigDict

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    code: str
    """Stable, for programs."""
    hint: str = ""
    """What to do next, for people."""

    @property
    def extra(self) -> dict[str, Any]:
        return dict(self.model_extra or {})
