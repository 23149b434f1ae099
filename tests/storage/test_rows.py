"""Whatever domain objects hold, they come back from rows as they were."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_server.domain.deployments import Deployment, DesiredState, Failure, Generation, Outcome, State
from local_server.domain.executions import CallOutcome, Execution
from local_server.domain.manifest import (
    GatewaySpec,
    Manifest,
    PlanSpec,
    RateLimit,
    RunSpec,
    Runtime,
    Visibility,
)
from local_server.domain.registry import Api, ApiStage
from local_server.domain.trees import Tree, TreeEntry
from local_server.storage.dialect import SqliteDialect
from local_server.storage.sql import rows
from tests.storage.factories import ALICE, a_deployment, a_generation, a_manifest, an_api, an_execution

# Time limits on an example fail on a busy machine, and tell nothing about the code.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SQLITE = SqliteDialect()

# Everything a Python string can hold, halves of surrogate pairs and NUL included; and what a database's text can.
any_text = st.text(st.characters(codec=None, categories=None), max_size=20)
plain_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
texts = st.lists(any_text, max_size=4).map(tuple)
counts = st.integers(0, 2**63 - 1)
times = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)).map(
    lambda naive: naive.replace(tzinfo=UTC)
)
figures = st.floats(allow_nan=False, allow_infinity=False)

run_specs = st.builds(
    RunSpec,
    entry=st.none() | any_text,
    command=st.none() | texts,
    health=st.none() | any_text,
    env=st.dictionaries(any_text, any_text, max_size=3) | st.just(MappingProxyType({"A": "1"})),
    secrets=texts,
    memory_mb=counts,
    cpus=figures,
    timeout_s=figures,
    replicas=counts,
    egress=st.booleans(),
)
gateway_specs = st.builds(
    GatewaySpec,
    auth=st.sampled_from(["key", "none"]),
    rate_limit=st.none() | st.builds(RateLimit, counts, counts),
    cache_ttl_s=counts,
    cors=texts,
    max_body_mb=counts,
)
plans = st.builds(
    PlanSpec,
    code=any_text,
    price_minor=counts,
    currency=any_text,
    interval=st.sampled_from(["month", "year"]),
    quota=st.none() | counts,
    quota_interval=st.sampled_from([None, "day", "month"]),
    overage=st.sampled_from(["block", "bill"]),
    overage_price=st.none() | st.decimals(0, 10**12, places=15),
)
manifests = st.builds(
    Manifest,
    name=any_text,
    runtime=st.sampled_from(Runtime),
    runtime_version=st.none() | any_text,
    version=any_text,
    summary=any_text,
    tags=texts,
    category=any_text,
    visibility=st.sampled_from(Visibility),
    run=run_specs,
    gateway=gateway_specs,
    plans=st.lists(plans, max_size=2).map(tuple),
)
apis = st.builds(
    an_api,
    slug=plain_text,
    directory=plain_text,
    manifest=manifests,
    stage=st.sampled_from(ApiStage),
    revision=counts,
    created_at=times,
    updated_at=times,
)
failures = st.builds(Failure, any_text, any_text, st.none() | any_text, st.none() | counts, any_text, any_text)
generations = st.builds(
    a_generation,
    st.just(an_api(1)),
    counts,
    deps_key=plain_text,
    outcome=st.sampled_from(Outcome),
    started_at=times,
    timings_ms=st.dictionaries(st.sampled_from(["detect", "snapshot", "total"]), figures),
    failure=st.none() | failures,
)
deployments = st.builds(
    a_deployment,
    st.just(an_api(1)),
    desired_state=st.sampled_from(DesiredState),
    state=st.sampled_from(State),
    engine=plain_text,
    last_good=st.none() | counts,
    last_error=st.none() | plain_text,
    updated_at=times,
)
entries = st.builds(TreeEntry, st.from_regex(r"[0-9a-f]{64}", fullmatch=True), counts, st.sampled_from([0o644, 0o755]))
trees = st.dictionaries(plain_text, entries, max_size=5).map(Tree)
executions = st.builds(
    an_execution,
    st.just(an_api(1)),
    counts,
    generation=counts,
    method=plain_text,
    path=plain_text,
    status=counts,
    outcome=st.sampled_from(CallOutcome),
    started_at=times,
    held=st.booleans(),
)


def stored(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as SQLite gives it back: text, numbers and None only."""
    back: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, str):
            back[name] = str(value.encode("utf-8"), "utf-8")
        elif isinstance(value, int):
            back[name] = int(value)
        else:
            assert value is None
            back[name] = None
    return back


