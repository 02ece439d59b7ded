//! What titles and contents may hold, as JSON Schema can say it. [`crate::blog::Title`] and [`crate::blog::Content`] have
//! the last word.

use std::collections::BTreeMap;

use utoipa::openapi::{Object, RefOr, Schema, Type, schema::AnyOfBuilder};

use crate::blog::MAX_TITLE_CHARS;

/// Anything in one line; at its ends white space of any kind, which is dropped.
const TITLE: &str = concat!(
    r"^\s*[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*",
    r"[^\s\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e",
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8]",
    r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*\s*$",
);
/// Anything but control characters other than tab and line ends.
const CONTENT: &str = concat!(
    r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*",
    r"[^\s\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e",
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8]",
    r"[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
);

/// Puts the limits of title and content into the shapes of a new and of a changed post.
pub(super) fn describe(shapes: &mut BTreeMap<String, RefOr<Schema>>, max_content_chars: usize) {
    for name in ["NewPost", "ChangedPost"] {
        if let Some(RefOr::T(Schema::Object(shape))) = shapes.get_mut(name) {
            limit(shape, "title", MAX_TITLE_CHARS, TITLE);
            limit(shape, "content", max_content_chars, CONTENT);
        }
    }
    if let Some(RefOr::T(shape)) = shapes.get_mut("ChangedPost")
        && let Schema::Object(object) = &*shape
    {
        *shape = one_at_least(object);
    }
}

/// A change of nothing is refused: one of the two must be there, and not `null`.
fn one_at_least(shape: &Object) -> Schema {
    let with = |name: &str| {
        let mut with = shape.clone();
        (with.description, with.required) = (None, vec![name.to_owned()]);
        if let Some(RefOr::T(Schema::Object(text))) = with.properties.get_mut(name) {
            text.schema_type = Type::String.into();
        }
        with
    };
    let either = AnyOfBuilder::new().item(with("title")).item(with("content"));
    Schema::AnyOf(either.description(shape.description.clone()).build())
}

fn limit(shape: &mut Object, name: &str, max_chars: usize, pattern: &str) {
    if let Some(RefOr::T(Schema::Object(text))) = shape.properties.get_mut(name) {
        (text.min_length, text.max_length) = (Some(1), Some(max_chars));
        text.pattern = Some(pattern.to_owned());
    }
}
