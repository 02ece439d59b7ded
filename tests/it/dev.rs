//! `blogctl dev`: what it creates, reuses and rejects, and how it ends; and the same system as three processes.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::support::{
    attacks::record,
    binary::{CommandOutput, Running, blogctl},
    dev::Dev,
    idp::{IdpControl, agent},
    web::{ALICE, BOB, Browser},
};

const ANY_PORTS: [&str; 6] = ["--idp-port", "0", "--api-port", "0", "--client-port", "0"];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// `blogctl dev` on free ports, as a command that ends.
fn dev(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = blogctl(folder);
    command.arg("dev").args(ANY_PORTS).args(arguments);
    command
}

/// Stops it like Ctrl-C, and returns all its output.
fn stop(dev: Dev) -> String {
    end_by(dev, "INT")
}

fn end_by(mut dev: Dev, signal: &str) -> String {
    // All servers run once the last line of the summary is printed.
    dev.running.wait_for("Ctrl-C");
    dev.running.signal(signal);
    let (status, output) = dev.running.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{output}");
    output
}

fn sign_in(browser: &Browser, client: &str, oid: &str) {
    let picker = browser.get(&format!("{client}/login?next=%2Fposts"));
    let page = browser.pick(&picker, oid);
    assert_eq!((page.status, page.url.path()), (200, "/posts"), "{}", page.text());
}

