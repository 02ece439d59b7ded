//! The templates of the pages: embedded in the binary, parsed once at start, always escaped.

use rust_embed::Embed;
use serde::Serialize;
use tera::{Context, Tera};

#[derive(Embed)]
#[folder = "templates/web"]
struct Files;

/// Why a template cannot be parsed or rendered.
#[derive(Debug, thiserror::Error)]
#[error("template {name}: {source}")]
pub struct TemplateError {
    name: String,
    source: Box<tera::Error>,
}

/// The parsed templates.
pub struct Templates(Tera);

/// What every page shows around its content.
#[derive(Serialize)]
pub struct Layout<'a> {
    /// URL of the style sheet.
    pub css: &'a str,
    /// URL of the icon.
    pub icon: &'a str,
    /// Path of the page, for highlighting it in the navigation.
    pub path: &'a str,
    /// Who is signed in.
    pub account: Option<LayoutAccount<'a>>,
    /// Message that is shown once.
    pub flash: Option<String>,
    /// Id of the request.
    pub request_id: String,
}

/// The signed-in user, as the page header shows them.
#[derive(Serialize)]
pub struct LayoutAccount<'a> {
    /// Name to show.
    pub name: &'a str,
    /// Masked token for the forms on the page.
    pub csrf_token: String,
    /// Whether to offer the post form.
    pub may_write: bool,
}

impl Templates {
    /// Parses the embedded templates.
    ///
    /// # Errors
    /// When one is invalid, or uses a block, an include or a filter that does not exist.
    pub fn parse() -> Result<Self, TemplateError> {
        let files: Vec<(String, String)> = Files::iter()
            .filter_map(|name| {
                let file = Files::get(&name)?;
                Some((name.into_owned(), String::from_utf8_lossy(&file.data).into_owned()))
            })
            .collect();
        let mut tera = Tera::new();
        // Every template has this extension, so escaping is on for all of them.
        tera.autoescape_on([".html"]);
        tera.add_raw_templates(files)
            .map_err(|error| template_error("(at start)", error))?;
        Ok(Self(tera))
    }

    /// Renders `name`, which sees `layout` and `page`.
    ///
    /// # Errors
    /// When the template uses a variable or a filter that does not exist.
    pub fn render<T: Serialize>(&self, name: &str, layout: &Layout, page: &T) -> Result<String, TemplateError> {
        let mut context = Context::new();
        context.insert("layout", layout);
        context.insert("page", page);
        self.0
            .render(name, &context)
            .map_err(|error| template_error(name, error))
    }
}

fn template_error(name: &str, error: tera::Error) -> TemplateError {
    TemplateError {
        name: name.to_owned(),
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_templates_parse() {
        Templates::parse().map(drop).unwrap();
    }

    #[test]
    fn no_template_switches_escaping_off() {
        for name in Files::iter() {
            let file = Files::get(&name).unwrap();
            let text = String::from_utf8(file.data.into_owned()).unwrap();
            assert!(!text.contains("safe"), "{name}");
            assert!(name.ends_with(".html"));
        }
    }
}
