//! Title and content: parsed once at the edge, so that invalid ones do not exist inside.

/// Why a text is not a title or a content. The message says what is expected, for the person who typed it.
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
    /// Parses a title; white space around it is dropped.
    ///
    /// # Errors
    /// When it is empty, too long, or holds control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let _ = text;
        unimplemented!()
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
    /// Parses a content of at most `max_chars` characters. CR LF, as browsers send it, becomes LF.
    ///
    /// # Errors
    /// When it is empty, too long, or holds control characters.
    pub fn parse(text: &str, max_chars: usize) -> Result<Self, InvalidText> {
        let _ = (text, max_chars);
        unimplemented!()
    }
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
