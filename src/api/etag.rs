//! Validators of posts (`ETag`, `Last-Modified`) and the preconditions of requests (RFC 9110 §8.8, §13).

use std::time::SystemTime;

use actix_web::{
    HttpRequest,
    http::header::{self, EntityTag, Header, HttpDate, IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince},
    web,
};
use chrono::{DateTime, Utc};
use utoipa::IntoParams;

use crate::{
    blog::{Blog, BlogError, Post, Precondition, Version},
    serve::{content_coding::uncompressed_tag, static_file::matching_tag},
};

/// The strong tag of the post's current version. Compressed forms have other tags: see
/// [`crate::serve::content_coding`].
pub fn current(post: &Post) -> EntityTag {
    tag(post.id, post.version())
}

/// The post's `Last-Modified`.
pub fn last_modified(post: &Post) -> HttpDate {
    SystemTime::from(post.last_modified()).into()
}

/// The tag for a 304 response, if the caller already has the post's version: the tag in `If-None-Match` or, without
/// that header, the current tag if `If-Modified-Since` is late enough (RFC 9110 §13.2.2).
pub fn not_modified(request: &HttpRequest, post: &Post) -> Option<EntityTag> {
    if !request.headers().contains_key(header::IF_NONE_MATCH) {
        let since = date::<IfModifiedSince>(request, |since| since.0)?;
        let modified = post.last_modified().timestamp();
        return (modified <= since.timestamp()).then(|| current(post));
    }
    matching_tag(request, &current(post))
}

/// The headers of a conditional write, for the API description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only describes the headers")]
pub struct PreconditionHeaders {
    /// The version that you read, from its `ETag`
    #[param(rename = "If-Match")]
    matching: Option<String>,
    /// Versions that the post must not have; `*` means any
    #[param(rename = "If-None-Match")]
    none_matching: Option<String>,
    /// `Last-Modified` of the version that you read; ignored with `If-Match`
    #[param(rename = "If-Unmodified-Since")]
    unmodified_since: Option<String>,
}

/// The request's precondition on post `id`, which the blog service checks when it writes; `None` without one (RFC 9110
/// §13.2.2).
///
/// # Errors
/// Those of [`Blog::post`]: several tags are compared with the stored post.
pub async fn precondition(
    request: &HttpRequest,
    blog: &web::Data<Blog>,
    id: i64,
) -> Result<Option<Precondition>, BlogError> {
    Ok(match (if_match(request, blog, id).await?, if_none_match(request, id)) {
        (Some(one), Some(other)) => Some(Precondition::Both(Box::new((one, other)))),
        (one, other) => one.or(other),
    })
}

/// `If-Match`, or without it `If-Unmodified-Since`. Weak tags and tags of other posts match nothing.
async fn if_match(request: &HttpRequest, blog: &web::Data<Blog>, id: i64) -> Result<Option<Precondition>, BlogError> {
    if !request.headers().contains_key(header::IF_MATCH) {
        return Ok(date::<IfUnmodifiedSince>(request, |since| since.0).map(Precondition::UnmodifiedSince));
    }
    let tags = match IfMatch::parse(request) {
        Ok(IfMatch::Any) => return Ok(None),
        Ok(IfMatch::Items(tags)) => tags,
        Err(_) => Vec::new(),
    };
    let versions: Vec<Version> = tags.iter().filter_map(|tag| version(tag, id)).collect();
    let version = match versions.as_slice() {
        [] => NO_VERSION,
        [version] => *version,
        several => {
            let current = blog.post(id).await?.version();
            if several.contains(&current) {
                current
            } else {
                NO_VERSION
            }
        }
    };
    Ok(Some(Precondition::Version(version)))
}

/// `If-None-Match` of a write: `*` means that the post must not exist. Tags are compared weakly (RFC 9110 §13.1.2). An
/// unparsable header is ignored.
fn if_none_match(request: &HttpRequest, id: i64) -> Option<Precondition> {
    if !request.headers().contains_key(header::IF_NONE_MATCH) {
        return None;
    }
    match IfNoneMatch::parse(request).ok()? {
        IfNoneMatch::Any => Some(Precondition::Absent),
        IfNoneMatch::Items(tags) => {
            let strong = tags.into_iter().map(|tag| EntityTag::new_strong(tag.tag().to_owned()));
            Some(Precondition::NoneOf(
                strong.filter_map(|tag| version(&tag, id)).collect(),
            ))
        }
    }
}

/// A version that no post has. It makes the service answer 412, but only after its other checks: 404 and 403 come first
/// (RFC 9110 §13.2.1).
const NO_VERSION: Version = Version(i64::MIN);

/// The strong tag of a version.
pub fn tag(id: i64, version: Version) -> EntityTag {
    EntityTag::new_strong(format!("{id}-{}", version.0))
}

