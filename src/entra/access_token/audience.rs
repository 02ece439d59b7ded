//! The audience of a token. v2 tokens name the API by its client id. v1 tokens name it by the requested App ID URI, with or
//! without a trailing slash, or by its client id (Microsoft Learn "Access token claims reference", `aud`).

use uuid::Uuid;

use crate::{config::ApiSettings, guid};

/// Application ids and addresses of Microsoft Graph and its predecessor, Azure AD Graph.
const GRAPH: [&str; 4] = [
    "00000003-0000-0000-c000-000000000000",
    "https://graph.microsoft.com",
    "00000002-0000-0000-c000-000000000000",
    "https://graph.windows.net",
];

/// The names of one API in `aud`.
pub(super) struct Audience {
    client_id: Option<Uuid>,
    app_id_uri: Option<String>,
}

impl Audience {
    pub(super) fn new(settings: &ApiSettings) -> Self {
        let app_id_uri = without_slash(settings.app_id_uri.trim());
        let client_id = match &settings.client_id {
            Some(client_id) => guid::parse(client_id.trim()),
            None => app_id_uri.strip_prefix("api://").and_then(guid::parse),
        };
        Self {
            client_id,
            app_id_uri: (!app_id_uri.is_empty()).then(|| app_id_uri.to_owned()),
        }
    }
    pub(super) fn accepts(&self, aud: &str) -> bool {
        self.client_id
            .is_some_and(|client_id| guid::parse(aud) == Some(client_id))
            || self.app_id_uri.as_deref().is_some_and(|uri| without_slash(aud) == uri)
    }
}

/// The names of the API in `aud` and in scopes: its App ID URI, then its client id.
pub fn api_names(settings: &ApiSettings) -> Vec<String> {
    let Audience { client_id, app_id_uri } = Audience::new(settings);
    app_id_uri
        .into_iter()
        .chain(client_id.map(|id| id.to_string()))
        .collect()
}

/// Whether `aud` names the API with these settings.
pub fn is_audience(settings: &ApiSettings, aud: &str) -> bool {
    Audience::new(settings).accepts(aud)
}

pub(super) fn is_graph(aud: &str) -> bool {
    GRAPH.contains(&without_slash(aud))
}

/// Without one trailing slash. A name with two of them is a different name.
fn without_slash(text: &str) -> &str {
    text.strip_suffix('/').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "a9100000-0000-4000-8000-000000008000";

    fn audience(app_id_uri: &str, client_id: Option<&str>) -> Audience {
        Audience::new(&ApiSettings {
            app_id_uri: app_id_uri.to_owned(),
            client_id: client_id.map(str::to_owned),
            ..ApiSettings::default()
        })
    }

    #[test]
    fn an_api_is_named_by_its_uri_with_or_without_a_slash_and_by_its_client_id() {
        for uri in ["https://api.contoso.com/blog", "https://api.contoso.com/blog/"] {
            let audience = audience(uri, Some(API));
            for aud in [
                "https://api.contoso.com/blog",
                "https://api.contoso.com/blog/",
                API,
                &API.to_uppercase(),
            ] {
                assert!(audience.accepts(aud), "{aud}");
            }
        }
    }

    #[test]
    fn nothing_else_names_the_api() {
        let audience = audience("api://blog", Some(API));
        for aud in [
            "",
            "/",
            "api://",
            "api://blog//",
            "api://blog2",
            "api://blo",
            "API://BLOG",
            " api://blog",
            "https://api.blog",
            "{a9100000-0000-4000-8000-000000008000}",
            "a9100000000040008000000000008000",
            "a9100000-0000-4000-8000-000000008001",
        ] {
            assert!(!audience.accepts(aud), "{aud:?}");
        }
    }

    #[test]
    fn the_client_id_defaults_to_the_guid_in_the_uri() {
        assert!(audience(&format!("api://{API}"), None).accepts(API));
        assert!(!audience("api://blog", None).accepts("blog"));
    }

    #[test]
    fn without_settings_no_token_is_accepted() {
        let none = audience("", None);
        for aud in ["", "/", API] {
            assert!(!none.accepts(aud), "{aud:?}");
        }
    }
}
