//! `blogctl doctor`: the real binary, on systems that are well and on ten that are not. Each report is a snapshot, to be
//! read as somebody reads it whose site is down.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use actix_web::{HttpResponse, web::Bytes};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use blogctl::{
    config::{DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID, Settings},
    db::Database,
};
use diesel::{Connection as _, PgConnection, RunQueryDsl as _, SqliteConnection, connection::SimpleConnection as _};
use futures_util::stream;
use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use crate::support::{
    azure::{PlayedAzure, registered},
    binary::{Ended, blogctl},
    certificates::{TestCertificate, file, key_pem, pem},
    database::each_database,
    dev::Dev,
    entra::{keys, wait_until},
    idp::{IdpControl, TokenBuilder, agent},
    system::TestSystem,
    web::PlayedApi,
};

/// Random, and searched for in every report.
const COOKIE_KEY: &str = "Zk3vQ9rT1xWb7LdMnc5HyEuP0sGaJ6fRoi8KXtVBw2Cq";

/// A running system, and a folder with its settings in `blog.toml`.
struct Patient {
    system: TestSystem,
    folder: TempDir,
}

impl Patient {
    fn new() -> Self {
        let patient = Self {
            system: TestSystem::start(),
            folder: tempfile::tempdir().expect("a folder"),
        };
        let Settings {
            entra,
            client,
            api,
            database,
            ..
        } = &patient.system.settings;
        let authority = entra
            .authority_host
            .as_ref()
            .expect("set")
            .as_str()
            .trim_end_matches('/');
        let cert = client.certificate.path.as_ref().expect("set").display();
        let text = format!(
            "[server]\nenvironment = \"development\"\n[entra]\ntenant_id = \"{}\"\nauthority_host = \"{authority}\"\n\
             [client]\nport = {}\nclient_id = \"{}\"\ncert_path = \"{cert}\"\napi_scope = \"{}\"\napi_base_url = \"{}\"\n\
             cookie_key = \"{COOKIE_KEY}\"\n[api]\nport = {}\napp_id_uri = \"{}\"\n[database]\nurl = \"{}\"\n",
            entra.tenant_id,
            client.port,
            client.client_id,
            client.api_scope,
            client.api_base_url,
            api.port,
            api.app_id_uri,
            database.url,
        );
        fs::write(patient.folder.path().join("blog.toml"), text).expect("written");
        // It fetches the signing keys beside its start; until then it says that it is not ready.
        let health = patient.system.api.url("/health/ready");
        wait_until("the API is ready", || {
            agent().get(&health).call().is_ok_and(|answer| answer.status() == 200)
        });
        patient
    }

    /// This list in place of the one certificate.
    fn has_credentials(&self, list: &str) {
        let path = self.folder.path().join("blog.toml");
        let text = fs::read_to_string(&path).expect("there");
        let without: String = text
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("cert_path"))
            .collect();
        fs::write(path, without + list).expect("written");
    }

    fn control(&self) -> IdpControl {
        IdpControl::of(&self.system.idp)
    }

    /// The report with these settings changed.
    fn doctor(&self, changes: &[&str]) -> Ended {
        let set = changes.iter().flat_map(|change| ["--set", change]);
        let arguments: Vec<&str> = ["doctor"].into_iter().chain(set).collect();
        let ended = Ended::of(self.folder.path(), &arguments);
        assert_no_secret(&ended);
        ended
    }

    /// The report without what differs from run to run.
    fn report(&self, changes: &[&str]) -> String {
        self.shown(&self.doctor(changes))
    }

    fn shown(&self, ended: &Ended) -> String {
        let mut text = format!(
            "exit code {}\n{}",
            ended.code.expect("it ended by itself"),
            ended.stdout
        );
        let settings = &self.system.settings;
        for (port, name) in [
            (self.system.idp.port, "IDP"),
            (settings.api.port, "API"),
            (settings.client.port, "SITE"),
        ] {
            text = text
                .replace(&format!(":{port}"), &format!(":{name}"))
                .replace(&format!("port {port}"), name);
        }
        for (folder, name) in [(self.system.folder.path(), "SYSTEM"), (self.folder.path(), "HERE")] {
            text = text.replace(&folder.display().to_string(), name);
        }
        without_times_and_thumbprints(&text)
    }
}

