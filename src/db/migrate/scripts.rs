//! The SQL of each migration, its checksum, and what an operator should know before it runs.

use openssl::sha::sha256;

/// A database, for what differs between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A migration for both databases.
pub(super) struct Script {
    /// Version and description: the name of its folder.
    pub name: &'static str,
    /// A binary works with the schema after this migration if it knows at least this version: the newest one of the release
    /// before. The version itself, if no older binary works with it.
    pub works_with: &'static str,
    sqlite: Sql,
    postgres: Sql,
}

/// The files of one database.
struct Sql {
    up: &'static str,
    down: &'static str,
    /// Locks and duration on a large database.
    cost: &'static str,
}

/// A migration: its folder, the version that older binaries must know, and its costs.
macro_rules! script {
    ($name:literal, works_with: $works_with:literal, sqlite: $sqlite:literal, postgres: $postgres:literal) => {
        Script {
            name: $name,
            works_with: $works_with,
            sqlite: Sql {
                up: include_str!(concat!("../../../migrations/sqlite/", $name, "/up.sql")),
                down: include_str!(concat!("../../../migrations/sqlite/", $name, "/down.sql")),
                cost: $sqlite,
            },
            postgres: Sql {
                up: include_str!(concat!("../../../migrations/postgres/", $name, "/up.sql")),
                down: include_str!(concat!("../../../migrations/postgres/", $name, "/down.sql")),
                cost: $postgres,
            },
        }
    };
}

/// Every migration, in order.
pub(super) const SCRIPTS: &[Script] = &[
    script!("0001_users_and_posts", works_with: "0001",
        sqlite: "creates tables: milliseconds",
        postgres: "creates tables: milliseconds"),
    script!("0002_post_counts", works_with: "0001",
        sqlite: "counts the posts: about a second for a million",
        postgres: "counts the posts, and writes to posts wait: about a second for a million"),
    script!("0003_idempotency_keys", works_with: "0002",
        sqlite: "creates tables: milliseconds",
        postgres: "creates tables: milliseconds"),
    script!("0004_search", works_with: "0003",
        sqlite: "notes every post for the full-text index: seconds for a million; the API then indexes them while it runs",
        postgres: "rewrites blog_posts and builds an index, and all requests wait: 10 to 25 minutes for a million posts (docs/postgresql.md)"),
    script!("0005_search_without_pending_list", works_with: "0004",
        sqlite: "nothing",
        postgres: "merges the pending entries of the index, and all requests wait: at most a second"),
    script!("0006_name_tokens", works_with: "0005",
        sqlite: "creates tables: milliseconds",
        postgres: "creates tables: milliseconds"),
];

impl Script {
    /// `0004`
    pub fn version(&self) -> &'static str {
        self.name.split_once('_').map_or(self.name, |(version, _)| version)
    }

    /// SHA-256 of `up.sql`, in hexadecimal digits.
    pub fn checksum(&self, dialect: Dialect) -> String {
        hex::encode(sha256(self.sql(dialect).up.as_bytes()))
    }

    /// SHA-256 of `down.sql`.
    pub fn checksum_of_down(&self, dialect: Dialect) -> String {
        hex::encode(sha256(self.sql(dialect).down.as_bytes()))
    }

    /// Locks and duration on a large database.
    pub fn cost(&self, dialect: Dialect) -> &'static str {
        self.sql(dialect).cost
    }

    fn sql(&self, dialect: Dialect) -> &Sql {
        match dialect {
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
        }
    }
}

impl Dialect {
    /// The folder of its migrations.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Sqlite => "migrations/sqlite",
            Self::Postgres => "migrations/postgres",
        }
    }
}

/// The script of a version.
pub(super) fn of_version(version: &str) -> Option<&'static Script> {
    SCRIPTS.iter().find(|script| script.version() == version)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_migration_has_a_script() {
        let names: Vec<_> = SCRIPTS.iter().map(|script| script.name.to_owned()).collect();
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(dialect.folder());
            let folders: BTreeSet<_> = fs::read_dir(folder)
                .expect("the migrations")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
                .collect();
            assert_eq!(folders.into_iter().collect::<Vec<_>>(), names, "{dialect:?}");
        }
    }

    #[test]
    fn an_older_binary_works_with_no_schema_of_two_releases_later() {
        for (older, script) in SCRIPTS.iter().zip(SCRIPTS.iter().skip(1)) {
            assert!(script.works_with <= script.version(), "{}", script.name);
            assert!(script.works_with >= older.works_with, "{}", script.name);
            assert!(of_version(script.works_with).is_some(), "{}", script.name);
        }
    }

    /// A released migration must never change: databases that have it would differ from new ones, and `migrate run` rejects
    /// them. Add a new migration instead.
    #[test]
    fn released_migrations_are_never_edited() {
        let sums: Vec<_> = SCRIPTS
            .iter()
            .filter(|script| script.version() <= "0006")
            .map(|script| {
                let start = |dialect| script.checksum(dialect).chars().take(16).collect::<String>();
                format!(
                    "{} {} {}",
                    script.version(),
                    start(Dialect::Sqlite),
                    start(Dialect::Postgres)
                )
            })
            .collect();
        assert_eq!(
            sums,
            [
                "0001 c209ca852b4c0685 393ab82d9d108718",
                "0002 0fe141ae5f70f707 ee74c1d61111cb2d",
                "0003 0b33e7d249cb7a02 96763213978c293c",
                "0004 db43f6df580682c6 46cd14b89961ac4c",
                "0005 f0b96a04c9262e85 8025e0f7d50ea004",
                "0006 e8cbd98247a97661 40ba527e4c37ba4f",
            ]
        );
    }
}
