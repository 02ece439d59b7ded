//! What `dev` prints to stdout: in colour on a terminal, plain in a pipe.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anstyle::{AnsiColor, Style};

use super::{prepare::Prepared, values::Plan};
use crate::config::IdpUser;

/// The port that `blogctl token` uses by default.
const DEFAULT_IDP_PORT: u16 = 9000;

const TITLE: Style = Style::new().bold();
const LABEL: Style = Style::new().dimmed();
const LINK: Style = AnsiColor::Cyan.on_default().underline();
const OPEN: Style = AnsiColor::Green.on_default().bold();

/// Prints `text`. A closed pipe, as in `blogctl dev | head -1`, does not end the servers.
///
/// # Errors
/// If stdout cannot be written for another reason.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The addresses of the servers, and how to continue.
pub fn started(plan: &Plan, metrics: Option<&str>, prepared: &Prepared) -> String {
    let mut text = format!("\n  {TITLE}blogctl dev{TITLE:#}\n\n");
    for news in &prepared.news {
        let _ = writeln!(text, "  {news}");
    }
    if !prepared.news.is_empty() {
        text.push('\n');
    }
    let url = plan.client_url();
    let _ = writeln!(text, "  {OPEN}Open{OPEN:#} {LINK}{url}{LINK:#}\n");
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {LABEL}{label:<18}{LABEL:#} {value}");
    };
    line("Web site", &url);
    line("API", &format!("{}  (documentation: /v1/docs)", plan.api_url()));
    line(
        "Identity provider",
        &format!("{}  (an Entra ID emulator, for development)", plan.idp_url()),
    );
    if let Some(url) = plan.vault_url() {
        line(
            "Key vault",
            &format!("{url}  (an emulator, which has the site's private key and signs with it)"),
        );
    }
    if let Some(url) = metrics {
        line("Metrics", url);
    }
    let users = &prepared.settings.idp.users;
    let widest = |text: fn(&IdpUser) -> &str| users.iter().map(|user| text(user).chars().count()).max().unwrap_or(0);
    let (names, emails) = (widest(|user| &user.name), widest(|user| &user.email));
    for (n, IdpUser { name, email, roles, .. }) in users.iter().enumerate() {
        let user = format!("{name:<names$}  {email:<emails$}  {}", roles.join(", "));
        line(if n == 0 { "Sign in as" } else { "" }, user.trim_end());
    }
    let port = plan.ports.idp;
    let flag = if port == DEFAULT_IDP_PORT {
        String::new()
    } else {
        format!(" --idp-port {port}")
    };
    line("Token", &format!("blogctl token{flag}  (for curl and /v1/docs)"));
    line(
        "Data",
        &format!("{}  (start over with --fresh)", plan.data_dir.display()),
    );
    line("Stop", "Ctrl-C");
    text.push('\n');
    text
}

/// The files that `--fresh` deletes.
pub fn deletion(files: &[PathBuf], folder: &Path) -> String {
    if files.is_empty() {
        return format!("Starting over: there is nothing to delete in {}\n", folder.display());
    }
    let list: Vec<_> = files.iter().map(|file| format!("  {}", file.display())).collect();
    format!("Starting over; deleting\n{}\n", list.join("\n"))
}

/// The last line, after the servers have stopped.
pub fn stopped(plan: &Plan) -> String {
    format!("Stopped. The posts are in {}\n", plan.data_dir.display())
}
