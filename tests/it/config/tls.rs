//! `[server.tls]`, its parts, and the certificates between site and API.

use super::given;

#[test]
fn sections_within_sections_are_read_from_every_layer() {
    let file = "[server]\nworkers = 3\n[server.tls]\ncert_path = \"a.crt\"\nredirect_port = 80\n\
                [client]\nport = 443\n";
    let loaded = given()
        .file("blog.toml", file)
        .file(".env", "BLOG_SERVER__TLS__KEY_PATH=b.key\n")
        .variable("BLOG_SERVER__TLS__HSTS_SECONDS", "60")
        .flag("server.tls.redirect_port", "8080")
        .load();
    let tls = &loaded.settings.server.tls;
    assert_eq!(tls.cert_path.as_deref(), Some("a.crt".as_ref()));
    assert_eq!(tls.key_path.as_deref(), Some("b.key".as_ref()));
    assert_eq!((tls.hsts_seconds, tls.redirect_port), (60, Some(8080)));
    assert_eq!((loaded.settings.server.workers, loaded.settings.client.port), (3, 443));
    assert!(tls.is_on());

    let acme = "[server.tls]\nredirect_port = 80\n[server.tls.acme]\ndirectory = \"https://ca.example/dir\"\n\
                domains = [\"blog.example.com\", \"192.0.2.7\"]\ncache_dir = \"acme\"\ncontact = [\"ops@example.com\"]\n";
    let loaded = given().file("blog.toml", acme).load();
    let settings = &loaded.settings.server.tls.acme;
    assert_eq!(settings.domains, ["blog.example.com", "192.0.2.7"]);
    let from_environment = given()
        .variable("BLOG_SERVER__TLS__REDIRECT_PORT", "80")
        .variable("BLOG_SERVER__TLS__ACME__DIRECTORY", "https://ca.example/dir")
        .variable("BLOG_SERVER__TLS__ACME__DOMAINS", "blog.example.com,192.0.2.7")
        .variable("BLOG_SERVER__TLS__ACME__CACHE_DIR", "acme")
        .load();
    assert_eq!(from_environment.settings.server.tls.acme.domains, settings.domains);
    assert!(from_environment.settings.server.tls.is_on());
}

#[test]
fn mistyped_names_in_sections_within_sections_are_reported_with_the_right_one() {
    let typo = given()
        .file("blog.toml", "[server.tls]\ncert_pth = \"a\"\n")
        .the_error();
    assert_eq!(
        (typo.setting.as_str(), typo.hint.as_str()),
        ("server.tls.cert_pth", "did you mean server.tls.cert_path?")
    );
    let typo = given().variable("BLOG_SERVER__TLS__CERT_PTH", "a").the_error();
    assert_eq!(typo.hint, "did you mean BLOG_SERVER__TLS__CERT_PATH?");
    let value = given().file("blog.toml", "[server]\ntls = true\n").the_error();
    assert_eq!(value.setting, "server.tls");
    let table = given().file("blog.toml", "[log.level]\nx = 1\n").the_error();
    assert_eq!(table.setting, "log.level", "no section has this name");
}

#[test]
fn settings_that_contradict_each_other_or_have_no_effect_are_reported() {
    let acme = [
        ("server.tls.acme.directory", "https://ca.example/dir"),
        ("server.tls.acme.domains", "blog.example.com"),
        ("server.tls.acme.cache_dir", "acme"),
        ("server.tls.redirect_port", "80"),
    ];
    let without = |name: &str| acme.iter().copied().filter(|(own, _)| *own != name).collect::<Vec<_>>();
    let with = |name, value| acme.iter().copied().chain([(name, value)]).collect::<Vec<_>>();
    for (settings, expected) in [
        (vec![("server.tls.key_path", "a.key")], "server.tls.key_path"),
        (vec![("server.tls.client_ca", "a.crt")], "server.tls.client_ca"),
        (vec![("server.tls.redirect_port", "80")], "server.tls.redirect_port"),
        (with("server.tls.cert_path", "a.crt"), "server.tls.acme.directory"),
        (without("server.tls.redirect_port"), "server.tls.acme.directory"),
        (without("server.tls.acme.domains"), "server.tls.acme.domains"),
        (without("server.tls.acme.cache_dir"), "server.tls.acme.cache_dir"),
        (
            vec![("server.tls.acme.domains", "blog.example.com")],
            "server.tls.acme.domains",
        ),
        (
            with("server.tls.acme.domains", "*.example.com"),
            "server.tls.acme.domains",
        ),
        (
            with("server.tls.acme.directory", "http://ca.example/dir"),
            "server.tls.acme.directory",
        ),
        (
            with("server.tls.acme.contact", "mailto:ops@example.com"),
            "server.tls.acme.contact",
        ),
        (with("server.tls.hsts_seconds", "-1"), "server.tls.hsts_seconds"),
        (vec![("client.api_tls_key_path", "a.key")], "client.api_tls_key_path"),
        (vec![("client.api_tls_cert_path", "a.crt")], "client.api_tls_cert_path"),
    ] {
        let given = settings
            .iter()
            .fold(given(), |given, (name, value)| given.flag(name, value));
        let errors = given.errors();
        assert!(
            errors.iter().any(|error| error.setting == expected),
            "{settings:?}: {errors:?}"
        );
    }
    let https = given()
        .flag("client.api_tls_cert_path", "a.crt")
        .flag("client.api_base_url", "https://api.example.com")
        .load();
    assert!(https.settings.client.api_tls_certificate().is_some());
}

#[test]
fn a_thumbprint_alone_finds_the_file_that_app_service_provides() {
    use blogctl::certificate::{ClientCertificate, Thumbprints};

    use crate::support::{pki::pfx, system::client_certificate};

    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, combined) = client_certificate();
    let der = openssl::x509::X509::from_pem(certificate.as_bytes())
        .and_then(|certificate| certificate.to_der())
        .expect("DER");
    let thumbprint = Thumbprints::from_der(&der).sha1_hex();
    let with_thumbprint = |thumbprint: &str| {
        given()
            .flag("client.cert_folder", folder.path().to_str().expect("text"))
            .flag("client.cert_thumbprint", thumbprint)
    };
    let missing = with_thumbprint(&thumbprint).load();
    assert!(missing.settings.client.certificate.path.is_none());
    let warning = missing.warnings.join("\n");
    assert!(warning.contains("WEBSITE_LOAD_CERTIFICATES"), "{warning}");

    let path = pfx(folder.path(), &format!("{thumbprint}.p12"), certificate, combined, "");
    let pasted = thumbprint.to_ascii_lowercase();
    let found = with_thumbprint(&pasted).load();
    assert_eq!(found.settings.client.certificate.path, Some(path.clone()));
    assert_eq!(found.settings.client.credentials().len(), 1);
    let loaded = ClientCertificate::load(&found.settings.client.certificate).expect("it needs no passphrase");
    assert_eq!(loaded.thumbprints().sha1_hex(), thumbprint);

    let named = with_thumbprint(&thumbprint)
        .flag("client.cert_path", "other.pem")
        .load();
    assert_eq!(
        named.settings.client.certificate.path,
        Some("other.pem".into()),
        "the path wins"
    );
}