fn publish(browser: &Browser, client: &str, title: &str) {
    let form = browser.get(&format!("{client}/posts/new")).form("Publish");
    let page = browser.submit(&form.with("title", title).with("content", "Some words."));
    assert!(page.status == 200 && page.text().contains(title), "{}", page.text());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn the_first_start_creates_its_files_for_the_owner_only() {
    let folder = folder();
    let dev = Dev::start_in(folder.path(), &[]);
    let made = folder.path().join(".blogctl");
    assert_eq!(mode(&made), 0o700);
    assert_eq!(mode(&made.join("client.pem")), 0o600);
    assert_eq!(mode(&made.join("cookie.key")), 0o600);
    assert!(made.join("client-cert.pem").exists() && made.join("blog.db").exists());

    let status = |url: &str| Browser::new().get_once(url).status;
    assert_eq!(status(&dev.site("/")), 200);
    assert_eq!(status(&dev.api("/health/live")), 200);
    assert_eq!(status(&dev.api("/v1/posts")), 401);
    assert_eq!(status(&dev.idp("/common/v2.0/.well-known/openid-configuration")), 200);

    let output = stop(dev);
    for user in ["Alice Archer", "Bob Brandt", "Chiara Conti"] {
        assert!(output.contains(user), "{output}");
    }
    assert!(
        output.contains(&made.display().to_string()),
        "shows where the data are: {output}"
    );
    assert!(output.contains("Stopped"), "says good-bye: {output}");
    assert!(!output.contains('\u{1b}'), "no colour in a pipe: {output}");
}

#[test]
fn a_post_survives_a_restart_of_dev() {
    let folder = folder();
    let first = Dev::start_in(folder.path(), &[]);
    let browser = Browser::new();
    sign_in(&browser, &first.site(""), ALICE);
    publish(&browser, &first.site(""), "Written before the restart");
    stop(first);
    let key = fs::read(folder.path().join(".blogctl/client.pem")).expect("a key");
    let cookie_key = fs::read(folder.path().join(".blogctl/cookie.key")).expect("a key");

    let second = Dev::start_in(folder.path(), &[]);
    let browser = Browser::new();
    sign_in(&browser, &second.site(""), BOB);
    let posts = browser.get(&second.site("/posts")).text();
    assert!(posts.contains("Written before the restart"), "{posts}");
    assert_eq!(
        fs::read(folder.path().join(".blogctl/client.pem")).expect("a key"),
        key,
        "reused"
    );
    assert_eq!(
        fs::read(folder.path().join(".blogctl/cookie.key")).expect("a key"),
        cookie_key,
        "reused"
    );
    let output = stop(second);
    assert!(!output.contains("Made"), "nothing is made twice: {output}");
}

#[test]
fn the_first_start_has_sample_posts_by_the_users_who_can_sign_in() {
    let folder = folder();
    let dev = Dev::start_in(folder.path(), &[]);
    let browser = Browser::new();
    sign_in(&browser, &dev.site(""), ALICE);
    let posts = browser.get(&dev.site("/posts")).text();
    for author in ["Alice Archer", "Bob Brandt", "Chiara Conti"] {
        assert!(posts.contains(author), "{author} wrote something: {posts}");
    }
    assert!(posts.contains("Things to try"), "{posts}");
    assert!(
        posts.contains(&dev.api("/v1/posts")),
        "the address of the API is the real one: {posts}"
    );
    stop(dev);
}

#[test]
fn a_damaged_certificate_is_replaced() {
    let folder = folder();
    stop(Dev::start_in(folder.path(), &[]));
    fs::write(folder.path().join(".blogctl/client.pem"), "not a certificate").expect("written");
    let dev = Dev::start_in(folder.path(), &[]);
    sign_in(&Browser::new(), &dev.site(""), ALICE);
    assert!(stop(dev).contains("certificate"));
}

#[test]
fn fresh_deletes_only_what_it_lists() {
    let folder = folder();
    let made = folder.path().join(".blogctl");
    let first = Dev::start_in(folder.path(), &[]);
    let browser = Browser::new();
    sign_in(&browser, &first.site(""), ALICE);
    publish(&browser, &first.site(""), "Gone with the old");
    stop(first);
    let key = fs::read(made.join("client.pem")).expect("a key");
    let precious = folder.path().join("precious.txt");
    fs::write(&precious, "precious").expect("written");
    fs::write(made.join("notes.txt"), "mine").expect("written");
    fs::remove_file(made.join("cookie.key")).expect("removed");
    symlink(&precious, made.join("cookie.key")).expect("linked");

    let fresh = Dev::start_in(folder.path(), &["--fresh"]);
    let browser = Browser::new();
    sign_in(&browser, &fresh.site(""), ALICE);
    let posts = browser.get(&fresh.site("/posts")).text();
    assert!(!posts.contains("Gone with the old"), "{posts}");
    let output = stop(fresh);

    for name in ["client.pem", "client-cert.pem", "cookie.key", "blog.db"] {
        let named = made.join(name).display().to_string();
        assert!(
            output.lines().any(|line| line.trim() == named),
            "{named} is named: {output}"
        );
    }
    assert_ne!(fs::read(made.join("client.pem")).expect("a key"), key);
    assert_eq!(fs::read_to_string(&precious).expect("still there"), "precious");
    assert_eq!(fs::read_to_string(made.join("notes.txt")).expect("still there"), "mine");
}

#[test]
fn a_port_in_use_is_reported_with_its_flag_and_leaves_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    for flag in ["--idp-port", "--api-port", "--client-port"] {
        let folder = folder();
        // A repeated flag would be rejected, so this replaces the one of the table.
        let mut ports = ANY_PORTS;
        let place = ports.iter().position(|part| *part == flag).expect("a flag") + 1;
        ports[place] = &port;
        let output = CommandOutput::from_command(blogctl(folder.path()).arg("dev").args(ports));
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(1), ""),
            "{}",
            output.stderr
        );
        assert!(
            output.stderr.contains(&port) && output.stderr.contains(flag),
            "{}",
            output.stderr
        );
        assert_eq!(
            fs::read_dir(folder.path()).expect("a folder").count(),
            0,
            "nothing is left"
        );
    }
}

#[test]
fn a_second_dev_in_the_same_folder_is_rejected() {
    let folder = folder();
    let first = Dev::start_in(folder.path(), &[]);
    let second = CommandOutput::from_command(&mut dev(folder.path(), &[]));
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(
        second.stderr.contains("another blogctl dev") && second.stderr.contains("--data-dir"),
        "{}",
        second.stderr
    );
    stop(first);
}

#[test]
fn another_applications_folder_is_not_touched() {
    let folder = folder();
    let others = folder.path().join("others");
    fs::create_dir(&others).expect("made");
    fs::write(others.join("blog.db"), "precious").expect("written");
    for arguments in [&["--data-dir", "others"][..], &["--data-dir", "others", "--fresh"]] {
        let output = CommandOutput::from_command(&mut dev(folder.path(), arguments));
        assert_eq!(output.code, Some(1), "{}", output.stderr);
        assert!(output.stderr.contains("others"), "{}", output.stderr);
    }
    assert_eq!(
        fs::read_to_string(others.join("blog.db")).expect("still there"),
        "precious"
    );
    assert_eq!(fs::read_dir(&others).expect("a folder").count(), 1);
}

