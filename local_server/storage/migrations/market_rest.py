"""Copies of other servers' public catalogues, with an index of their words."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE
from local_server.storage.migrations.marketplace import WORDS

TABLES = """
create table catalogue_copies (
    number {bigint} not null primary key,
    remote text not null unique,
    origin text not null,
    cursor {bigint} not null,
    listings {bigint} not null,
    checked_at {time},
    pass {bigint} not null,
    filling {flag} not null
) {strict};

-- A place begins with the number of its copy, so that one copy's are found without looking at another's.
create table copied_listings (
    place {bigint} primary key,
    copy {bigint} not null,
    pass {bigint} not null,
    seq {bigint} not null,
    api_id text not null,
    owner text not null,
    slug text not null,
    summary text not null,
    tags text not null,
    category text not null,
    runtime text not null,
    visibility text not null,
    version text not null,
    free {flag} not null,
    price_from_minor {bigint},
    currency text not null,
    published_at {time} not null,
    updated_at {time} not null,
    rating_sum {bigint} not null,
    rating_count {bigint} not null,
    rating {bigint} not null,
    subscribers {bigint} not null,
    requests {bigint} not null,
    faults {bigint} not null,
    p95_us {bigint},
    quality {bigint} not null,
    changed {bigint} not null,
    paths text not null,
    unique (copy, api_id)
) {rowid};
create index idx_copied_listings_category on copied_listings (category, place);
create index idx_copied_listings_slug on copied_listings (copy, slug, api_id);
create index idx_copied_listings_rating on copied_listings (copy, rating, api_id);
create index idx_copied_listings_subscribers on copied_listings (copy, subscribers, api_id);
create index idx_copied_listings_published_at on copied_listings (copy, published_at, api_id);

create table copied_tags (
    tag text not null,
    place {bigint} not null references copied_listings (place) on delete cascade on update cascade,
    primary key (tag, place)
) {strict};
create index idx_copied_tags_place on copied_tags (place);
"""

INDEXED = ("slug", "owner", "summary", "tags", "paths")
"""The columns of `copied_listings` that are searched."""


def market_rest(db: Database) -> None:
    db.executescript(TABLES.format(**SQLITE))
    new, old = (", ".join(f"{row}.{name}" for name in INDEXED) for row in ("new", "old"))
    db.executescript(WORDS.format(table="copied_listings", columns=", ".join(INDEXED), new=new, old=old))
