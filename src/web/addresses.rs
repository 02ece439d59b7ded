//! The site's own addresses, which follow from the settings and never from a request.

use url::Url;

use super::{
    sign_in::return_path::ReturnPath,
    start_error::{SettingError, StartError},
};
use crate::config::Settings;

/// Where browsers find the site, and where Entra ID sends them back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Ends with a slash.
    pub public_url: Url,
    /// `client.redirect_uri`, else `callback` under the public URL.
    pub redirect_uri: Url,
}

impl Addresses {
    /// Takes the addresses from the settings, or derives them. `port` is the one that the site listens on.
    ///
    /// # Errors
    /// When an address cannot be that of a site.
    pub fn from_settings(settings: &Settings, port: u16) -> Result<Self, StartError> {
        let public_url = public_url(settings, port)?;
        let redirect_uri = match &settings.client.redirect_uri {
            Some(uri) => uri.clone(),
            None => public_url.join("callback").map_err(|_| not_a_base(&public_url))?,
        };
        Ok(Self {
            public_url,
            redirect_uri,
        })
    }

    /// The page to return to after a sign-in, if `text` names one. The redirect URI is never one: returning to it would
    /// loop.
    pub fn return_path(&self, text: &str) -> Option<ReturnPath> {
        ReturnPath::parse(text).filter(|path| path.without_query() != self.redirect_uri.path())
    }
}

/// `client.public_url`, else the origin of `client.redirect_uri`, else this machine at `port`; ends with a slash.
fn public_url(settings: &Settings, port: u16) -> Result<Url, StartError> {
    let client = &settings.client;
    let mut url = match (&client.public_url, &client.redirect_uri) {
        (Some(url), _) => url.clone(),
        (None, Some(uri)) => uri.join("/").map_err(|_| not_a_base(uri))?,
        (None, None) => {
            let scheme = if settings.server.tls.is_on() { "https" } else { "http" };
            let local = format!("{scheme}://localhost:{port}/");
            Url::parse(&local).map_err(|_| StartError::Header(local))?
        }
    };
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn not_a_base(url: &Url) -> StartError {
    StartError::Settings(vec![SettingError {
        setting: "client.public_url",
        problem: format!("cannot be used as the address of a site: {url}"),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(public_url: Option<&str>, redirect_uri: Option<&str>) -> Settings {
        let parse = |text: &str| Url::parse(text).unwrap();
        let mut settings = Settings::default();
        settings.client.public_url = public_url.map(parse);
        settings.client.redirect_uri = redirect_uri.map(parse);
        settings
    }

    #[test]
    fn a_site_on_this_machine_with_a_certificate_is_https() {
        let mut settings = settings(None, None);
        settings.server.tls.cert_path = Some("server.pem".into());
        assert_eq!(public_url(&settings, 5123).unwrap().as_str(), "https://localhost:5123/");
    }

    #[test]
    fn the_public_url_is_the_one_set_or_follows_from_what_is_set() {
        for (public_url_set, redirect_uri, expected) in [
            (
                Some("https://blog.example.com"),
                Some("https://other.example/callback"),
                "https://blog.example.com/",
            ),
            (
                None,
                Some("https://blog.example.com/auth/callback?x"),
                "https://blog.example.com/",
            ),
            (None, None, "http://localhost:5123/"),
        ] {
            let url = public_url(&settings(public_url_set, redirect_uri), 5123).unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }
}
