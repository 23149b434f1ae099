"""What can be done with subscriptions. A change, the keys that follow it and the line in the audit log are one
transaction; it is in force when the call that makes it returns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from local_server.accounts.keys import Keys, NewKey
from local_server.domain.accounts import AuditEntry, Caller
from local_server.domain.catalogue import Listing
from local_server.domain.idempotency import Outcome, check_key, request_hash
from local_server.domain.ids import ApiId, KeyId, PlanId, SubscriptionId, UserId
from local_server.domain.keys import KeyState
from local_server.domain.manifest import PlanSpec
from local_server.domain.market_errors import (
    AlreadySubscribed,
    OwnApi,
    PlanNeeded,
    PlanNotFound,
    SubscriptionNotFound,
)
from local_server.domain.metering import Charges, capped_requests, charges, needed_since
from local_server.domain.plans import Plan, at_renewal
from local_server.domain.quotas import Quota, quota_of
from local_server.domain.subscriptions import (
    Subscription,
    cancelled,
    changed_plan,
    kept,
    renewed,
    subscribed,
)
from local_server.marketplace.catalogue import card_of
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.system import System

RENEWED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Standing:
    """A subscription, and how it stands now."""

    subscription: Subscription
    api: str
    """owner/name"""
    subscriber: str
    plan: Plan
    next_plan: Plan | None
    charges: Charges
    key_id: KeyId | None = None
    """The one in force, where that was asked for."""


@dataclass(frozen=True, slots=True)
class Wish:
    plan: str | None = None
    """None: the only one, or the one that is free."""
    spend_cap_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    plan: str | None = None
    spend_cap_minor: int | None = None
    keep: bool = False
    """Take back a cancellation, or a change that waits for the period's end."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    standing: Standing
    key_id: KeyId | None
    key: NewKey | None
    """None: the request came before, and its key was shown then. It is not stored, and can be rotated."""


