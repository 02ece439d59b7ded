//! Reads `.env` as python-dotenv does, the library of the Python system, so that its files stay valid.
//!
//! - `NAME=value`, with blanks around both, after an optional `export`. A line may be empty, or a comment after `#`.
//! - An unquoted value ends before ` #` and before blanks at the end of its line. All other characters in it are literal:
//!   blanks, quotation marks, apostrophes, `$` and backslashes. `NAME= # text` is empty.
//! - In double quotes `\\ \' \" \a \b \f \n \r \t \v` are escapes, in single quotes `\\` and `\'`. A quoted value may have
//!   several lines.
//! - `${NAME}` and `${NAME:-default}` are replaced in all three, even in single quotes: by the value in the environment, else by
//!   that of an earlier line in the file, else by the default or nothing. `$NAME` without braces is literal.
//! - Of two lines with the same name the last wins. A name without `=` is not set.
//!
//! Other dotenv libraries differ in each of these points: docs/decisions/0070.

use std::{collections::BTreeMap, ops::Range};

/// The variables in a file, and the lines that cannot be parsed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DotEnv {
    /// Names and values in the order of the file. Each name occurs once, at the position of its last line.
    pub variables: Vec<(String, String)>,
    /// Numbers of the lines that cannot be parsed, from 1.
    pub invalid_lines: Vec<usize>,
}

/// Parses the text of a file. `environment` returns the value of a variable, for `${NAME}`.
pub fn parse(text: &str, environment: impl Fn(&str) -> Option<String>) -> DotEnv {
    // Python converts line ends in this way before it parses the text.
    let text = text
        .trim_start_matches('\u{feff}')
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let mut reader = Reader { text: &text, at: 0 };
    let mut read = DotEnv::default();
    let mut values: BTreeMap<String, Option<String>> = BTreeMap::new();
    loop {
        reader.skip(is_space);
        if reader.rest().is_empty() {
            return read;
        }
        let begin = reader.at;
        match reader.binding() {
            Some(Binding::Comment) => {}
            Some(Binding::Name(name, value)) => {
                // A name without `=` counts as set to nothing here: a default does not apply.
                let known = |name: &str| values.get(name).map(|value| value.clone().unwrap_or_default());
                let value = value.map(|value| expand(&value, |name| environment(name).or_else(|| known(name))));
                values.insert(name.clone(), value.clone());
                read.variables.retain(|(other, _)| *other != name);
                read.variables.extend(value.map(|value| (name, value)));
            }
            None => {
                read.invalid_lines
                    .push(text.get(..begin).unwrap_or_default().matches('\n').count() + 1);
                reader.skip(|c| c != '\n');
                reader.take("\n");
            }
        }
    }
}

/// The content of a line.
enum Binding {
    Comment,
    /// A name, and its value if it has one.
    Name(String, Option<String>),
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips characters that match, and returns them.
    fn skip(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !is(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_there = self.rest().starts_with(wanted);
        self.at += if is_there { wanted.len() } else { 0 };
        is_there
    }

    /// Parses one line, or more if a quoted value has several lines. `None` if it is invalid; the reader then stands where the
    /// error was found, like that of python-dotenv.
    fn binding(&mut self) -> Option<Binding> {
        self.skip_export();
        let name = match self.rest().chars().next()? {
            '#' => None,
            '\'' => Some(self.quoted_name()?),
            _ => Some(self.some(|c| c != '=' && c != '#' && !is_space(c))?.to_owned()),
        };
        self.skip(is_blank);
        let mut value = None;
        if self.take("=") {
            let blanks = self.skip(is_blank);
            let is_comment = !blanks.is_empty() && self.rest().starts_with('#');
            value = Some(if is_comment { String::new() } else { self.value()? });
        }
        self.skip_comment();
        self.skip(is_blank);
        if !self.rest().is_empty() && !self.take("\n") {
            return None;
        }
        Some(name.map_or(Binding::Comment, |name| Binding::Name(name, value)))
    }

    fn skip_export(&mut self) {
        let begin = self.at;
        if !self.take("export") || self.skip(is_blank).is_empty() {
            self.at = begin;
        }
    }

    /// At least one character.
    fn some(&mut self, is: impl Fn(char) -> bool) -> Option<&'t str> {
        Some(self.skip(is)).filter(|found| !found.is_empty())
    }

    fn quoted_name(&mut self) -> Option<String> {
        let begin = self.at;
        self.take("'");
        let name = self.some(|c| c != '\'');
        let is_whole = name.is_some() && self.take("'");
        if !is_whole {
            self.at = begin;
        }
        name.filter(|_| is_whole).map(str::to_owned)
    }

    fn value(&mut self) -> Option<String> {
        match self.rest().chars().next() {
            None | Some('\n') => Some(String::new()),
            Some('\'') => self.quoted('\'', |c| matches!(c, '\\' | '\'').then_some(c)),
            Some('"') => self.quoted('"', |c| {
                Some(match c {
                    '\\' | '\'' | '"' => c,
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    _ => return None,
                })
            }),
            Some(_) => {
                let line = self.skip(|c| c != '\n');
                Some(without_comment(line).trim_end_matches(is_space).to_owned())
            }
        }
    }

