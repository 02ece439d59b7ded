//! `/posts`: the list of posts, newest first, in pages.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::web::{
    api_client::{Post, PostQuery, Rights},
    error::{ErrorKind, PageError},
    request_context::SignedInUser,
    session::UserKey,
    timestamp::Timestamp,
};

/// Posts on one page.
const PAGE_SIZE: u32 = 20;
/// Characters of a post's content that the list shows.
const EXCERPT_CHARS: usize = 260;
/// Characters of a post's content that the list requests: more than it shows, because line breaks and indentation count
/// too.
const REQUESTED_CHARS: u32 = 400;

/// `/posts?after=CURSOR&by=me`
#[derive(Debug, Default, Deserialize)]
pub struct ListQuery {
    /// Cursor of the previous page.
    after: Option<String>,
    /// `me`: only posts of the user.
    by: Option<String>,
}

impl ListQuery {
    fn only_mine(&self) -> bool {
        self.by.as_deref() == Some("me")
    }
}

#[derive(Serialize)]
struct ListPage {
    posts: Vec<Card>,
    total: Option<u64>,
    only_mine: bool,
    is_first: bool,
    newest_href: String,
    older_href: Option<String>,
}

#[derive(Serialize)]
struct Card {
    id: u64,
    title: String,
    excerpt: String,
    author: String,
    created: Timestamp,
    is_own: bool,
}

/// `GET /posts`
///
/// # Errors
/// When the visitor is not signed in, or the API does not answer.
pub async fn list(user: SignedInUser, query: web::Query<ListQuery>) -> Result<HttpResponse, PageError> {
    let only_mine = query.only_mine();
    let after = query.after.clone().filter(|cursor| !cursor.is_empty());
    let is_first = after.is_none();
    let found = user
        .api()
        .posts(&PostQuery {
            limit: PAGE_SIZE,
            after,
            only_mine,
            excerpt: REQUESTED_CHARS,
        })
        .await?;
    let page = ListPage {
        posts: found
            .posts
            .into_iter()
            .map(|post| Card::new(post, user.account.user()))
            .collect(),
        total: found.total,
        only_mine,
        is_first,
        newest_href: href(only_mine, None),
        older_href: found.next.map(|cursor| href(only_mine, Some(&cursor))),
    };
    user.context.page("posts.html", &page)
}

fn href(only_mine: bool, after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if only_mine {
        query.append_pair("by", "me");
    }
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    let query = query.finish();
    if query.is_empty() {
        "/posts".to_owned()
    } else {
        format!("/posts?{query}")
    }
}

impl Card {
    fn new(post: Post, reader: UserKey) -> Self {
        Self {
            id: post.id,
            excerpt: excerpt(&post.content, post.truncated),
            author: author_name(&post),
            created: post.created_at.into(),
            is_own: is_own(&post, reader),
            title: post.title,
        }
    }
}

/// The name of the author to show.
pub fn author_name(post: &Post) -> String {
    let name = post.author.as_ref().and_then(|author| author.display_name.clone());
    name.filter(|name| !name.trim().is_empty())
        .unwrap_or_else(|| "Unknown user".to_owned())
}

/// Whether the reader wrote the post.
pub fn is_own(post: &Post, reader: UserKey) -> bool {
    post.author.as_ref().is_some_and(|author| author.is(reader))
}

/// Whether the API would accept a change of the post from this user. The post has just come from the API, so the user's
/// rights are cached.
pub fn may_change(post: &Post, user: &SignedInUser) -> bool {
    let rights = user.api().cached_rights().unwrap_or(Rights::Write);
    rights.may_change(is_own(post, user.account.user()))
}

/// Checks that this user may change the post.
///
/// # Errors
/// The reason why not.
pub fn require_change(post: &Post, user: &SignedInUser) -> Result<(), PageError> {
    if may_change(post, user) {
        return Ok(());
    }
    let reads_only = user.api().cached_rights().is_some_and(|rights| !rights.may_write());
    Err(if reads_only {
        ErrorKind::ReadOnly.into()
    } else {
        ErrorKind::NotAuthor.into()
    })
}

/// The beginning of a text on one line, cut between words. `is_truncated` says that the text is longer than `content`.
fn excerpt(content: &str, is_truncated: bool) -> String {
    let mut text = String::new();
    let mut chars = 0;
    for word in content.split_whitespace() {
        let length = word.chars().count() + 1;
        if chars + length > EXCERPT_CHARS {
            let room = EXCERPT_CHARS.saturating_sub(chars);
            // A first word that is longer than the excerpt is cut; other words are omitted.
            if text.is_empty() {
                text.extend(word.chars().take(room));
            }
            return text + "…";
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        chars += length;
    }
    if is_truncated {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_cut_between_words_and_never_long() {
        assert_eq!(excerpt("one\n\n two\tthree ", false), "one two three");
        let long = excerpt(&"word ".repeat(100), false);
        assert!(
            long.ends_with("word…") && long.chars().count() <= EXCERPT_CHARS,
            "{long}"
        );
        assert_eq!(excerpt(&"é".repeat(1000), true).chars().count(), EXCERPT_CHARS + 1);
        assert_eq!(excerpt("one two", true), "one two…");
    }

    #[test]
    fn links_keep_the_filter() {
        assert_eq!(href(false, None), "/posts");
        assert_eq!(href(true, Some("a=b")), "/posts?by=me&after=a%3Db");
    }
}
