//! What titles and contents may hold, as JSON Schema can say it. [`crate::blog::Title`] and [`crate::blog::Content`] have
//! the last word.

use std::collections::BTreeMap;

use utoipa::openapi::{Object, RefOr, Schema, Type};

use crate::{api::problem::Code, blog::MAX_TITLE_CHARS};

// The patterns are linear: after any beginning of a text, there is one way to go on, so that a validator that backtracks
// does not try several. White space and invisible characters are listed, since engines differ on `\s`.

/// White space; line ends and tabs, too.
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
/// Characters that show nothing, and are not white space.
macro_rules! invisible {
    () => {
        concat!(
            r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164",
            r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8",
        )
    };
}
/// Every other character, to be put into `[^…]`.
macro_rules! not_visible {
    () => {
        concat!(r"\u0000-\u001f\u007f-\u009f", white!(), invisible!())
    };
}
/// What a line may not hold, to be put into `[^…]`; and that beside white space.
macro_rules! not_in_line {
    () => {
        r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
    };
}

/// Anything visible in one line; at its ends white space of any kind, which is dropped.
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
/// Something visible, and no control characters other than tab and line ends.
const CONTENT: &str = concat!(
    r"^[\u0009\u000a\u000d\u2028\u2029",
    space!(),
    invisible!(),
    "]*[^",
    not_visible!(),
    "]",
    r"[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
);

/// Puts into the shapes what no type says: limits of title and content, what a change needs, the codes of problems.
pub(super) fn describe(shapes: &mut BTreeMap<String, RefOr<Schema>>, max_content_chars: usize) {
    for name in ["NewPost", "ChangedPost"] {
        if let Some(RefOr::T(Schema::Object(shape))) = shapes.get_mut(name) {
            limit(shape, "title", MAX_TITLE_CHARS, TITLE);
            limit(shape, "content", max_content_chars, CONTENT);
        }
    }
    if let Some(RefOr::T(Schema::Object(shape))) = shapes.get_mut("ChangedPost") {
        one_at_least(shape);
    }
    if let Some(RefOr::T(Schema::Object(shape))) = shapes.get_mut("Problem")
        && let Some(RefOr::T(Schema::Object(code))) = shape.properties.get_mut("code")
    {
        code.enum_values = Some(Code::all().into_iter().map(Into::into).collect());
    }
}

/// A change of nothing is refused. `null` is taken for absent, as older clients send it; the description does not offer
/// that, since generated clients would wrap each text in a type of its own.
fn one_at_least(shape: &mut Object) {
    shape.min_properties = Some(1);
    shape.required.clear();
    for name in ["title", "content"] {
        if let Some(RefOr::T(Schema::Object(text))) = shape.properties.get_mut(name) {
            text.schema_type = Type::String.into();
        }
    }
}

fn limit(shape: &mut Object, name: &str, max_chars: usize, pattern: &str) {
    if let Some(RefOr::T(Schema::Object(text))) = shape.properties.get_mut(name) {
        (text.min_length, text.max_length) = (Some(1), Some(max_chars));
        text.pattern = Some(pattern.to_owned());
    }
}
