//! How a setting is read and which values it accepts: the rules that sections declare after a setting's default.

use std::{
    borrow::Cow,
    fmt::Display,
    ops::{Deref, RangeInclusive},
    time::Duration,
};

use url::Url;

use super::{loader::Loader, value::SettingValue};

/// Accepts every value of the type.
pub fn any<T: SettingValue + Clone>() -> impl FnOnce(&mut Loader, &'static str, T) -> T {
    |loader, name, default| loader.get(name, default)
}

/// Accepts values that pass `is_valid`; `expected` completes the sentence "must be …".
pub fn only<T: SettingValue + Clone>(
    expected: impl Into<Cow<'static, str>>,
    is_valid: impl Fn(&T) -> bool,
) -> impl FnOnce(&mut Loader, &'static str, T) -> T {
    move |loader, name, default| loader.get_if(name, default, &expected.into(), is_valid)
}

/// The same for a setting without a default.
pub fn optional<T>(
    expected: &'static str,
    is_valid: impl Fn(&T::Target) -> bool,
) -> impl FnOnce(&mut Loader, &'static str, Option<T>) -> Option<T>
where
    T: SettingValue + Clone + Deref,
{
    only(expected, move |value: &Option<T>| {
        value.as_deref().is_none_or(&is_valid)
    })
}

/// The same for a URL without a default.
pub fn optional_url(
    expected: &'static str,
    is_valid: impl Fn(&Url) -> bool,
) -> impl FnOnce(&mut Loader, &'static str, Option<Url>) -> Option<Url> {
    only(expected, move |url: &Option<Url>| url.as_ref().is_none_or(&is_valid))
}

/// Text that passes `is_valid`.
pub fn text(
    expected: &'static str,
    is_valid: impl Fn(&str) -> bool,
) -> impl FnOnce(&mut Loader, &'static str, String) -> String {
    only(expected, move |text: &String| is_valid(text))
}

/// Text that passes `is_valid`, or none: the default is the empty text.
pub fn text_or_empty(
    expected: &'static str,
    is_valid: impl Fn(&str) -> bool,
) -> impl FnOnce(&mut Loader, &'static str, String) -> String {
    text(expected, move |text| text.is_empty() || is_valid(text))
}

/// A list in which every item passes `is_valid`.
pub fn each(
    expected: &'static str,
    is_valid: impl Fn(&str) -> bool,
) -> impl FnOnce(&mut Loader, &'static str, Vec<String>) -> Vec<String> {
    only(expected, move |items: &Vec<String>| {
        items.iter().all(|item| is_valid(item))
    })
}

/// A whole number within `range`.
pub fn number<T>(range: RangeInclusive<T>) -> impl FnOnce(&mut Loader, &'static str, T) -> T
where
    T: SettingValue + Clone + PartialOrd + Display,
{
    between("a whole number", range)
}

/// A whole number of mebibytes within `range`.
pub fn mebibytes<T>(range: RangeInclusive<T>) -> impl FnOnce(&mut Loader, &'static str, T) -> T
where
    T: SettingValue + Clone + PartialOrd + Display,
{
    between("a whole number of MiB", range)
}

/// A whole number within `range`; `what` names the number, as in `a whole number of seconds`.
pub fn between<T>(what: &str, range: RangeInclusive<T>) -> impl FnOnce(&mut Loader, &'static str, T) -> T
where
    T: SettingValue + Clone + PartialOrd + Display,
{
    only(
        format!("{what} from {} to {}", range.start(), range.end()),
        move |number: &T| range.contains(number),
    )
}

/// A duration in whole seconds.
pub fn seconds(range: RangeInclusive<u64>) -> impl FnOnce(&mut Loader, &'static str, Duration) -> Duration {
    duration("a whole number of seconds", 1, range)
}

/// A duration in whole minutes.
pub fn minutes(range: RangeInclusive<u64>) -> impl FnOnce(&mut Loader, &'static str, Duration) -> Duration {
    duration("a whole number of minutes", 60, range)
}

/// A duration in whole hours.
pub fn hours(range: RangeInclusive<u64>) -> impl FnOnce(&mut Loader, &'static str, Duration) -> Duration {
    duration("a whole number of hours", 3600, range)
}

fn duration(
    what: &'static str,
    unit_seconds: u64,
    range: RangeInclusive<u64>,
) -> impl FnOnce(&mut Loader, &'static str, Duration) -> Duration {
    move |loader, name, default| {
        let count = between(what, range)(loader, name, default.as_secs() / unit_seconds);
        Duration::from_secs(count.saturating_mul(unit_seconds))
    }
}
