//! Declares each setting once: its name, default, accepted values, aliases and documentation.
//!
//! Everything else follows from the declarations: loading, `blogctl config`, `blog.toml` and the tables in
//! `docs/settings.md`. A test fails when one of these two files is stale, and says how to regenerate it.

use super::aliases::Alias;

/// A section of `blog.toml`, or a part of one: several may have the same name.
#[derive(Debug)]
pub struct Section {
    /// Such as `server`.
    pub name: &'static str,
    /// One line for each line of the documentation in the source.
    pub doc: &'static str,
    /// In the order in which they are read and shown.
    pub settings: &'static [Declaration],
}

/// A setting as its section declares it.
#[derive(Debug)]
pub struct Declaration {
    /// `section.key`
    pub name: &'static str,
    /// Markdown, one line for each line in the source. A `toml` block is an example for `blog.toml`.
    pub doc: &'static str,
    /// Other environment variables that set it. If several are set, the last one in this list wins.
    pub aliases: &'static [Alias],
}

/// Declares a section as a struct with one field for each setting, and generates `Default`, `SECTION` and `read`.
///
/// ```text
/// section! {
///     /// What the section is about.
///     #[derive(Debug, Clone)]
///     pub struct LogSettings = "log" {
///         /// What the setting does.
///         #[key(level)]         // the key in the file, if the field has another name
///         #[alias(LOG_LEVEL)]   // or LOG_LEVEL via a_function_that_converts_the_value
///         pub level: String = "info".to_owned(), text(A_LOG_FILTER, log_filter);
///     }
/// }
/// ```
///
/// After the default comes the rule that reads the value, one of the functions in `rules.rs`; without one, every value of
/// the type is accepted. A rule can use the settings declared above it by their field names. Fields under `also` are not
/// settings.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $(#[$attribute:meta])*
        pub struct $name:ident = $section:literal $(($($given:ident: $given_type:ty),+))? {
            $(
                $(#[doc = $doc:literal])+
                $(#[key($key:ident)])?
                $(#[alias($($alias:ident $(via $convert:path)?),+)])?
                $(#[serde($($serde:tt)+)])*
                pub $field:ident: $type:ty = $default:expr $(, $rule:expr)?;
            )+
        }
        $(also {
            $(
                $(#[doc = $also_doc:literal])+
                pub $also:ident: $also_type:ty = $also_default:expr;
            )+
        })?
    ) => {
        $(#[doc = $about])+
        $(#[$attribute])*
        pub struct $name {
            $(
                #[doc = concat!("`", section!(@name $section, $field $($key)?), "`")]
                #[doc = ""]
                $(#[doc = $doc])+
                $(#[serde($($serde)+)])*
                pub $field: $type,
            )+
            $($(
                $(#[doc = $also_doc])+
                pub $also: $also_type,
            )+)?
        }

        impl $name {
            pub(super) const SECTION: $crate::config::section::Section = $crate::config::section::Section {
                name: $section,
                doc: concat!($($about, "\n"),+),
                settings: &[$(
                    $crate::config::section::Declaration {
                        name: section!(@name $section, $field $($key)?),
                        doc: concat!($($doc, "\n"),+),
                        aliases: &[$($(
                            $crate::config::aliases::Alias {
                                name: stringify!($alias),
                                convert: section!(@convert $($convert)?),
                            }
                        ),+)?],
                    }
                ),+],
            };

            pub(super) fn read(loader: &mut $crate::config::loader::Loader $($(, $given: $given_type)+)?) -> Self {
                let default = Self::default();
                $(
                    let $field: $type =
                        section!(@rule $($rule)?)(loader, section!(@name $section, $field $($key)?), default.$field);
                )+
                Self {
                    $($field,)+
                    $($($also: default.$also,)+)?
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $default,)+
                    $($($also: $also_default,)+)?
                }
            }
        }
    };
    (@name $section:literal, $field:ident) => { concat!($section, ".", stringify!($field)) };
    (@name $section:literal, $field:ident $key:ident) => { concat!($section, ".", stringify!($key)) };
    (@convert) => { str::to_owned };
    (@convert $convert:path) => { $convert };
    (@rule) => { $crate::config::rules::any() };
    (@rule $rule:expr) => { $rule };
}
pub(super) use section;
