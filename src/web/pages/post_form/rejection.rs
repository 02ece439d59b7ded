//! Explains in the form why the API did not accept a post: at the field that the error is about, or above all fields.

use actix_web::http::StatusCode;
use chrono::Utc;

use crate::web::{
    api_client::{ApiError, FieldError},
    error::explanation::wait,
    post_input::Rejection,
};

/// What the form says about `error`, and the status of a page that shows it without a redirect. `None` when another
/// page explains the error.
pub(super) fn rejection(error: &ApiError) -> Option<(StatusCode, Rejection)> {
    let (status, summary) = match error {
        ApiError::Invalid(errors) => return Some((StatusCode::UNPROCESSABLE_ENTITY, invalid_fields(errors))),
        ApiError::TooLarge => {
            let content_error = Some("Text is too long for this blog; shorten it".to_owned());
            let rejection = Rejection { content_error, ..with_summary("The post was not saved: it is too long.".to_owned()) };
            return Some((StatusCode::PAYLOAD_TOO_LARGE, rejection));
        }
        ApiError::VersionConflict => {
            let summary = "The post was not saved: it has changed since you opened it. The saved version is shown below your \
             text. Saving again replaces it.";
            let rejection = Rejection { is_stale: true, ..with_summary(summary.to_owned()) };
            return Some((StatusCode::PRECONDITION_FAILED, rejection));
        }
        ApiError::Malformed => (
            StatusCode::BAD_REQUEST,
            "The post was not saved: the form was changed on its way to the site. Your text is still here; send it \
             again.".to_owned(),
        ),
        ApiError::IdempotencyKeyReused => (
            StatusCode::CONFLICT,
            "This form has already published a post, before you changed the text: see your posts. The new text is not saved; \
             publishing it now creates a second post."
                .to_owned(),
        ),
        ApiError::SignIn(_) | ApiError::RefreshFailedRecently => (
            StatusCode::BAD_GATEWAY,
            "The post was not saved: your sign-in could not be renewed with Microsoft Entra ID. Your text is still here; try again \
             in a moment."
                .to_owned(),
        ),
        ApiError::TooManyRequests(seconds) => (
            StatusCode::TOO_MANY_REQUESTS,
            format!("The post was not saved: the blog received too many requests. Your text is still here. {}", wait(*seconds)),
        ),
        ApiError::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The post was not saved: too many requests are waiting for the blog's API. Your text is still here; try again in a \
             few seconds."
                .to_owned(),
        ),
        ApiError::Unavailable(seconds) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("The blog's API cannot save the post right now. {MAYBE_SAVED} {}", wait(*seconds)),
        ),
        ApiError::Unreachable(_) => (
            StatusCode::BAD_GATEWAY,
            "The post was not saved: the blog's API could not be reached. Your text is still here; try again in a \
             moment.".to_owned(),
        ),
        ApiError::TimedOut => {
            (StatusCode::BAD_GATEWAY, format!("The blog's API did not answer in time. {MAYBE_SAVED} Try again in a moment."))
        }
        ApiError::UnexpectedStatus(_) | ApiError::InvalidResponse(_) => (
            StatusCode::BAD_GATEWAY,
            format!("The blog's API answered with an error. {MAYBE_SAVED} Try again in a moment."),
        ),
        ApiError::SignInRequired
        | ApiError::TokenRejected(_)
        | ApiError::StepUpRequired(_)
        | ApiError::TokenStore(_)
        | ApiError::Forbidden(_)
        | ApiError::NotFound
        | ApiError::NotTheApi(_) => return None,
    };
    Some((status, with_summary(summary)))
}

/// After an error of the API it is unknown whether it saved the post. The idempotency key and the `ETag` prevent saving
/// it twice.
const MAYBE_SAVED: &str = "The post may or may not have been saved. Your text is still here, and sending it again does not \
 save it twice.";

fn with_summary(summary: String) -> Rejection {
    Rejection {
        summary,
        title_error: None,
        content_error: None,
        is_stale: false,
        at: Utc::now(),
    }
}

fn invalid_fields(errors: &[FieldError]) -> Rejection {
    let mut rejection = with_summary("The post was not saved: check the fields below.".to_owned());
    for FieldError { field, message } in errors {
        match field.as_str() {
            "title" => {
                rejection
                    .title_error
                    .get_or_insert_with(|| field_error("Title", "Enter a title", message));
            }
            "content" => {
                rejection
                    .content_error
                    .get_or_insert_with(|| field_error("Text", "Enter some text", message));
            }
            _ => {
                rejection.summary.push(' ');
                rejection.summary.push_str(message);
            }
        }
    }
    rejection
}

/// The text of the form for the API's message about a field.
fn field_error(label: &str, when_empty: &str, message: &str) -> String {
    if matches!(message, "must not be empty" | "is required") {
        return when_empty.to_owned();
    }
    match limit_and_length(message) {
        Some((limit, length)) => {
            format!(
                "{label} must be {} characters or fewer; yours has {}",
                with_commas(limit),
                with_commas(length)
            )
        }
        None => format!("{label} {message}"),
    }
}

/// From `must be 1 to 200 characters long, is 312`.
fn limit_and_length(message: &str) -> Option<(u64, u64)> {
    let (limit, length) = message
        .strip_prefix("must be 1 to ")?
        .split_once(" characters long, is ")?;
    Some((limit.parse().ok()?, length.parse().ok()?))
}

/// Such as `50,000`.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_error_says_what_to_do() {
        let title = |message| field_error("Title", "Enter a title", message);
        assert_eq!(title("must not be empty"), "Enter a title");
        assert_eq!(title("is required"), "Enter a title");
        assert_eq!(
            title("must be 1 to 200 characters long, is 201"),
            "Title must be 200 characters or fewer; yours has 201"
        );
        assert_eq!(
            field_error("Text", "", "must be 1 to 50000 characters long, is 1234567"),
            "Text must be 50,000 characters or fewer; yours has 1,234,567"
        );
        for other in [
            "must be on one line, without control characters",
            "must be 1 to x characters long, is 3",
        ] {
            assert_eq!(title(other), format!("Title {other}"));
        }
    }
}
