"""Which key and version a request was answered for, and quotas: what keys are given, and how much of it is used."""

from sqlite_utils import Database

from local_server.storage.migrations.columns import SQLITE

GATEWAY_POLICY = """
alter table executions add column key_id text;
alter table executions add column version text not null default '';
alter table executions add column cached {flag} not null default false;

alter table api_keys add column quota_requests {bigint};
alter table api_keys add column quota_interval text;
alter table api_keys add column quota_overage text;
alter table api_keys add column quota_subject text;
alter table api_keys add column plan text;

-- One counter for each subject and period, of whatever keys name it. No foreign key: a subject may be a key's, or
-- another thing's that outlives its keys.
create table quota_counters (
    subject text not null,
    period text not null,
    ends_at {time} not null,
    used {bigint} not null check (used >= 0),
    primary key (subject, period)
) {strict};
create index idx_quota_counters_ends_at on quota_counters (ends_at);
"""


def gateway_policy(db: Database) -> None:
    db.executescript(GATEWAY_POLICY.format(**SQLITE))
