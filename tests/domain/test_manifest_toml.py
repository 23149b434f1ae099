"""What an apimarket.toml may say, and what it is told when it says something else."""

import tomllib
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from local_server.domain import money
from local_server.domain.manifest import (
    GatewaySpec,
    Manifest,
    PlanSpec,
    RateLimit,
    RunSpec,
    Runtime,
    Visibility,
)
from local_server.domain.manifest_toml import MAX_BYTES, parse, problem_at, render
from local_server.domain.registry_errors import InvalidManifest, ManifestProblem

MINIMAL = '[api]\nname = "weather"\nruntime = "python"\n'
FULL = """\
[api]
name = "weather"            # the URL
runtime = "python3.12"
version = "1.4.0-rc.1"
summary = "Forecasts"
tags = ["geo", "3d"]
category = "data"
visibility = "public"

[run]
entry = "main:app"
health = "/health"
env = { UNITS = "metric" }
secrets = ["API_TOKEN"]
memory_mb = 1024
cpus = 2
timeout_s = 12.5
replicas = 2
egress = false

[gateway]
auth = "none"
rate_limit = "60/min"
cache_ttl_s = 30
cors = ["https://a.example", "http://localhost:3000"]

[[plan]]
code = "free"
price = "0 EUR/month"
quota = "1000/month"

[[plan]]
code = "pro"
price = "4.50 EUR/month"
quota = "500/day"
overage = "bill"
overage_price = "0.0020 EUR"
"""


def problems_of(text: str) -> list[ManifestProblem]:
    with pytest.raises(InvalidManifest) as refused:
        parse(text)
    return list(refused.value.problems)


def only_problem(text: str) -> ManifestProblem:
    problems = problems_of(text)
    assert len(problems) == 1, problems
    return problems[0]


def in_run(line: str, runtime: str = "python") -> str:
    return f'[api]\nname = "weather"\nruntime = "{runtime}"\n[run]\n{line}\n'


def in_gateway(line: str) -> str:
    return f"{MINIMAL}[gateway]\n{line}\n"


BILLED = 'code = "pro"\nprice = "1 EUR/month"\nquota = "10/day"\noverage = "bill"\n'


def in_plan(lines: str) -> str:
    return f"{MINIMAL}[[plan]]\n{lines}\n"


