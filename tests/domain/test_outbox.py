"""The way of an outgoing version: which steps there are, and how long is waited between attempts."""

from collections import deque
from datetime import timedelta

import pytest

from local_server.domain.outbox import (
    ALLOWED,
    FINISHED,
    LONGEST_WAIT_S,
    UNFINISHED,
    OutboxState,
    Trouble,
    WrongTransition,
    wait_s,
)
from tests.storage.factories import NOON, an_outgoing


class TestStates:
    def test_every_state_has_its_steps(self) -> None:
        assert set(ALLOWED) == set(OutboxState)

    def test_every_state_can_be_reached(self) -> None:
        seen, pending = {OutboxState.QUEUED}, deque([OutboxState.QUEUED])
        while pending:
            for state in ALLOWED[pending.popleft()] - seen:
                seen.add(state)
                pending.append(state)
        assert seen == set(OutboxState)

    def test_from_every_unfinished_state_it_can_be_applied(self) -> None:
        for start in UNFINISHED:
            reached = {start}
            for _ in OutboxState:
                reached |= {after for state in reached for after in ALLOWED[state]}
            assert OutboxState.APPLIED in reached

    def test_what_is_committed_can_only_be_applied(self) -> None:
        assert ALLOWED[OutboxState.COMMITTED] == {OutboxState.APPLIED}

    def test_what_is_finished_stays_so(self) -> None:
        assert all(not ALLOWED[state] for state in FINISHED)
        assert not FINISHED & UNFINISHED

    @pytest.mark.parametrize("state", OutboxState)
    @pytest.mark.parametrize("after", OutboxState)
    def test_only_steps_of_the_table_are_taken(self, state: OutboxState, after: OutboxState) -> None:
        entry = an_outgoing(1, state=state)
        if after in ALLOWED[state]:
            assert entry.moved(after, NOON).state is after
        else:
            with pytest.raises(WrongTransition, match=f"from {state} to {after}"):
                entry.moved(after, NOON)

    def test_a_step_forward_ends_the_trouble_of_the_one_before(self) -> None:
        later = NOON + timedelta(seconds=9)
        entry = (
            an_outgoing(1)
            .delayed(Trouble("gone", "No network"), NOON, later)
            .delayed(Trouble("gone", "No network"), NOON, later)
        )
        assert (entry.attempts, entry.next_at) == (2, later)
        sending = entry.moved(OutboxState.SENDING, later)
        assert (sending.attempts, sending.next_at, sending.trouble, sending.updated_at) == (2, None, None, later)
        assert sending.moved(OutboxState.NEED_BLOBS, later).attempts == 0


class TestWaiting:
    def test_the_bound_doubles_up_to_minutes(self) -> None:
        bounds = [wait_s(attempts, 1.0) for attempts in range(1, 12)]
        assert bounds[:4] == [1.0, 2.0, 4.0, 8.0]
        assert bounds == sorted(bounds)
        assert wait_s(10_000, 1.0) == LONGEST_WAIT_S

    def test_chance_takes_anything_below_it(self) -> None:
        assert wait_s(5, 0.0) == 0.0
        assert wait_s(5, 0.25) == wait_s(5, 1.0) / 4
