"""What can be done with reviews. Each act, the listing's rating and the line in the audit log are one transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from local_server.domain.accounts import AuditEntry, Caller
from local_server.domain.catalogue import Listing
from local_server.domain.ids import UserId
from local_server.domain.market_errors import CursorRefused, OwnApi, ReviewNotFound, ReviewRefused
from local_server.domain.reviews import Review, ReviewSummary, check_rating, check_text
from local_server.marketplace.catalogue import card_of
from local_server.storage.base import ReadTx, Storage, Tx
from local_server.system import System


class Reviews:
    def __init__(self, storage: Storage, system: System) -> None:
        self._storage = storage
        self._system = system

    async def of(
        self, owner: str, slug: str, limit: int, cursor: str | None
    ) -> tuple[ReviewSummary, Sequence[Review], str | None]:
        """(the summary, a page of reviews, newest first, the cursor of the next). Raises ListingNotFound,
        CursorRefused."""
        behind = _mark(cursor) if cursor is not None else None

        def read(tx: ReadTx) -> tuple[ReviewSummary, Sequence[Review]]:
            api_id = card_of(tx, owner, slug).listing.api_id
            return tx.reviews.summary(api_id), tx.reviews.of_api(api_id, limit + 1, behind)

        summary, found = await self._storage.read(read)
        page = found[:limit]
        more = f"{page[-1].updated_at.isoformat()}~{page[-1].user_id}" if len(found) > limit else None
        return summary, page, more

    async def write(self, owner: str, slug: str, rating: int, text: str, caller: Caller, *, address: str) -> Review:
        """Write, or write anew. Raises ListingNotFound, OwnApi, ReviewRefused, ReviewFieldRefused."""
        check_rating(rating)
        check_text(text)
        now = self._system.now()

        def write(tx: Tx) -> Review:
            listing = card_of(tx, owner, slug).listing
            self._refuse_others(tx, listing, caller)
            before = tx.reviews.get(listing.api_id, caller.user.id)
            review = Review(
                listing.api_id, caller.user.id, caller.user.handle, rating, text, now if before is None else
                before.created_at, now,
            )  # fmt: skip
            if before is not None and before.text == text:
                review = replace(review, answer=before.answer, answered_at=before.answered_at)
            tx.reviews.put(review)
            self._rate(tx, listing, now)
            tx.audit.add(self._entry(caller, "review.write", listing, address))
            return review

        return await self._storage.write(write, lasting=True)

    async def remove(self, owner: str, slug: str, caller: Caller, *, address: str) -> None:
        """The caller's own. Raises ListingNotFound, ReviewNotFound."""

        def remove(tx: Tx) -> None:
            listing = card_of(tx, owner, slug).listing
            if tx.reviews.get(listing.api_id, caller.user.id) is None:
                raise ReviewNotFound(listing.full_name, caller.user.handle)
            tx.reviews.remove(listing.api_id, caller.user.id)
            self._rate(tx, listing, self._system.now())
            tx.audit.add(self._entry(caller, "review.remove", listing, address))

        await self._storage.write(remove, lasting=True)

    async def answer(self, owner: str, slug: str, reviewer: str, text: str, caller: Caller, *, address: str) -> Review:
        """By the API's owner; who is not is told what everybody is. Raises ListingNotFound, ReviewNotFound,
        ReviewFieldRefused."""
        check_text(text, "answer")

        def answer(tx: Tx) -> Review:
            listing = card_of(tx, owner, slug).listing
            user = tx.accounts.by_handle(reviewer)
            review = tx.reviews.get(listing.api_id, user.id) if user is not None else None
            if review is None or listing.owner != caller.user.handle:
                raise ReviewNotFound(listing.full_name, reviewer)
            answered = replace(review, answer=text or None, answered_at=self._system.now() if text else None)
            tx.reviews.put(answered)
            tx.audit.add(self._entry(caller, "review.answer", listing, address))
            return answered

        return await self._storage.write(answer, lasting=True)

    def _refuse_others(self, tx: Tx, listing: Listing, caller: Caller) -> None:
        if listing.owner == caller.user.handle:
            raise OwnApi(listing.full_name, "its owner cannot review it")
        if not tx.reviews.has_used(listing.api_id, caller.user.id):
            raise ReviewRefused(listing.full_name)

    def _rate(self, tx: Tx, listing: Listing, now: datetime) -> None:
        card, summary = tx.catalogue.card(listing.api_id), tx.reviews.summary(listing.api_id)
        if card is not None:
            standing = replace(card.standing, rating_sum=summary.total, rating_count=summary.count)
            tx.catalogue.stand(listing.api_id, standing, now)

    def _entry(self, caller: Caller, action: str, listing: Listing, address: str) -> AuditEntry:
        now = self._system.now()
        return AuditEntry(
            self._system.new_id(), now, caller.user.id, action, listing.api_id, address, listing.full_name
        )


def _mark(cursor: str) -> tuple[datetime, UserId]:
    at, _, user_id = cursor.partition("~")
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise CursorRefused(cursor) from None
    if moment.tzinfo is None or not user_id:
        raise CursorRefused(cursor)
    return moment, UserId(user_id)
