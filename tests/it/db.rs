//! The blog on both databases: rules, lists, durability and migrations.

mod after_commit;
mod idempotency;
mod lists;
mod migration_runs;
mod migrations;
mod mixed_versions;
mod opening;
mod outages;
mod plans;
mod plans_postgres;
mod pooler;
mod rules;
mod search;
mod search_limits;
mod sqlite_file;
mod writer;
