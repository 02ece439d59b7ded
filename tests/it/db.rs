//! The blog on both databases: rules, lists, durability, migrations.

mod lists;
mod migrations;
mod once;
mod opening;
mod outages;
mod plans;
mod pooler;
mod rules;
mod search;
mod search_lane;
mod sqlite_file;
mod writer;
