"""The marketplace: listings and their search index, reviews, plans, subscriptions, what was used of them.

Nothing here is a float: a rating is in thousandths, quality in millionths, money in minor units or decimals.
"""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

MARKETPLACE = """
-- Counted up under a row lock, never by a sequence: the order of the numbers is the order of the commits.
create table marketplace_numbers (
    name text not null primary key,
    last {bigint} not null
) {strict};

create table listings (
    api_id text not null primary key references apis (id) on delete cascade,
    seq {bigint} not null unique,
    place {bigint} not null unique,
    owner text not null,
    slug text not null,
    summary text not null,
    tags text not null,
    category text not null,
    runtime text not null,
    visibility text not null check (visibility in ('unlisted', 'public')),
    version text not null,
    free {flag} not null,
    price_from_minor {bigint},
    currency text not null,
    published_at {time} not null,
    updated_at {time} not null,
    rating_sum {bigint} not null default 0,
    rating_count {bigint} not null default 0,
    rating {bigint} not null,
    subscribers {bigint} not null default 0,
    requests {bigint} not null default 0,
    faults {bigint} not null default 0,
    p95_us {bigint},
    quality {bigint} not null,
    changed {bigint} not null unique,
    unique (owner, slug)
) {strict};
create index idx_listings_place on listings (place) where visibility = 'public';
create index idx_listings_category on listings (category, place) where visibility = 'public';
create index idx_listings_rating on listings (rating, api_id) where visibility = 'public';
create index idx_listings_subscribers on listings (subscribers, api_id) where visibility = 'public';
create index idx_listings_published_at on listings (published_at, api_id) where visibility = 'public';
create index idx_listings_slug on listings (slug, api_id) where visibility = 'public';

create table listing_tags (
    tag text not null,
    place {bigint} not null references listings (place) on delete cascade on update cascade,
    primary key (tag, place)
) {strict};
create index idx_listing_tags_place on listing_tags (place);

-- Apart from the listings, so that these are read a thousand at a time without their READMEs.
create table listing_texts (
    place {bigint} primary key references listings (place) on delete cascade on update cascade,
    slug text not null,
    owner text not null,
    summary text not null,
    tags text not null,
    readme text not null,
    paths text not null,
    endpoints {json} not null
) {rowid};

create table listing_removals (
    api_id text not null primary key,
    changed {bigint} not null unique
) {strict};

create table reviews (
    api_id text not null references apis (id) on delete cascade,
    user_id text not null references users (id),
    rating integer not null check (rating between 1 and 5),
    text text not null,
    created_at {time} not null,
    updated_at {time} not null,
    answer text,
    answered_at {time},
    primary key (api_id, user_id)
) {strict};
create index idx_reviews_updated_at on reviews (api_id, updated_at, user_id);

create table plans (
    id text not null primary key,
    api_id text not null references apis (id) on delete cascade,
    code text not null,
    version integer not null,
    price_minor {bigint} not null check (price_minor >= 0),
    currency text not null,
    price_interval text not null check (price_interval in ('month', 'year')),
    quota {bigint},
    quota_interval text check (quota_interval in ('day', 'month')),
    overage text not null check (overage in ('block', 'bill')),
    overage_price {decimal},
    created_at {time} not null,
    unique (api_id, code, version)
) {strict};

-- What can be subscribed to now, in the order of the manifest. Older versions stay for those who have them.
create table plan_offers (
    api_id text not null references apis (id) on delete cascade,
    code text not null,
    plan_id text not null references plans (id) on delete cascade,
    position integer not null,
    primary key (api_id, code)
) {strict};

create table subscriptions (
    id text not null primary key,
    api_id text not null references apis (id) on delete cascade,
    user_id text not null references users (id),
    plan_id text not null references plans (id),
    state text not null
        check (state in ('trialing', 'active', 'past_due', 'paused', 'canceled', 'expired')),
    anchor {time} not null,
    period_start {time} not null,
    period_end {time} not null,
    cancel_at_end {flag} not null,
    next_plan_id text references plans (id),
    spend_cap_minor {bigint},
    created_at {time} not null,
    updated_at {time} not null,
    ended_at {time},
    row_version integer not null
) {strict};
create unique index idx_subscriptions_live on subscriptions (user_id, api_id)
    where state in ('trialing', 'active', 'past_due', 'paused');
create index idx_subscriptions_api_id on subscriptions (api_id, id);
create index idx_subscriptions_period_end on subscriptions (period_end)
    where state in ('trialing', 'active', 'past_due', 'paused');

create table usage_events (
    subscription_id text not null references subscriptions (id) on delete cascade,
    source text not null,
    event_id text not null,
    at {time} not null,
    units integer not null check (units > 0),
    primary key (subscription_id, source, event_id)
) {strict};
create index idx_usage_events_at on usage_events (at);

create table usage_totals (
    subscription_id text not null references subscriptions (id) on delete cascade,
    day text not null,
    units {bigint} not null check (units >= 0),
    primary key (subscription_id, day)
) {strict};

create table idempotency (
    account_id text not null,
    key text not null,
    request_hash text not null,
    status integer,
    response {json},
    expires_at {time} not null,
    primary key (account_id, key)
) {strict};
create index idx_idempotency_expires_at on idempotency (expires_at);
"""

INDEXED = ("slug", "owner", "summary", "tags", "readme", "paths")
"""The columns of `listing_texts` that are searched."""

# The index of words holds places in ascending order, so that the best are found first and the rest need not be looked
# at. Two letters are looked up as fast as words: search goes on as people type.
WORDS = """
create virtual table {table}_fts using fts5(
    {columns}, content='{table}', content_rowid='place', tokenize='unicode61 remove_diacritics 2', prefix='2 3'
);
create trigger {table}_fts_insert after insert on {table} begin
    insert into {table}_fts (rowid, {columns}) values (new.place, {new});
end;
create trigger {table}_fts_delete after delete on {table} begin
    insert into {table}_fts ({table}_fts, rowid, {columns}) values ('delete', old.place, {old});
end;
create trigger {table}_fts_update after update on {table}
when old.place <> new.place or ({old}) is not ({new}) begin
    insert into {table}_fts ({table}_fts, rowid, {columns}) values ('delete', old.place, {old});
    insert into {table}_fts (rowid, {columns}) values (new.place, {new});
end;
"""

_IMMUTABLE = """
create trigger plans_are_immutable before update on plans begin
    select raise(abort, 'a plan never changes; other terms are its next version');
end;
"""


def marketplace(db: Database) -> None:
    db.executescript(MARKETPLACE.format(**SQLITE))
    new, old = (", ".join(f"{row}.{name}" for name in INDEXED) for row in ("new", "old"))
    db.executescript(WORDS.format(table="listing_texts", columns=", ".join(INDEXED), new=new, old=old))
    db.executescript(_IMMUTABLE)
