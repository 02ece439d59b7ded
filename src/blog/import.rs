//! Imports users and posts of the Python system, from its SQLite file or from exports of its tables, in one transaction.
//!
//! In an empty database, rows keep their ids, so that links stay valid. In any other, rows get new ids, and existing
//! rows are not changed: users are recognised by object id, posts by author and time of creation to the microsecond,
//! which never change. So another run adds only what is new.

use std::{collections::HashMap, fmt, path::Path};

use uuid::Uuid;

use super::{
    Content, Title, UserKey,
    text::{UNKNOWN_NAME, clean_display_name},
};
use crate::db::{
    Connection, Database, DbError, ids,
    legacy::{self, Exports, LegacyFile, LegacyPost, LegacySource, LegacyUser, MalformedRow},
    post_list,
    posts::{self, NewPost},
    users::{self, NewUser},
};

/// Most invalid rows that a report lists.
const MAX_LISTED: usize = 1000;
/// Why the second row of an id cannot be imported: it could not keep its id, and posts could not name their author.
const ID_TWICE: &str = "its id appears twice";
/// Why a row cannot keep its id.
const ID_TOO_HIGH: &str = "its id is above 9007199254740991, so that new rows would soon get no id";

/// What to import, and how.
#[derive(Debug, Clone, Copy)]
pub struct Import<'a> {
    /// What to read. It is not changed.
    pub source: Source<'a>,
    /// The tenant of its users, which its tables do not store.
    pub tid: Uuid,
    /// The longest content, in characters.
    pub max_content_chars: usize,
    /// What to do about invalid rows.
    pub invalid_rows: InvalidRows,
}

/// The Python system's data.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Its SQLite file.
    File(&'a Path),
    /// Exports of its tables as CSV or as JSON lines.
    Exports {
        /// The table `users`.
        users: &'a Path,
        /// The table `blog_posts`.
        posts: &'a Path,
    },
}

/// What to do about invalid rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidRows {
    /// Import nothing.
    Reject,
    /// Import the other rows.
    Skip,
}

/// What was imported.
#[derive(Debug, Default)]
pub struct Report {
    /// New users.
    pub users_added: u64,
    /// Users that existed already.
    pub users_known: u64,
    /// New posts.
    pub posts_added: u64,
    /// Posts that existed already.
    pub posts_known: u64,
    /// Number of invalid rows.
    pub invalid_count: u64,
    /// The first invalid rows, at most 1,000.
    pub invalid: Vec<InvalidRow>,
    /// Whether rows kept their ids.
    pub ids_kept: bool,
}

/// An invalid row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRow {
    /// `users` or `blog_posts`.
    pub table: &'static str,
    /// Which one.
    pub row: RowName,
    /// The rule that it breaks.
    pub reason: String,
}

/// The name of a row of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowName {
    /// Its id.
    Id(i64),
    /// The line of the export on which it begins, from 1.
    Line(u64),
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Line(line) => write!(f, "line {line}"),
        }
    }
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Some rows are invalid, and the caller did not ask to skip them.
    #[error("{count} rows are invalid, so nothing was imported")]
    InvalidRows {
        /// How many.
        count: u64,
        /// The first of them, at most 1,000.
        rows: Vec<InvalidRow>,
    },
    /// The file or the database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Imports the file. Blocks.
///
/// # Errors
/// When the file cannot be read, rows are invalid and not to be skipped, or the database fails. Then nothing is
/// changed.
pub fn run(database: &Database, import: Import<'_>) -> Result<Report, ImportError> {
    let mut source = match import.source {
        Source::File(path) => LegacySource::File(LegacyFile::open(path)?),
        Source::Exports { users, posts } => LegacySource::Exports(Exports::open(users, posts)?),
    };
    database.connect()?.transaction(|connection| {
        legacy::lock_tables(connection)?;
        let is_empty = users::count(connection)? == 0 && post_list::count_all(connection)? == 0;
        let mut importer = Importer::new(connection, import, is_empty);
        source.each_user(|user| match user {
            Ok(user) => importer.user(&user),
            Err(row) => importer.malformed("users", row),
        })?;
        source.each_post(|post| match post {
            Ok(post) => importer.post(&post),
            Err(row) => importer.malformed("blog_posts", row),
        })?;
        let report = importer.report;
        if import.invalid_rows == InvalidRows::Reject && report.invalid_count > 0 {
            return Err(ImportError::InvalidRows {
                count: report.invalid_count,
                rows: report.invalid,
            });
        }
        for table in ids::TABLES {
            ids::continue_numbering(connection, table, 0)?;
        }
        Ok(report)
    })
}

/// An import in progress.
struct Importer<'t, 'c> {
    connection: &'t mut Connection<'c>,
    import: Import<'t>,
    /// Row ids in the database by row ids in the file.
    users: HashMap<i64, i64>,
    /// By author and time: the number of posts in the database before, and of those read from the file so far.
    posts: HashMap<(i64, i64), (i64, i64)>,
    report: Report,
}

impl<'t, 'c> Importer<'t, 'c> {
    fn new(connection: &'t mut Connection<'c>, import: Import<'t>, ids_kept: bool) -> Self {
        let report = Report {
            ids_kept,
            ..Report::default()
        };
        Self {
            connection,
            import,
            users: HashMap::new(),
            posts: HashMap::new(),
            report,
        }
    }

