//! All posts of a database, read without blogctl.

use std::collections::HashMap;

use diesel::{Connection as _, PgConnection, QueryDsl as _, RunQueryDsl as _, SqliteConnection};

diesel::table! {
    blog_posts (id) {
        id -> BigInt,
        title -> Text,
        content -> Text,
    }
}

/// The text of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostText {
    pub title: String,
    pub content: String,
}

/// The posts by id. `url` is a path or starts with `postgres://`.
pub fn stored_posts(url: &str) -> HashMap<i64, PostText> {
    let query = blog_posts::table.select((blog_posts::id, blog_posts::title, blog_posts::content));
    let rows: Vec<(i64, String, String)> = if url.starts_with("postgres://") {
        query.load(&mut PgConnection::establish(url).expect("the server"))
    } else {
        query.load(&mut SqliteConnection::establish(url).expect("the file"))
    }
    .expect("the posts");
    let posts = rows.into_iter();
    posts
        .map(|(id, title, content)| (id, PostText { title, content }))
        .collect()
}
