//! The list of credentials, and what Azure sets in a container.

use blogctl::config::CredentialSettings;

use super::given;

#[test]
fn credentials_are_a_list_in_a_file_and_json_in_the_environment() {
    let tables = r#"
        [[client.credential]]
        source = "key_vault_sign"
        vault_url = "https://blog.vault.azure.net"
        certificate = "blog-site"
        [[client.credential]]
        source = "file"
        cert_path = "cert/client.pem"
        key_passphrase = "open sesame"
    "#;
    let json = r#"[{"source":"key_vault_sign","vault_url":"https://blog.vault.azure.net/","certificate":"blog-site"},
                   {"source":"file","cert_path":"cert/client.pem","key_passphrase":"open sesame"}]"#;
    for layers in [
        given().file("blog.toml", tables),
        given().variable("BLOG_CLIENT__CREDENTIAL", json),
    ] {
        let loaded = layers.load();
        let sources: Vec<_> = loaded
            .settings
            .client
            .credentials()
            .iter()
            .map(CredentialSettings::source)
            .collect();
        assert_eq!(sources, ["key_vault_sign", "file"]);
        let shown = loaded
            .entries
            .iter()
            .find(|entry| entry.name == "client.credential")
            .expect("there");
        assert!(!shown.value.to_string().contains("sesame"), "{}", shown.value);
        assert_eq!(shown.value[1]["key_passphrase"], "********");
    }
    let one = given().flag("client.cert_path", "a.pem").load().settings.client;
    assert_eq!(one.credentials().len(), 1, "the short form is a list of one");
    let both = given().file("blog.toml", tables).flag("client.cert_path", "a.pem");
    assert_eq!(both.the_error().setting, "client.credential");
}

#[test]
fn an_invalid_credential_is_reported_by_name_and_not_by_value() {
    for wrong in [
        r#"[{"source":"fil","key_passphrase":"sesame"}]"#,
        r#"[{"source":"file","cert_path":"a","key_passphrase":12345678}]"#,
        r#"[{"source":"file","cert_path":["sesame"],"key_passphrase":"sesame"}]"#,
        r#"["sesame"]"#,
        "[sesame",
    ] {
        let error = given().variable("BLOG_CLIENT__CREDENTIAL", wrong).the_error();
        let reported = format!("{error:?}");
        assert!(
            !reported.contains("sesame") && !reported.contains("12345678"),
            "{wrong}: {reported}"
        );
        assert!(
            error.hint.contains("key_vault_sign, key_vault_certificate"),
            "{reported}"
        );
    }
    for wrong in [
        "credential = 12345678",
        "credential = [12345678]",
        "credential = { key_passphrase = 12345678 }",
    ] {
        let error = given().file("blog.toml", format!("[client]\n{wrong}")).the_error();
        assert!(!format!("{error:?}").contains("12345678"), "{wrong}: {error:?}");
    }
    let table = "[[client.credential]]\nsource = \"file\"\ncert_path = \"a\"\nkey_passphrase = 12345678";
    let error = given().file("blog.toml", table).the_error();
    assert!(!format!("{error:?}").contains("12345678"), "{error:?}");
    for (wrong, name) in [
        (
            r#"[{"source":"key_vault_sign","vault_url":"https://v.example"}]"#,
            "`certificate`",
        ),
        (r#"[{"source":"file","cert_pth":"a"}]"#, "`cert_pth`"),
    ] {
        let error = given().variable("BLOG_CLIENT__CREDENTIAL", wrong).the_error();
        assert!(error.hint.contains(name), "{error:?}");
    }
}

#[test]
fn a_managed_identity_must_be_named_somewhere() {
    const ID: &str = "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f";
    let unnamed = || given().file("blog.toml", "[[client.credential]]\nsource = \"managed_identity\"\n");
    let error = unnamed().the_error();
    assert!(
        error.setting == "client.credential" && error.problem.contains("entry 1"),
        "{error:?}"
    );
    assert_eq!(
        unnamed()
            .variable("AZURE_CLIENT_ID", ID)
            .load()
            .settings
            .client
            .credential
            .len(),
        1
    );
    let named = format!("[[client.credential]]\nsource = \"managed_identity\"\nclient_id = \"{ID}\"\n");
    assert_eq!(
        given().file("blog.toml", named).load().settings.client.credential.len(),
        1
    );
}

#[test]
fn the_variables_of_azure_containers_are_read() {
    let settings = given()
        .variable(
            "AZURE_FEDERATED_TOKEN_FILE",
            "/var/run/secrets/azure/tokens/azure-identity-token",
        )
        .variable("IDENTITY_ENDPOINT", "http://169.254.129.3:8081/msi/token")
        .variable("IDENTITY_HEADER", "a header")
        .variable("AZURE_TENANT_ID", "11111111-2222-4333-8444-555555555555")
        .variable("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")
        .load()
        .settings
        .azure;
    assert!(settings.federated_token_file.is_some() && settings.identity_header.is_some());
    assert!(settings.tenant_id.is_some() && settings.authority_host.is_some());
    assert_eq!(settings.identity_endpoint.expect("set").port(), Some(8081));
}
