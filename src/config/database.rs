//! `[database]`: where the API keeps posts.

/// `[database]`.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `database.url`, older name `DATABASE_URL`: a path, `sqlite:///./blog.db`, or `postgres://…`.
    pub url: String,
    /// `database.pool_size`: most connections to PostgreSQL.
    pub pool_size: u32,
    /// `database.migrate_at_start`: apply pending migrations when the API starts. When not set: yes on SQLite, no on
    /// PostgreSQL.
    pub migrate_at_start: Option<bool>,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self { url: "blog.db".to_owned(), pool_size: 10, migrate_at_start: None }
    }
}