/// No key, no cookie key, no token: whatever is wrong.
fn assert_no_secret(ended: &Ended) {
    for text in [&ended.stdout, &ended.stderr] {
        for secret in [COOKIE_KEY, "BEGIN PRIVATE", "BEGIN ENCRYPTED", "eyJ"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

fn without_times_and_thumbprints(text: &str) -> String {
    let is_date = |word: &str| word.len() == 10 && word.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let is_thumbprint = |word: &str| word.len() == 40 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut shown = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let rest = &word[bare.len()..];
        shown.push_str(if is_date(bare) {
            "DATE"
        } else if is_thumbprint(bare) {
            "THUMBPRINT"
        } else {
            bare
        });
        shown.push_str(rest);
    }
    shown
}

#[test]
fn a_system_that_is_well_gets_a_clean_bill() {
    let patient = Patient::new();
    insta::assert_snapshot!("doctor_well", patient.report(&[]));
}

#[test]
fn what_dev_runs_is_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = Dev::start_in(folder.path(), &[]);
    let port = |url: String| url.rsplit(':').next().expect("a port").to_owned();
    let (idp, api, site) = (port(dev.idp("")), port(dev.api("")), port(dev.site("")));
    let printed = Ended::of(
        folder.path(),
        &[
            "dev",
            "--print-env",
            "--idp-port",
            &idp,
            "--api-port",
            &api,
            "--client-port",
            &site,
        ],
    );
    let mut command = blogctl(folder.path());
    for line in printed.stdout.lines() {
        let (name, value) = line.split_once('=').expect("NAME=value");
        command.env(name, value.trim_matches('\''));
    }
    let ended = Ended::of_command(command.args(["doctor", "--json"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["status"], "ok", "{report:#}");
    let checks = report["checks"].as_array().expect("checks");
    assert!(
        checks.len() >= 11 && checks.iter().all(|check| check["status"] == "ok"),
        "{report:#}"
    );
}

#[test]
fn nothing_is_set() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = Ended::of(
        folder.path(),
        &["doctor", "--set", "client.api_base_url=http://localhost:9"],
    );
    assert_eq!(ended.code, Some(1), "{ended:?}");
    insta::assert_snapshot!(
        "doctor_nothing_is_set",
        ended.stdout.replace(&folder.path().display().to_string(), "HERE")
    );
    assert!(!folder.path().join("blog.db").exists(), "a check makes no file");
}

#[test]
fn settings_are_mistyped() {
    let patient = Patient::new();
    let report = patient.report(&["client.port=fifty", "client.cokie_key=x", "entra.tenant_id=contoso"]);
    insta::assert_snapshot!("doctor_settings_are_mistyped", report);
}

#[test]
fn the_certificate_has_expired() {
    let patient = Patient::new();
    let key = &keys()[0].key;
    let expired = TestCertificate {
        valid: (-40, -3),
        ..TestCertificate::new("site", key)
    }
    .make();
    file(patient.folder.path(), "expired.pem", &[&key_pem(key), &pem(&expired)]);
    insta::assert_snapshot!(
        "doctor_certificate_expired",
        patient.report(&["client.cert_path=expired.pem"])
    );
}

#[test]
fn the_key_is_of_another_certificate() {
    let patient = Patient::new();
    let certificate = TestCertificate::new("site", &keys()[0].key).make();
    file(
        patient.folder.path(),
        "mixed.pem",
        &[&key_pem(&keys()[1].key), &pem(&certificate)],
    );
    insta::assert_snapshot!(
        "doctor_key_of_another_certificate",
        patient.report(&["client.cert_path=mixed.pem"])
    );
}

#[test]
fn the_certificate_is_not_uploaded() {
    let patient = Patient::new();
    patient.control().remove_certificates(DEV_CLIENT_ID);
    insta::assert_snapshot!("doctor_certificate_not_uploaded", patient.report(&[]));
}

#[test]
fn the_client_id_is_of_nobody() {
    let patient = Patient::new();
    let report = patient.report(&["client.client_id=00000000-1111-4222-8333-444444444444"]);
    insta::assert_snapshot!("doctor_client_id_of_nobody", report);
}

#[test]
fn the_authority_is_out_of_reach() {
    let patient = Patient::new();
    let report = patient.report(&["entra.authority_host=http://localhost:9"]);
    insta::assert_snapshot!("doctor_authority_out_of_reach", report);
}

#[test]
fn the_tenant_does_not_exist() {
    let patient = Patient::new();
    let report = patient.report(&["entra.tenant_id=99999999-2222-4333-8444-555555555555"]);
    insta::assert_snapshot!("doctor_tenant_does_not_exist", report);
}

#[test]
fn the_site_asks_for_another_api() {
    let patient = Patient::new();
    let report = patient.report(&["client.api_scope=api://a9100000-0000-4000-8000-000000008999/access_as_user"]);
    insta::assert_snapshot!("doctor_another_api", report);
}

#[test]
fn the_api_is_not_there_and_its_database_neither() {
    let patient = Patient::new();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = nobody.local_addr().expect("bound").port();
    drop(nobody);
    let api = format!("client.api_base_url=http://localhost:{port}");
    let report = patient
        .report(&[&api, "database.url=missing/blog.db"])
        .replace(&format!(":{port}"), ":NOBODY");
    insta::assert_snapshot!("doctor_api_not_there", report);
}

#[test]
fn it_is_meant_for_production_but_is_not_ready_for_it() {
    let patient = Patient::new();
    let folder = patient.folder.path();
    let text = fs::read_to_string(folder.join("blog.toml")).expect("settings");
    fs::write(
        folder.join("blog.toml"),
        text.replace(COOKIE_KEY, &"change-me ".repeat(4)),
    )
    .expect("written");
    let report = patient.report(&[
        "server.environment=production",
        "client.redirect_uri=http://localhost:5123/getAToken",
        "database.migrate_at_start=false",
        "database.url=new.db",
    ]);
    insta::assert_snapshot!("doctor_not_ready_for_production", report);
    assert!(!folder.join("new.db").exists(), "a check makes no file");
}

#[test]
fn identity_provider_down_is_told_within_the_time_allowed() {
    let patient = Patient::new();
    patient.control().slow(std::time::Duration::from_secs(30));
    let ended = Ended::of(
        patient.folder.path(),
        &["doctor", "--timeout", "1", "--role", "api", "--json"],
    );
    patient.control().heal();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let discovery = report["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .find(|check| check["check"] == "discovery");
    let discovery = discovery.expect("the check");
    assert_eq!(discovery["status"], "failed", "{report:#}");
    assert!(
        discovery["remedy"].as_str().expect("text").contains("firewall"),
        "{report:#}"
    );
}

/// The lines of one check.
fn of(report: &str, title: &str) -> String {
    let mut is_of_it = false;
    let lines = report.lines().filter(|line| {
        if !line.starts_with("   ") {
            is_of_it = line.contains(title);
        }
        is_of_it
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_answers_in_place_of_the_api_is_told_apart() {
    let patient = Patient::new();
    let with_api_at = |url: &str| of(&patient.report(&[&format!("client.api_base_url={url}")]), " API ");
    let site = with_api_at(&patient.system.web.url(""));
    assert!(
        site.contains('✗') && site.contains("is not blogctl's API; it may be the web site"),
        "{site}"
    );
    let tls = with_api_at(&patient.system.api.url("").replace("http:", "https:"));
    assert!(tls.contains("write http:// in client.api_base_url"), "{tls}");
    let default = patient.report(&[&format!("client.api_scope=api://{DEV_API_ID}/.default")]);
    assert!(
        of(&default, " API ").contains("it takes tokens of this issuer"),
        "{default}"
    );
    let other = patient.report(&["client.api_scope=api://other/.default"]);
    assert!(
        of(&other, " API ").contains("the scope api://other/.default"),
        "{other}"
    );

    let page = PlayedApi::start(|_| HttpResponse::Ok().body("<html>Welcome</html>"));
    for arguments in [
        [
            "--set",
            &format!("client.api_base_url={}", page.url()),
            "--role",
            "client",
        ],
        [
            "--set",
            &format!("api.port={}", page.url().port().expect("set")),
            "--role",
            "api",
        ],
    ] {
        let ended = Ended::of(patient.folder.path(), &[&["doctor"][..], &arguments].concat());
        let told = of(&ended.stdout, " API ");
        assert!(ended.code == Some(1) && told.starts_with('✗'), "{told}");
        assert!(told.contains("is not blogctl's API") && !told.contains('✓'), "{told}");
        let setting = if arguments[3] == "api" {
            "api.port"
        } else {
            "client.api_base_url"
        };
        assert!(told.contains(setting), "{told}");
    }
    let endless = PlayedApi::start(|_| {
        let part = || Ok::<_, actix_web::Error>(Bytes::from_static(&[b'x'; 4096]));
        HttpResponse::Ok().streaming(stream::repeat_with(part))
    });
    let port = format!("api.port={}", endless.url().port().expect("set"));
    let ended = Ended::of(patient.folder.path(), &["doctor", "--role", "api", "--set", &port]);
    let told = of(&ended.stdout, " API ");
    assert!(ended.code == Some(1) && told.starts_with('✗'), "{told}");
    assert!(
        told.contains("did not come to its end") && told.contains("api.port"),
        "{told}"
    );

    let ended = patient.doctor(&["entra.ca_file=missing.pem"]);
    let told = of(&ended.stdout, " API ");
    assert!(
        told.contains("missing.pem") && told.contains("correct entra.ca_file"),
        "never asked: {told}"
    );
    assert!(!told.contains("does not answer"), "{told}");
}

#[test]
fn settings_of_site_and_api_that_contradict_each_other_are_told_also_while_the_api_is_down() {
    let patient = Patient::new();
    for change in [
        "api.required_scope=other",
        "api.app_id_uri=api://99999999-1111-4222-8333-444444444444",
        "client.api_scope=api://99999999-1111-4222-8333-444444444444/.default",
    ] {
        let ended = patient.doctor(&[change, "client.api_base_url=http://localhost:9"]);
        let told = of(&ended.stdout, " API ");
        assert!(
            told.contains("✗ API") && told.contains("the site asks for tokens that this API would refuse"),
            "{told}"
        );
    }
    let ended = Ended::of(
        patient.folder.path(),
        &["doctor", "--role", "client", "--set", "api.required_scope=other"],
    );
    assert_eq!(
        ended.code,
        Some(0),
        "the API's settings may be of another machine: {ended:?}"
    );

    let client_id = |id: &str| of(&patient.report(&[&format!("api.client_id={id}")]), " API ");
    let other = client_id("99999999-1111-4222-8333-444444444444");
    assert!(
        other.contains("! API") && other.contains("and api.client_id is 99999999-1111"),
        "{other}"
    );
    assert!(!client_id(DEV_API_ID).contains("! API"));
}

#[test]
fn a_key_that_everybody_may_read_is_told() {
    let patient = Patient::new();
    let path = patient.system.settings.client.certificate.path.clone().expect("set");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a mode");
    let ended = patient.doctor(&[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = of(&ended.stdout, " Certificate ");
    assert!(
        told.contains("! Certificate") && told.contains(&format!("chmod 600 {}", path.display())),
        "{told}"
    );

    // Everybody may read a certificate; its key is elsewhere.
    let both = fs::read_to_string(&path).expect("there");
    let (key, public) = split_pem(&both);
    let alone = patient.folder.path().join("public.pem");
    fs::write(&alone, public).expect("written");
    fs::set_permissions(&alone, Permissions::from_mode(0o644)).expect("a mode");
    let cert = format!("client.cert_path={}", alone.display());
    let told = of(
        &patient.report(&[&cert, &format!("client.key_base64={}", STANDARD.encode(key))]),
        " Certificate ",
    );
    assert!(told.contains('✓') && !told.contains('!'), "{told}");
}

/// The private key of a PEM text, and the rest of it.
fn split_pem(both: &str) -> (String, String) {
    let parts: Vec<_> = both.split_inclusive("-----\n").collect();
    let blocks = parts.chunks(2).map(<[&str]>::concat);
    let (keys, rest): (Vec<_>, Vec<_>) = blocks.partition(|block| block.contains("PRIVATE KEY"));
    (keys.concat(), rest.concat())
}

#[test]
fn nothing_is_left_behind() {
    let patient = Patient::new();
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("database.url={}", folder.path().join("blog.db").display());
    let migrated = Ended::of(folder.path(), &["migrate", "run", "--set", &database]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let cache = format!("entra.keys_cache_file={}", folder.path().join("keys.json").display());
    let files = || {
        let names = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name());
        names.collect::<BTreeSet<_>>()
    };
    let before = files();
    let ended = patient.doctor(&[&database, &cache]);
    assert!(
        of(&ended.stdout, " Database ").contains("has every migration"),
        "{ended:?}"
    );
    let token = patient.control().token().mint();
    let explained = folder.path().join("token.txt");
    fs::write(&explained, token).expect("written");
    Ended::of(
        patient.folder.path(),
        &["doctor", "--token", &explained.display().to_string(), "--set", &cache],
    );
    fs::remove_file(explained).expect("there");
    assert_eq!(files(), before);
}

#[test]
fn one_vault_that_hangs_holds_up_no_other_entry() {
    let azure = PlayedAzure::start();
    azure.put("blog-site", registered(false, false));
    let patient = Patient::new();
    let own = patient.system.settings.client.certificate.path.clone().expect("set");
    patient.has_credentials(&format!(
        "[[client.credential]]\nsource = \"key_vault_sign\"\nvault_url = \"{0}\"\ncertificate = \"blog-site\"\n\
         [[client.credential]]\nsource = \"file\"\ncert_path = \"{1}\"\n\
         [azure]\nimds_url = \"{0}\"\nidentity = \"managed\"\n",
        azure.server.url(""),
        own.display()
    ));
    azure.be_slow(Duration::from_mins(10));
    let ended = Ended::of(patient.folder.path(), &["doctor", "--timeout", "2"]);
    let told = of(&ended.stdout, " Certificate ");
    assert!(
        ended.code == Some(0) && told.contains("! Certificate") && told.contains("✓ Certificate"),
        "{ended:?}"
    );
    assert_eq!(azure.asked("/certificates/").len(), 1, "once for all checks");
    assert!(
        of(&ended.stdout, " Client assertion ").contains("is accepted"),
        "{ended:?}"
    );
}

#[test]
fn a_database_file_that_cannot_be_is_told_apart_from_one_that_is_not_there_yet() {
    let patient = Patient::new();
    let folder = patient.folder.path();
    let database = |file: &str| {
        of(
            &patient.report(&[&format!("database.url={}", folder.join(file).display())]),
            " Database ",
        )
    };
    assert!(database("new.db").contains("serve-api makes it when it starts"));
    let nowhere = database("missing/new.db");
    assert!(
        nowhere.starts_with('✗') && nowhere.contains("there is no folder HERE/missing"),
        "{nowhere}"
    );
    fs::write(
        folder.join("text.db"),
        "this is no database, whatever it is called; it is long enough to be looked at",
    )
    .expect("written");
    assert!(nowhere.contains("make the folder"), "{nowhere}");
    let text = database("text.db");
    assert!(
        text.starts_with('✗') && text.contains("that it is a database"),
        "{text}"
    );
    symlink(folder.join("nowhere/blog.db"), folder.join("link.db")).expect("a link");
    let link = database("link.db");
    assert!(
        link.starts_with('✗') && link.contains("there is no folder HERE/nowhere"),
        "{link}"
    );
    fs::create_dir(folder.join("nowhere")).expect("made");
    assert!(
        database("link.db").contains("serve-api makes it when it starts"),
        "SQLite makes what the link leads to"
    );
    symlink("circle.db", folder.join("circle.db")).expect("a link");
    let circle = database("circle.db");
    assert!(
        circle.starts_with('✗') && circle.contains("leads in a circle"),
        "{circle}"
    );
}

#[test]
fn what_is_in_the_log_of_a_running_database_counts_also_behind_a_link() {
    let patient = Patient::new();
    let folder = patient.folder.path();
    let database = |name: &str| format!("database.url={}", folder.join(name).display());
    let migrated = Ended::of(folder, &["migrate", "run", "--set", &database("real.db")]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    fs::create_dir(folder.join("links")).expect("made");
    symlink("../real.db", folder.join("links/blog.db")).expect("a link");
    let path = folder.join("real.db");
    let mut running = SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("opens");
    let newest = "(SELECT max(version) FROM __diesel_schema_migrations)";
    let forget = format!("DELETE FROM __diesel_schema_migrations WHERE version = {newest}");
    diesel::sql_query(forget).execute(&mut running).expect("deleted");
    for name in ["real.db", "links/blog.db"] {
        let told = of(&patient.report(&[&database(name)]), " Database ");
        assert!(told.contains("lacks 1 of"), "{name}: {told}");
    }
}

#[test]
fn a_folder_in_which_no_database_can_be_made_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("made");
    let program = folder.path().join("blogctl");
    // By another process: one that this process writes cannot be run while a test beside this one is starting a process.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_blogctl"))
        .arg(&program)
        .status()
        .expect("it runs");
    assert!(copied.success());
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    mode(folder.path(), 0o755);
    let database = |name: &str| {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .current_dir(folder.path())
            .args(["doctor", "--role", "api"]);
        command.env("BLOG_DATABASE__URL", data.join(name).display().to_string());
        if fs::metadata("/proc/self").expect("this process").uid() == 0 {
            // Nothing is forbidden to root.
            command.uid(65_534).gid(65_534);
        }
        of(&Ended::of_command(&mut command).stdout, " Database ")
    };
    fs::write(data.join("there.db"), "").expect("written");
    mode(&data.join("there.db"), 0o666);
    mode(&data, 0o555);
    for name in ["new.db", "there.db"] {
        let told = database(name);
        let expected = format!(
            "no file can be made in the folder {}: Permission denied",
            data.display()
        );
        assert!(told.starts_with('✗') && told.contains(&expected), "{told}");
        assert!(told.contains("may read and write the file and its folder"), "{told}");
    }
    fs::create_dir(data.join("inner"))
        .or_else(|_| {
            mode(&data, 0o755);
            fs::create_dir(data.join("inner"))
        })
        .expect("made");
    mode(&data, 0o600);
    let told = database("inner/new.db");
    let expected = format!(
        "the folder {} is out of reach: Permission denied",
        data.join("inner").display()
    );
    assert!(
        told.starts_with('✗') && told.contains(&expected) && !told.contains("make the folder"),
        "{told}"
    );
    mode(&data, 0o777);
    assert!(database("new.db").starts_with('✓'), "{}", database("new.db"));
}

#[test]
fn a_postgres_that_takes_no_writes_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    each_database(|settings| {
        let Ok(mut url) = Url::parse(&settings.url) else { return };
        Database::open(settings).expect("opens").migrate().expect("migrates");
        let database = |url: &Url| {
            let mut command = blogctl(folder.path());
            let ended = Ended::of_command(
                command
                    .env("DATABASE_URL", url.as_str())
                    .args(["doctor", "--role", "api"]),
            );
            of(&ended.stdout, " Database ")
        };
        assert!(database(&url).starts_with('✓'), "{}", database(&url));
        let mut read_only = url.clone();
        read_only.set_query(Some("options=-c%20default_transaction_read_only%3Don"));
        let told = database(&read_only);
        assert!(
            told.starts_with('✗') && told.contains("its transactions are read-only"),
            "{told}"
        );

        let mut admin = PgConnection::establish(&settings.url).expect("the server");
        let role = format!("reader_of{}", url.path().replace('/', "_"));
        for statement in [
            format!("CREATE ROLE {role} LOGIN PASSWORD 'reads'"),
            format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
        ] {
            diesel::sql_query(statement).execute(&mut admin).expect("done");
        }
        url.set_username(&role)
            .and_then(|()| url.set_password(Some("reads")))
            .expect("a user");
        let told = database(&url);
        let dropped = format!("DROP OWNED BY {role}; DROP ROLE {role}");
        admin.batch_execute(&dropped).expect("dropped");
        assert!(
            told.starts_with('✗') && told.contains("may not read and write all of blog_posts"),
            "{told}"
        );
        assert!(told.contains("name_tokens"), "{told}");
    });
}

#[test]
fn a_clock_that_differs_from_the_authoritys_is_told_with_its_direction() {
    let patient = Patient::new();
    let clock = || of(&patient.report(&[]), " Clock ");
    patient.control().advance_clock(Duration::from_secs(20));
    let slow = clock();
    assert!(slow.starts_with('!') && slow.contains("behind"), "{slow}");
    patient.control().advance_clock(Duration::from_mins(10));
    let far = clock();
    assert!(far.starts_with('✗') && far.contains("behind"), "{far}");
}

#[test]
fn an_api_that_is_not_ready_says_why() {
    let patient = Patient::new();
    let api = PlayedApi::start(|seen| {
        if seen.path == "/health/ready" {
            let checks = serde_json::json!({ "database": "unavailable", "signing_keys": "ok" });
            return HttpResponse::ServiceUnavailable().json(serde_json::json!({ "checks": checks }));
        }
        HttpResponse::Ok().json(serde_json::json!({}))
    });
    let report = patient.report(&[&format!("client.api_base_url={}", api.url())]);
    assert!(report.contains("is not ready: database\n"), "{report}");
}

#[test]
fn sessions_in_redis_are_tried() {
    let Some(mut redis) = crate::support::redis::RedisServer::start() else {
        return;
    };
    let patient = Patient::new();
    let sessions = |url: &str| {
        let ended = patient.doctor(&[&format!("redis.url={url}")]);
        assert!(!ended.stdout.contains("hunter"), "no password: {}", ended.stdout);
        (ended.code, of(&ended.stdout, " Sessions "))
    };
    let (code, well) = sessions(&redis.url());
    assert_eq!(code, Some(0), "{well}");
    assert!(
        well.contains("✓ Sessions") && well.contains("in Redis 7") || well.contains("in Redis "),
        "{well}"
    );
    let left: Vec<String> = redis::Commands::keys(&mut redis.connection(), "*").expect("keys");
    assert_eq!(left, Vec::<String>::new(), "nothing is left behind");
    let (code, wrong) = sessions(&redis.url().replace("hunter2", "hunter3"));
    assert!(code == Some(1) && wrong.contains("✗ Sessions"), "{wrong}");
    assert!(wrong.contains("correct user and password in redis.url"), "{wrong}");
    let (_, tls) = sessions(&redis.url().replacen("redis://", "rediss://", 1));
    assert!(tls.contains("is silent to rediss://"), "{tls}");
    let url = redis.url();
    redis.stop();
    let (code, away) = sessions(&url);
    assert!(
        code == Some(1) && away.contains("start it, or correct host and port in redis.url"),
        "{away}"
    );
    let (_, plain) = sessions("redis://redis.invalid:1");
    assert!(plain.contains("set redis.url to a rediss:// address"), "{plain}");
}

#[test]
fn a_cookie_key_that_the_site_takes_in_development_is_no_failure() {
    let patient = Patient::new();
    let weak = "a".repeat(40);
    let (development, production) = ("server.environment=development", "server.environment=production");
    let key = format!("client.cookie_key={weak}");
    let told = of(&patient.report(&[&key, development]), "Cookie key");
    assert!(
        told.starts_with('!') && told.contains("replace it") && told.contains("people sign in again"),
        "{told}"
    );
    assert!(
        !told.contains("in a list"),
        "beside a new key the old one is as weak as before: {told}"
    );
    let words = "client.cookie_key=correct horse battery staple correct horse";
    let told = of(&patient.report(&[words, development]), "Cookie key");
    assert!(
        told.starts_with('!') && told.contains("made of words") && !told.contains("horse"),
        "{told}"
    );
    assert!(
        patient.report(&[&key, production]).contains("client.cookie_key"),
        "refused with the settings"
    );
}

#[test]
fn each_entry_of_a_list_is_checked_and_one_that_is_accepted_is_enough() {
    let patient = Patient::new();
    let own = patient.system.settings.client.certificate.path.clone().expect("set");
    let folder = patient.folder.path();
    let key = crate::support::entra::rsa_key(2048);
    let stranger = pem(&TestCertificate::new("stranger", &key).make());
    file(folder, "stranger.pem", &[&stranger, &key_pem(&key)]);
    patient.has_credentials(&format!(
        "[[client.credential]]\nsource = \"file\"\ncert_path = \"stranger.pem\"\n[[client.credential]]\n\
         source = \"file\"\ncert_path = \"{}\"\n[[client.credential]]\nsource = \"workload_identity\"\n\
         token_file = \"missing\"\n",
        own.display()
    ));
    insta::assert_snapshot!("doctor_list_of_credentials", patient.report(&[]));
}

#[test]
fn entries_do_not_wait_for_each_other_while_entra_is_slow() {
    let patient = Patient::new();
    let own = patient.system.settings.client.certificate.path.clone().expect("set");
    let entry = format!(
        "[[client.credential]]\nsource = \"file\"\ncert_path = \"{}\"\n",
        own.display()
    );
    patient.has_credentials(&entry.repeat(5));
    patient.control().slow(Duration::from_millis(1200));
    let ended = Ended::of(patient.folder.path(), &["doctor", "--timeout", "2", "--role", "client"]);
    patient.control().heal();
    let told = of(&ended.stdout, " Client assertion ");
    assert_eq!(told.matches("is accepted").count(), 5, "{}", ended.stdout);
}

#[test]
fn a_vault_that_does_not_sign_is_told_with_the_permission_that_is_missing() {
    let azure = PlayedAzure::start();
    azure.put("blog-site", registered(false, false));
    let patient = Patient::new();
    patient.has_credentials(&format!(
        "[[client.credential]]\nsource = \"key_vault_sign\"\nvault_url = \"{0}\"\ncertificate = \"blog-site\"\n\
         [azure]\nimds_url = \"{0}\"\nidentity = \"managed\"\n",
        azure.server.url("")
    ));
    let ended = patient.doctor(&[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        of(&ended.stdout, " Client assertion ").contains("accepts the certificate"),
        "{}",
        ended.stdout
    );

    let forbidden = serde_json::json!({ "error": { "code": "Forbidden", "message": "not allowed" }});
    azure.fail("/keys/", 100, 403, forbidden);
    let ended = patient.doctor(&[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = of(&ended.stdout, " Certificate ");
    assert!(
        told.starts_with('✗') && told.contains("answered 403 (Forbidden"),
        "{told}"
    );
    assert!(
        told.contains("keys/sign") && told.contains("\"Key Vault Crypto User\""),
        "{told}"
    );
}

#[test]
fn each_role_is_checked_by_itself_and_wrong_usage_is_told_apart() {
    let patient = Patient::new();
    let names = |role: &str| {
        let ended = Ended::of(patient.folder.path(), &["doctor", "--role", role, "--json"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let checks = report["checks"].as_array().expect("checks").clone();
        checks
            .iter()
            .map(|check| check["check"].as_str().expect("text").to_owned())
            .collect::<Vec<_>>()
    };
    let (api, client) = (names("api"), names("client"));
    let has = |names: &[String], name: &str| names.iter().any(|other| other == name);
    assert!(
        has(&api, "database") && !has(&api, "certificate") && !has(&api, "cookie_key"),
        "{api:?}"
    );
    assert!(
        !has(&client, "database") && has(&client, "certificate") && has(&client, "assertion"),
        "{client:?}"
    );
    for wrong in [
        &["doctor", "--role", "idp"][..],
        &["doctor", "--timeout", "0"],
        &["doctor", "--token"],
    ] {
        assert_eq!(Ended::of(patient.folder.path(), wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_locale_that_is_not_utf8_gets_plain_letters() {
    let patient = Patient::new();
    let ended = Ended::of_command(blogctl(patient.folder.path()).env("LC_ALL", "C").arg("doctor"));
    assert!(
        ended.stdout.is_ascii() && ended.stdout.contains("ok Settings"),
        "{}",
        ended.stdout
    );
}

/// Explains a token given on standard input.
fn explain(patient: &Patient, token: &str) -> Ended {
    let path = patient.folder.path().join("stdin.txt");
    fs::write(&path, token).expect("written");
    let mut command = blogctl(patient.folder.path());
    command
        .args(["doctor", "--token", "-"])
        .stdin(Stdio::from(fs::File::open(&path).expect("written")));
    let ended = Ended::of_command(&mut command);
    let signature = token.rsplit('.').next().filter(|part| part.len() > 100);
    for text in [&ended.stdout, &ended.stderr] {
        assert!(signature.is_none_or(|signature| !text.contains(signature)), "{text}");
        for secret in ["eyJ", "alice@contoso.example", "Alice Archer"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    ended
}

#[test]
fn a_good_token_is_taken_however_it_was_pasted() {
    let patient = Patient::new();
    let token = patient.control().token().mint();
    let (first, rest) = token.split_at(80);
    for pasted in [
        token.clone(),
        format!("Bearer {token}\n"),
        format!("Authorization: bearer {token}"),
        format!("\"{token}\""),
        format!("{first}\n{rest}\n"),
        format!("\u{feff}{token}"),
        format!("{{\"accessToken\":\"{token}\",\"expiresOn\":\"2026-01-01\"}}"),
    ] {
        let ended = explain(&patient, &pasted);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("✓ the API takes this token"), "{ended:?}");
    }
    for bytes_of in [u16::to_le_bytes, u16::to_be_bytes] {
        let of_powershell: Vec<u8> = format!("\u{feff}{token}\r\n")
            .encode_utf16()
            .flat_map(bytes_of)
            .collect();
        fs::write(patient.folder.path().join("token.txt"), of_powershell).expect("written");
        let ended = Ended::of(patient.folder.path(), &["doctor", "--token", "token.txt"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let ended = Ended::of(patient.folder.path(), &["doctor", "--token", "missing.txt"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[test]
fn what_the_verdict_is_about_is_among_the_claims_that_are_shown() {
    let patient = Patient::new();
    let nested = patient.control().token().header("cty", "JWT".into()).mint();
    let ended = explain(&patient, &nested);
    assert!(
        ended.code == Some(1)
            && ended
                .stdout
                .lines()
                .any(|line| line.contains("cty") && line.contains("JWT")),
        "{ended:?}"
    );
    let typed = patient.control().token().header("typ", "dpop+jwt".into()).mint();
    let ended = explain(&patient, &typed);
    assert!(ended.code == Some(1) && ended.stdout.contains("dpop+jwt"), "{ended:?}");
    // The whole answer of a token endpoint, as people paste it.
    let good = patient.control().token().mint();
    let answer = serde_json::json!({ "token_type": "Bearer", "access_token": good, "expires_in": 3600 });
    assert_eq!(explain(&patient, &answer.to_string()).code, Some(0));
}

#[test]
fn each_refused_token_gets_its_sentence_and_its_remedy() {
    let patient = Patient::new();
    let control = patient.control();
    let token = |change: fn(TokenBuilder<'_>) -> TokenBuilder<'_>| change(control.token()).mint();
    let scope = format!("api://{DEV_API_ID}/access_as_user");
    for (token, said, remedy) in [
        (control.token().expired().mint(), "has expired", "get a new token"),
        (control.token().not_yet_valid().mint(), "not valid yet", "clock"),
        (
            control.token().app_only().mint(),
            "without a user",
            "let a user sign in",
        ),
        (
            control.token().id_token().mint(),
            "this is an ID token",
            "access_token in the token endpoint's answer",
        ),
        (
            token(|token| token.claim("aud", "00000003-0000-0000-c000-000000000000".into())),
            "Microsoft Graph",
            &scope,
        ),
        (
            token(|token| token.claim("aud", "api://other".into())),
            "aud is not this API",
            "api.app_id_uri",
        ),
        (
            token(|token| token.scope("other")),
            "lacks the scope access_as_user",
            "API permissions",
        ),
        (
            token(|token| token.claim("tid", "99999999-2222-4333-8444-555555555555".into())),
            "tid",
            "entra.tenant_id",
        ),
        (
            token(|token| token.sign_with("foreign")),
            "signature is not valid",
            "whole and unchanged",
        ),
        (
            token(|token| token.sign_with("none").header("alg", "none".into())),
            "is not signed: anybody",
            &scope,
        ),
        (token(|token| token.without_claim("oid")), "no oid claim", &scope),
        ("a.b.c.d.e".to_owned(), "encrypted (JWE)", &scope),
        ("0.AXoAq1w2e3".replace('.', ""), "no JWT at all", &scope),
        ("{\"access_token\":\"x.y\"}".to_owned(), "not a signed JWT", "not JSON"),
    ] {
        let ended = explain(&patient, &token);
        assert_eq!(ended.code, Some(1), "{said}: {ended:?}");
        assert!(
            ended.stdout.contains(said) && ended.stdout.contains(remedy),
            "{said}: {}",
            ended.stdout
        );
    }
    let two = format!("{0}\n{0}\n", control.token().mint());
    let error = "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS70008: …\"}";
    for (nothing, said) in [
        ("", "holds no token"),
        (" \n", "holds no token"),
        ("Bearer ", "holds no token"),
        (&two, "holds several tokens"),
        (error, "an error of the token endpoint, invalid_grant"),
    ] {
        let ended = explain(&patient, nothing);
        assert!(ended.code == Some(2) && ended.stderr.contains(said), "{ended:?}");
    }
}

#[test]
fn every_claim_that_is_at_fault_is_marked_and_the_sentence_is_about_the_first() {
    let patient = Patient::new();
    let token = patient
        .control()
        .token()
        .expired()
        .scope("other")
        .claim("aud", "api://other".into())
        .mint();
    let ended = explain(&patient, &token);
    let marked: Vec<_> = ended.stdout.lines().filter(|line| line.starts_with('✗')).collect();
    let names: Vec<_> = marked
        .iter()
        .map(|line| line.split_whitespace().nth(1).expect("a name"))
        .collect();
    assert_eq!(names, ["aud", "scp", "exp", "access"], "{}", ended.stdout);
    assert!(marked[3].contains("aud is not this API"), "{}", ended.stdout);
}

#[test]
fn json_is_printed_also_where_there_is_no_token() {
    let patient = Patient::new();
    let path = patient.folder.path().join("input");
    for (input, code, said) in [
        (&b""[..], 2, "holds no token"),
        (b"\x80\xff\x00binary", 1, "holds no text"),
        (b"{\"error\":\"invalid_grant\"}", 2, "an error of the token endpoint"),
        (b"{\"value\":\"x.y.z\"}", 2, "holds JSON without access_token"),
    ] {
        fs::write(&path, input).expect("written");
        let ended = Ended::of(patient.folder.path(), &["doctor", "--token", "input", "--json"]);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let verdict = &report["verdict"];
        assert_eq!(
            (&verdict["accepted"], &verdict["code"]),
            (&false.into(), &"no_token".into()),
            "{report:#}"
        );
        assert!(verdict["sentence"].as_str().expect("text").contains(said), "{report:#}");
        assert_eq!(report["claims"], serde_json::json!([]));
    }
}

#[test]
fn of_claims_that_cannot_be_read_the_one_at_fault_is_named() {
    let patient = Patient::new();
    let control = patient.control();
    let said = |ended: &Ended| ended.stdout.clone();
    for (claim, value, fault, is_shown) in [
        (
            "exp",
            Value::from("tomorrow"),
            "exp is not a whole number of seconds",
            true,
        ),
        ("scp", serde_json::json!(["access_as_user"]), "scp is not a text", true),
        ("roles", "Blog.Admin".into(), "roles is not an array of texts", true),
        ("acrs", 1.into(), "acrs is neither a text nor an array of texts", true),
        (
            "email",
            serde_json::json!(["alice@contoso.example"]),
            "email is not a text",
            false,
        ),
    ] {
        let ended = explain(&patient, &control.token().claim(claim, value).mint());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            said(&ended).contains(&format!("the token's claim {fault}")),
            "{}",
            said(&ended)
        );
        let is_marked = said(&ended)
            .lines()
            .any(|line| line.starts_with(&format!("✗ {claim} ")));
        assert_eq!(is_marked, is_shown, "{}", said(&ended));
    }
    // Nobody's signature is looked at while the keys cannot be had.
    let token = control.token().mint();
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(&parts[1]).expect("base64url")).expect("text");
    parts[1] = URL_SAFE_NO_PAD.encode(payload.replacen('{', "{\"aud\":\"api://other\",", 1));
    control.down();
    let ended = explain(&patient, &parts.join("."));
    control.heal();
    assert!(
        said(&ended).contains("the token's claim aud is there more than once"),
        "{}",
        said(&ended)
    );

    // One audience is one, also in an array.
    let one = control
        .token()
        .claim("aud", serde_json::json!([format!("api://{DEV_API_ID}")]))
        .expired()
        .mint();
    let ended = explain(&patient, &one);
    assert!(
        !said(&ended).lines().any(|line| line.starts_with("✗ aud")),
        "{}",
        said(&ended)
    );
}

#[test]
fn a_token_for_graph_is_explained_claim_by_claim() {
    let patient = Patient::new();
    let fixed = [
        ("iat", 1_900_000_000_i64),
        ("nbf", 1_900_000_000),
        ("exp", 1_900_003_600),
    ];
    let control = patient.control();
    let token = control
        .token()
        .claim("aud", "00000003-0000-0000-c000-000000000000".into());
    let token = fixed
        .iter()
        .fold(token, |token, (name, time)| token.claim(name, (*time).into()));
    let kid = patient.control().kids().pop().expect("a key");
    let shown = patient.shown(&explain(&patient, &token.mint())).replace(&kid, "KID");
    let shown: Vec<_> = shown
        .lines()
        .filter(|line| !line.trim_start().starts_with("in ") && !line.contains("only in "))
        .collect();
    insta::assert_snapshot!("doctor_token_for_graph", shown.join("\n"));
}

#[test]
fn without_keys_the_claims_are_judged_and_the_signature_is_not() {
    let patient = Patient::new();
    let token = patient.control().token().expired().mint();
    patient.control().down();
    let ended = explain(&patient, &token);
    patient.control().heal();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stdout.contains(
            "signing keys cannot be had; apart from its signature: access token refused: the token has expired"
        ),
        "{ended:?}"
    );
}

#[test]
fn a_hostile_token_can_neither_steer_the_terminal_nor_forge_a_line() {
    let patient = Patient::new();
    let evil = "\u{1b}[2Jhttps://evil\n✓ the API takes this token\r";
    let token = patient.control().token().claim("iss", evil.into()).mint();
    let ended = explain(&patient, &token);
    assert!(
        !ended.stdout.contains(['\u{1b}', '\r']) && ended.stdout.contains("https://evil"),
        "{ended:?}"
    );
    assert!(!ended.stdout.lines().any(|line| line.starts_with('✓')), "{ended:?}");
}

#[test]
fn the_password_of_a_database_is_not_shown() {
    let patient = Patient::new();
    let ended = patient.doctor(&["database.url=postgres://blog:s3cretPassword@127.0.0.1:9/blog"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("postgres://127.0.0.1:9/blog"), "{ended:?}");
    assert!(!format!("{ended:?}").contains("s3cretPassword"), "{ended:?}");
}

#[test]
fn a_password_in_any_address_is_not_shown() {
    let patient = Patient::new();
    for change in [
        "client.public_url=https://u:s3cretpw@blog.example",
        "client.redirect_uri=https://blog.example/callback?code=s3cretpw",
        "client.api_base_url=https://api.example/?key=s3cretpw",
        "client.api_base_url=u:s3cretpw@api.example",
        "client.port=https://u:s3cretpw@host",
        "azure.identity_endpoint=http://10.0.0.1/#s3cretpw",
        "server.trusted_proxies=https://u:s3cretpw@proxy",
        "database.url=postgres://blog@127.0.0.1:9/blog?sslmode=s3cretpw",
        "database.url=postgres://blog@127.0.0.1:9/blog?sslmode=s3cretpw%21",
        "database.url=postgres://blog@127.0.0.1:9/blog?password=s3cretpw",
        "database.url=postgres://blog@127.0.0.1:9/blog?s3cretpw",
        "database.url=postgres://blog@127.0.0.1:9/blog?s3cretpw=1",
        "database.url=postgres://blog:s3cretpw%zz@127.0.0.1:9/blog",
        "redis.url=http://u:s3cretpw@cache.example",
    ] {
        let is_of_database = change.starts_with("database.");
        let serves: &[&[&str]] = if is_of_database {
            &[&["serve-api"], &["migrate", "status"]]
        } else {
            &[]
        };
        for command in [&["doctor"][..], &["doctor", "--json"], &["config"]]
            .iter()
            .chain(serves)
        {
            let ended = Ended::of(patient.folder.path(), &[*command, &["--set", change]].concat());
            assert!(
                !format!("{ended:?}").contains("s3cretpw"),
                "{command:?} {change}: {ended:?}"
            );
            let is_told = ended.code != Some(0) || (is_of_database && *command == ["config"]);
            assert!(is_told, "{command:?} {change}: {ended:?}");
        }
    }
}

#[test]
fn status_of_migrations_makes_no_file() {
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let ended = Ended::of(folder.path(), &["migrate", "status"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("no such file yet"), "{ended:?}");
    let files: Vec<_> = fs::read_dir(Path::new(folder.path())).expect("a folder").collect();
    assert!(files.is_empty(), "{files:?}");
}

#[test]
fn the_api_says_what_it_expects_and_nothing_else() {
    let api = crate::support::api::TestApi::start();
    let answer = api.nobody().get("/.well-known/oauth-protected-resource");
    let issuer = format!("{}/{DEV_TENANT_ID}/v2.0", api.idp.url(""));
    let resource = format!("api://{DEV_API_ID}");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "resource": resource,
            "authorization_servers": [issuer],
            "scopes_supported": [format!("{resource}/access_as_user"), format!("{DEV_API_ID}/access_as_user")],
            "bearer_methods_supported": ["header"],
        })
    );
    let refused = api
        .nobody()
        .call("POST", "/.well-known/oauth-protected-resource")
        .send();
    refused.problem(405, "method_not_allowed");
}

#[test]
fn without_the_settings_of_an_api_no_token_can_be_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("token.txt"), "a.b.c").expect("written");
    let ended = Ended::of(folder.path(), &["doctor", "--token", "token.txt"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("entra.tenant_id is not set") && ended.stderr.contains("api.app_id_uri"),
        "{ended:?}"
    );
}

#[test]
fn a_site_on_plain_http_is_warned_about_even_when_it_is_meant() {
    let patient = Patient::new();
    let report = patient.report(&[
        "client.public_url=http://blog.internal",
        "client.allow_plain_http=true",
        "client.port=0",
    ]);
    assert!(
        report.contains("! Addresses") && report.contains("can read and take over sessions"),
        "{report}"
    );
}
