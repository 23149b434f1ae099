"""A manifest told key by key: what stands there, and what holds where nothing does."""

from local_server.domain.manifest_rows import manifest_rows
from local_server.domain.manifest_table import KEYS
from local_server.domain.manifest_toml import parse

TEXT = """
[api]
name = "weather"
runtime = "python3.12"
tags = ["geo"]
[run]
env = { UNITS = "metric" }
[gateway]
rate_limit = "60/min"
[[plan]]
code = "pro"
price = "4.50 EUR/month"
quota = "1000/month"
overage = "bill"
overage_price = "0.002 EUR"
"""


def test_every_key_is_told_as_toml_writes_it() -> None:
    rows = {row.key: row for row in manifest_rows(parse(TEXT))}
    plain = {f"{section}.{key}" for section in ("api", "run", "gateway") for key in KEYS[section]}
    assert plain <= rows.keys()
    given = {key: row.value for key, row in rows.items() if not row.default}
    assert given == {
        "api.name": '"weather"',
        "api.runtime": '"python3.12"',
        "api.tags": '["geo"]',
        "run.env": '{ UNITS = "metric" }',
        "gateway.rate_limit": '"60/min"',
        "plan.pro.price": '"4.50 EUR/month"',
        "plan.pro.quota": '"1000/month"',
        "plan.pro.overage": '"bill"',
        "plan.pro.overage_price": '"0.002 EUR"',
    }
    assert (rows["run.memory_mb"].value, rows["run.entry"].value) == ("512", "")


def test_what_holds_nothing_is_told_as_nothing() -> None:
    rows = {row.key: row.value for row in manifest_rows(parse('[api]\nname = "weather"\nruntime = "go"\n'))}
    assert [rows[key] for key in ("api.category", "api.tags", "run.env", "run.entry")] == ["", "", "", ""]
    assert (rows["gateway.cache_ttl_s"], rows["run.egress"]) == ("0", "true")
