//! The JSON Schema of titles and contents. [`crate::blog::Title`] and [`crate::blog::Content`] are authoritative.

use std::collections::BTreeMap;

use utoipa::openapi::{Object, RefOr, Schema, Type};

use crate::{api::problem::Code, blog::MAX_TITLE_CHARS};

// The patterns are deterministic, so that a backtracking validator takes linear time. White space and invisible
// characters are listed, because regular-expression engines differ on `\s`.

/// White space, including line ends and tabs.
macro_rules! white {
    () => {
        r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    };
}
/// White space within a line.
macro_rules! space {
    () => {
        r"\u0020\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
    };
}
/// Invisible characters other than white space.
macro_rules! invisible {
    () => {
        concat!(
            r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164",
            r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8",
        )
    };
}
/// All characters that are not visible, for use in `[^…]`.
macro_rules! not_visible {
    () => {
        concat!(r"\u0000-\u001f\u007f-\u009f", white!(), invisible!())
    };
}
/// All characters that a line must not contain, for use in `[^…]`.
macro_rules! not_in_line {
    () => {
        r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
    };
}

/// One line with a visible character. White space of any kind is allowed around it, and removed.
const TITLE: &str = concat!(
    "^[",
    white!(),
    "]*(?:[",
    invisible!(),
    "][",
    invisible!(),
    space!(),
    "]*)?",
    "[^",
    not_visible!(),
    "](?:[^",
    not_in_line!(),
    "]*[^",
    not_in_line!(),
    space!(),
    "])?[",
    white!(),
    "]*$",
);
/// Text with a visible character, without control characters other than tab and line ends.
const CONTENT: &str = concat!(
    r"^[\u0009\u000a\u000d\u2028\u2029",
    space!(),
    invisible!(),
    "]*[^",
    not_visible!(),
    "]",
    r"[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
);

/// Adds to the schemas what the Rust types do not express: limits of title and content, that a change is not empty, the
/// problem codes.
pub(super) fn describe(schemas: &mut BTreeMap<String, RefOr<Schema>>, max_content_chars: usize) {
    for name in ["NewPost", "ChangedPost"] {
        if let Some(RefOr::T(Schema::Object(schema))) = schemas.get_mut(name) {
            limit(schema, "title", MAX_TITLE_CHARS, TITLE);
            limit(schema, "content", max_content_chars, CONTENT);
        }
    }
    if let Some(RefOr::T(Schema::Object(schema))) = schemas.get_mut("ChangedPost") {
        require_one(schema);
    }
    if let Some(RefOr::T(Schema::Object(schema))) = schemas.get_mut("Problem")
        && let Some(RefOr::T(Schema::Object(code))) = schema.properties.get_mut("code")
    {
        code.enum_values = Some(Code::all().into_iter().map(Into::into).collect());
    }
}

/// An empty change is rejected. `null` means absent, because older clients send it. The description does not mention
/// it, because generated clients would wrap each text in a separate type.
fn require_one(schema: &mut Object) {
    schema.min_properties = Some(1);
    schema.required.clear();
    for name in ["title", "content"] {
        if let Some(RefOr::T(Schema::Object(text))) = schema.properties.get_mut(name) {
            text.schema_type = Type::String.into();
        }
    }
}

fn limit(schema: &mut Object, name: &str, max_chars: usize, pattern: &str) {
    if let Some(RefOr::T(Schema::Object(text))) = schema.properties.get_mut(name) {
        (text.min_length, text.max_length) = (Some(1), Some(max_chars));
        text.pattern = Some(pattern.to_owned());
    }
}
