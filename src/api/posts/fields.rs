//! The fields of a post in a request body. Values of any type are read, so that one response can list all invalid
//! fields.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{
    api::problem::FieldError,
    blog::{Content, Draft, InvalidText, PostChange, Title},
};

/// `{title,content}`, not yet validated. Unknown fields are ignored, as clients of the older API expect.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PostFields {
    title: FieldValue,
    content: FieldValue,
}

/// The value of a field.
#[derive(Debug, Default, PartialEq, Eq)]
enum FieldValue {
    #[default]
    Absent,
    Null,
    Text(String),
    OtherType,
    Repeated,
}

impl PostFields {
    /// Validates a new post, which needs both fields.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn into_draft(self, max_content_chars: usize) -> Result<Draft, Vec<FieldError>> {
        let title = self.title.required("title", Title::parse);
        let content = self
            .content
            .required("content", |text| Content::parse(text, max_content_chars));
        match (title, content) {
            (Ok(title), Ok(content)) => Ok(Draft { title, content }),
            (title, content) => Err([title.err(), content.err()].into_iter().flatten().collect()),
        }
    }

    /// Validates a change: a field that is absent or `null` stays as it is, but there must be a change.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn into_change(self, max_content_chars: usize) -> Result<PostChange, Vec<FieldError>> {
        let title = self.title.optional("title", Title::parse);
        let content = self
            .content
            .optional("content", |text| Content::parse(text, max_content_chars));
        match (title, content) {
            (Ok(None), Ok(None)) => Err(vec![FieldError::body("must contain title, content or both")]),
            (Ok(title), Ok(content)) => Ok(PostChange { title, content }),
            (title, content) => Err([title.err(), content.err()].into_iter().flatten().collect()),
        }
    }
}

impl FieldValue {
    fn required<T>(self, name: &str, parse: impl Fn(&str) -> Result<T, InvalidText>) -> Result<T, FieldError> {
        match self {
            Self::Absent => Err(FieldError::in_body(name, "is required")),
            Self::Null | Self::OtherType => Err(FieldError::in_body(name, "must be a string")),
            Self::Repeated => Err(FieldError::in_body(name, "is given more than once")),
            Self::Text(text) => parse(&text).map_err(|error| FieldError::in_body(name, error.message)),
        }
    }

    fn optional<T>(self, name: &str, parse: impl Fn(&str) -> Result<T, InvalidText>) -> Result<Option<T>, FieldError> {
        match self {
            Self::Absent | Self::Null => Ok(None),
            given => given.required(name, parse).map(Some),
        }
    }

    fn set(&mut self, value: Self) {
        *self = if *self == Self::Absent { value } else { Self::Repeated };
    }
}

impl<'de> Deserialize<'de> for PostFields {
    /// Not derived: a derived implementation would accept an array, and stop at the first invalid field.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = PostFields;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PostFields, A::Error> {
                let mut fields = PostFields::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "title" => fields.title.set(map.next_value()?),
                        "content" => fields.content.set(map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Null(()),
            Other(IgnoredAny),
        }

        Ok(match Any::deserialize(deserializer)? {
            Any::Text(text) => Self::Text(text),
            Any::Null(()) => Self::Null,
            Any::Other(_) => Self::OtherType,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> PostFields {
        serde_json::from_str(json).expect("fields")
    }

    #[test]
    fn fields_of_any_type_are_read() {
        let text = |text: &str| FieldValue::Text(text.to_owned());
        for (json, title, content) in [
            (r#"{"title":"a","content":"b"}"#, text("a"), text("b")),
            (
                r#"{"title":null,"x":{"title":"no"}}"#,
                FieldValue::Null,
                FieldValue::Absent,
            ),
            (
                r#"{"title":1,"content":["a"]}"#,
                FieldValue::OtherType,
                FieldValue::OtherType,
            ),
            (
                r#"{"title":true,"content":{"a":null}}"#,
                FieldValue::OtherType,
                FieldValue::OtherType,
            ),
            (r#"{"title":"a","title":"b"}"#, FieldValue::Repeated, FieldValue::Absent),
            (
                r#"{"title":null,"title":"b"}"#,
                FieldValue::Repeated,
                FieldValue::Absent,
            ),
            ("{}", FieldValue::Absent, FieldValue::Absent),
        ] {
            assert_eq!(fields(json), PostFields { title, content }, "{json}");
        }
    }

    #[test]
    fn only_an_object_is_read() {
        for json in ["[]", r#"["a","b"]"#, "null", "1", r#""title""#] {
            let error = serde_json::from_str::<PostFields>(json).expect_err(json);
            assert!(error.is_data(), "{json}: {error}");
        }
    }

    #[test]
    fn an_empty_change_is_rejected() {
        for json in ["{}", r#"{"title":null}"#, r#"{"tittle":"a"}"#] {
            let errors = fields(json).into_change(100).expect_err(json);
            assert_eq!(
                errors,
                [FieldError::body("must contain title, content or both")],
                "{json}"
            );
        }
    }

    #[test]
    fn all_invalid_fields_are_listed() {
        let errors = fields(r#"{"title":7}"#).into_draft(100).expect_err("both are invalid");
        assert_eq!(
            errors,
            [
                FieldError::in_body("title", "must be a string"),
                FieldError::in_body("content", "is required")
            ]
        );
    }
}