class TestWhatIsRead:
    def test_name_and_runtime_are_enough(self):
        assert parse(MINIMAL) == Manifest("weather", Runtime.PYTHON)

    def test_every_key(self):
        assert parse(FULL) == Manifest(
            name="weather",
            runtime=Runtime.PYTHON,
            runtime_version="3.12",
            version="1.4.0-rc.1",
            summary="Forecasts",
            tags=("geo", "3d"),
            category="data",
            visibility=Visibility.PUBLIC,
            run=RunSpec(
                entry="main:app",
                health="/health",
                env={"UNITS": "metric"},
                secrets=("API_TOKEN",),
                memory_mb=1024,
                cpus=2.0,
                timeout_s=12.5,
                replicas=2,
                egress=False,
            ),
            gateway=GatewaySpec("none", RateLimit(60, 60), 30, ("https://a.example", "http://localhost:3000")),
            plans=(
                PlanSpec("free", 0, "EUR", "month", 1000, "month", "block"),
                PlanSpec("pro", 450, "EUR", "month", 500, "day", "bill", Decimal("0.002")),
            ),
        )

    def test_a_byte_order_mark_and_windows_newlines_are_no_mistakes(self):
        assert parse("\ufeff" + FULL.replace("\n", "\r\n")) == parse(FULL)

    def test_numbers_have_the_kind_their_unit_has(self):
        run = parse(in_run("cpus = 2\ntimeout_s = 5")).run
        assert (type(run.cpus), type(run.timeout_s)) == (float, float)

    @pytest.mark.parametrize(
        ("runtime", "version"),
        [("python3.12", "3.12"), ("node20", "20"), ("go1.22", "1.22"), ("python3.11.4", "3.11.4")],
    )
    def test_runtimes_with_a_version(self, runtime: str, version: str):
        assert parse(MINIMAL.replace("python", runtime)).runtime_version == version

    @pytest.mark.parametrize(
        ("text", "limit"),
        [
            ("5/s", RateLimit(5, 1)),
            ("60/min", RateLimit(60, 60)),
            ("9/h", RateLimit(9, 3600)),
            ("1/day", RateLimit(1, 86400)),
        ],
    )
    def test_rate_limits(self, text: str, limit: RateLimit):
        assert parse(in_gateway(f'rate_limit = "{text}"')).gateway.rate_limit == limit

    @pytest.mark.parametrize(
        ("price", "minor", "currency"),
        [("4.50 EUR", 450, "EUR"), ("0 USD", 0, "USD"), ("500 JPY", 500, "JPY"), ("1.234 KWD", 1234, "KWD")],
    )
    def test_prices_are_minor_units_of_their_currency(self, price: str, minor: int, currency: str):
        plan = parse(in_plan(f'code = "pro"\nprice = "{price}/year"')).plans[0]
        assert (plan.price_minor, plan.currency, plan.interval) == (minor, currency, "year")
        assert money.format_minor(minor, currency) == price

    @pytest.mark.parametrize(
        ("runtime", "entry"),
        [
            ("python", "a.b:make.app"),
            ("node", "src/server.mjs"),
            ("node", "api.ts:handler"),
            ("go", "."),
            ("go", "./cmd/x"),
        ],
    )
    def test_entries(self, runtime: str, entry: str):
        assert parse(in_run(f'entry = "{entry}"', runtime)).run.entry == entry

    def test_a_command(self):
        assert parse(in_run('command = ["python", "server.py"]')).run.command == ("python", "server.py")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("text", "key", "part"),
        [
            (MINIMAL.replace("weather", "Köln"), "api.name", "Try: koln"),
            (MINIMAL.replace("weather", "admin"), "api.name", "is reserved"),
            (MINIMAL.replace("python", "pyton"), "api.runtime", 'did you mean "python"'),
            (MINIMAL.replace("python", "nodejs"), "api.runtime", 'did you mean "node"'),
            (MINIMAL.replace("python", "python2.7"), "api.runtime", "python 3.9 and later"),
            (MINIMAL.replace("python", "python3"), "api.runtime", "python 3.9 and later"),
            (MINIMAL.replace("python", "node16"), "api.runtime", "node 18 and later"),
            (MINIMAL.replace("python", "go2.0"), "api.runtime", "go 1.x"),
            (MINIMAL.replace('"python"', "3.12"), "api.runtime", "found 3.12"),
            (MINIMAL + 'version = "1.0"', "api.version", "three numbers"),
            (MINIMAL + 'version = "01.0.0"', "api.version", "three numbers"),
            (MINIMAL + f'summary = "{"x" * 201}"', "api.summary", "up to 200"),
            (MINIMAL + 'summary = "a\\nb"', "api.summary", "one line"),
            (MINIMAL + 'tags = "geo"', "api.tags", "a list"),
            (MINIMAL + 'tags = ["Geo Data"]', "api.tags", "found 'Geo Data'"),
            (MINIMAL + 'tags = ["a", "a"]', "api.tags", "twice"),
            (MINIMAL + f"tags = {[f't{n}' for n in range(11)]}", "api.tags", "up to 10"),
            (MINIMAL + 'visibility = "publik"', "api.visibility", 'did you mean "public"'),
            (MINIMAL + 'nmae = "x"', "api.nmae", 'did you mean "name"'),
            (MINIMAL + "memory_mb = 64", "api.memory_mb", "belongs in [run]"),
            (in_run("memory_mb = 31"), "run.memory_mb", "from 32 to 65536"),
            (in_run("memory_mb = 65537"), "run.memory_mb", "found 65537"),
            (in_run("memory_mb = 512.0"), "run.memory_mb", "a whole number"),
            (in_run('memory_mb = "512"'), "run.memory_mb", "found '512'"),
            (in_run("memory_mb = true"), "run.memory_mb", "found true"),
            (in_run(f"memory_mb = 0x{'f' * 6000}"), "run.memory_mb", "more than 38 digits"),
            (in_run("cpus = 0.05"), "run.cpus", "from 0.1 to 64"),
            (in_run("cpus = nan"), "run.cpus", "found nan"),
            (in_run("cpus = inf"), "run.cpus", "found inf"),
            (in_run("timeout_s = 3601"), "run.timeout_s", "from 1 to 3600 seconds"),
            (in_run("replicas = 0"), "run.replicas", "from 1 to 8"),
            (in_run("replicas = 9"), "run.replicas", "found 9"),
            (in_run("egress = 1"), "run.egress", "true or false"),
            (in_run('health = "health"'), "run.health", "begins with"),
            (in_run('health = "//evil.example/"'), "run.health", "begins with"),
            (in_run('entry = "main.py"'), "run.entry", '"main:app"'),
            (in_run('entry = "../up.js"', "node"), "run.entry", "below the project"),
            (in_run('entry = "main:app"', "node"), "run.entry", "server.js"),
            (in_run('entry = "main.go"', "go"), "run.entry", "package directory"),
            (in_run("command = []"), "run.command", "no program"),
            (in_run('command = "python x.py --port 1"'), "run.command", '["python", "x.py", "--port", "1"]'),
            (in_run('entry = "main:app"\ncommand = ["x"]'), "run.command", "one of the two"),
            (in_run('env = { PORT = "1" }'), "run.env.PORT", "apimarket sets itself"),
            (in_run('env = { "A B" = "1" }'), "run.env.A B", "letters, digits"),
            (in_run("env = { DEBUG = 1 }"), "run.env.DEBUG", 'as "1"'),
            (in_run('secrets = ["a-b"]'), "run.secrets", "letters, digits"),
            (in_run('secrets = ["A"]\nenv = { A = "x" }'), "run.secrets", "one of the two"),
            (in_gateway('auth = "password"'), "gateway.auth", '"key" or "none"'),
            (in_gateway('rate_limit = "60/minute"'), "gateway.rate_limit", "s, min, h or day"),
            (in_gateway('rate_limit = "0/s"'), "gateway.rate_limit", "1 to 999999999"),
            (in_gateway('cors = ["a.example"]'), "gateway.cors", "scheme://host"),
            (in_gateway('cors = ["https://a.example/x"]'), "gateway.cors", "without a path"),
            (in_gateway("cache_ttl_s = -1"), "gateway.cache_ttl_s", "from 0"),
            (in_plan('code = "pro"'), "plan.price", "is missing"),
            (in_plan('price = "1 EUR/month"'), "plan.code", "is missing"),
            (in_plan('code = "pro"\nprice = "4.5 JPY/month"'), "plan.price", "whole amounts"),
            (in_plan('code = "pro"\nprice = "4.505 EUR/month"'), "plan.price", "at most 2 decimals"),
            (in_plan('code = "pro"\nprice = "4.50 EUO/month"'), "plan.price", 'did you mean "EUR"'),
            (in_plan('code = "pro"\nprice = "4.50 eur/month"'), "plan.price", "ISO 4217"),
            (in_plan('code = "pro"\nprice = "4.50 EUR/week"'), "plan.price", "month or year"),
            (in_plan('code = "pro"\nprice = "1 EUR/month"\nquota = "many"'), "plan.quota", "1000/month"),
            (in_plan('code = "pro"\nprice = "1 EUR/month"\noverage = "charge"'), "plan.overage", '"block" or "bill"'),
            (in_plan(f'{BILLED}overage_price = "0.002"'), "plan.overage_price", '"0.002 EUR"'),
            (in_plan(f'{BILLED}overage_price = "-1 EUR"'), "plan.overage_price", "price of one request"),
            (in_plan(f'{BILLED}overage_price = "1e3 EUR"'), "plan.overage_price", "price of one request"),
            (in_plan(f'{BILLED}overage_price = "0.0000000000000001 EUR"'), "plan.overage_price", "price of one"),
            (in_plan(f'{BILLED}overage_price = "0.1 EUO"'), "plan.overage_price", 'did you mean "EUR"'),
            (in_plan(f'{BILLED}overage_price = "0.1 USD"'), "plan.overage_price", "currency of the plan's price, EUR"),
            (in_plan(f"{BILLED}overage_price = 0.002"), "plan.overage_price", "found 0.002"),
            (in_plan(f'{BILLED.replace("bill", "block")}overage_price = "1 EUR"'), "plan.overage_price", "blocks"),
            (in_plan('code = "a"\nprice = "1 EUR/month"\noverage = "bill"\noverage_price = "1 EUR"'),
             "plan.overage_price", "without a quota"),
            (MINIMAL + 'plan = "free"', "api.plan", "is not a key"),
            ('plan = "free"\n' + MINIMAL, "plan", "[[plan]]"),
            (MINIMAL + "[gatway]", "gatway", 'did you mean "gateway"'),
            ('run = 3\n' + MINIMAL, "run", "found 3"),
            ("", "api", "is missing"),
            ("[api]\nruntime = 'go'", "api.name", "is missing"),
            ("[api]\nname = 'go-away'", "api.runtime", "is missing"),
        ],
    )  # fmt: skip
    def test_with_key_value_and_what_is_allowed(self, text: str, key: str, part: str):
        problem = only_problem(text)
        assert problem.key == key
        assert part in problem.message

    def test_two_plans_of_one_code(self):
        plan = '[[plan]]\ncode = "free"\nprice = "0 EUR/month"\n'
        problem = only_problem(MINIMAL + plan + plan)
        assert (problem.line, problem.key) == (8, "plan.code")

    def test_all_mistakes_at_once_in_the_order_of_their_lines(self):
        text = """\
[api]
name = "Köln"
runtime = "ruby"
tags = [
  "geo",
  "No Good",   # a comment with ] and "
]
sumary = "Rain"

[run]
memory_mb = 3
env = { GOOD = "1", 2BAD = "x" }

[gateway]
auth = "password"

[[plan]]
code = "free"
price = "gratis"
"""
        assert [(problem.line, problem.key) for problem in problems_of(text)] == [
            (2, "api.name"),
            (3, "api.runtime"),
            (6, "api.tags"),
            (8, "api.sumary"),
            (11, "run.memory_mb"),
            (12, "run.env.2BAD"),
            (15, "gateway.auth"),
            (19, "plan.price"),
        ]

    def test_the_error_says_them_all_and_gives_them_to_programs(self):
        with pytest.raises(InvalidManifest) as refused:
            parse('[api]\nname = "X"\nruntime = "ruby"\n', "/home/ada/weather/apimarket.toml")
        assert refused.value.detail.startswith(
            "/home/ada/weather/apimarket.toml has 2 mistakes:\n  line 2: api.name: 'X'"
        )
        assert [problem["line"] for problem in refused.value.extra["problems"]] == [2, 3]

    @pytest.mark.parametrize(
        ("text", "line", "part"),
        [
            ("[api]\nname = weather\n", 2, "text stands in quotes"),
            ('[api]\nname = "weather\n', 2, "column"),
            ('[api]\nname = "a"\nname = "b"\n', 3, "overwrite"),
            ("[api\n", 1, "column 5"),
            ('[api]\nname = "x"\n\n"""', 4, ""),
            ("a = " + "[" * 5000, 1, "too many others"),
            ("a = " + "9" * 5000, 1, "cannot be read"),
            ("# " + "x" * MAX_BYTES, 1, "64 KB"),
            ("\na" + ".a" * 30_000 + " = 1", 2, "more than 400 dots"),
            ('[api]\nname = "\ud800"', 2, "UTF-8"),
        ],
    )
    def test_what_is_not_toml(self, text: str, line: int, part: str):
        problem = only_problem(text)
        assert problem.line == line
        assert part in problem.message

    def test_of_very_many_mistakes_the_first_are_told(self):
        problems = problems_of(MINIMAL + "\n".join(f"key{number} = 1" for number in range(3000)))
        assert len(problems) == 101
        assert problems[-1].message == "and 2,900 more mistakes"

    def test_a_problem_found_elsewhere_gets_its_line(self):
        assert problem_at(FULL, ("plan", 1, "price"), "too dear") == ManifestProblem(34, "plan.price", "too dear")


