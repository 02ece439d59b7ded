//! The blog on both databases: rules, lists, durability, migrations.

mod idempotency;
mod lists;
mod migrations;
mod opening;
mod outages;
mod plans;
mod pooler;
mod rules;
mod search;
mod search_lane;
mod sqlite_file;
mod writer;