#[test]
fn it_stops_cleanly_on_sigterm() {
    let folder = folder();
    let output = end_by(Dev::start_in(folder.path(), &[]), "TERM");
    assert!(output.contains("Stopped"), "{output}");
}

#[test]
fn settings_for_a_real_tenant_are_ignored() {
    let folder = folder();
    let real = "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f";
    let settings = format!(
        "[entra]\ntenant_id = \"{real}\"\n[client]\nclient_id = \"{real}\"\napi_base_url = \"https://api.example\"\n\
         [database]\nurl = \"postgres://db.example/blog\"\n[server]\nno_such_setting = 1"
    );
    fs::write(folder.path().join("blog.toml"), settings).expect("written");
    let mut command = dev(folder.path(), &["--print-env"]);
    let printed =
        CommandOutput::from_command(command.env("TENANT_ID", "not even a GUID").env("CLIENT_ID", real)).stdout;
    assert!(
        printed.contains("BLOG_ENTRA__AUTHORITY_HOST=http://localhost:"),
        "{printed}"
    );
    for harmful in [real, "not even", "api.example", "db.example"] {
        assert!(!printed.contains(harmful), "{harmful} in {printed}");
    }
}

#[test]
fn configured_users_can_sign_in() {
    let folder = folder();
    let oid = "5eed0000-0000-4000-8000-000000000007";
    let settings = format!("[[idp.users]]\noid = \"{oid}\"\nname = \"Zoe Zimmer\"\nemail = \"zoe@contoso.example\"");
    fs::write(folder.path().join("blog.toml"), settings).expect("written");
    let dev = Dev::start_in(folder.path(), &[]);
    sign_in(&Browser::new(), &dev.site(""), oid);
    let output = stop(dev);
    assert!(output.contains("Zoe Zimmer") && !output.contains("Alice"), "{output}");
}

#[test]
fn an_invalid_setting_is_reported() {
    let output = CommandOutput::from_command(&mut dev(folder().path(), &["--set", "log.level=loud"]));
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("log.level"), "{}", output.stderr);
}

#[test]
fn three_processes_with_the_printed_settings_are_the_same_system() {
    // A quote and a space in the path: the printed lines must work in a shell.
    let outer = folder();
    let folder: PathBuf = outer.path().join("it's a folder");
    fs::create_dir(&folder).expect("made");
    let printed = CommandOutput::from_command(&mut dev(&folder, &["--print-env"]));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let env_file = outer.path().join("dev.env");
    fs::write(&env_file, &printed.stdout).expect("written");
    let role = |role: &str| {
        let mut command = Command::new("sh");
        let script = "set -a; . \"$0\"; exec \"$1\" \"$2\"";
        command
            .args(["-c", script])
            .arg(&env_file)
            .arg(env!("CARGO_BIN_EXE_blogctl"))
            .arg(role)
            .current_dir(&folder);
        Running::start(&mut command)
    };

    let mut processes = ["serve-idp", "serve-api", "serve-client"].map(role);
    let urls = processes
        .each_mut()
        .map(|process| process.url_after("listening on http"));
    let client = urls[2].replace("127.0.0.1", "localhost");
    let browser = Browser::new();
    sign_in(&browser, &client, ALICE);
    publish(&browser, &client, "By three processes");

    for process in processes {
        process.signal("TERM");
        let (status, output) = process.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{output}");
    }
    let together = Dev::start_in(&folder, &[]);
    let browser = Browser::new();
    sign_in(&browser, &together.site(""), ALICE);
    let posts = browser.get(&together.site("/posts")).text();
    assert!(posts.contains("By three processes"), "the same database: {posts}");
    stop(together);
}

#[test]
fn the_settings_of_a_running_system_can_be_printed() {
    let folder = folder();
    let running = Dev::start_in(folder.path(), &[]);
    let printed = CommandOutput::from_command(&mut dev(folder.path(), &["--print-env"]));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let cookie_key = fs::read_to_string(folder.path().join(".blogctl/cookie.key")).expect("a key");
    assert!(printed.stdout.contains(cookie_key.trim()), "{}", printed.stdout);
    stop(running);
}