class TestRender:
    def test_a_new_manifest_is_short_and_says_where_the_entry_goes(self):
        assert render(Manifest("weather", Runtime.NODE, "20")) == (
            '[api]\nname = "weather"\nruntime = "node20"\nversion = "0.1.0"\n\n'
            '[run]\n# entry = "server.js"  # found at each save; name it here to settle it\n'
        )

    def test_a_full_one_comes_back_as_it_was(self):
        assert parse(render(parse(FULL))) == parse(FULL)

    @given(
        summary=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=200),
        env=st.dictionaries(
            st.from_regex(r"[A-Z_][A-Z0-9_]{3,9}", fullmatch=True).filter(lambda name: name not in ("PORT", "HOST")),
            st.text(st.characters(codec="utf-8", exclude_characters="\0")),
            max_size=3,
        ),
        command=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), max_size=3),
        cpus=st.floats(0.1, 64),
    )
    def test_any_text_survives(self, summary: str, env: dict[str, str], command: list[str], cpus: float):
        run = RunSpec(command=tuple(command) or None, env=env, cpus=cpus)
        manifest = replace(parse(MINIMAL), summary=summary, run=run)
        assert parse(render(manifest)) == manifest


_WORDS = st.sampled_from(
    ["[api]", "[run]", "[[plan]]", "[gateway]", "[run.env]", "\n", " ", "=", '"', "'", '"""', "'''", "[", "]", "{", "}",
     ",", ".", "#", "name", "runtime", "tags", "price", "cpus", "env", "1", "-", "nan", "1979-05-27 07:32:00",
     "\\", "\r\n", "true", "é", "\u2028", "\x85", "\0", '"python"', 'name = "weather"', 'runtime = "go"', "[a.'b.c']"]
)  # fmt: skip


