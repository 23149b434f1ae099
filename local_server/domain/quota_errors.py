"""The gateway's refusals about quotas. What an error is made of stands in errors.py."""

from local_server.domain.errors import ApimarketError
from local_server.domain.quotas import Period, Quota


class QuotaExceeded(ApimarketError):
    """`retry_after_s`: until the period ends, in whole seconds."""

    status, code, title = 429, "quota_exceeded", "The quota is used up"

    def __init__(self, full_name: str, quota: Quota, period: Period, retry_after_s: int) -> None:
        ends_at = period.ends_at.isoformat(timespec="seconds")
        super().__init__(
            f"The key's quota of {quota.requests} requests to {full_name} in {period.name} is used up",
            hint=f"It begins anew at {ends_at}. The API's owner can give the caller another key.",
            extra={"quota": str(quota), "resets_at": ends_at, "retry_after_s": retry_after_s},
        )
        self.quota, self.period, self.retry_after_s = quota, period, retry_after_s


class QuotaUncounted(ApimarketError):
    """Fails closed: what cannot be counted is not given away."""

    status, code, title = 503, "quota_uncounted", "The quota cannot be counted just now"
    retry_after_s = 5

    def __init__(self, full_name: str) -> None:
        super().__init__(
            f"The call to {full_name} counts towards a quota, and the server cannot store counts just now",
            hint="Try again shortly. The reason stands in the server's log.",
        )
