//! Posts in the database, one by one. Lists are in [`super::post_list`].

use chrono::{DateTime, Utc};
use diesel::{connection::SimpleConnection, prelude::*};

use super::{
    Connection, DbError,
    column_types::StoredTime,
    on_either,
    schema::{blog_posts, users},
    users::UserRow,
};

/// A post as stored, with its author.
#[derive(Debug, Clone)]
pub struct PostRow {
    /// The post's own columns.
    pub post: PostColumns,
    /// Who wrote it.
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

/// A post to be stored.
#[derive(Debug, Clone)]
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

/// What becomes of a post; what is `None` stays.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// New title.
    pub title: Option<&'a str>,
    /// New content.
    pub content: Option<&'a str>,
    /// When.
    pub updated_at: DateTime<Utc>,
}

/// The post with this id, and its author.
pub fn by_id(connection: &mut Connection<'_>, id: i64) -> Result<Option<PostRow>, DbError> {
    let found: Option<(PostColumns, UserRow)> = on_either!(connection, |c| blog_posts::table
        .inner_join(users::table)
        .filter(blog_posts::id.eq(id))
        .select((PostColumns::as_select(), UserRow::as_select()))
        // Not `first`: SQLite compiles a statement anew whenever its `LIMIT` is bound, and there is one post at most.
        .get_result(c)
        .optional())?;
    Ok(found.map(|(post, author)| PostRow { post, author }))
}

/// As [`by_id`], in a transaction that means to change or delete it: nobody else does before this transaction ends.
pub fn by_id_locked(connection: &mut Connection<'_>, id: i64) -> Result<Option<PostRow>, DbError> {
    // SQLite: a transaction that writes has the only write lock there is.
    if let Connection::Postgres(c) = connection {
        blog_posts::table
            .find(id)
            .select(blog_posts::id)
            .for_update()
            .first::<i64>(&mut **c)
            .optional()?;
    }
    by_id(connection, id)
}

/// Stores a post; its id.
pub fn insert(connection: &mut Connection<'_>, post: &NewPost<'_>) -> Result<i64, DbError> {
    let values = post.values();
    Ok(on_either!(connection, |c| diesel::insert_into(blog_posts::table)
        .values(values)
        .returning(blog_posts::id)
        .get_result(c))?)
}

/// Stores a post under an id from another database.
pub fn insert_with_id(connection: &mut Connection<'_>, id: i64, post: &NewPost<'_>) -> Result<(), DbError> {
    let values = (blog_posts::id.eq(id), post.values());
    on_either!(connection, |c| diesel::insert_into(blog_posts::table)
        .values(values)
        .execute(c))?;
    Ok(())
}

/// Stores many posts in one statement. At most some thousand: a statement holds no more than 32,766 values.
pub fn insert_many(connection: &mut Connection<'_>, posts: &[NewPost<'_>]) -> Result<(), DbError> {
    let values: Vec<_> = posts.iter().map(NewPost::values).collect();
    on_either!(connection, |c| diesel::insert_into(blog_posts::table)
        .values(&values)
        .execute(c))?;
    Ok(())
}

/// Changes a post.
pub fn update(connection: &mut Connection<'_>, id: i64, changes: Changes<'_>) -> Result<(), DbError> {
    let changes = (
        changes.title.map(|title| blog_posts::title.eq(title)),
        changes.content.map(|content| blog_posts::content.eq(content)),
        blog_posts::updated_at_micros.eq(changes.updated_at.timestamp_micros()),
    );
    on_either!(connection, |c| diesel::update(blog_posts::table.find(id))
        .set(changes)
        .execute(c))?;
    Ok(())
}

/// Deletes a post.
pub fn delete(connection: &mut Connection<'_>, id: i64) -> Result<(), DbError> {
    on_either!(connection, |c| diesel::delete(blog_posts::table.find(id)).execute(c))?;
    Ok(())
}

/// Deletes every post.
pub fn delete_all(connection: &mut Connection<'_>) -> Result<usize, DbError> {
    let deleted = on_either!(connection, |c| diesel::delete(blog_posts::table).execute(c))?;
    // At once, and not post by post.
    if let Connection::Sqlite(c) = connection {
        c.batch_execute("INSERT INTO post_search (post_search) VALUES ('delete-all'); DELETE FROM posts_to_index")?;
    }
    Ok(deleted)
}

/// How many posts an author wrote at exactly this time.
pub fn count_at(connection: &mut Connection<'_>, author_id: i64, created_at: DateTime<Utc>) -> Result<i64, DbError> {
    Ok(on_either!(connection, |c| blog_posts::table
        .filter(blog_posts::author_id.eq(author_id))
        .filter(blog_posts::created_at_micros.eq(created_at.timestamp_micros()))
        .count()
        .get_result(c))?)
}

/// Column by column rather than `Insertable`, whose columns may have defaults: those SQLite cannot take many rows of.
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
