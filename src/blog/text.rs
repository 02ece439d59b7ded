//! Title, content and display name, parsed once at the edge, so that invalid ones do not exist inside. Text is
//! normalised to Unicode's form C, so that texts that look the same are equal in searches and comparisons.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// The longest title, in characters (Unicode scalar values). The schema's CHECK says the same.
pub const MAX_TITLE_CHARS: usize = 200;
/// The longest display name, in characters. The schema's CHECK says the same.
pub const MAX_DISPLAY_NAME_CHARS: usize = 200;

/// Why a text is not a valid title or content. The message says what the author of the text should change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidText {
    /// `title` or `content`.
    pub field: &'static str,
    /// Such as `must be 1 to 200 characters long, is 312`.
    pub message: String,
}

/// 1–200 characters, not only white space, no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    /// Parses a title, and removes white space around it.
    ///
    /// # Errors
    /// When the title has no visible character, is too long, or contains control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let text = normalize(text);
        let title = text.trim();
        let allowed = |c: char| !c.is_control() && !is_line_separator(c);
        check(
            "title",
            title,
            MAX_TITLE_CHARS,
            allowed,
            "must be on one line, without control characters",
        )?;
        Ok(Self(title.to_owned()))
    }
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 1 to the configured number of characters, not only white space, no control characters but tab and line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    /// Parses a content of at most `max_chars` characters. CR LF, which browsers send, and a single CR become LF. White
    /// space around it stays: the first line may be indented.
    ///
    /// # Errors
    /// When the content has no visible character, is too long, or contains control characters.
    pub fn parse(text: &str, max_chars: usize) -> Result<Self, InvalidText> {
        let content = normalize(text).replace("\r\n", "\n").replace('\r', "\n");
        let allowed = |c: char| !c.is_control() || c == '\t' || c == '\n';
        check(
            "content",
            &content,
            max_chars,
            allowed,
            "must not contain control characters other than tab and line feed",
        )?;
        Ok(Self(content))
    }
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The display name of a user whose tokens have no usable name.
pub const UNKNOWN_NAME: &str = "Unknown user";

/// Cleans a display name from a token or another database: removes control characters and surrounding white space, and
/// cuts it to 200 characters. `None` when no visible character is left.
pub fn clean_display_name(text: &str) -> Option<String> {
    let printable: String = text
        .nfc()
        .filter(|c| !c.is_control() && !is_line_separator(*c))
        .collect();
    let short: String = printable.trim().chars().take(MAX_DISPLAY_NAME_CHARS).collect();
    let name = short.trim_end();
    name.chars().any(is_visible).then(|| name.to_owned())
}

fn normalize(text: &str) -> Cow<'_, str> {
    if is_nfc(text) {
        text.into()
    } else {
        text.nfc().collect::<String>().into()
    }
}

fn check(
    field: &'static str,
    text: &str,
    max_chars: usize,
    allowed: impl Fn(char) -> bool,
    forbidden_characters: &str,
) -> Result<(), InvalidText> {
    let invalid = |message: String| Err(InvalidText { field, message });
    if !text.chars().any(is_visible) {
        return invalid("must not be empty".to_owned());
    }
    let chars = text.chars().count();
    if chars > max_chars {
        return invalid(format!("must be 1 to {max_chars} characters long, is {chars}"));
    }
    if !text.chars().all(allowed) {
        return invalid(forbidden_characters.to_owned());
    }
    Ok(())
}