#[test]
fn with_a_key_vault_the_site_signs_in_without_having_the_key() {
    let folder = folder();
    let mut running = Running::start(&mut dev(
        folder.path(),
        &["--credential", "key-vault", "--vault-port", "0"],
    ));
    let site = running.url_after("Web site");
    let vault = running.url_after("Key vault");
    sign_in(&Browser::new(), site.trim_end_matches('/'), ALICE);

    let agent = agent();
    let get = |path: &str, name: &str, value: &str| {
        let mut answer = agent
            .get(format!("{}{path}", vault.trim_end_matches('/')))
            .header(name, value)
            .call()
            .expect("an answer");
        let body: serde_json::Value = answer.body_mut().read_json().expect("JSON");
        (answer.status().as_u16(), body)
    };
    let token_path = format!("/metadata/identity/oauth2/token?api-version=2018-02-01&resource={vault}");
    let (status, _) = get(&token_path, "Accept", "*/*");
    assert_eq!(status, 400, "what a page of a browser can send gets no token");
    let (_, token) = get(&token_path, "Metadata", "true");
    let bearer = format!("Bearer {}", token["access_token"].as_str().expect("a token"));
    assert_eq!(
        get("/certificates/blog-site?api-version=7.4", "Authorization", "Bearer x").0,
        401
    );
    let (status, found) = get("/certificates/blog-site?api-version=7.4", "Authorization", &bearer);
    assert_eq!(status, 200, "{found}");
    let secret = found["sid"]
        .as_str()
        .expect("an address")
        .rsplit('/')
        .next()
        .expect("a version")
        .to_owned();
    let (status, rejection) = get(
        &format!("/secrets/blog-site/{secret}?api-version=7.4"),
        "Authorization",
        &bearer,
    );
    assert_eq!(
        (status, &rejection["error"]["code"]),
        (403, &serde_json::json!("Forbidden")),
        "the key stays there"
    );
    assert_eq!(
        get("/certificates/other?api-version=7.4", "Authorization", &bearer).0,
        404
    );
    assert_eq!(
        get("/certificates/blog-site?api-version=7.0", "Authorization", &bearer).0,
        400
    );
}

#[test]
fn web_pages_and_foreign_host_names_cannot_use_the_vault() {
    let folder = folder();
    let mut running = Running::start(&mut dev(
        folder.path(),
        &["--credential", "key-vault", "--vault-port", "0"],
    ));
    let vault = running.url_after("Key vault");
    let vault = vault.trim_end_matches('/');
    let agent = agent();
    let paths = [
        format!("/metadata/identity/oauth2/token?api-version=2018-02-01&resource={vault}"),
        "/certificates/blog-site?api-version=7.4".to_owned(),
        "/secrets/blog-site/1?api-version=7.4".to_owned(),
        "/nowhere".to_owned(),
    ];
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", vault),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
        ("Host", "evil.example"),
        ("Host", "localhost.evil.example:9001"),
        ("Host", "169.254.169.254"),
    ] {
        for path in &paths {
            let url = format!("{vault}{path}");
            let get = agent
                .get(&url)
                .header("Metadata", "true")
                .header(name, value)
                .call()
                .expect("an answer");
            let post = agent
                .post(&url)
                .header("Metadata", "true")
                .header(name, value)
                .send("{}")
                .expect("an answer");
            let rejected = [get.status().as_u16(), post.status().as_u16()] == [403, 403];
            record("key vault emulator", &format!("{name}: {value} {path}"), rejected);
            assert!(
                rejected,
                "{name}: {value} at {path}: {} and {}",
                get.status(),
                post.status()
            );
        }
    }
    let good = agent
        .get(format!("{vault}{}", paths[0]))
        .header("Metadata", "true")
        .call()
        .expect("an answer");
    assert_eq!(good.status(), 200);
}

#[test]
fn two_restarts_keep_the_signing_keys_tokens_and_sign_ins() {
    let folder = folder();
    let kids = || {
        let dev = Dev::start_in(folder.path(), &[]);
        let kids = IdpControl::at(&dev.idp("")).kids();
        stop(dev);
        kids
    };
    let first = kids();
    assert_eq!([kids(), kids()], [first.clone(), first.clone()]);
    assert_eq!(mode(&folder.path().join(".blogctl/idp-signing-keys.json")), 0o600);
    let dev = Dev::start_in(folder.path(), &["--fresh"]);
    assert_ne!(IdpControl::at(&dev.idp("")).kids(), first, "--fresh starts over");
}
