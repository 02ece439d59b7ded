//! The fields of a post in a request body: read whatever they hold, so that all that are wrong can be named at once.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{
    api::problem::FieldError,
    blog::{Content, Draft, InvalidText, PostChange, Title},
};

/// `{title,content}`, not yet checked. Fields that nobody knows are ignored, as clients of the older API expect.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields {
    title: Field,
    content: Field,
}

/// What a body holds under a name.
#[derive(Debug, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Absent,
    Null,
    Text(String),
    NoText,
    Repeated,
}

impl Fields {
    /// A new post: both fields are needed; `content` has at most `max_content_chars` characters.
    ///
    /// # Errors
    /// Every field that is not as it must be.
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

    /// A change: what is absent or `null` stays, but something must be given.
    ///
    /// # Errors
    /// Every field that is not as it must be.
    pub fn into_change(self, max_content_chars: usize) -> Result<PostChange, Vec<FieldError>> {
        let title = self.title.optional("title", Title::parse);
        let content = self
            .content
            .optional("content", |text| Content::parse(text, max_content_chars));
        match (title, content) {
            (Ok(None), Ok(None)) => Err(vec![FieldError::body("must hold title, content or both")]),
            (Ok(title), Ok(content)) => Ok(PostChange { title, content }),
            (title, content) => Err([title.err(), content.err()].into_iter().flatten().collect()),
        }
    }
}

impl Field {
    fn required<T>(self, name: &str, parse: impl Fn(&str) -> Result<T, InvalidText>) -> Result<T, FieldError> {
        match self {
            Self::Absent => Err(FieldError::in_body(name, "is required")),
            Self::Null | Self::NoText => Err(FieldError::in_body(name, "must be a string")),
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

    fn or_repeated(&mut self, value: Self) {
        *self = if *self == Self::Absent { value } else { Self::Repeated };
    }
}

impl<'de> Deserialize<'de> for Fields {
    /// By hand: a derived one would take an array for an object, and end at the first field that is wrong.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "title" => fields.title.or_repeated(map.next_value()?),
                        "content" => fields.content.or_repeated(map.next_value()?),
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

impl<'de> Deserialize<'de> for Field {
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
            Any::Other(_) => Self::NoText,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        serde_json::from_str(json).expect("fields")
    }

    #[test]
    fn each_field_is_read_whatever_it_holds() {
        let text = |text: &str| Field::Text(text.to_owned());
        for (json, title, content) in [
            (r#"{"title":"a","content":"b"}"#, text("a"), text("b")),
            (r#"{"title":null,"x":{"title":"no"}}"#, Field::Null, Field::Absent),
            (r#"{"title":1,"content":["a"]}"#, Field::NoText, Field::NoText),
            (r#"{"title":true,"content":{"a":null}}"#, Field::NoText, Field::NoText),
            (r#"{"title":"a","title":"b"}"#, Field::Repeated, Field::Absent),
            (r#"{"title":null,"title":"b"}"#, Field::Repeated, Field::Absent),
            ("{}", Field::Absent, Field::Absent),
        ] {
            assert_eq!(fields(json), Fields { title, content }, "{json}");
        }
    }

    #[test]
    fn only_an_object_is_read() {
        for json in ["[]", r#"["a","b"]"#, "null", "1", r#""title""#] {
            let error = serde_json::from_str::<Fields>(json).expect_err(json);
            assert!(error.is_data(), "{json}: {error}");
        }
    }

    #[test]
    fn a_change_of_nothing_is_refused() {
        for json in ["{}", r#"{"title":null}"#, r#"{"tittle":"a"}"#] {
            let errors = fields(json).into_change(100).expect_err(json);
            assert_eq!(errors, [FieldError::body("must hold title, content or both")], "{json}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let errors = fields(r#"{"title":7}"#).into_draft(100).expect_err("nothing is right");
        assert_eq!(
            errors,
            [
                FieldError::in_body("title", "must be a string"),
                FieldError::in_body("content", "is required")
            ]
        );
    }
}
