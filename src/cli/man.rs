//! `blogctl man`: the manual pages, for packages. Hidden, because users read the pages with `man`.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

/// Write the manual pages
///
/// Without a folder it prints blogctl(1). Into a folder it writes that page and one for each command, such as
/// blogctl-serve-api.1.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Existing folder for the pages
    folder: Option<PathBuf>,
}

/// Writes the pages.
///
/// # Errors
/// If a file or stdout cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut command = super::Arguments::command();
    command.build();
    match &arguments.folder {
        None => io::stdout().lock().write_all(&page(command, "blogctl")?)?,
        Some(folder) => {
            for (name, command) in commands(command, "blogctl") {
                fs::write(folder.join(format!("{name}.1")), page(command, &name)?)?;
            }
        }
    }
    Ok(())
}

/// A command and all its visible subcommands, by the names of their pages.
fn commands(command: Command, name: &str) -> Vec<(String, Command)> {
    let visible = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    let below: Vec<_> = visible
        .flat_map(|sub| commands(sub.clone(), &format!("{name}-{}", sub.get_name())))
        .collect();
    std::iter::once((name.to_owned(), command)).chain(below).collect()
}

fn page(command: Command, name: &str) -> io::Result<Vec<u8>> {
    // No date, so that the same source makes the same page.
    let man = Man::new(command)
        .title(name.to_uppercase())
        .source(concat!("blogctl ", env!("CARGO_PKG_VERSION")))
        .manual("blogctl");
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok(page)
}
