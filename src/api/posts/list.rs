//! `GET /v1/posts`

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName},
    web,
};
use url::form_urlencoded;

use super::{JSON, PostJson};
use crate::{
    api::{
        middleware::{bearer::Caller, rate_limit::RateLimits},
        pagination,
        problem::{Document, FieldError, Problem},
        response_cache::ResponseCache,
        responses::CommonErrors,
    },
    blog::{AuthorFilter, Blog, Filter, Paging, View},
};

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
const TOTAL_LIMITED: HeaderName = HeaderName::from_static("x-total-count-limited");

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// The longest excerpt, in characters.
const MAX_EXCERPT: u32 = 1000;
/// The longest search text, in characters.
const MAX_TEXT_CHARS: usize = 200;

/// Returns a page of posts, newest first, to every caller. `Link` leads to the next page by a cursor, which takes the
/// same time at any depth, and neither repeats nor omits a post when others are created meanwhile. `skip` is for older
/// clients and for searches: they are ordered by rank, which changes with every post.
#[utoipa::path(
    get,
    path = "/v1/posts",
    operation_id = "listPosts",
    tag = "posts",
    summary = "A page of posts, newest first",
    description = "With `q`, a full-text search: posts that contain all the words, best match first. While there are more \
                   posts, `Link` leads to the next page. Following it returns each post once, even while others are \
                   created. A page may hold fewer posts than `limit`: it ends after 2 MiB of text, and `Link` continues \
                   exactly there. `after` cannot be combined with `skip` or `q`.",
    params(
        ("limit" = Option<i64>, Query, description = "Posts per page; the default is 100", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "The page after this cursor. Take it from `Link`; do not construct one"),
        ("skip" = Option<i64>, Query, description = "Skip this many posts; slow for large numbers", minimum = 0),
        (
            "excerpt" = Option<i64>, Query, minimum = 1, maximum = 1000,
            description = "Cut each `content` to at most this many characters; `truncated` says whether it was cut",
        ),
        (
            "author" = Option<String>, Query, description = "Only posts of this user: `me` or an id",
            pattern = r"^(me|-?[0-9]{1,18})$",
        ),
        (
            "q" = Option<String>, Query, description = "Words to search for", max_length = 200,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*$",
        ),
    ),
    security(("access_token" = [])),
    responses(
        (
            status = 200, description = "The page", body = Vec<PostJson>,
            headers(
                ("X-Total-Count" = i64, description = "The number of all matching posts"),
                ("X-Total-Count-Limited" = bool, description = "`true` if more than 2,000 posts match the search: only the newest 2,000 are counted and ranked; otherwise absent"),
                ("Link" = String, description = "The next page, as `rel=\"next\"`; absent on the last page"),
            ),
        ),
        (status = 422, description = "Parameters are invalid; `errors` lists all of them", body = Document,
         content_type = "application/problem+json"),
        CommonErrors,
    ),
)]
pub async fn list(
    caller: Caller,
    request: HttpRequest,
    blog: web::Data<Blog>,
    cache: web::Data<ResponseCache>,
    limits: web::Data<RateLimits>,
) -> Result<HttpResponse, Problem> {
    let Query {
        paging,
        view,
        author,
        text,
    } = Query::parse(request.query_string()).map_err(Problem::invalid)?;
    if text.is_some() {
        limits.admit_search(caller.key())?;
    }
    let author = author.map(|author| match author {
        Author::Id(id) => AuthorFilter::Id(id),
        Author::Me => AuthorFilter::Key(caller.key()),
    });
    let page = cache.page(&blog, Filter { author, text }, paging, view).await?;

    let mut response = HttpResponse::Ok();
    response
        .insert_header((TOTAL_COUNT, page.total.to_string()))
        // Even if this response is not compressed: another one for the same URL may be.
        .append_header((header::VARY, "Accept-Encoding"));
    if page.is_total_limited {
        response.insert_header((TOTAL_LIMITED, "true"));
    }
    if let Some(next) = page.next {
        response.insert_header((
            header::LINK,
            pagination::next_link(&request, next).map_err(Problem::internal)?,
        ));
    }
    Ok(response.content_type(JSON).body(page.json.clone()))
}

/// The parameters of the list.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    paging: Paging,
    view: View,
    author: Option<Author>,
    text: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Author {
    Me,
    Id(i64),
}

