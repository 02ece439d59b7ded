//! The report: for people, in colour on a terminal; or JSON.

use std::{
    env,
    fmt::Write as _,
    io::{self, Write as _},
};

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::{
    DoctorContext,
    finding::{Finding, Status},
};
use crate::cli::wrap;

const LABEL: Style = Style::new().dimmed();
const TITLE: Style = Style::new().bold();

/// Prints the findings.
///
/// # Errors
/// If stdout cannot be written.
pub fn findings(findings: &[Finding], context: &DoctorContext, as_json: bool) -> anyhow::Result<()> {
    let worst = findings.iter().map(|finding| finding.status).max();
    let worst = worst.filter(|status| *status > Status::Skipped).unwrap_or(Status::Ok);
    let text = if as_json {
        let report = json!({ "status": worst, "checks": findings });
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        as_text(findings, context)
    };
    anstream::stdout().lock().write_all(text.as_bytes())?;
    io::stdout().flush()?;
    Ok(())
}

fn as_text(findings: &[Finding], context: &DoctorContext) -> String {
    let roles = match (context.client, context.api) {
        (true, false) => "the web site",
        (false, true) => "the API",
        _ => "web site and API",
    };
    format!("Checking the settings of {roles}\n\n{}", lines(findings))
}

/// The findings for people, and a summary.
pub fn lines(findings: &[Finding]) -> String {
    let columns = wrap::stdout_width();
    let mut text = String::new();
    let symbols = Symbols::from_locale();
    let widest = findings.iter().map(|finding| finding.title.len()).max().unwrap_or(0);
    let indent = symbols.width + 1 + widest + 2;
    for Finding {
        title,
        status,
        seen,
        expected,
        remedy,
        ..
    } in findings
    {
        let (symbol, style) = symbols.of(*status);
        let skipped = if *status == Status::Skipped { "skipped: " } else { "" };
        let width = symbols.width;
        let seen = safe(seen);
        let line = format!("{style}{symbol:<width$}{style:#} {TITLE}{title:<widest$}{TITLE:#}  {skipped}{seen}");
        let _ = writeln!(text, "{}", wrap::wrap(&line, indent, columns));
        for (label, line) in [("expected", expected), ("remedy", remedy)] {
            if let Some(line) = line {
                let line = format!("{:indent$}{LABEL}{label:<9}{LABEL:#} {}", "", safe(line));
                let _ = writeln!(text, "{}", wrap::wrap(&line, indent + 10, columns));
            }
        }
    }
    let _ = writeln!(text, "\n{}", summary(findings));
    text
}

fn summary(findings: &[Finding]) -> String {
    let count = |status| findings.iter().filter(|finding| finding.status == status).count();
    let mut parts = Vec::new();
    for (status, one, many) in [
        (Status::Failed, "failed", "failed"),
        (Status::Warning, "warning", "warnings"),
        (Status::Skipped, "skipped", "skipped"),
        (Status::Ok, "ok", "ok"),
    ] {
        match count(status) {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            n => parts.push(format!("{n} {many}")),
        }
    }
    parts.join(", ")
}

/// The symbol of each status.
pub struct Symbols {
    ok: &'static str,
    failed: &'static str,
    pub width: usize,
}

impl Symbols {
    /// Plain letters if the locale is not UTF-8. The locale belongs to the system, not to blogctl's settings, so it is read here.
    /// Without a locale, UTF-8 is assumed.
    pub fn from_locale() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(|name| env::var(name).ok());
        let locale = locale
            .filter(|value| !value.is_empty())
            .map(|value| value.to_ascii_lowercase())
            .next();
        match locale {
            Some(locale) if !locale.contains("utf-8") && !locale.contains("utf8") => Self {
                ok: "ok",
                failed: "X",
                width: 2,
            },
            _ => Self {
                ok: "✓",
                failed: "✗",
                width: 1,
            },
        }
    }

    /// The symbol and colour of a status.
    pub fn of(&self, status: Status) -> (&'static str, Style) {
        match status {
            Status::Ok => (self.ok, AnsiColor::Green.on_default()),
            Status::Warning => ("!", AnsiColor::Yellow.on_default().bold()),
            Status::Failed => (self.failed, AnsiColor::Red.on_default().bold()),
            Status::Skipped => ("-", LABEL),
        }
    }
}

/// Replaces control characters, so that text from servers and files cannot control the terminal.
pub fn safe(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
