"""Refusals of the marketplace. What an error is made of stands in errors.py."""

from collections.abc import Sequence

from local_server.domain.errors import ApimarketError

# -- The catalogue -----------------------------------------------------------------------------------------------


class ListingNotFound(ApimarketError):
    """Also for one that is private: who may not see it is told that there is none."""

    status, code, title = 404, "listing_not_found", "No such API in the catalogue"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The catalogue has no API {name[:130]!r}",
            hint="Names are owner/name. Look for one with: apimarket search WORDS",
            extra={"name": name[:130]},
        )


class CursorRefused(ApimarketError):
    status, code, title = 422, "invalid_cursor", "That page does not exist"

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"{cursor[:60]!r} is no `next` of a page of this search",
            hint="Take `next` from the page before, with the same words, filters and order; or begin without it.",
        )


class CatalogueNotCopied(ApimarketError):
    status, code, title = 503, "catalogue_not_copied", "There is no copy of that catalogue yet"

    def __init__(self, remote: str, trouble: str = "") -> None:
        super().__init__(
            f"The catalogue of {remote} was never copied to this machine"
            + (f", and now: {trouble}" if trouble else ""),
            hint="It is copied when its marketplace can be reached; then it is searched without a network, too.",
            extra={"remote": remote},
        )


class CopyNotFound(ApimarketError):
    status, code, title = 404, "copy_not_found", "No such copy"

    def __init__(self, remote: str) -> None:
        super().__init__(
            f"This machine has no copy of the catalogue of {remote[:200]!r}",
            hint="GET /api/v1/market/copies tells which there are.",
        )


# -- Plans -------------------------------------------------------------------------------------------------------


class PlanNotFound(ApimarketError):
    status, code, title = 404, "plan_not_found", "No such plan"

    def __init__(self, code: str, api: str, offered: Sequence[str]) -> None:
        known = ", ".join(offered)
        super().__init__(
            f"{api} offers no plan {code[:40]!r}",
            hint=f"It offers: {known}" if known else "It offers no plans: its owner makes keys to it by hand.",
            extra={"plan": code[:40], "offered": list(offered)},
        )


class PlanNeeded(ApimarketError):
    status, code, title = 422, "plan_needed", "Which plan is not clear"

    def __init__(self, api: str, offered: Sequence[str]) -> None:
        super().__init__(
            f"{api} offers {len(offered)} plans, and none of them is free",
            hint=f"Name one: {', '.join(offered)}",
            extra={"offered": list(offered)},
        )


# -- Subscriptions -----------------------------------------------------------------------------------------------


class SubscriptionNotFound(ApimarketError):
    """Also for another's."""

    status, code, title = 404, "subscription_not_found", "No such subscription"

    def __init__(self, subscription_id: str) -> None:
        super().__init__(
            f"You have no subscription {subscription_id[:80]!r}", hint="List yours with: apimarket subscriptions"
        )


class AlreadySubscribed(ApimarketError):
    status, code, title = 409, "already_subscribed", "You have subscribed to that API already"

    def __init__(self, api: str, subscription_id: str) -> None:
        super().__init__(
            f"You have a subscription to {api} already: {subscription_id}",
            hint=f"For another plan: apimarket subscriptions change {subscription_id} --plan PLAN; where its key was "
            f"lost: apimarket subscriptions key {subscription_id}",
            extra={"subscription": subscription_id},
        )


class OwnApi(ApimarketError):
    status, code, title = 409, "own_api", "The API is your own"

    def __init__(self, api: str, act: str) -> None:
        super().__init__(f"{api} is your own: {act}", hint=f"Its owner makes keys with: apimarket keys create {api}")


class SubscriptionNotLive(ApimarketError):
    status, code, title = 409, "subscription_ended", "The subscription has ended"

    def __init__(self, subscription_id: str, state: str) -> None:
        super().__init__(
            f"The subscription {subscription_id} is {state}, and cannot be changed any more",
            hint="Subscribe again with: apimarket subscribe OWNER/NAME",
            extra={"state": state},
        )


class SubscriptionUnchangeable(ApimarketError):
    status, code, title = 409, "subscription_state", "That cannot follow"

    def __init__(self, subscription_id: str, state: str, to: str, allowed: Sequence[str]) -> None:
        super().__init__(
            f"The subscription {subscription_id} is {state} and cannot become {to}",
            hint=f"It can become: {', '.join(allowed)}" if allowed else "It has ended.",
            extra={"state": state, "allowed": list(allowed)},
        )


class SubscriptionChanged(ApimarketError):
    """Compare-and-swap failed: somebody changed it meanwhile."""

    status, code, title = 409, "subscription_changed", "The subscription was changed meanwhile"

    def __init__(self, subscription_id: str, expected: int) -> None:
        super().__init__(
            f"The subscription {subscription_id} is no longer at version {expected}",
            hint="Read it again, then decide.",
        )


class SpendCapRefused(ApimarketError):
    status, code, title = 422, "invalid_spend_cap", "That spend cap cannot be kept"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The spend cap {reason}",
            hint="A cap holds for a plan with a monthly quota and a price for what is beyond it.",
        )


# -- Reviews -----------------------------------------------------------------------------------------------------


class ReviewRefused(ApimarketError):
    status, code, title = 403, "review_not_allowed", "You have not used that API"

    def __init__(self, api: str) -> None:
        super().__init__(
            f"Only who has used {api} may review it",
            hint=f"Subscribe, call it once with your key, then review it: apimarket subscribe {api}",
        )


class ReviewNotFound(ApimarketError):
    status, code, title = 404, "review_not_found", "No such review"

    def __init__(self, api: str, reviewer: str) -> None:
        super().__init__(
            f"{reviewer[:80]!r} has written no review of {api}", hint=f"See them with: apimarket reviews {api}"
        )


class ReviewFieldRefused(ApimarketError):
    status, code, title = 422, "invalid_review", "The review cannot be kept"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", hint="1 to 5 stars, and up to 4,000 characters.", extra={"field": field})


# -- Idempotency -------------------------------------------------------------------------------------------------


class IdempotencyKeyRefused(ApimarketError):
    status, code, title = 422, "invalid_idempotency_key", "That Idempotency-Key cannot be used"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency-Key is {key[:40]!r}; allowed: 1 to 100 visible ASCII characters",
            hint="A random UUID is a good one.",
        )


class IdempotencyKeyReused(ApimarketError):
    status, code, title = 409, "idempotency_key_reused", "That Idempotency-Key stands for another request"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The Idempotency-Key {key!r} came before, with another request",
            hint="Send a new key with a new request, and the same key only with the very same one.",
        )
