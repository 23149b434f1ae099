"""Reviews in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from local_server.domain.ids import ApiId, UserId
from local_server.domain.reviews import Review, ReviewSummary
from local_server.storage.dialect import Dialect
from local_server.storage.sql.connection import Connection, Row
from local_server.storage.sql.rows import storable

_SELECT = """
    select reviews.api_id, reviews.user_id, users.handle as reviewer, reviews.rating, reviews.text, reviews.created_at,
           reviews.updated_at, reviews.answer, reviews.answered_at
    from reviews join users on users.id = reviews.user_id
    where reviews.api_id = :api_id
"""

_PUT = """
    insert into reviews (api_id, user_id, rating, text, created_at, updated_at, answer, answered_at)
    values (:api_id, :user_id, :rating, :text, :created_at, :updated_at, :answer, :answered_at)
    on conflict (api_id, user_id) do update
    set rating = excluded.rating, text = excluded.text, updated_at = excluded.updated_at, answer = excluded.answer,
        answered_at = excluded.answered_at
"""

_HAS_USED = """
    select 1 as used from usage_totals
    join subscriptions on subscriptions.id = usage_totals.subscription_id
    where subscriptions.user_id = :user_id and subscriptions.api_id = :api_id and usage_totals.units > 0
    limit 1
"""


class SqlReviewsReader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect

    def get(self, api_id: ApiId, user_id: UserId) -> Review | None:
        locking = self._connection.locking("reviews")
        found = self._many(f" and reviews.user_id = :user_id{locking}", {"api_id": api_id, "user_id": user_id})
        return found[0] if found else None

    def of_api(self, api_id: ApiId, limit: int, behind: tuple[datetime, UserId] | None) -> Sequence[Review]:
        sql, params = "", dict[str, Any](api_id=api_id, limit=max(limit, 0))
        if behind is not None:
            sql += " and (reviews.updated_at, reviews.user_id) < (:at, :user_id)"
            params |= {"at": self._dialect.time(behind[0]), "user_id": storable(behind[1])}
        return self._many(sql + " order by reviews.updated_at desc, reviews.user_id desc limit :limit", params)

    def summary(self, api_id: ApiId) -> ReviewSummary:
        rows = self._connection.execute(
            "select rating, count(*) as written from reviews where api_id = :api_id group by rating",
            {"api_id": api_id},
        )
        by_stars = dict.fromkeys(range(1, 6), 0) | {row["rating"]: row["written"] for row in rows}
        return ReviewSummary(
            sum(by_stars.values()), sum(stars * written for stars, written in by_stars.items()), by_stars
        )

    def has_used(self, api_id: ApiId, user_id: UserId) -> bool:
        return bool(self._connection.execute(_HAS_USED, {"api_id": api_id, "user_id": user_id}))

    def _many(self, rest: str, params: Row) -> Sequence[Review]:
        return [_review_from(self._dialect, row) for row in self._connection.execute(_SELECT + rest, params)]


class SqlReviewsStore(SqlReviewsReader):
    def put(self, review: Review) -> None:
        answered = review.answered_at
        row = {
            "api_id": review.api_id,
            "user_id": review.user_id,
            "rating": review.rating,
            "text": review.text,
            "created_at": self._dialect.time(review.created_at),
            "updated_at": self._dialect.time(review.updated_at),
            "answer": review.answer,
            "answered_at": None if answered is None else self._dialect.time(answered),
        }
        self._connection.change(_PUT, row)

    def remove(self, api_id: ApiId, user_id: UserId) -> None:
        self._connection.change(
            "delete from reviews where api_id = :api_id and user_id = :user_id",
            {"api_id": api_id, "user_id": user_id},
        )


def _review_from(dialect: Dialect, row: Row) -> Review:
    answered = row["answered_at"]
    return Review(
        api_id=ApiId(row["api_id"]),
        user_id=UserId(row["user_id"]),
        reviewer=row["reviewer"],
        rating=row["rating"],
        text=row["text"],
        created_at=dialect.moment(row["created_at"]),
        updated_at=dialect.moment(row["updated_at"]),
        answer=row["answer"],
        answered_at=None if answered is None else dialect.moment(answered),
    )
