//! The site's own style sheet and icon: embedded in the binary, named by their content so that a browser may keep them
//! for ever.

use std::collections::HashMap;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, HeaderValue},
    web,
};
use rust_embed::Embed;

use super::{
    middleware::error_pages::{Kind, PageError},
    state::Site,
};
use crate::serve::StaticFile;

#[derive(Embed)]
#[folder = "static/web"]
struct Files;

/// How many hex digits of the content's SHA-256 a name holds.
const DIGITS: usize = 16;
/// A name stands for one content, so it never has to be asked for again.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// All static files.
pub struct StaticFiles {
    /// From plain name to URL.
    urls: HashMap<String, String>,
    /// From the name in the URL.
    files: HashMap<String, StaticFile>,
}

impl StaticFiles {
    /// Reads all of them.
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
                StaticFile::new(content_type(extension), &[(CACHE_CONTROL, FOR_EVER)], content),
            );
        }
        Self { urls, files }
    }

    /// URL of the file called `name`; empty when there is none, which a test rules out for those that pages use.
    pub fn url(&self, name: &str) -> &str {
        self.urls.get(name).map_or("", String::as_str)
    }
}

/// `GET /static/{name}`
///
/// # Errors
/// 404 when no file has that name.
pub async fn serve(
    site: web::Data<Site>,
    name: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, PageError> {
    let Some(file) = site.assets.files.get(name.as_str()) else {
        return Err(Kind::NotFound.into());
    };
    Ok(file
        .respond(&request)
        .await
        .unwrap_or_else(|_| HttpResponse::NotAcceptable().finish()))
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
    fn what_pages_use_has_a_url_that_names_its_content() {
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