fn version(given: &EntityTag, id: i64) -> Option<Version> {
    // A write replaces every form of the post, so the tag of each form is accepted.
    let plain = EntityTag::new(given.weak, uncompressed_tag(given.tag()).to_owned());
    let (_, version) = plain.tag().split_once('-')?;
    let version = Version(version.parse().ok()?);
    // Compared as a whole, so that other spellings of the same numbers do not match.
    plain.strong_eq(&tag(id, version)).then_some(version)
}

/// The date of a header that is sent once; an unparsable date is ignored (RFC 9110 §13.1.3, §13.1.4).
fn date<H: Header>(request: &HttpRequest, time: impl Fn(H) -> HttpDate) -> Option<DateTime<Utc>> {
    let mut values = request.headers().get_all(H::name());
    let is_one = values.next().is_some() && values.next().is_none();
    H::parse(request)
        .ok()
        .filter(|_| is_one)
        .map(|header| SystemTime::from(time(header)).into())
}

#[cfg(test)]
mod tests {
    use actix_web::{http::header::HeaderValue, test::TestRequest};
    use chrono::DateTime;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::blog::{User, UserKey};

    fn post(id: i64, micros: i64) -> Post {
        let at = DateTime::from_timestamp_micros(micros).expect("a time");
        let key = UserKey {
            tenant_id: Uuid::nil(),
            object_id: Uuid::nil(),
        };
        let author = User {
            id: 1,
            key,
            display_name: "Ann".to_owned(),
            created_at: at,
            updated_at: at,
        };
        Post {
            id,
            title: "T".to_owned(),
            content: "C".to_owned(),
            is_truncated: None,
            author,
            created_at: at,
            updated_at: at,
        }
    }

    fn request(name: header::HeaderName, value: &[u8]) -> Option<HttpRequest> {
        let value = HeaderValue::from_bytes(value).ok()?;
        Some(TestRequest::default().insert_header((name, value)).to_http_request())
    }

    proptest! {
        #[test]
        fn a_list_of_tags_is_searched_whatever_else_it_holds(
            id in 1..i64::MAX,
            micros in 0_i64..4_000_000_000_000_000,
            others in prop::collection::vec("(W/)?\"[!#-~]{0,20}\"", 0..5),
            place in 0_usize..5,
        ) {
            let post = post(id, micros);
            let own = current(&post).to_string();
            let is_among = others.iter().any(|other| other.trim_start_matches("W/") == own);
            let mut tags = others;
            let condition = request(header::IF_NONE_MATCH, tags.join(", ").as_bytes()).expect("a request");
            prop_assert_eq!(not_modified(&condition, &post).is_some(), is_among);
            tags.insert(place.min(tags.len()), own);
            let condition = request(header::IF_NONE_MATCH, tags.join(", ").as_bytes()).expect("a request");
            prop_assert!(not_modified(&condition, &post).is_some());
        }

        #[test]
        fn no_bytes_name_a_post_that_they_do_not_spell(
            id in 1..i64::MAX,
            before in prop::collection::vec(any::<u8>(), 0..3),
            after in prop::collection::vec(any::<u8>(), 0..3),
            left_out in 0_usize..40,
        ) {
            let post = post(id, 1_700_000_000_000_000);
            // Near the post's own tag: random bytes alone never name it.
            let mut tag = current(&post).to_string().into_bytes();
            if left_out < tag.len() {
                tag.remove(left_out);
            }
            let bytes = [before, tag, after].concat();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some(request) = request(header::IF_NONE_MATCH, &bytes) {
                prop_assert!(not_modified(&request, &post).is_none() || text.trim() == "*" || text.contains(&current(&post).to_string()));
            }
        }

        #[test]
        fn only_the_canonical_spelling_of_a_tag_names_a_version(
            id in 1..i64::MAX,
            micros in any::<i64>(),
            sign in "[-+0]{0,2}",
            rest in "[-+0]{0,2}[0-9]{0,20}",
        ) {
            prop_assert_eq!(version(&tag(id, Version(micros)), id), Some(Version(micros)));
            let text = format!("{sign}{id}-{rest}");
            if let Some(found) = version(&EntityTag::new_strong(text.clone()), id) {
                prop_assert_eq!(text, format!("{id}-{}", found.0));
            }
        }
    }

    #[test]
    fn only_the_exact_strong_tag_of_the_post_names_a_version() {
        let strong = |text: &str| EntityTag::new_strong(text.to_owned());
        assert_eq!(
            version(&strong("7-1700000000000000"), 7),
            Some(Version(1_700_000_000_000_000))
        );
        for other in [
            "8-1700000000000000",
            "07-1",
            "7-01",
            "7-+1",
            "7-",
            "7",
            "",
            "7-1-1",
            "7-99999999999999999999",
        ] {
            assert_eq!(version(&strong(other), 7), None, "{other:?}");
        }
        assert_eq!(version(&EntityTag::new_weak("7-1".to_owned()), 7), None);
    }
}
