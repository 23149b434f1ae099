"""Subscriptions in SQL. That a user has one live one for an API is kept by a partial unique index."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from local_server.domain.ids import ApiId, PlanId, SubscriptionId, UserId
from local_server.domain.market_errors import SubscriptionChanged
from local_server.domain.subscriptions import Subscription, SubscriptionState
from local_server.storage.dialect import Dialect
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import storable

_COLUMNS = """id, api_id, user_id, plan_id, state, anchor, period_start, period_end, cancel_at_end, next_plan_id,
              spend_cap_minor, created_at, updated_at, ended_at, row_version"""
_LIVE = "state in ('trialing', 'active', 'past_due', 'paused')"  # in the words of the indices

_ADD = f"""
    insert into subscriptions ({_COLUMNS})
    values (:id, :api_id, :user_id, :plan_id, :state, :anchor, :period_start, :period_end, :cancel_at_end,
            :next_plan_id, :spend_cap_minor, :created_at, :updated_at, :ended_at, :row_version)
    on conflict do nothing
"""  # noqa: S608 -- put together from constants only

_SAVE = """
    update subscriptions
    set plan_id = :plan_id, state = :state, anchor = :anchor, period_start = :period_start, period_end = :period_end,
        cancel_at_end = :cancel_at_end, next_plan_id = :next_plan_id, spend_cap_minor = :spend_cap_minor,
        updated_at = :updated_at, ended_at = :ended_at, row_version = :row_version + 1
    where id = :id and row_version = :row_version
"""


class SqlSubscriptionsReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, subscription_id: SubscriptionId, subscriber: UserId | None = None) -> Subscription | None:
        sql, params = "where id = :id", {"id": storable(subscription_id)}
        if subscriber is not None:
            sql += " and user_id = :user_id"
            params["user_id"] = subscriber
        return self._one(sql, params)

    def live(self, subscriber: UserId, api_id: ApiId) -> Subscription | None:
        return self._one(
            f"where user_id = :user_id and api_id = :api_id and {_LIVE}", {"user_id": subscriber, "api_id": api_id}
        )

    def of_user(self, subscriber: UserId) -> Sequence[Subscription]:
        return self._many("where user_id = :user_id order by created_at desc, id desc", {"user_id": subscriber})

    def of_api(self, api_id: ApiId, limit: int = 1000) -> Sequence[Subscription]:
        return self._many(
            "where api_id = :api_id order by created_at desc, id desc limit :limit", {"api_id": api_id, "limit": limit}
        )

    def due(self, now: datetime, limit: int) -> Sequence[Subscription]:
        return self._many(
            f"where period_end <= :now and {_LIVE} order by period_end, id limit :limit",
            {"now": self._dialect.time(now), "limit": limit},
        )

    def count(self, api_id: ApiId) -> int:
        (row,) = self._connection.execute(
            f"select count(*) as live from subscriptions where api_id = :api_id and {_LIVE}",  # noqa: S608
            {"api_id": api_id},
        )
        return int(row["live"])

    def _one(self, rest: str, params: Row) -> Subscription | None:
        found = self._many(rest + self._connection.locking("subscriptions"), params)
        return found[0] if found else None

    def _many(self, rest: str, params: Row) -> Sequence[Subscription]:
        rows = self._connection.execute(f"select {_COLUMNS} from subscriptions {rest}", params)  # noqa: S608
        return [_subscription_from(self._dialect, row) for row in rows]


class SqlSubscriptionsStore(SqlSubscriptionsReader):
    def add(self, subscription: Subscription) -> bool:
        return self._connection.change(_ADD, _subscription_row(self._dialect, subscription)) == 1

    def save(self, subscription: Subscription) -> Subscription:
        if self._connection.change(_SAVE, _subscription_row(self._dialect, subscription)) != 1:
            raise SubscriptionChanged(subscription.id, subscription.row_version)
        return replace(subscription, row_version=subscription.row_version + 1)


def _subscription_row(dialect: Dialect, one: Subscription) -> Row:
    return {
        "id": one.id,
        "api_id": one.api_id,
        "user_id": one.subscriber,
        "plan_id": one.plan_id,
        "state": one.state,
        "anchor": dialect.time(one.anchor),
        "period_start": dialect.time(one.period_start),
        "period_end": dialect.time(one.period_end),
        "cancel_at_end": one.cancel_at_end,
        "next_plan_id": one.next_plan_id,
        "spend_cap_minor": one.spend_cap_minor,
        "created_at": dialect.time(one.created_at),
        "updated_at": dialect.time(one.updated_at),
        "ended_at": None if one.ended_at is None else dialect.time(one.ended_at),
        "row_version": one.row_version,
    }


def _subscription_from(dialect: Dialect, row: Row) -> Subscription:
    next_plan = row["next_plan_id"]
    return Subscription(
        id=SubscriptionId(row["id"]),
        api_id=ApiId(row["api_id"]),
        subscriber=UserId(row["user_id"]),
        plan_id=PlanId(row["plan_id"]),
        state=SubscriptionState(row["state"]),
        anchor=dialect.moment(row["anchor"]),
        period_start=dialect.moment(row["period_start"]),
        period_end=dialect.moment(row["period_end"]),
        cancel_at_end=bool(row["cancel_at_end"]),
        next_plan_id=None if next_plan is None else PlanId(next_plan),
        spend_cap_minor=row["spend_cap_minor"],
        created_at=dialect.moment(row["created_at"]),
        updated_at=dialect.moment(row["updated_at"]),
        ended_at=None if row["ended_at"] is None else dialect.moment(row["ended_at"]),
        row_version=row["row_version"],
    )
