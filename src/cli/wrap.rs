//! Wraps long lines for a terminal: between words, never within one, so that thumbprints, URLs and paths stay in one piece.
//! Output to a file or another program is not wrapped.

use std::{
    io,
    iter::once,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::termios::tcgetwinsize;
use textwrap::{Options, WordSeparator, WordSplitter, core::display_width};

/// On fewer columns, wrapping does not help.
const NARROWEST: usize = 20;
/// The indents used if the requested ones would take half the terminal.
const SMALL_INDENT: usize = 2;
const SMALL_HANG: usize = 4;
/// Additional indent of the continuation of later lines.
const HANG: usize = 2;

/// Columns of stdout; `None` if it is not a terminal.
pub fn stdout_width() -> Option<usize> {
    width_of(io::stdout().as_fd())
}

/// Columns of stderr; `None` if it is not a terminal.
pub fn stderr_width() -> Option<usize> {
    width_of(io::stderr().as_fd())
}

fn width_of(stream: BorrowedFd<'_>) -> Option<usize> {
    // Only terminals have a size. Some report 0 because they do not know it.
    let size = tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width >= NARROWEST)
}

/// Wraps the text to `width` columns where words allow it. The continuation of the first line is indented by `hang` columns, that
/// of another line a little more than the line itself.
pub fn wrap(text: &str, hang: usize, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let hangs = once(Some(hang)).chain(std::iter::repeat(None));
    let lines: Vec<String> = text
        .split('\n')
        .zip(hangs)
        .map(|(line, hang)| wrap_line(line, hang, width))
        .collect();
    lines.join("\n")
}

fn wrap_line(line: &str, hang: Option<usize>, width: usize) -> String {
    if display_width(line) <= width {
        return line.to_owned();
    }
    let words = line.trim_start_matches(' ');
    let indent = line.len() - words.len();
    let hang = hang.unwrap_or(indent + HANG);
    let (indent, hang) = if hang.max(indent) * 2 > width {
        (indent.min(SMALL_INDENT), SMALL_HANG)
    } else {
        (indent, hang)
    };
    let (indent, hang) = (" ".repeat(indent), " ".repeat(hang));
    let options = Options::new(width)
        .initial_indent(&indent)
        .subsequent_indent(&hang)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(words, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINT: &str = "  hint: make the folder, writable for the user that serve-api runs as, or correct database.url";
    const THUMBPRINT: &str = "A94A8FE5CCB19BA61C4C0873D391E987982FBBD3A94A8FE5CCB19BA61C4C0873";

    #[test]
    fn a_line_is_wrapped_between_words_and_continues_below_its_text() {
        assert_eq!(
            wrap(HINT, 8, Some(80)),
            "  hint: make the folder, writable for the user that serve-api runs as, or\n        correct database.url"
        );
        assert_eq!(
            wrap(HINT, 8, Some(40)),
            "  hint: make the folder, writable for\n        the user that serve-api runs as,\n        or correct database.url"
        );
    }

    #[test]
    fn without_a_terminal_and_where_it_fits_nothing_changes() {
        let text = format!("{HINT}   \n\n  {THUMBPRINT}  {THUMBPRINT}\n");
        assert_eq!(wrap(&text, 8, None), text);
        assert_eq!(wrap(&text, 8, Some(200)), text);
    }

    #[test]
    fn a_value_is_never_wrapped() {
        let line = format!("  SHA-256              {THUMBPRINT}");
        assert_eq!(wrap(&line, 4, Some(80)), format!("  SHA-256\n    {THUMBPRINT}"));
        assert_eq!(wrap(&line, 4, Some(40)), format!("  SHA-256\n    {THUMBPRINT}"));
        for value in [
            "https://login.example/a-long-tenant/oauth2/v2.0/token?a=b-c",
            "/var/lib/blogctl/a-long/file.pem",
        ] {
            for width in [40, 80] {
                let wrapped = wrap(
                    &format!("cannot read what was found at {value}: nothing there"),
                    7,
                    Some(width),
                );
                assert!(wrapped.contains(value), "{wrapped}");
            }
        }
    }

    #[test]
    fn each_line_has_its_own_hanging_indent() {
        let text = "error: two settings are invalid:\n  client.port: a number from 0 to 65535 is expected\n  api.port: the same";
        assert_eq!(
            wrap(text, 7, Some(40)),
            "error: two settings are invalid:\n  client.port: a number from 0 to 65535\n    is expected\n  api.port: the same"
        );
    }

    #[test]
    fn an_indent_of_more_than_half_the_width_gives_way() {
        let line = format!("{:24}expected  a database that can be read and written", "");
        assert_eq!(
            wrap(&line, 34, Some(40)),
            "  expected  a database that can be read\n    and written"
        );
        let column = format!(
            "{:24}expected  a database that can be read and written, with everything",
            ""
        );
        assert_eq!(
            wrap(&column, 34, Some(80)),
            format!(
                "{:24}expected  a database that can be read and written, with\n{:34}everything",
                "", ""
            )
        );
    }

    #[test]
    fn colours_take_no_columns() {
        let line = "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m a message with just forty columns";
        assert_eq!(wrap(line, 7, Some(40)), line.to_owned());
        let longer = format!("{line} more");
        assert_eq!(wrap(&longer, 7, Some(40)), format!("{line}\n       more"));
    }
}
