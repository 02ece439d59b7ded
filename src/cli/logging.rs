//! Logs: one line each on stderr: time, level, target, message.

use std::{fmt, io::Write};

use env_logger::Target;

/// Starts logging; a second call changes nothing. `level` has been checked with the settings.
pub fn start(level: &str) {
    let started = env_logger::Builder::new()
        .parse_filters(level)
        .target(Target::Stderr)
        .format(|line, record| {
            let style = line.default_level_style(record.level());
            let (time, level, target) = (line.timestamp_millis(), record.level(), record.target());
            writeln!(line, "{time} {style}{level:<5}{style:#} {target} {}", one_line(record.args()))
        })
        .try_init();
    if started.is_err() {
        log::debug!("logging runs already");
    }
}

/// Without control characters, so that what a client sends can neither forge a line nor steer a terminal.
fn one_line(message: &fmt::Arguments<'_>) -> String {
    let text = message.to_string();
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        assert_eq!(one_line(&format_args!("GET /{}", "a\nb\u{1b}[2J")), "GET /a\\nb\\u{1b}[2J");
    }
}
