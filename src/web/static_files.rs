//! The site's own style sheet and icon: embedded in the binary, named by their content so that a browser may keep them
//! for ever.

use std::collections::HashMap;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, EntityTag, Header, IfNoneMatch},
    web,
};
use rust_embed::Embed;

use super::{
    error_page::{Kind, PageError},
    site::Site,
};

#[derive(Embed)]
#[folder = "static/web"]
struct Files;

/// How many hex digits of the content's SHA-256 a name holds.
const DIGITS: usize = 16;

/// All static files.
pub struct StaticFiles {
    /// From plain name to URL.
    urls: HashMap<String, String>,
    /// From the name in the URL.
    files: HashMap<String, File>,
}

struct File {
    content: web::Bytes,
    content_type: &'static str,
    etag: EntityTag,
}

impl StaticFiles {
    /// Reads all of them.
    pub fn load() -> Self {
        let (mut urls, mut files) = (HashMap::new(), HashMap::new());
        for name in Files::iter() {
            let Some((file, (stem, extension))) = Files::get(&name).zip(name.rsplit_once('.')) else { continue };
            let digest: String = hex::encode(file.metadata.sha256_hash()).chars().take(DIGITS).collect();
            let hashed = format!("{stem}.{digest}.{extension}");
            urls.insert(name.to_string(), format!("/static/{hashed}"));
            let content = web::Bytes::from(file.data.into_owned());
            let etag = EntityTag::new_strong(digest);
            files.insert(hashed, File { content, content_type: content_type(extension), etag });
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
    let known = match IfNoneMatch::parse(&request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&file.etag)),
        Err(_) => false,
    };
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, file.etag.to_string()))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"));
    if known {
        return Ok(response.finish());
    }
    Ok(response.insert_header((CONTENT_TYPE, file.content_type)).body(file.content.clone()))
}

fn content_type(extension: &str) -> &'static str {
    match extension {
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pages_use_has_a_url_that_names_its_content() {
        let files = StaticFiles::load();
        for name in ["site.css", "icon.svg"] {
            let url = files.url(name);
            assert!(url.starts_with("/static/") && url.len() == "/static/".len() + name.len() + 1 + DIGITS, "{url}");
        }
    }
}
