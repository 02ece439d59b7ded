//! `dev --print-env`: the settings of `dev` as `NAME='value'` lines, for a shell or a `.env` file.

use crate::config::variable_of;

/// One line for each setting.
pub fn lines(values: &[(&'static str, String)]) -> String {
    let line = |(setting, value): &(&str, String)| format!("{}={}", variable_of(setting), quoted(value));
    values.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Quotes a value for a POSIX shell and for a `.env` file: unchanged if it has no special characters, in double quotes if it
/// contains only single quotes, otherwise in single quotes. The two differ in backslashes and `${NAME}`, which no value of `dev`
/// contains.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-+=@%,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    if value.contains('\'') && !value.contains(['"', '$', '`', '\\', '!']) {
        return format!("\"{value}\"");
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::config::parse_dotenv;

    const AWKWARD: [&str; 7] = [
        "",
        "plain/path.db",
        "two words",
        "it's",
        r#"[{"a":"$HOME `id` \\ !"}]"#,
        "#x",
        "~/x",
    ];

    #[test]
    fn a_shell_reads_every_value_as_it_is() {
        for value in AWKWARD {
            let script = format!("BLOG_A__B={}\nprintf %s \"$BLOG_A__B\"", quoted(value));
            let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
            assert_eq!(String::from_utf8(output.stdout).expect("text"), value);
        }
    }

    #[test]
    fn a_dot_env_file_reads_every_value_as_it_is() {
        for value in AWKWARD.into_iter().filter(|value| !value.contains('\\')) {
            let text = lines(&[("a.b", value.to_owned())]);
            assert_eq!(
                parse_dotenv(&text, |_| None).variables,
                [("BLOG_A__B".to_owned(), value.to_owned())]
            );
        }
    }
}