def types_of(value: Any) -> Any:
    """What `==` does not tell apart: a list from a tuple is, but a string from an enum of the same text is not."""
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: types_of(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: types_of(item) for key, item in value.items()}
    return [type(value), *map(types_of, value)] if isinstance(value, tuple) else type(value)


class TestRoundTrip:
    @unhurried
    @given(manifests)
    def test_manifest(self, manifest: Manifest) -> None:
        document = json.loads(SQLITE.json(rows.manifest_document(manifest)))
        back = rows.manifest_from(document)
        assert back == manifest
        assert types_of(back) == types_of(manifest)

    @unhurried
    @given(apis)
    def test_api(self, api: Api) -> None:
        row = {**stored(rows.api_row(SQLITE, api)), "owner": ALICE.handle}
        assert rows.api_from(SQLITE, row) == api

    @unhurried
    @given(generations)
    def test_generation(self, generation: Generation) -> None:
        assert rows.generation_from(SQLITE, stored(rows.generation_row(SQLITE, generation))) == generation

    @unhurried
    @given(deployments)
    def test_deployment(self, deployment: Deployment) -> None:
        assert rows.deployment_from(SQLITE, stored(rows.deployment_row(SQLITE, deployment))) == deployment

    @unhurried
    @given(trees)
    def test_tree(self, tree: Tree) -> None:
        back = rows.tree_from(SQLITE, stored(rows.tree_row(SQLITE, tree)))
        assert back == tree
        assert back.digest == tree.digest

    @unhurried
    @given(executions)
    def test_execution(self, execution: Execution) -> None:
        row = dict(zip(rows.EXECUTION_COLUMNS, rows.execution_row(SQLITE, execution), strict=True))
        back = rows.execution_from(SQLITE, stored(row))
        assert back == execution
        assert types_of(back) == types_of(execution)


class TestManifestDocument:
    def test_fields_that_came_later_take_their_defaults(self) -> None:
        document = rows.manifest_document(a_manifest("weather"))
        for key in ("category", "tags", "plans", "version"):
            del document[key]
        for key in ("cpus", "secrets", "command", "env"):
            del document["run"][key]
        del document["gateway"]["cors"], document["gateway"]["rate_limit"]
        assert rows.manifest_from(document) == a_manifest("weather")


class TestStorable:
    @unhurried
    @given(any_text)
    def test_everything_becomes_text_that_any_database_holds(self, text: str) -> None:
        kept = rows.storable(text)
        assert "\0" not in kept
        kept.encode("utf-8")
        assert rows.storable(kept) == kept

    @unhurried
    @given(plain_text)
    def test_what_can_be_held_is_left_alone(self, text: str) -> None:
        assert rows.storable(text) == text


class TestTimes:
    @unhurried
    @given(times, times)
    def test_sort_as_text(self, one: datetime, other: datetime) -> None:
        assert (SQLITE.time(one) < SQLITE.time(other)) == (one < other)

    @unhurried
    @given(st.lists(times, min_size=1, max_size=3))
    def test_have_one_width(self, some: list[datetime]) -> None:
        assert {len(SQLITE.time(at)) for at in some} == {32}

    def test_another_zone_is_the_same_moment(self) -> None:
        east = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
        assert SQLITE.time(east) == "2026-01-01T00:00:00.000000+00:00"


class TestSearchQuery:
    @pytest.mark.parametrize(
        ("text", "query"),
        [
            ("weather api", '"weather"* "api"*'),
            ('say "hi"', '"say"* """hi"""*'),
            ("a AND NOT b", '"a"* "AND"* "NOT"* "b"*'),
            ("col:val^2", '"col:val^2"*'),
            ("-- ** ()", None),
            ("", None),
        ],
    )
    def test_every_word_is_quoted(self, text: str, query: str | None) -> None:
        assert SQLITE.search_query(text) == query
