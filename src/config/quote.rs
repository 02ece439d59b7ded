//! What of a value a message may repeat. Every value that is quoted, shown or logged goes through here: people paste a key
//! where its path belongs, or a token where a URL belongs, and a message must not carry it into a log that many read.

use std::{borrow::Cow, path::Path};

use super::{
    redact::{HIDDEN, redacted_address},
    secret_text::{SecretKind, secret_kind},
};

/// A text for a message: unchanged if nothing in it can be a secret; a URL without user name, password, query and fragment;
/// otherwise hidden.
pub fn quotable(text: &str) -> Cow<'_, str> {
    // Most of a URL can be shown.
    if secret_kind(text).is_some_and(|kind| kind != SecretKind::ConnectionString) {
        return Cow::Borrowed(HIDDEN);
    }
    let redacted = redacted_address(text);
    if secret_kind(&redacted).is_some() {
        Cow::Borrowed(HIDDEN)
    } else {
        Cow::Owned(redacted)
    }
}

/// For a message: why a text is not shown. `None` if it can be shown.
pub fn hidden_because(text: &str) -> Option<String> {
    (quotable(text) == HIDDEN && text != HIDDEN).then(|| match secret_kind(text) {
        Some(kind) => format!("contains {kind}, which is not shown"),
        None => "may contain a secret, and is not shown".to_owned(),
    })
}

/// A path for a message. It is hidden if no such file exists and the text could be a secret.
pub fn quotable_path(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    if secret_kind(&text).is_none() || is_path(&text) {
        text
    } else {
        Cow::Borrowed(HIDDEN)
    }
}

/// For a message: the path of a file that contains only a secret. If no such file exists, even plain text may be the secret
/// itself, so it is shown only if it looks like a path.
pub fn quotable_secret_path(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    if is_path(&text) { text } else { Cow::Borrowed(HIDDEN) }
}

/// Whether a text names an existing file, or looks like a path and not like a secret.
pub fn is_path(text: &str) -> bool {
    if secret_kind(text).is_some_and(SecretKind::is_certain) {
        return false;
    }
    Path::new(text).symlink_metadata().is_ok() || (looks_like_path(text) && secret_kind(text).is_none())
}

/// Whether a text has the form of a path: it has folders or a file extension.
pub fn looks_like_path(text: &str) -> bool {
    let text = text.trim();
    let has_plain_chars = text
        .chars()
        .all(|c| c.is_alphanumeric() || "/\\._-~: ()@+,=".contains(c));
    let has_folder = text.contains(['/', '\\']);
    let ending = text.rsplit(['/', '\\']).next().and_then(|name| name.rsplit_once('.'));
    let has_ending = ending.is_some_and(|(name, ending)| {
        !name.is_empty()
            && (1..=8).contains(&ending.len())
            && ending
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && ending.bytes().any(|byte| byte.is_ascii_lowercase())
    });
    has_plain_chars && (has_folder || has_ending)
}

/// The kind of secret that `path` is, if it is a secret and not a path.
pub fn secret_in_place_of_path(path: &str) -> Option<SecretKind> {
    secret_kind(path).filter(|_| !is_path(path))
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine as _,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };

    use super::{super::secret_text::SHORTEST_HEX, *};

    const PEM: &str =
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n-----END PRIVATE KEY-----";
    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";

    #[test]
    fn no_password_of_a_connection_string_is_quoted() {
        for text in [
            "Server=h;Database=b;User Id=u;Password=hunter2;",
            "host=h user=u password=hunter2",
            "postgres://u:hunter2@h/b",
        ] {
            assert!(!quotable(text).contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn no_random_key_of_any_usual_form_is_shown() {
        for _ in 0..2000 {
            let mut random = [0; 32];
            openssl::rand::rand_bytes(&mut random).expect("randomness");
            for key in [
                STANDARD.encode(random),
                URL_SAFE_NO_PAD.encode(random),
                hex::encode(random),
            ] {
                // A part between two separators can be too short to be recognised, and is then too short to matter.
                let shown = quotable(&key);
                assert!(
                    shown == HIDDEN || key.split(['+', '/', '-', '_']).all(|part| part.len() < SHORTEST_HEX),
                    "{key}"
                );
            }
        }
    }

    #[test]
    fn usual_values_of_settings_are_shown() {
        for text in [
            "fifty",
            "contoso",
            "contoso.onmicrosoft.com",
            "moon",
            "http://sts.example",
            "https://login.microsoftonline.com/common/discovery/v2.0/keys",
            "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f",
            "api://7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f/access_as_user",
            "A9993E364706816ABA3E25717850C26C9CD0D89D",
            "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D",
            "cert/client.pem",
            "/var/run/secrets/azure/tokens/azure-identity-token",
            "/var/lib/kubelet/pods/7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f/volumes/kubernetes.io~secret/tls/..data/tls.key",
            "C:\\Users\\Zoe\\Documents\\BlogCertificate2026.pfx",
            "/home/MyUser/Projects2026/blogCertificates/clientCertificateProduction",
            "info,blogctl::entra=debug",
            "express:*",
            "10.0.0.0/8,192.168.0.0/16",
            "sqlite:///./blog.db",
            "Blog.Writer",
            "127.0.0.1",
            "",
        ] {
            assert_eq!(secret_kind(text), None, "{text}");
            assert_eq!(quotable(text), text);
        }
    }

    #[test]
    fn a_path_is_shown_and_a_secret_in_its_place_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let odd = folder.path().join("Pa$$w0rd!");
        std::fs::write(&odd, "").expect("written");
        for path in [
            "cert/client.pem",
            "/etc/blogctl/passphrase",
            "passphrase.txt",
            "./key",
            &odd.display().to_string(),
        ] {
            assert_eq!(quotable_path(Path::new(path)), *path);
        }
        for secret in [
            "Tr0ub4dor&3",
            "/x7Kq9Zk3vQ9rT1xWb7LdMnc5HyEuP0s",
            "correct horse battery staple",
            PEM,
            JWT,
        ] {
            assert_eq!(quotable_path(Path::new(secret)), HIDDEN, "{secret}");
        }
        assert_eq!(quotable_path(Path::new("client")), "client");
        assert_eq!(quotable_secret_path(Path::new("hunter2")), HIDDEN);
    }
}
