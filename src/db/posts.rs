//! Single posts in the database. Lists are in [`super::post_list`].

mod by_id_query;
mod insert_by_key;

use chrono::{DateTime, Utc};
use diesel::{connection::SimpleConnection, prelude::*};

use self::{by_id_query::ByIdQuery, insert_by_key::InsertByKey};
use super::{
    Connection, DbError,
    column_types::StoredTime,
    on_either,
    schema::blog_posts,
    span::statement,
    users::{self, UserRow},
};
use crate::user_key::UserKey;

/// A stored post with its author.
#[derive(Debug, Clone)]
pub struct PostRow {
    /// The post's own columns.
    pub post: PostColumns,
    /// The author's columns.
    pub author: UserRow,
}

/// The columns of a post.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = blog_posts)]
pub struct PostColumns {
    /// Row id.
    pub id: i64,
    /// Title.
    pub title: String,
    /// Content.
    pub content: String,
    /// When it was written.
    #[diesel(column_name = created_at_micros, deserialize_as = StoredTime)]
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    #[diesel(column_name = updated_at_micros, deserialize_as = StoredTime)]
    pub updated_at: DateTime<Utc>,
}

/// A post to store.
#[derive(Debug, Clone, Copy)]
pub struct NewPost<'a> {
    /// Row id of the author.
    pub author_id: i64,
    /// Title.
    pub title: &'a str,
    /// Content.
    pub content: &'a str,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// Changes to a post; `None` leaves a column as it is.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// New title.
    pub title: Option<&'a str>,
    /// New content.
    pub content: Option<&'a str>,
    /// The time of the change.
    pub updated_at: DateTime<Utc>,
}

/// Finds a post by its id.
pub fn by_id(connection: &mut Connection<'_>, id: i64) -> Result<Option<PostRow>, DbError> {
    statement(connection, "SELECT", "blog_posts", |connection| {
        let found: Option<(PostColumns, UserRow)> =
            on_either!(connection, |c| ByIdQuery { id }.get_result(c).optional())?;
        Ok(found.map(|(post, author)| PostRow { post, author }))
    })
}

/// Finds a post by its id, and locks it: no other transaction can change or delete it before this one ends.
pub fn by_id_locked(connection: &mut Connection<'_>, id: i64) -> Result<Option<PostRow>, DbError> {
    statement(connection, "SELECT FOR UPDATE", "blog_posts", |connection| {
        // On SQLite, the transaction holds the only write lock.
        if let Connection::Postgres(c) = connection {
            blog_posts::table
                .find(id)
                .select(blog_posts::id)
                .for_update()
                .first::<i64>(&mut **c)
                .optional()?;
        }
        by_id(connection, id)
    })
}

/// Stores a post, and returns its id.
pub fn insert(connection: &mut Connection<'_>, post: &NewPost<'_>) -> Result<i64, DbError> {
    statement(connection, "INSERT", "blog_posts", |connection| {
        let values = post.values();
        Ok(on_either!(connection, |c| diesel::insert_into(blog_posts::table)
            .values(values)
            .returning(blog_posts::id)
            .get_result(c))?)
    })
}

/// Stores a post by the user with this key, and returns its id and the user; `None` if there is no such user, or `name` is
/// given and the user has another one. The post's `author_id` is ignored.
pub fn insert_by(
    connection: &mut Connection<'_>,
    author: UserKey,
    name: Option<&str>,
    post: &NewPost<'_>,
) -> Result<Option<(i64, UserRow)>, DbError> {
    statement(connection, "INSERT", "blog_posts", |connection| match connection {
        Connection::Postgres(c) => Ok(InsertByKey::new(author, name, post).get_result(&mut **c).optional()?),
        // It has no `INSERT` within a `WITH`, and no round trips that this would save.
        Connection::Sqlite(_) => {
            let found = users::by_key(connection, author)?;
            let Some(author) = found.filter(|author| name.is_none_or(|name| name == author.display_name)) else {
                return Ok(None);
            };
            let author_id = author.id;
            let id = insert(connection, &NewPost { author_id, ..*post })?;
            Ok(Some((id, author)))
        }
    })
}

