"""Column types as each database spells them, so that a table is written once for both.

    create table channels (api_id text not null, moved_at {time} not null, primary key (api_id)) {strict};

is a `str.format` template: `TABLES.format(**SQLITE)`. A table whose key is a rowid ends with `{rowid}` instead.
"""

from collections.abc import Mapping

SQLITE: Mapping[str, str] = {
    "time": "text",
    "json": "text",
    "bytes": "blob",
    "flag": "integer",
    "bigint": "integer",
    "decimal": "text",
    "strict": "strict, without rowid",
    "rowid": "strict",
}

POSTGRES: Mapping[str, str] = {
    "time": "timestamptz",
    "json": "json",
    "bytes": "bytea",
    "flag": "boolean",
    "bigint": "bigint",
    "decimal": "numeric(30, 15)",
    "strict": "",
    "rowid": "",
}