class Subscriptions:
    def __init__(self, storage: Storage, system: System, keys: Keys) -> None:
        self._storage = storage
        self._system = system
        self._keys = keys

    async def subscribe(
        self, owner: str, slug: str, wish: Wish, caller: Caller, *, address: str, idempotency_key: str | None = None
    ) -> Subscribed:
        """A new subscription and its key, which is shown this once. Sent again with the same `idempotency_key` it is
        the same subscription, without the key: that is not stored, and can be rotated.

        Raises ListingNotFound, PlanNotFound, PlanNeeded, OwnApi, AlreadySubscribed, SpendCapRefused,
        IdempotencyKeyRefused, IdempotencyKeyReused."""
        now = self._system.now()
        hashed = request_hash("subscribe", {"api": f"{owner}/{slug}", "plan": wish.plan, "cap": wish.spend_cap_minor})
        if idempotency_key is not None:
            check_key(idempotency_key)

        def act(tx: Tx) -> Subscribed:
            if idempotency_key is not None:
                before = tx.idempotency.claim(caller.user.id, idempotency_key, hashed, now)
                if before is not None:
                    one = _own(tx, str(before.response["subscription"]), caller)
                    return Subscribed(_standing(tx, one, now), before.response.get("key"), None)
            subscription, key = self._add(tx, owner, slug, wish, caller, now)
            tx.audit.add(self._entry(caller, "subscription.create", subscription, address))
            if idempotency_key is not None:
                settled = Outcome(201, {"subscription": subscription.id, "key": key.key.id})
                tx.idempotency.settle(caller.user.id, idempotency_key, settled)
            return Subscribed(_standing(tx, subscription, now), key.key.id, key)

        return await self._keys.change(act)

    async def of(self, caller: Caller) -> Sequence[Standing]:
        """The caller's own, newest first, ended ones too."""
        now = self._system.now()
        return await self._storage.read(
            lambda tx: [_with_key(tx, _standing(tx, one, now), now) for one in tx.subscriptions.of_user(caller.user.id)]
        )

    async def get(self, subscription_id: str, caller: Caller) -> Standing:
        """Raises SubscriptionNotFound."""
        now = self._system.now()
        return await self._storage.read(
            lambda tx: _with_key(tx, _standing(tx, _own(tx, subscription_id, caller), now), now)
        )

    async def of_api(self, api_id: ApiId) -> Sequence[Standing]:
        """Everybody's to that API, newest first: for its owner."""
        now = self._system.now()
        return await self._storage.read(lambda tx: [_standing(tx, one, now) for one in tx.subscriptions.of_api(api_id)])

    async def change(self, subscription_id: str, change: Change, caller: Caller, *, address: str) -> Standing:
        """Raises SubscriptionNotFound, SubscriptionNotLive, PlanNotFound, SpendCapRefused."""
        now = self._system.now()

        def act(tx: Tx) -> Standing:
            one = _own(tx, subscription_id, caller)
            if change.keep:
                one = kept(one, now)
            if change.plan is not None:
                old = _plan(tx, one.plan_id)
                one = changed_plan(one, old, _offered(tx, one.api_id, change.plan), now)
            if change.spend_cap_minor is not None:
                one = replace(one, spend_cap_minor=change.spend_cap_minor, updated_at=now)
            return self._settle(tx, one, "subscription.change", caller, address, now)

        return await self._keys.change(act)

    async def cancel(self, subscription_id: str, at_once: bool, caller: Caller, *, address: str) -> Standing:
        """Now, or when its period ends. Raises SubscriptionNotFound, SubscriptionNotLive."""
        now = self._system.now()

        def act(tx: Tx) -> Standing:
            one = cancelled(_own(tx, subscription_id, caller), now, at_once=at_once)
            return self._settle(tx, one, "subscription.cancel", caller, address, now)

        return await self._keys.change(act)

    async def renew(self) -> int:
        """Begin the next period of those whose period is over, or end them; returns how many."""
        now = self._system.now()
        due = await self._storage.read(lambda tx: tx.subscriptions.due(now, RENEWED_AT_ONCE))
        if due:
            await self._keys.change(lambda tx: self._renew_all(tx, due, now))
        return len(due)

    def _add(
        self, tx: Tx, owner: str, slug: str, wish: Wish, caller: Caller, now: datetime
    ) -> tuple[Subscription, NewKey]:
        listing = card_of(tx, owner, slug).listing
        if listing.owner == caller.user.handle:
            raise OwnApi(listing.full_name, "there is nothing to subscribe to")
        plan = _wanted(tx, listing, wish.plan)
        subscription_id = SubscriptionId(self._system.new_id())
        one = subscribed(subscription_id, caller.user.id, plan, now, wish.spend_cap_minor)
        quota = _quota(plan.terms, one)
        if not tx.subscriptions.add(one):
            live = tx.subscriptions.live(caller.user.id, listing.api_id)
            raise AlreadySubscribed(listing.full_name, live.id if live is not None else "one made just now")
        key = self._keys.drafted(
            listing.api_id, caller.user.id, f"subscription to {listing.full_name}"[:100], one.id, quota, plan.code
        )
        tx.keys.add(key.key)
        self._count(tx, listing.api_id, now)
        return one, key

    def _settle(self, tx: Tx, one: Subscription, action: str, caller: Caller, address: str, now: datetime) -> Standing:
        saved = tx.subscriptions.save(one)
        self._lead_keys(tx, saved)
        self._count(tx, saved.api_id, now)
        tx.audit.add(self._entry(caller, action, saved, address))
        return _standing(tx, saved, now)

    def _renew_all(self, tx: Tx, due: Sequence[Subscription], now: datetime) -> None:
        for one in due:
            self._renew(tx, one, now)

    def _renew(self, tx: Tx, due: Subscription, now: datetime) -> None:
        one = tx.subscriptions.get(due.id)
        if one is None or not one.is_live or now < one.period_end:
            return  # somebody was faster
        pinned = _plan(tx, one.next_plan_id or one.plan_id)
        newer = [plan for plan in tx.plans.versions(one.api_id, pinned.code) if plan.version > pinned.version]
        after = renewed(one, at_renewal(pinned, newer, one.period_end), now)
        self._lead_keys(tx, tx.subscriptions.save(after))
        self._count(tx, one.api_id, now)

    def _lead_keys(self, tx: Tx, one: Subscription) -> None:
        """Its keys are as it is: with its quota, and in force as long as it."""
        plan = _plan(tx, one.plan_id)
        ends_at = one.ended_at or (one.period_end if one.cancel_at_end else None)
        tx.keys.follow(one.id, _quota(plan.terms, one), plan.code, ends_at)

    def _count(self, tx: Tx, api_id: ApiId, now: datetime) -> None:
        card = tx.catalogue.card(api_id)
        subscribers = tx.subscriptions.count(api_id)
        if card is not None and card.standing.subscribers != subscribers:
            tx.catalogue.stand(api_id, replace(card.standing, subscribers=subscribers), now)

    def _entry(self, caller: Caller, action: str, one: Subscription, address: str) -> AuditEntry:
        now = self._system.now()
        return AuditEntry(self._system.new_id(), now, caller.user.id, action, one.id, address, one.plan_id)