    /// Parses up to the next quotation mark without a backslash before it.
    fn quoted(&mut self, mark: char, unescape: impl Fn(char) -> Option<char>) -> Option<String> {
        let Range { start, end } = closing(self.rest(), mark)?;
        let inside = self.rest().get(start..end).unwrap_or_default();
        self.at += end + mark.len_utf8();
        let mut value = String::with_capacity(inside.len());
        let mut chars = inside.chars().peekable();
        while let Some(c) = chars.next() {
            match chars.peek().copied().filter(|_| c == '\\').and_then(&unescape) {
                Some(meant) => {
                    chars.next();
                    value.push(meant);
                }
                None => value.push(c),
            }
        }
        Some(value)
    }

    fn skip_comment(&mut self) {
        let begin = self.at;
        self.skip(is_blank);
        if self.rest().starts_with('#') {
            self.skip(|c| c != '\n');
        } else {
            self.at = begin;
        }
    }
}

/// The range inside a quoted text that begins with `mark`, up to the closing one. A character after a backslash does not close it.
fn closing(text: &str, mark: char) -> Option<Range<usize>> {
    let start = mark.len_utf8();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == mark {
            return Some(start..at);
        }
        if c == '\\' {
            chars.next();
        }
    }
    None
}

/// Removes a comment: the first `#` with blanks before it, those blanks, and everything after.
fn without_comment(line: &str) -> &str {
    let mut blanks_from = None;
    for (at, c) in line.char_indices() {
        match (c, blanks_from) {
            ('#', Some(from)) => return line.get(..from).unwrap_or_default(),
            (c, None) if is_space(c) => blanks_from = Some(at),
            (c, Some(_)) if !is_space(c) => blanks_from = None,
            _ => {}
        }
    }
    line
}

/// Replaces `${NAME}` and `${NAME:-default}`.
fn expand(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((value, end)) = variable(after, &value_of) else {
            expanded.push_str("${");
            rest = after;
            continue;
        };
        expanded.push_str(&value);
        rest = after.get(end..).unwrap_or_default();
    }
    expanded.push_str(rest);
    expanded
}

/// The value of the variable whose name begins `text`, and the end of its closing brace. `None` if it is not a variable.
fn variable(text: &str, value_of: impl Fn(&str) -> Option<String>) -> Option<(String, usize)> {
    let name_end = text.find(['}', ':'])?;
    let (name, rest) = text.split_at_checked(name_end)?;
    let (default, end) = match rest.strip_prefix(":-") {
        Some(rest) => {
            let (default, _) = rest.split_once('}')?;
            (default, name_end + ":-".len() + default.len() + 1)
        }
        None => ("", rest.starts_with('}').then_some(name_end + 1)?),
    };
    Some((value_of(name).unwrap_or_else(|| default.to_owned()), end))
}

/// White space in Python: that of Unicode, and the four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn is_blank(c: char) -> bool {
    is_space(c) && c != '\n'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables(text: &str) -> Vec<(String, String)> {
        parse(text, |name| (name == "OUTSIDE").then(|| "out".to_owned())).variables
    }

    fn value(text: &str) -> String {
        variables(&format!("A={text}"))
            .into_iter()
            .next()
            .map(|(_, value)| value)
            .unwrap_or_default()
    }

    #[test]
    fn a_value_is_what_python_dotenv_makes_of_it() {
        for (written, meant) in [
            ("Pa$$w0rd!", "Pa$$w0rd!"),
            ("Blog API", "Blog API"),
            ("it's", "it's"),
            ("say \"hi\"", "say \"hi\""),
            ("C:\\new\\table", "C:\\new\\table"),
            ("$OUTSIDE", "$OUTSIDE"),
            ("${OUTSIDE}", "out"),
            ("'${OUTSIDE}'", "out"),
            ("${NOWHERE:-here}", "here"),
            ("${NOWHERE}", ""),
            ("${OUTSIDE:-here}", "out"),
            ("${unfinished", "${unfinished"),
            ("${A:x}", "${A:x}"),
            ("abc#def # comment", "abc#def"),
            ("# all of it", "# all of it"),
            ("'abc # def' # comment", "abc # def"),
            ("\"a\\nb\\tc\\\\d\\\"e\\x\"", "a\nb\tc\\d\"e\\x"),
            ("'a\\nb\\'c\\\\d'", "a\\nb'c\\d"),
            ("'a\\\\'", "a\\"),
            (" # nothing", ""),
            ("\"two\nlines\"", "two\nlines"),
            ("   spaced out   ", "spaced out"),
            ("", ""),
            ("a=b=c", "a=b=c"),
        ] {
            assert_eq!(value(written), meant, "{written}");
        }
    }

    #[test]
    fn names_and_lines_are_read_as_python_dotenv_reads_them() {
        let text = "\u{feff}export A = 1\r\n# comment\r\n\r\n'B C'=2\rD\nA=3\nE=${A}${D:-d}${G:-g}\n  F=\nH=1\nH\n";
        let expected = [("B C", "2"), ("A", "3"), ("E", "3g"), ("F", "")];
        let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(variables(text), expected);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_told_by_its_number_and_costs_no_other() {
        let read = parse("A=1\nnot a binding\nB=\"never closed\nC=3\n'=x\n", |_| None);
        assert_eq!(read.invalid_lines, [2, 3, 5]);
        assert_eq!(
            read.variables,
            [("A".to_owned(), "1".to_owned()), ("C".to_owned(), "3".to_owned())]
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[ A-C=#'\"\\\\$\\{\\}:\n\r\tü-]{0,60}") {
            parse(&text, |_| None);
        }
    }
}