    fn user(&mut self, user: &LegacyUser) -> Result<(), DbError> {
        if self.is_too_high(user.id) {
            return self.invalid("users", user.id, ID_TOO_HIGH);
        }
        if self.users.contains_key(&user.id) {
            return self.invalid("users", user.id, ID_TWICE);
        }
        let (oid, name) = match (user.oid.text(), user.display_name.text()) {
            (Ok(oid), Ok(name)) => (oid, name),
            (Err(error), _) | (_, Err(error)) => return self.invalid("users", user.id, &error.to_string()),
        };
        // GUIDs ignore case; the database stores them in lower case.
        let Some(oid) = oid.and_then(|oid| Uuid::try_parse(oid.trim()).ok()) else {
            return self.invalid("users", user.id, "oid is not a GUID");
        };
        let Some((created_at, updated_at)) = user.times() else {
            return self.invalid("users", user.id, "created_at is not a time");
        };
        let name = name.and_then(clean_display_name);
        let display_name = name.as_deref().unwrap_or(UNKNOWN_NAME);
        let key = UserKey {
            tenant_id: self.import.tid,
            object_id: oid,
        };
        let id = if let Some(known) = users::by_key(self.connection, key)? {
            self.report.users_known += 1;
            known.id
        } else {
            self.report.users_added += 1;
            let new = NewUser {
                key,
                display_name,
                created_at,
                updated_at,
            };
            if self.report.ids_kept {
                users::insert_with_id(self.connection, user.id, &new)?;
            } else {
                users::insert_if_new(self.connection, &new)?;
            }
            users::existing_by_key(self.connection, key)?.id
        };
        self.users.insert(user.id, id);
        Ok(())
    }

    fn post(&mut self, post: &LegacyPost) -> Result<(), DbError> {
        if self.is_too_high(post.id) {
            return self.invalid("blog_posts", post.id, ID_TOO_HIGH);
        }
        // In the file, the id is the primary key.
        let may_appear_twice = self.report.ids_kept && matches!(self.import.source, Source::Exports { .. });
        if may_appear_twice && posts::by_id(self.connection, post.id)?.is_some() {
            return self.invalid("blog_posts", post.id, ID_TWICE);
        }
        let (title, content) = match (post.title.text(), post.content.text()) {
            (Ok(title), Ok(content)) => (title.unwrap_or_default(), content.unwrap_or_default()),
            (Err(error), _) | (_, Err(error)) => return self.invalid("blog_posts", post.id, &error.to_string()),
        };
        let title = match Title::parse(title) {
            Ok(title) => title,
            Err(error) => return self.invalid("blog_posts", post.id, &format!("title {error}")),
        };
        let max_chars = self.import.max_content_chars;
        let content = match Content::parse(content, max_chars) {
            Ok(content) => content,
            Err(error) => return self.invalid("blog_posts", post.id, &format!("content {error}")),
        };
        let Some(author_id) = post.author_id.and_then(|id| self.users.get(&id).copied()) else {
            return self.invalid("blog_posts", post.id, "its author is missing or not valid");
        };
        let Some((created_at, updated_at)) = post.times() else {
            return self.invalid("blog_posts", post.id, "created_at is not a time");
        };
        let (title, content) = (title.as_str(), content.as_str());
        let new = NewPost {
            author_id,
            title,
            content,
            created_at,
            updated_at,
        };
        if self.report.ids_kept {
            posts::insert_with_id(self.connection, post.id, &new)?;
        } else if self.is_known(&new)? {
            self.report.posts_known += 1;
            return Ok(());
        } else {
            posts::insert(self.connection, &new)?;
        }
        self.report.posts_added += 1;
        Ok(())
    }

    /// Whether a row would keep an id after which the database soon has none left for new rows.
    fn is_too_high(&self, id: i64) -> bool {
        self.report.ids_kept && id > ids::MAX_ID
    }

    /// Whether the post exists already. Of several posts by one author at the same time, as many exist as did before.
    fn is_known(&mut self, post: &NewPost<'_>) -> Result<bool, DbError> {
        let key = (post.author_id, post.created_at.timestamp_micros());
        let (existing, seen) = match self.posts.get(&key) {
            Some(counted) => *counted,
            None => (posts::count_at(self.connection, post.author_id, post.created_at)?, 0),
        };
        self.posts.insert(key, (existing, seen + 1));
        Ok(seen < existing)
    }

    /// Reports an invalid row.
    #[expect(clippy::unnecessary_wraps, reason = "callers return it")]
    fn invalid(&mut self, table: &'static str, id: i64, reason: &str) -> Result<(), DbError> {
        self.reject(table, RowName::Id(id), reason.to_owned());
        Ok(())
    }

    /// Reports a row of an export that has not the form of the table.
    #[expect(clippy::unnecessary_wraps, reason = "callers return it")]
    fn malformed(&mut self, table: &'static str, row: MalformedRow) -> Result<(), DbError> {
        self.reject(table, RowName::Line(row.line), row.reason);
        Ok(())
    }

    fn reject(&mut self, table: &'static str, row: RowName, reason: String) {
        self.report.invalid_count += 1;
        if self.report.invalid.len() < MAX_LISTED {
            self.report.invalid.push(InvalidRow { table, row, reason });
        }
    }
}