/// U+2028 and U+2029 break a line as LF does, but are not control characters in Unicode.
fn is_line_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a character is visible: no white space, control character, zero-width character, filler, direction mark or
/// variation selector (Unicode's Default_Ignorable_Code_Point, and the blank Braille pattern).
fn is_visible(c: char) -> bool {
    let ignorable = matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}');
    !(ignorable || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn title_message(text: &str) -> String {
        Title::parse(text).expect_err("not a title").message
    }

    fn content_message(text: &str) -> String {
        Content::parse(text, 50).expect_err("not a content").message
    }

    #[test]
    fn a_title_loses_the_white_space_around_it() {
        assert_eq!(
            Title::parse(" \t A title\u{A0}\n").expect("a title").as_str(),
            "A title"
        );
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        assert!(Title::parse(&"é".repeat(200)).is_ok());
        assert!(Title::parse(&"👩".repeat(200)).is_ok());
        assert_eq!(
            title_message(&"é".repeat(201)),
            "must be 1 to 200 characters long, is 201"
        );
        assert!(Content::parse(&"é".repeat(50), 50).is_ok());
        assert_eq!(
            content_message(&"é".repeat(51)),
            "must be 1 to 50 characters long, is 51"
        );
    }

    #[test]
    fn texts_that_look_the_same_are_stored_and_counted_the_same() {
        assert_eq!(Title::parse("cafe\u{301}").expect("a title").as_str(), "café");
        assert_eq!(Content::parse("A\u{30A}\r\n", 2).expect("a content").as_str(), "Å\n");
        assert_eq!(clean_display_name("Rene\u{301}e").as_deref(), Some("Renée"));
        assert!(
            Title::parse(&"e\u{301}".repeat(200)).is_ok(),
            "two hundred characters in the stored form"
        );
        assert_eq!(
            Title::parse("ﬁ ²").expect("a title").as_str(),
            "ﬁ ²",
            "not the compatibility form"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_empty() {
        for text in [
            "",
            " ",
            "\t\r\n",
            "\u{200B}\u{200D}",
            "\u{FEFF}",
            "\u{3164}",
            "\u{2060} \u{AD}",
            "\u{202E}",
        ] {
            assert_eq!(title_message(text), "must not be empty", "{text:?}");
            assert_eq!(content_message(text), "must not be empty", "{text:?}");
            assert_eq!(clean_display_name(text), None, "{text:?}");
        }
    }

    #[test]
    fn control_characters_are_refused() {
        for text in ["a\0b", "a\u{7}b", "a\u{1B}[31mb", "a\u{85}b", "a\u{9B}b"] {
            assert!(title_message(text).contains("control characters"), "{text:?}");
            assert!(content_message(text).contains("control characters"), "{text:?}");
        }
        for text in ["a\nb", "a\tb", "a\u{2028}b"] {
            assert!(title_message(text).contains("one line"), "{text:?}");
            assert!(Content::parse(text, 50).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn line_ends_of_browsers_become_line_feeds_before_they_are_counted() {
        assert_eq!(
            Content::parse("a\r\nb\rc\n", 6).expect("a content").as_str(),
            "a\nb\nc\n"
        );
    }

    #[test]
    fn a_joiner_inside_an_emoji_stays() {
        assert_eq!(Title::parse("👩\u{200D}💻").expect("a title").as_str(), "👩\u{200D}💻");
    }

    #[test]
    fn a_display_name_is_made_fit() {
        assert_eq!(clean_display_name(" Ann\0e \n").as_deref(), Some("Anne"));
        assert_eq!(clean_display_name(&"x".repeat(300)).map(|name| name.len()), Some(200));
    }

    proptest! {
        #[test]
        fn a_title_holds_to_its_rules(text in any::<String>()) {
            if let Ok(title) = Title::parse(&text) {
                let title = title.as_str();
                prop_assert!((1..=200).contains(&title.chars().count()));
                prop_assert_eq!(title, title.trim());
                prop_assert!(!title.chars().any(char::is_control));
                prop_assert!(normalize(&text).contains(title));
                prop_assert!(is_nfc(title));
                let again = Title::parse(title);
                prop_assert_eq!(again.as_ref().map(Title::as_str), Ok(title));
            }
        }

        #[test]
        fn a_content_holds_to_its_rules(text in "(\\PC|[\t\r\n\0]){0,60}") {
            if let Ok(content) = Content::parse(&text, 50) {
                let content = content.as_str();
                prop_assert!((1..=50).contains(&content.chars().count()));
                prop_assert!(!content.contains(['\r', '\0']));
                let again = Content::parse(content, 50);
                prop_assert_eq!(again.as_ref().map(Content::as_str), Ok(content));
            }
        }

        #[test]
        fn what_is_printable_and_short_is_taken(text in "[a-zà-ÿ0-9!?.,]{1,200}") {
            prop_assert!(Title::parse(&text).is_ok());
            prop_assert!(Content::parse(&text, 200).is_ok());
        }

        #[test]
        fn a_display_name_fits_the_column(text in any::<String>()) {
            if let Some(name) = clean_display_name(&text) {
                prop_assert!((1..=200).contains(&name.chars().count()));
                prop_assert!(!name.chars().any(char::is_control));
                let again = clean_display_name(&name);
                prop_assert_eq!(again.as_deref(), Some(name.as_str()));
            }
        }
    }
}
