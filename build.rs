//! Passes build information to the program: the commit, for release builds, and the version of libpq, which has no safe
//! function that returns it. Reads files only, and needs neither network nor git.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-env-changed=BLOGCTL_COMMIT");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!(
        "cargo::rustc-env=BLOGCTL_COMMIT={}",
        commit().unwrap_or_else(|| "unknown".to_owned())
    );
    println!(
        "cargo::rustc-env=BLOGCTL_LIBPQ={}",
        libpq().unwrap_or_else(|| "unknown".to_owned())
    );
}

/// The commit: from the environment, for packages that are built without a repository; otherwise from the repository, and
/// only in release builds, because each commit would make a debug build recompile everything.
fn commit() -> Option<String> {
    let given = env::var("BLOGCTL_COMMIT").ok().map(|commit| commit.trim().to_owned());
    let commit = match given.filter(|commit| !commit.is_empty()) {
        Some(commit) => commit,
        None if env::var("PROFILE").as_deref() == Ok("release") => from_repository(Path::new(".git"))?,
        None => return Some("debug build".to_owned()),
    };
    let is_hash = commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| commit.chars().take(12).collect())
}

/// The commit that `HEAD` points to. In a worktree, `.git` is a file that names the folder.
fn from_repository(git: &Path) -> Option<String> {
    let folder = match fs::read_to_string(git) {
        Ok(text) => text.strip_prefix("gitdir:")?.trim().into(),
        Err(_) => git.to_owned(),
    };
    let common =
        fs::read_to_string(folder.join("commondir")).map_or_else(|_| folder.clone(), |at| folder.join(at.trim()));
    let head = fs::read_to_string(folder.join("HEAD")).ok()?;
    println!("cargo::rerun-if-changed={}", folder.join("HEAD").display());
    let Some(reference) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_owned());
    };
    let (loose, packed) = (common.join(reference), common.join("packed-refs"));
    for file in [&loose, &packed].into_iter().filter(|file| file.exists()) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    if let Ok(commit) = fs::read_to_string(loose) {
        return Some(commit.trim().to_owned());
    }
    let packed = fs::read_to_string(packed).ok()?;
    packed
        .lines()
        .find_map(|line| line.strip_suffix(reference)?.strip_suffix(' ').map(str::to_owned))
}

/// The version of the linked libpq. It is part of the crate's version, as in `0.3.14+libpq-18.6`.
fn libpq() -> Option<String> {
    let lock = fs::read_to_string("Cargo.lock").ok()?;
    let package = lock
        .split("[[package]]")
        .find(|package| package.contains("name = \"pq-src\""))?;
    let (_, version) = package.split_once("+libpq-")?;
    Some(version.split('"').next()?.to_owned())
}