def _own(tx: ReadTx, subscription_id: str, caller: Caller) -> Subscription:
    one = tx.subscriptions.get(SubscriptionId(subscription_id), caller.user.id)
    if one is None:
        raise SubscriptionNotFound(subscription_id)
    return one


def _plan(tx: ReadTx, plan_id: PlanId) -> Plan:
    plan = tx.plans.get(plan_id)
    assert plan is not None  # a foreign key
    return plan


def _offered(tx: ReadTx, api_id: ApiId, code: str) -> Plan:
    offered = tx.plans.offered(api_id)
    for plan in offered:
        if plan.code == code:
            return plan
    api = tx.registry.get(api_id)
    raise PlanNotFound(code, api.full_name if api is not None else api_id, [plan.code for plan in offered])


def _wanted(tx: ReadTx, listing: Listing, code: str | None) -> Plan:
    if code is not None:
        return _offered(tx, listing.api_id, code)
    offered = tx.plans.offered(listing.api_id)
    free = [plan for plan in offered if plan.terms.price_minor == 0]
    if not offered:
        raise PlanNotFound("", listing.full_name, [])
    if not free and len(offered) > 1:
        raise PlanNeeded(listing.full_name, [plan.code for plan in offered])
    return free[0] if free else offered[0]


def _quota(terms: PlanSpec, one: Subscription) -> Quota | None:
    """What its keys may call. A cap on spending is a quota that blocks, at the last call that the cap pays for.
    Raises SpendCapRefused."""
    capped = capped_requests(terms, one.spend_cap_minor)
    return Quota(capped, "month", "block") if capped is not None else quota_of(terms)


def _standing(tx: ReadTx, one: Subscription, now: datetime) -> Standing:
    plan, api = _plan(tx, one.plan_id), tx.registry.get(one.api_id)
    daily = tx.metering.daily(one.id, needed_since(one.period_start))
    return Standing(
        subscription=one,
        api=api.full_name if api is not None else one.api_id,
        subscriber=_handle(tx, one.subscriber),
        plan=plan,
        next_plan=_plan(tx, one.next_plan_id) if one.next_plan_id is not None else None,
        charges=charges(plan.terms, daily, one.period_start, one.period_end, min(now, one.ended_at or now)),
    )


def _with_key(tx: ReadTx, standing: Standing, now: datetime) -> Standing:
    one = standing.subscription
    active = (key.id for key in tx.keys.of_subject(one.api_id, one.id) if key.state(now) is KeyState.ACTIVE)
    return replace(standing, key_id=next(active, None))


def _handle(tx: ReadTx, user_id: UserId) -> str:
    account = tx.accounts.account(user_id)
    return account.handle if account is not None else user_id