def mistakes(text: str) -> list[ManifestProblem]:
    """None for a manifest; anything raised but InvalidManifest fails the test."""
    try:
        parse(text)
    except InvalidManifest as refused:
        return list(refused.problems) or [ManifestProblem(0, "", "an error without a mistake")]
    return []


class TestAnyText:
    @settings(max_examples=300, deadline=None)
    @given(st.one_of(st.text(), st.lists(_WORDS).map("".join), st.lists(_WORDS).map("\n".join)))
    @example("a.b.c = 1\n[api]\n")
    @example("[[api]]\n[[run]]\n[[gateway]]\n[plan]")
    @example("api = [[[{a = [1, {b = 2}]}]]]")
    @example("0=")
    @example("[api]\nname = 1979-05-27 07:32:00 # x\nruntime = '''\ngo'''")
    def test_is_a_manifest_or_a_list_of_mistakes_within_it(self, text: str):
        for problem in mistakes(text):
            assert 1 <= problem.line <= text.count("\n") + 1
            assert problem.key
            assert len(problem.message) < 400

    @settings(max_examples=200, deadline=None)
    @given(st.lists(_WORDS).map("\n".join))
    def test_valid_toml_is_never_called_bad_syntax(self, text: str):
        try:
            tomllib.loads(text)
        except ValueError:
            return
        assert all(problem.key != "syntax" for problem in mistakes(text))
