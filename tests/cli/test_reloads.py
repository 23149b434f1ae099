from typing import Any, cast

from local_server.cli.reloads import Follower, budget
from local_server.client.documents import ApiDocument
from tests.client.fake_server import api_view, failure, generation


def row(**changes: Any) -> ApiDocument:
    return cast("ApiDocument", api_view("hello", **changes).model_dump(mode="json"))


def serving(number: int, **timings_ms: Any) -> ApiDocument:
    return row(serving=number, generation=generation(number, **timings_ms))


class TestBudget:
    def test_the_parts_stand_in_their_order(self) -> None:
        assert budget({"ready": 9.6, "total": 68.2, "detect": 12.0}) == "68 ms (detect 12 · ready 10)"

    def test_unmeasured_says_nothing(self) -> None:
        assert budget({}) == ""


class TestFollower:
    def test_the_first_generation_starts_and_later_ones_reload(self) -> None:
        follower = Follower()

        assert follower.lines(serving(14, total=400)) == ["▶ g14 400 ms"]
        assert follower.lines(serving(15, total=68, detect=12)) == ["⟳ g15 68 ms (detect 12)"]

    def test_nothing_is_said_twice(self) -> None:
        follower = Follower()
        follower.lines(serving(14))

        assert follower.lines(serving(14)) == []

    def test_a_mistake_says_what_serves_on(self) -> None:
        follower = Follower()
        follower.lines(serving(14))
        broken = row(
            serving=14, generation=generation(15, "failed"), failure=failure("SyntaxError: invalid (main.py:12)")
        )

        assert follower.lines(broken) == ["✗ SyntaxError: invalid (main.py:12) · g14 still serving"]

    def test_the_same_mistake_saved_again_is_said_again(self) -> None:
        follower = Follower()
        lines = [
            follower.lines(row(serving=14, generation=generation(number, "failed"), failure=failure("boom")))
            for number in (15, 15, 16)
        ]

        assert [len(told) for told in lines] == [2, 0, 1]

    def test_a_repair_is_a_reload(self) -> None:
        follower = Follower()
        follower.lines(row(state="failed", serving=None, generation=generation(1, "failed"), failure=failure("boom")))

        assert follower.lines(serving(2)) == ["▶ g2 68 ms"]

    def test_when_nothing_serves_it_says_so_with_the_hint(self) -> None:
        broken = row(state="failed", serving=None, failure=failure("no app", hint="Name it 'app'"))

        assert Follower().lines(broken) == ["✗ no app · nothing is serving", "  Name it 'app'"]

    def test_progress_is_told_as_it_changes(self) -> None:
        follower = Follower()
        building = [
            row(state="building", serving=None, progress=word) for word in ("installing numpy", "", "compiling")
        ]

        assert [follower.lines(api) for api in building] == [["… installing numpy"], [], ["… compiling"]]

    def test_an_undo_serves_an_older_generation_without_its_figures(self) -> None:
        follower = Follower()
        follower.lines(serving(15))

        assert follower.lines(row(serving=14, generation=generation(15))) == ["⟳ g14"]

    def test_it_is_reachable_from_the_first_answer_until_it_stops(self) -> None:
        follower = Follower()
        reachable = []
        for api in (row(state="starting", serving=None), serving(1), row(state="stopped", serving=None)):
            follower.lines(api)
            reachable.append(follower.reachable)

        assert reachable == [False, True, False]

    def test_what_a_program_wrote_cannot_steer_the_terminal(self) -> None:
        broken = row(serving=None, failure=failure("\x1b[2Jgone\nnext"))

        assert Follower().lines(broken) == ["✗ gone next · nothing is serving"]
