//! Cuts the excerpt of a text, between characters as readers see them.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation as _};

/// Cuts a text to at most `max_chars` characters (Unicode scalar values); returns whether it was longer. A grapheme
/// cluster, such as an emoji of several characters or a letter with accents, is kept whole or left out, unless it alone
/// is longer. `text` need not hold more than one character beyond `max_chars`.
pub(super) fn cut(text: &mut String, max_chars: u32) -> bool {
    let max_chars = usize::try_from(max_chars).unwrap_or(usize::MAX);
    let Some((end, _)) = text.char_indices().nth(max_chars) else {
        return false;
    };
    let mut cursor = GraphemeCursor::new(end, text.len(), true);
    let end = match cursor.is_boundary(text, 0) {
        Ok(false) => {
            let before = text
                .grapheme_indices(true)
                .map(|(start, _)| start)
                .take_while(|start| *start < end)
                .last();
            before.filter(|start| *start > 0).unwrap_or(end)
        }
        Ok(true) | Err(_) => end,
    };
    text.truncate(end);
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_cut_only_when_it_is_longer() {
        for (text, max_chars, kept) in [
            ("", 1, None),
            ("abc", 3, None),
            ("abc", 2, Some("ab")),
            ("äöü", 2, Some("äö")),
            // A family of four, a flag, a letter and its accent, CR LF: whole, or not at all.
            ("a👨‍👩‍👧‍👦b", 4, Some("a")),
            ("a👨‍👩‍👧‍👦b", 8, Some("a👨‍👩‍👧‍👦")),
            ("a🇩🇪b", 2, Some("a")),
            ("ae\u{301}b", 2, Some("a")),
            ("a\r\nb", 2, Some("a")),
            // Longer than the excerpt all alone.
            ("👨‍👩‍👧‍👦b", 2, Some("👨\u{200d}")),
        ] {
            let mut cut_text = text.to_owned();
            let is_cut = cut(&mut cut_text, max_chars);
            assert_eq!(
                (is_cut, cut_text.as_str()),
                (kept.is_some(), kept.unwrap_or(text)),
                "{text:?} {max_chars}"
            );
        }
    }

    proptest! {
        #[test]
        fn one_character_more_than_the_excerpt_is_enough_to_cut_it(text in any::<String>(), max_chars in 1_u32..20) {
            let mut whole = text.clone();
            let mut beginning: String = text.chars().take(max_chars as usize + 1).collect();
            prop_assert_eq!(cut(&mut whole, max_chars), cut(&mut beginning, max_chars));
            prop_assert_eq!(&whole, &beginning);
            prop_assert!(whole.chars().count() <= max_chars as usize && text.starts_with(&whole));
            prop_assert_eq!(whole.is_empty(), text.is_empty());
        }
    }
}
