"""Plans in SQL: every version there was, and which of them are on offer."""

from collections.abc import Sequence
from decimal import Decimal

from local_server.domain.ids import ApiId, PlanId
from local_server.domain.manifest import PlanSpec
from local_server.domain.plans import Plan
from local_server.storage.dialect import Dialect
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import storable

_SELECT = """
    select plans.id, plans.api_id, plans.code, plans.version, plans.price_minor, plans.currency, plans.price_interval,
           plans.quota, plans.quota_interval, plans.overage, plans.overage_price, plans.created_at
    from plans
"""

_ADD = """
    insert into plans (id, api_id, code, version, price_minor, currency, price_interval, quota, quota_interval, overage,
                       overage_price, created_at)
    values (:id, :api_id, :code, :version, :price_minor, :currency, :price_interval, :quota, :quota_interval, :overage,
            :overage_price, :created_at)
"""


class SqlPlansReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, plan_id: PlanId) -> Plan | None:
        found = self._many("where plans.id = :id", {"id": plan_id})
        return found[0] if found else None

    def offered(self, api_id: ApiId) -> Sequence[Plan]:
        return self._many(
            "join plan_offers on plan_offers.plan_id = plans.id where plan_offers.api_id = :api_id "
            "order by plan_offers.position",
            {"api_id": api_id},
        )

    def versions(self, api_id: ApiId, code: str) -> Sequence[Plan]:
        return self._many(
            "where plans.api_id = :api_id and plans.code = :code order by plans.version",
            {"api_id": api_id, "code": storable(code)},
        )

    def _many(self, rest: str, params: Row) -> Sequence[Plan]:
        return [_plan_from(self._dialect, row) for row in self._connection.execute(_SELECT + rest, params)]


class SqlPlansStore(SqlPlansReader):
    def add(self, plan: Plan) -> None:
        self._connection.change(_ADD, _plan_row(self._dialect, plan))

    def offer(self, api_id: ApiId, plans: Sequence[Plan]) -> None:
        self._connection.change("delete from plan_offers where api_id = :api_id", {"api_id": api_id})
        self._connection.change_many(
            "insert into plan_offers (api_id, code, plan_id, position) values (:api_id, :code, :plan_id, :position)",
            [
                {"api_id": api_id, "code": plan.code, "plan_id": plan.id, "position": position}
                for position, plan in enumerate(plans)
            ],
        )


def _plan_row(dialect: Dialect, plan: Plan) -> Row:
    terms = plan.terms
    return {
        "id": plan.id,
        "api_id": plan.api_id,
        "code": terms.code,
        "version": plan.version,
        "price_minor": terms.price_minor,
        "currency": terms.currency,
        "price_interval": terms.interval,
        "quota": terms.quota,
        "quota_interval": terms.quota_interval,
        "overage": terms.overage,
        "overage_price": None if terms.overage_price is None else f"{terms.overage_price:f}",
        "created_at": dialect.time(plan.created_at),
    }


def _plan_from(dialect: Dialect, row: Row) -> Plan:
    price = row["overage_price"]
    terms = PlanSpec(
        code=row["code"],
        price_minor=row["price_minor"],
        currency=row["currency"],
        interval=row["price_interval"],
        quota=row["quota"],
        quota_interval=row["quota_interval"],
        overage=row["overage"],
        # A database may add zeros up to the column's scale; the number is the same.
        overage_price=None if price is None else Decimal(price).normalize() + 0,
    )
    return Plan(PlanId(row["id"]), ApiId(row["api_id"]), row["version"], terms, dialect.moment(row["created_at"]))
