//! Taking over users and posts from the Python system's SQLite file, in one transaction.
//!
//! Into an empty database ids are kept, so that links stay valid. Into another, rows get new ids, and what is there
//! already is left alone: users are known by their object id, posts by author and time of writing to the microsecond,
//! neither of which ever changes. So running it again adds only what is new.

use std::{collections::HashMap, path::Path};

use uuid::Uuid;

use super::{
    Content, Title,
    text::{UNKNOWN_NAME, clean_display_name},
};
use crate::db::{
    Connection, Database, DbError,
    legacy::{self, LegacyFile, LegacyPost, LegacyUser},
    post_list,
    posts::{self, NewPost},
    users::{self, NewUser},
};

/// What to take over, and how.
#[derive(Debug, Clone, Copy)]
pub struct Import<'a> {
    /// The Python system's SQLite file. Only read.
    pub file: &'a Path,
    /// The tenant of its users: the old tables do not hold it.
    pub tid: Uuid,
    /// Longest content, in characters.
    pub max_content_chars: usize,
    /// What to do about rows that break a rule.
    pub invalid_rows: InvalidRows,
}

/// What to do about rows that break a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidRows {
    /// Take over nothing at all.
    Refuse,
    /// Take over the others.
    Skip,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// Users that are new.
    pub users_added: u64,
    /// Users that were there already.
    pub users_known: u64,
    /// Posts that are new.
    pub posts_added: u64,
    /// Posts that were there already.
    pub posts_known: u64,
    /// Rows that break a rule.
    pub invalid: Vec<InvalidRow>,
    /// Whether ids are as they were.
    pub ids_kept: bool,
}

/// A row that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRow {
    /// `users` or `blog_posts`.
    pub table: &'static str,
    /// Its id in the file.
    pub id: i64,
    /// Which rule.
    pub reason: String,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Some rows break a rule, and they were not to be skipped.
    #[error("{} rows break a rule, so nothing was taken over", .0.len())]
    InvalidRows(Vec<InvalidRow>),
    /// The file, or the database.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Takes the file over. Blocks.
///
/// # Errors
/// When the file cannot be read, rows are invalid and not to be skipped, or the database fails. Nothing is changed then.
pub fn run(database: &Database, import: Import<'_>) -> Result<Report, ImportError> {
    let mut file = LegacyFile::open(import.file)?;
    database.connect()?.transaction(|connection| {
        legacy::lock_tables(connection)?;
        let is_empty = users::count(connection)? == 0 && post_list::count_all(connection)? == 0;
        let mut taking = Taking::new(connection, import, is_empty);
        for user in file.users()? {
            taking.user(&user)?;
        }
        let mut last = i64::MIN;
        loop {
            let page = file.posts(last)?;
            let Some(post) = page.last() else { break };
            last = post.id;
            for post in &page {
                taking.post(post)?;
            }
        }
        let report = taking.report;
        if import.invalid_rows == InvalidRows::Refuse && !report.invalid.is_empty() {
            return Err(ImportError::InvalidRows(report.invalid));
        }
        legacy::continue_numbering(connection)?;
        Ok(report)
    })
}

/// The work in progress.
struct Taking<'t, 'c> {
    connection: &'t mut Connection<'c>,
    import: Import<'t>,
    /// Row id here, by row id in the file.
    users: HashMap<i64, i64>,
    /// Posts by author and time: how many are here already, and how many of the file have been seen.
    posts: HashMap<(i64, i64), (i64, i64)>,
    report: Report,
}

impl<'t, 'c> Taking<'t, 'c> {
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
        let (oid, name) = match (user.oid.text(), user.display_name.text()) {
            (Ok(oid), Ok(name)) => (oid, name),
            (Err(error), _) | (_, Err(error)) => return self.invalid("users", user.id, &error.to_string()),
        };
        // GUIDs are the same in either case; here they are kept in lower case.
        let Some(oid) = oid.and_then(|oid| Uuid::try_parse(oid.trim()).ok()) else {
            return self.invalid("users", user.id, "oid is not a GUID");
        };
        let Some((created_at, updated_at)) = user.times() else {
            return self.invalid("users", user.id, "created_at is not a time");
        };
        let name = name.and_then(clean_display_name);
        let display_name = name.as_deref().unwrap_or(UNKNOWN_NAME);
        let tid = self.import.tid;
        let id = if let Some(known) = users::by_key(self.connection, tid, oid)? {
            self.report.users_known += 1;
            known.id
        } else {
            self.report.users_added += 1;
            let new = NewUser {
                tid,
                oid,
                display_name,
                created_at,
                updated_at,
            };
            if self.report.ids_kept {
                users::insert_with_id(self.connection, user.id, &new)?;
            } else {
                users::insert_if_new(self.connection, &new)?;
            }
            users::by_key_written(self.connection, tid, oid)?.id
        };
        self.users.insert(user.id, id);
        Ok(())
    }

    fn post(&mut self, post: &LegacyPost) -> Result<(), DbError> {
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

    /// Whether the post is here already. Of several by one author at one time, as many are as were here before.
    fn is_known(&mut self, post: &NewPost<'_>) -> Result<bool, DbError> {
        let place = (post.author_id, post.created_at.timestamp_micros());
        let (here, seen) = match self.posts.get(&place) {
            Some(counted) => *counted,
            None => (posts::count_at(self.connection, post.author_id, post.created_at)?, 0),
        };
        self.posts.insert(place, (here, seen + 1));
        Ok(seen < here)
    }

    /// Notes a row that breaks a rule; what becomes of it is decided at the end.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "reads as the answer of whoever found the row invalid"
    )]
    fn invalid(&mut self, table: &'static str, id: i64, reason: &str) -> Result<(), DbError> {
        self.report.invalid.push(InvalidRow {
            table,
            id,
            reason: reason.to_owned(),
        });
        Ok(())
    }
}