/// Stores a post under its id from another database.
pub fn insert_with_id(connection: &mut Connection<'_>, id: i64, post: &NewPost<'_>) -> Result<(), DbError> {
    let values = (blog_posts::id.eq(id), post.values());
    on_either!(connection, |c| diesel::insert_into(blog_posts::table)
        .values(values)
        .execute(c))?;
    Ok(())
}

/// Stores up to some thousand posts in one statement, which can have at most 32,766 values.
pub fn insert_many(connection: &mut Connection<'_>, posts: &[NewPost<'_>]) -> Result<(), DbError> {
    let values: Vec<_> = posts.iter().map(NewPost::values).collect();
    on_either!(connection, |c| diesel::insert_into(blog_posts::table)
        .values(&values)
        .execute(c))?;
    Ok(())
}

/// Changes a post that was last changed at `seen`; returns whether it still was.
pub fn update(
    connection: &mut Connection<'_>,
    id: i64,
    seen: DateTime<Utc>,
    changes: Changes<'_>,
) -> Result<bool, DbError> {
    statement(connection, "UPDATE", "blog_posts", |connection| {
        let changes = (
            changes.title.map(|title| blog_posts::title.eq(title)),
            changes.content.map(|content| blog_posts::content.eq(content)),
            blog_posts::updated_at_micros.eq(changes.updated_at.timestamp_micros()),
        );
        let updated = on_either!(connection, |c| diesel::update(blog_posts::table.find(id))
            .filter(blog_posts::updated_at_micros.eq(seen.timestamp_micros()))
            .set(changes)
            .execute(c))?;
        Ok(updated == 1)
    })
}

/// Deletes a post that was last changed at `seen`; returns whether it still was.
pub fn delete(connection: &mut Connection<'_>, id: i64, seen: DateTime<Utc>) -> Result<bool, DbError> {
    statement(connection, "DELETE", "blog_posts", |connection| {
        let deleted = on_either!(connection, |c| diesel::delete(blog_posts::table.find(id))
            .filter(blog_posts::updated_at_micros.eq(seen.timestamp_micros()))
            .execute(c))?;
        Ok(deleted == 1)
    })
}

/// Deletes every post, and returns how many.
pub fn delete_all(connection: &mut Connection<'_>) -> Result<usize, DbError> {
    statement(connection, "DELETE", "blog_posts", |connection| {
        let deleted = on_either!(connection, |c| diesel::delete(blog_posts::table).execute(c))?;
        // Empties the full-text index at once instead of post by post.
        if let Connection::Sqlite(c) = connection {
            c.batch_execute("INSERT INTO post_search (post_search) VALUES ('delete-all'); DELETE FROM posts_to_index")?;
        }
        Ok(deleted)
    })
}

/// The number of posts that an author created at exactly this time.
pub fn count_at(connection: &mut Connection<'_>, author_id: i64, created_at: DateTime<Utc>) -> Result<i64, DbError> {
    Ok(on_either!(connection, |c| blog_posts::table
        .filter(blog_posts::author_id.eq(author_id))
        .filter(blog_posts::created_at_micros.eq(created_at.timestamp_micros()))
        .count()
        .get_result(c))?)
}

/// Column by column, because `Insertable` allows columns with defaults, of which SQLite cannot insert many rows.
type Values<'a> = (
    diesel::dsl::Eq<blog_posts::author_id, i64>,
    diesel::dsl::Eq<blog_posts::title, &'a str>,
    diesel::dsl::Eq<blog_posts::content, &'a str>,
    diesel::dsl::Eq<blog_posts::created_at_micros, i64>,
    diesel::dsl::Eq<blog_posts::updated_at_micros, i64>,
);

impl<'a> NewPost<'a> {
    fn values(&self) -> Values<'a> {
        (
            blog_posts::author_id.eq(self.author_id),
            blog_posts::title.eq(self.title),
            blog_posts::content.eq(self.content),
            blog_posts::created_at_micros.eq(self.created_at.timestamp_micros()),
            blog_posts::updated_at_micros.eq(self.updated_at.timestamp_micros()),
        )
    }
}
