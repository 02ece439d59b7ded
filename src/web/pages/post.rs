//! `/posts/{id}`: one post.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::web::{
    api_client::Post,
    error::PageError,
    pages::posts::{author_name, is_own, may_change},
    request_context::SignedInUser,
    timestamp::Timestamp,
};

#[derive(Serialize)]
struct PostPage {
    id: u64,
    title: String,
    paragraphs: Vec<String>,
    author: String,
    created: Timestamp,
    /// When the post was changed, if it was.
    updated: Option<Timestamp>,
    is_own: bool,
    /// Whether the user is the author, or an Admin.
    may_change: bool,
}

/// `GET /posts/{id}`
///
/// # Errors
/// When the visitor is not signed in, the post does not exist, or the API does not answer.
pub async fn show(user: SignedInUser, id: web::Path<u64>) -> Result<HttpResponse, PageError> {
    let post = user.api().post(id.into_inner()).await?.post;
    user.context.page("post.html", &PostPage::new(post, &user))
}

impl PostPage {
    fn new(post: Post, user: &SignedInUser) -> Self {
        Self {
            id: post.id,
            paragraphs: paragraphs(&post.content),
            author: author_name(&post),
            created: post.created_at.into(),
            updated: (post.updated_at > post.created_at).then(|| post.updated_at.into()),
            is_own: is_own(&post, user.account.user()),
            may_change: may_change(&post, user),
            title: post.title,
        }
    }
}

/// Splits at blank lines. The style sheet preserves line breaks within a paragraph.
fn paragraphs(content: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut current: Vec<&str> = Vec::new();
    for line in content.lines().chain([""]) {
        if !line.trim().is_empty() {
            current.push(line);
        } else if !current.is_empty() {
            all.push(current.join("\n"));
            current.clear();
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_separate_paragraphs_and_line_breaks_stay() {
        assert_eq!(paragraphs("a\nb\n\n \n  c\r\nd\n"), ["a\nb", "  c\nd"]);
        assert!(paragraphs("\n \n").is_empty());
    }
}