impl Query {
    /// Unknown parameters are ignored, as clients of the older API expect.
    fn parse(query: &str) -> Result<Self, Vec<FieldError>> {
        let mut parameters = Parameters::parse(query);
        let skip = parameters.take("skip", "must be an integer of 0 or more", |text| {
            text.parse().ok().filter(|&skip: &u64| i64::try_from(skip).is_ok())
        });
        let after = parameters.take(
            "after",
            "must be a cursor from a Link header",
            pagination::decode_cursor,
        );
        let limit = parameters.take("limit", &format!("must be an integer from 1 to {MAX_LIMIT}"), |text| {
            text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
        });
        let excerpt = parameters.take(
            "excerpt",
            &format!("must be an integer from 1 to {MAX_EXCERPT}"),
            |text| text.parse().ok().filter(|chars| (1..=MAX_EXCERPT).contains(chars)),
        );
        let author = parameters.take("author", "must be me or the id of a user", |text| match text {
            "me" => Some(Author::Me),
            id => id.parse().ok().map(Author::Id),
        });
        let text = parameters.take(
            "q",
            &format!("must be at most {MAX_TEXT_CHARS} characters long, without control characters"),
            |text| {
                let is_valid = text.chars().count() <= MAX_TEXT_CHARS && !text.contains(char::is_control);
                is_valid.then(|| text.trim().to_owned())
            },
        );
        if after.is_some() && text.as_ref().is_some_and(|text| !text.is_empty()) {
            let message = "cannot be combined with q, because each search ranks the posts anew; use skip";
            parameters.errors.push(FieldError::new("after", message));
        }
        let paging = match (after, skip) {
            (Some(_), Some(_)) => {
                parameters
                    .errors
                    .push(FieldError::new("after", "cannot be combined with skip"));
                Paging::Skip(0)
            }
            (Some(cursor), None) => Paging::After(cursor),
            (None, skip) => Paging::Skip(skip.unwrap_or(0)),
        };
        if !parameters.errors.is_empty() {
            return Err(parameters.errors);
        }
        let text = text.filter(|text| !text.is_empty());
        let view = View {
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            excerpt,
        };
        Ok(Self {
            paging,
            view,
            author,
            text,
        })
    }
}

/// A query string's parameters, and their errors.
struct Parameters<'a> {
    given: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    errors: Vec<FieldError>,
}

impl<'a> Parameters<'a> {
    fn parse(query: &'a str) -> Self {
        Self {
            given: form_urlencoded::parse(query.as_bytes()).collect(),
            errors: Vec::new(),
        }
    }

    /// Parses a parameter. Adds an error when it is given twice or is invalid.
    fn take<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut values = self
            .given
            .iter()
            .filter(|(given, _)| given == name)
            .map(|(_, value)| value);
        let value = values.next()?;
        let parsed = parse(value);
        let message = match (&parsed, values.next()) {
            (_, Some(_)) => "is given more than once",
            (None, None) => expected,
            (Some(_), None) => return parsed,
        };
        self.errors.push(FieldError::new(name, message));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blog::Cursor;

    #[test]
    fn without_parameters_it_is_the_first_hundred() {
        let expected = Query {
            paging: Paging::Skip(0),
            view: View {
                limit: 100,
                excerpt: None,
            },
            author: None,
            text: None,
        };
        assert_eq!(Query::parse(""), Ok(expected));
    }

    #[test]
    fn every_parameter_is_understood() {
        let cursor = Cursor {
            created_at_micros: 5,
            id: 6,
        };
        let query = format!(
            "after={}&limit=1000&author=me&q=+&unknown=x",
            pagination::encode_cursor(cursor)
        );
        let expected = Query {
            paging: Paging::After(cursor),
            view: View {
                limit: 1000,
                excerpt: None,
            },
            author: Some(Author::Me),
            text: None,
        };
        assert_eq!(Query::parse(&query), Ok(expected));
        let query = "skip=5&q=+a%26b+";
        let expected = Query {
            paging: Paging::Skip(5),
            view: View {
                limit: 100,
                excerpt: None,
            },
            author: None,
            text: Some("a&b".to_owned()),
        };
        assert_eq!(Query::parse(query), Ok(expected));
        let query = "skip=7&limit=1&excerpt=1000&author=9&q=";
        let expected = Query {
            paging: Paging::Skip(7),
            view: View {
                limit: 1,
                excerpt: Some(1000),
            },
            author: Some(Author::Id(9)),
            text: None,
        };
        assert_eq!(Query::parse(query), Ok(expected));
    }

    #[test]
    fn each_invalid_parameter_is_named() {
        let cursor = pagination::encode_cursor(Cursor {
            created_at_micros: 5,
            id: 6,
        });
        for (query, fields) in [
            ("skip=-1", &["skip"][..]),
            ("skip=1.5", &["skip"]),
            ("skip=9223372036854775808", &["skip"]),
            ("limit=0", &["limit"]),
            ("limit=1001", &["limit"]),
            ("limit=", &["limit"]),
            ("limit=1&limit=1", &["limit"]),
            ("excerpt=0", &["excerpt"]),
            ("excerpt=1001", &["excerpt"]),
            ("excerpt=1&excerpt=2", &["excerpt"]),
            ("after=garbage", &["after"]),
            (&format!("after={cursor}&skip=0"), &["after"]),
            (&format!("after={cursor}&q=x"), &["after"]),
            ("author=you", &["author"]),
            ("q=%00", &["q"]),
            (&format!("q={}", "x".repeat(201)), &["q"]),
            (
                "skip=x&limit=x&after=x&author=x&q=%0A",
                &["skip", "after", "limit", "author", "q"],
            ),
        ] {
            let errors = Query::parse(query).expect_err(query);
            let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(named, fields, "{query}");
        }
    }
}
