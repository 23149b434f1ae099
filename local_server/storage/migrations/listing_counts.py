"""How many public listings are in each category and have each tag, kept by triggers: whatever adds a listing, changes
it or takes it with its API counts, in the same transaction."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

TABLES = """
create table listing_counts (
    kind text not null check (kind in ('category', 'tag')),
    value text not null,
    listings {bigint} not null check (listings >= 0),
    primary key (kind, value)
) {strict};

-- From now on tags are those of public listings alone: nothing else is ever looked for by them.
delete from listing_tags where place in (select place from listings where visibility <> 'public');

insert into listing_counts (kind, value, listings)
    select 'tag', tag, count(*) from listing_tags group by tag;
insert into listing_counts (kind, value, listings)
    select 'category', category, count(*) from listings
    where visibility = 'public' and category <> '' group by category;

-- So many stars and more are asked of what was rated, which may be few.
create index idx_listings_rated on listings (place) where visibility = 'public' and rating_count > 0;
create index idx_copied_listings_rated on copied_listings (place) where rating_count > 0;
"""

# In this order also beside others: who counts the last one out waits for whoever counts another one in.
_ONE_MORE = """
    insert into listing_counts (kind, value, listings) values ('{kind}', new.{kind}, 1)
    on conflict (kind, value) do update set listings = listing_counts.listings + 1;
"""
_ONE_LESS = """
    update listing_counts set listings = listings - 1 where kind = '{kind}' and value = old.{kind};
    delete from listing_counts where kind = '{kind}' and value = old.{kind} and listings = 0;
"""

_COUNTS = "{row}.visibility = 'public' and {row}.category <> ''"
_MOVED = " and (old.visibility <> new.visibility or old.category <> new.category)"
_TRIGGERS = (
    # (when, if, what)
    ("insert on listing_tags", "true", _ONE_MORE.format(kind="tag")),
    ("delete on listing_tags", "true", _ONE_LESS.format(kind="tag")),
    ("insert on listings", _COUNTS.format(row="new"), _ONE_MORE.format(kind="category")),
    ("delete on listings", _COUNTS.format(row="old"), _ONE_LESS.format(kind="category")),
    ("update on listings", _COUNTS.format(row="new") + _MOVED, _ONE_MORE.format(kind="category")),
    ("update on listings", _COUNTS.format(row="old") + _MOVED, _ONE_LESS.format(kind="category")),
)
_IN_SQLITE = """
create trigger listing_counts_{number} after {when} when {condition} begin
{act}
end;
"""
_IN_POSTGRES = """
create function listing_counts_{number}() returns trigger language plpgsql as $counts$
begin
{act}
    return null;
end
$counts$;
create trigger listing_counts_{number} after {when} for each row when ({condition})
    execute function listing_counts_{number}();
"""


def _triggers(template: str) -> str:
    return "".join(
        template.format(number=number, when=when, condition=condition, act=act.strip("\n"))
        for number, (when, condition, act) in enumerate(_TRIGGERS, 1)
    )


TRIGGERS_POSTGRES = _triggers(_IN_POSTGRES)


def listing_counts(db: Database) -> None:
    db.executescript(TABLES.format(**SQLITE) + _triggers(_IN_SQLITE))
