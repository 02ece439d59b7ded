//! The pages' templates: embedded in the binary, parsed once at start, escaped always.

use rust_embed::Embed;
use serde::Serialize;
use tera::{Context, Tera};

#[derive(Embed)]
#[folder = "templates/web"]
struct Files;

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
#[error("template {name}: {source}")]
pub struct TemplateError {
    name: String,
    source: Box<tera::Error>,
}

/// All templates, parsed.
pub struct Templates(Tera);

/// What every page has around its content.
#[derive(Serialize)]
pub struct Layout<'a> {
    /// URL of the style sheet.
    pub css: &'a str,
    /// URL of the icon.
    pub icon: &'a str,
    /// Path of the page, to mark it in the navigation.
    pub path: &'a str,
    /// Who is signed in.
    pub account: Option<LayoutAccount<'a>>,
    /// Said once.
    pub flash: Option<String>,
    /// The request's id.
    pub request_id: String,
}

/// Who is signed in, as the header shows it.
#[derive(Serialize)]
pub struct LayoutAccount<'a> {
    /// What to call them.
    pub name: &'a str,
    /// For the forms on the page, masked.
    pub csrf_token: String,
    /// Whether the API has said that they may write posts.
    pub may_write: bool,
}

impl Templates {
    /// Parses all of them.
    ///
    /// # Errors
    /// When one is not a template, or uses a block, an include or a filter that does not exist.
    pub fn parse() -> Result<Self, TemplateError> {
        let files: Vec<(String, String)> = Files::iter()
            .filter_map(|name| {
                let file = Files::get(&name)?;
                Some((name.into_owned(), String::from_utf8_lossy(&file.data).into_owned()))
            })
            .collect();
        let mut tera = Tera::new();
        // Every file ends so: escaping is on for all of them.
        tera.autoescape_on([".html"]);
        tera.add_raw_templates(files)
            .map_err(|error| problem("(at start)", error))?;
        Ok(Self(tera))
    }

    /// Renders `name`, which sees `layout` and `page`.
    ///
    /// # Errors
    /// When the template uses what is not there.
    pub fn render<T: Serialize>(&self, name: &str, layout: &Layout, page: &T) -> Result<String, TemplateError> {
        let mut context = Context::new();
        context.insert("layout", layout);
        context.insert("page", page);
        self.0.render(name, &context).map_err(|error| problem(name, error))
    }
}

fn problem(name: &str, error: tera::Error) -> TemplateError {
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
