//! Archives of PostgreSQL's `pg_dump`: the commands that write and read them, and their verification.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use super::{BackupError, Contents};
use crate::db::DatabaseUrl;

/// The program that reads archives.
const PG_RESTORE: &str = "pg_restore";
/// Longest line of an archive: a row. A longer one is a sign of damage.
const MAX_LINE: u64 = 64 * 1024 * 1024;
/// Most bytes that are kept of an error message.
const MAX_MESSAGE: u64 = 4096;
/// The tables that every backup contains, whatever its version.
const TABLES: [&str; 3] = ["users", "blog_posts", "post_counts"];

/// The command that backs up a PostgreSQL database into `file`, for a shell. `None` for SQLite.
pub fn dump_command(url: &DatabaseUrl, file: &Path) -> Option<String> {
    Some(format!(
        "pg_dump --format=custom --no-owner --no-privileges --file={} --dbname={}",
        quoted(&file.display().to_string()),
        quoted(&url.without_password()?)
    ))
}

/// The command that restores the archive `file` into an empty PostgreSQL database, for a shell. `None` for SQLite.
pub fn restore_command(url: &DatabaseUrl, file: &Path) -> Option<String> {
    Some(format!(
        "pg_restore --no-owner --no-privileges --clean --if-exists --single-transaction --dbname={} {}",
        quoted(&url.without_password()?),
        quoted(&file.display().to_string())
    ))
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Reads every row of the archive with `pg_restore`, which connects to no server without `--dbname`.
pub(super) fn verify(path: &Path) -> Result<Contents, BackupError> {
    let program = |source| BackupError::Program {
        program: PG_RESTORE,
        source,
    };
    let mut child = Command::new(PG_RESTORE)
        .args(["--data-only", "--file=-"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(program)?;
    let stderr = child.stderr.take();
    let message = thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(MAX_MESSAGE).read_to_end(&mut text);
            // A full pipe would block pg_restore.
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        }
        String::from_utf8_lossy(&text).trim().replace('\n', "; ")
    });
    let rows = match child.stdout.take() {
        Some(stdout) => count(BufReader::with_capacity(256 * 1024, stdout)),
        None => Ok(Rows::default()),
    };
    if rows.is_err() {
        // It would wait for a reader.
        let _ = child.kill();
    }
    let status = child.wait().map_err(program)?;
    let message = message.join().unwrap_or_default();
    let rows = rows.map_err(|reason| BackupError::damaged(path, reason))?;
    if !status.success() {
        return Err(BackupError::damaged(path, message));
    }
    let of = |table: &str| rows.by_table.get(table).copied();
    if let Some(missing) = TABLES.iter().find(|table| of(table).is_none()) {
        return Err(BackupError::damaged(path, format!("the table {missing} is missing")));
    }
    let (posts, users) = (of("blog_posts").unwrap_or_default(), of("users").unwrap_or_default());
    if i64::try_from(posts) != Ok(rows.counted) {
        return Err(BackupError::damaged(
            path,
            format!("it has {posts} posts, but its counter says {}", rows.counted),
        ));
    }
    let bytes = fs::metadata(path)
        .map_err(|source| BackupError::read(path, source))?
        .len();
    Ok(Contents {
        bytes,
        schema: rows.schema,
        posts,
        users,
    })
}

/// What a script of `pg_restore` contains.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rows {
    by_table: BTreeMap<String, u64>,
    /// The sum of the counter of posts.
    counted: i64,
    /// The newest migration.
    schema: Option<String>,
}

/// Counts the rows of each `COPY … FROM stdin;`, which end with `\.`.
fn count(mut script: impl BufRead) -> Result<Rows, String> {
    let mut rows = Rows::default();
    let mut table: Option<String> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut script)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|error| error.to_string())?;
        if read == 0 {
            break;
        }
        if line.last() != Some(&b'\n') {
            return Err("its last row is incomplete".to_owned());
        }
        line.pop();
        let Some(name) = &table else {
            table = copied_table(&line);
            if let Some(name) = &table {
                rows.by_table.entry(name.clone()).or_default();
            }
            continue;
        };
        if line == b"\\." {
            table = None;
            continue;
        }
        if let Some(number) = rows.by_table.get_mut(name) {
            *number += 1;
        }
        match name.as_str() {
            "post_counts" => {
                let posts = column(&line, 1).and_then(|posts| posts.parse::<i64>().ok());
                rows.counted += posts.ok_or("a row of post_counts is not a number")?;
            }
            "__diesel_schema_migrations" => {
                let version = column(&line, 0).map(str::to_owned);
                rows.schema = rows.schema.take().max(version);
            }
            _ => {}
        }
    }
    match table {
        Some(name) => Err(format!("the rows of {name} do not end")),
        None => Ok(rows),
    }
}

/// The table of `COPY public.blog_posts (id, …) FROM stdin;`, without its schema.
fn copied_table(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("COPY ")?.strip_suffix(" FROM stdin;")?;
    let (name, _) = rest.split_once(" (")?;
    Some(name.rsplit('.').next()?.trim_matches('"').to_owned())
}

fn column(line: &[u8], number: usize) -> Option<&str> {
    line.split(|byte| *byte == b'\t')
        .nth(number)
        .and_then(|column| std::str::from_utf8(column).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "--\nSET x = 1;\nCOPY public.__diesel_schema_migrations (version, run_on) FROM stdin;\n0001\tnow\n\
         0006\tnow\n\\.\n\nCOPY public.blog_posts (id, title) FROM stdin;\n1\tCOPY public.users (id) FROM stdin;\n2\t\\\\.\n\\.\n\
         COPY public.post_counts (slot, posts) FROM stdin;\n0\t-1\n1\t3\n\\.\nSELECT 1;\n";

    #[test]
    fn rows_are_counted_by_table() {
        let rows = count(SCRIPT.as_bytes()).expect("complete");
        assert_eq!((rows.counted, rows.schema.as_deref()), (2, Some("0006")));
        assert_eq!(rows.by_table.get("blog_posts"), Some(&2));
        assert_eq!(rows.by_table.get("users"), None);
    }

    #[test]
    fn a_script_that_ends_early_is_rejected() {
        let (start, _) = SCRIPT.split_at(SCRIPT.find("2\t").expect("a row"));
        assert!(
            count(start.as_bytes())
                .expect_err("rows do not end")
                .contains("blog_posts")
        );
        let (start, _) = SCRIPT.split_at(SCRIPT.find("\t\\\\.").expect("a row"));
        assert!(count(start.as_bytes()).expect_err("half a row").contains("incomplete"));
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        let url = DatabaseUrl::parse("postgres://blog:s3cret@db/blog?sslmode=require").expect("a URL");
        let command = dump_command(&url, Path::new("it's.dump")).expect("a server");
        assert!(command.contains(r"--file='it'\''s.dump'"), "{command}");
        assert!(
            command.ends_with("--dbname='postgresql://blog@db/blog?sslmode=require'"),
            "{command}"
        );
    }
}
