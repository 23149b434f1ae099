"""Times as they come in."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime
from pydantic_core import PydanticCustomError


def in_utc(at: datetime) -> datetime:
    """`at` in UTC; one without a zone as it is. There is no such time where a zone reaches over the calendar's ends."""
    try:
        return at.astimezone(UTC) if at.tzinfo is not None else at
    except OverflowError:
        raise PydanticCustomError("beyond_the_calendar", "there is no such time in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
MaybeZoned = Annotated[datetime, AfterValidator(in_utc)]
"""For whoever says better than a validator what is wrong with a time that has no zone."""
