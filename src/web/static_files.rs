//! The site's style sheet and icon: embedded in the binary. Each name contains a hash of the content, so that browsers
//! may cache the file without expiry.

use std::collections::HashMap;

use actix_web::{
    http::header::{CACHE_CONTROL, HeaderValue},
    web,
};
use rust_embed::Embed;

use crate::serve::StaticFile;

#[derive(Embed)]
#[folder = "static/web"]
struct Files;

/// Hex digits of the content's SHA-256 in a name.
const DIGITS: usize = 16;
/// A name stands for one content, so browsers never need to fetch it again.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// All static files.
pub struct StaticFiles {
    /// URLs by plain name.
    urls: HashMap<String, String>,
    /// Files by the name in their URL.
    files: HashMap<String, StaticFile>,
}

impl StaticFiles {
    /// Loads the embedded files.
    pub fn load() -> Self {
        let (mut urls, mut files) = (HashMap::new(), HashMap::new());
        for name in Files::iter() {
            let Some((file, (stem, extension))) = Files::get(&name).zip(name.rsplit_once('.')) else {
                continue;
            };
            let digest: String = hex::encode(file.metadata.sha256_hash()).chars().take(DIGITS).collect();
            let hashed = format!("{stem}.{digest}.{extension}");
            urls.insert(name.to_string(), format!("/static/{hashed}"));
            let content = web::Bytes::from(file.data.into_owned());
            files.insert(
                hashed,
                StaticFile::new(content_type(extension), &[(CACHE_CONTROL, IMMUTABLE)], content),
            );
        }
        Self { urls, files }
    }

    /// URL of the file called `name`; empty when there is none. A test checks the files that pages use.
    pub fn url(&self, name: &str) -> &str {
        self.urls.get(name).map_or("", String::as_str)
    }

    /// The file whose URL ends with `name`.
    pub fn by_hashed_name(&self, name: &str) -> Option<&StaticFile> {
        self.files.get(name)
    }
}

fn content_type(extension: &str) -> HeaderValue {
    HeaderValue::from_static(match extension {
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_pages_use_have_a_url_with_a_hash_of_the_content() {
        let files = StaticFiles::load();
        for name in ["site.css", "icon.svg"] {
            let url = files.url(name);
            assert!(
                url.starts_with("/static/") && url.len() == "/static/".len() + name.len() + 1 + DIGITS,
                "{url}"
            );
        }
    }
}
