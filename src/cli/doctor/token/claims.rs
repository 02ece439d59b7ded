//! The claims of a token, without verification. Only claims that the API checks are shown with their values; for personal data,
//! only the names of the claims.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    config::{ApiSettings, RequiredClientAuth},
    entra::{
        Authority,
        access_token::{api_names, is_audience},
    },
    guid,
};

/// Longest value that is shown, in characters: the sender of the token chooses the values.
const MAX_CHARS: usize = 160;
/// Longest token that is parsed.
const MAX_BYTES: usize = 16 * 1024;

/// A claim that makes the payload invalid.
pub struct MalformedClaim {
    pub name: &'static str,
    /// What is wrong with its value.
    pub fault: &'static str,
}

impl MalformedClaim {
    /// Whether the claim is personal data, so that its value is not shown.
    pub fn is_personal(&self) -> bool {
        PERSONAL.contains(&self.name)
    }
}

/// The type of a claim that the API reads.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Time,
    /// RFC 7519 §4.1.3
    TextOrTexts,
    Texts,
}

const KINDS: [(&str, Kind); 22] = [
    ("iss", Kind::Text),
    ("aud", Kind::TextOrTexts),
    ("tid", Kind::Text),
    ("oid", Kind::Text),
    ("exp", Kind::Time),
    ("nbf", Kind::Time),
    ("iat", Kind::Time),
    ("nonce", Kind::Text),
    ("scp", Kind::Text),
    ("idtyp", Kind::Text),
    ("azp", Kind::Text),
    ("azpacr", Kind::Text),
    ("appid", Kind::Text),
    ("appidacr", Kind::Text),
    ("acrs", Kind::TextOrTexts),
    ("xms_cc", Kind::TextOrTexts),
    ("roles", Kind::Texts),
    ("name", Kind::Text),
    ("email", Kind::Text),
    ("preferred_username", Kind::Text),
    ("upn", Kind::Text),
    ("unique_name", Kind::Text),
];

impl Kind {
    /// What is wrong with a value, if anything. `null` counts as absent.
    fn fault_of(self, value: &Value) -> Option<&'static str> {
        let is_texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
        let (is_right, fault) = match self {
            Self::Text => (value.is_string(), "is not text"),
            Self::Time => (value.is_i64(), "is not a whole number of seconds"),
            Self::TextOrTexts => (
                value.is_string() || is_texts(value),
                "is neither text nor an array of texts",
            ),
            Self::Texts => (is_texts(value), "is not an array of texts"),
        };
        (!is_right && !value.is_null()).then_some(fault)
    }
}

/// The first claim with a wrong type, or that occurs twice. `None` also if the payload is not a JSON object.
pub fn malformed(token: &str) -> Option<MalformedClaim> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let Members(members) = serde_json::from_slice(&payload).ok()?;
    KINDS.iter().find_map(|(name, kind)| {
        let values: Vec<_> = members
            .iter()
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value)
            .collect();
        let of_type = values.iter().find_map(|value| kind.fault_of(value));
        let fault = of_type.or_else(|| (values.len() > 1).then_some("occurs more than once"))?;
        Some(MalformedClaim { name, fault })
    })
}

/// The members of an object, including repeated ones.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// Claims with personal data.
const PERSONAL: [&str; 8] = [
    "name",
    "given_name",
    "family_name",
    "email",
    "preferred_username",
    "upn",
    "unique_name",
    "ipaddr",
];
const TIMES: [&str; 3] = ["iat", "nbf", "exp"];
const SHOWN: [&str; 16] = [
    "ver", "iss", "aud", "tid", "oid", "idtyp", "scp", "roles", "azp", "appid", "azpacr", "appidacr", "iat", "nbf",
    "exp", "xms_cc",
];

/// A claim in the explanation.
pub struct ShownClaim {
    pub name: &'static str,
    pub value: String,
    /// What the API expects, or what the value means.
    pub note: Option<String>,
    /// Whether the API would reject the token because of this claim alone.
    pub is_invalid: bool,
}

/// A token whose signature is not verified.
pub struct UnverifiedToken {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    is_unsigned: bool,
}

impl UnverifiedToken {
    /// `None` if it is not a JWT with a readable payload.
    pub fn of(token: &str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let mut parts = token.split('.');
        let (header, payload, signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let object = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self {
            header: object(header)?,
            claims: object(payload)?,
            is_unsigned: signature.is_empty(),
        })
    }

    /// Whether it is an ID token: its audience is the site, or it has a nonce and no scope.
    pub fn is_id_token_for(&self, client_id: &str) -> bool {
        let is_for_site = !client_id.is_empty() && self.claims.get("aud").and_then(Value::as_str) == Some(client_id);
        is_for_site || (self.claims.contains_key("nonce") && !self.claims.contains_key("scp"))
    }

    /// Whether it has no signature.
    pub fn is_unsigned(&self) -> bool {
        self.is_unsigned || self.header.get("alg").and_then(Value::as_str) == Some("none")
    }

    /// Header and claims in the order of the checks, including the claim in `concerned`.
    pub fn shown(
        &self,
        authority: &Authority,
        settings: &ApiSettings,
        concerned: Option<&'static str>,
    ) -> Vec<ShownClaim> {
        let mut shown = Vec::new();
        for name in ["alg", "kid"] {
            let note = (name == "alg").then(|| "expected RS256".to_owned());
            let value = text(self.header.get(name));
            let is_invalid = name == "alg" && value != "RS256";
            shown.push(ShownClaim {
                name,
                value,
                note,
                is_invalid,
            });
        }
        for name in SHOWN {
            let value = self.claims.get(name);
            // A token has either the v1 or the v2 name of a claim. Required claims are shown as missing.
            let note = note(name, value, authority, settings);
            if value.is_some() || ["iss", "aud", "tid", "oid", "scp", "exp", "nbf"].contains(&name) {
                let is_invalid = is_invalid(name, value, authority, settings);
                let value = if TIMES.contains(&name) {
                    time(value)
                } else {
                    text(value)
                };
                shown.push(ShownClaim {
                    name,
                    value,
                    note,
                    is_invalid,
                });
            }
        }
        // The claim that causes the rejection is always shown, even if the token does not have it.
        let is_of_v1 = concerned.is_some_and(|name| ["azp", "azpacr"].contains(&name));
        if let Some(name) = concerned.filter(|name| !is_of_v1 && shown.iter().all(|claim| claim.name != *name)) {
            let value = self.claims.get(name).or_else(|| self.header.get(name));
            shown.push(ShownClaim {
                name,
                value: text(value),
                note: None,
                is_invalid: false,
            });
        }
        let personal: Vec<_> = PERSONAL
            .into_iter()
            .filter(|name| self.claims.contains_key(*name))
            .collect();
        if !personal.is_empty() {
            shown.push(ShownClaim {
                name: "about the user",
                value: format!("{} (not shown)", personal.join(", ")),
                note: None,
                is_invalid: false,
            });
        }
        shown
    }
}

fn note(name: &str, value: Option<&Value>, authority: &Authority, settings: &ApiSettings) -> Option<String> {
    let seconds = || value.and_then(Value::as_i64).map(|at| at - Utc::now().timestamp());
    Some(match name {
        "iss" if settings.tenants.is_empty() => {
            format!("expected {} or {}", authority.issuer_v2(), authority.issuer_v1())
        }
        "iss" => "expected an issuer of the tenant in tid".to_owned(),
        "aud" => format!("expected {}", api_names(settings).join(" or ")),
        "tid" => {
            let tenants = std::iter::once(authority.tenant_id().to_string()).chain(settings.tenants.iter().cloned());
            format!("expected {}", tenants.collect::<Vec<_>>().join(" or "))
        }
        "scp" if settings.allow_app_only && value.is_none() => "a token without a user has none".to_owned(),
        "scp" => format!("expected to contain {}", settings.required_scope),
        "oid" => "expected a GUID: the caller".to_owned(),
        "exp" => match seconds()? {
            past if past <= 0 => format!("{} ago", span(past)),
            ahead => format!("in {}", span(ahead)),
        },
        "nbf" => match seconds()? {
            past if past <= 0 => return None,
            ahead => format!("not valid for another {}", span(ahead)),
        },
        "azpacr" | "appidacr" => match value.and_then(Value::as_str)? {
            "0" => "the calling application did not authenticate".to_owned(),
            "1" => "the calling application authenticated with a secret".to_owned(),
            "2" => "the calling application authenticated with a certificate".to_owned(),
            _ => return None,
        },
        _ => return None,
    })
}

/// Whether the API would reject this claim. Its validation stops at the first problem; this also finds the others.
fn is_invalid(name: &str, value: Option<&Value>, authority: &Authority, settings: &ApiSettings) -> bool {
    let text = value.and_then(Value::as_str);
    let seconds = || value.and_then(Value::as_i64);
    let (now, skew) = (Utc::now().timestamp(), i64::from(settings.clock_skew_seconds));
    let kind = KINDS.iter().find(|(own, _)| *own == name).map(|(_, kind)| *kind);
    if value
        .zip(kind)
        .is_some_and(|(value, kind)| kind.fault_of(value).is_some())
    {
        return true;
    }
    match name {
        "iss" if settings.tenants.is_empty() => {
            !text.is_some_and(|iss| iss == authority.issuer_v2() || iss == authority.issuer_v1())
        }
        "iss" => text.is_none(),
        "aud" => {
            let only = value.and_then(Value::as_array).and_then(|several| match &**several {
                [one] => one.as_str(),
                _ => None,
            });
            !text.or(only).is_some_and(|aud| is_audience(settings, aud))
        }
        "tid" => {
            let own = authority.tenant_id().to_string();
            let is_known = |tid: &str| {
                std::iter::once(&own)
                    .chain(&settings.tenants)
                    .any(|own| own.eq_ignore_ascii_case(tid))
            };
            !text.is_some_and(is_known)
        }
        "oid" => text.is_none_or(|oid| guid::parse(oid).is_none()),
        "scp" => match text {
            Some(scp) => !scp.split_whitespace().any(|word| word == settings.required_scope),
            None => value.is_some() || !settings.allow_app_only,
        },
        "exp" => seconds().is_none_or(|exp| exp.saturating_add(skew) <= now),
        "nbf" | "iat" => seconds().is_some_and(|from| from.saturating_sub(skew) > now),
        "azp" | "appid" if !settings.allowed_client_apps.is_empty() => {
            let is_allowed = |app: Uuid| {
                settings
                    .allowed_client_apps
                    .iter()
                    .any(|own| guid::parse(own) == Some(app))
            };
            !text.and_then(guid::parse).is_some_and(is_allowed)
        }
        "azpacr" | "appidacr" => settings.required_client_auth == RequiredClientAuth::Certificate && text != Some("2"),
        _ => false,
    }
}

fn span(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn time(value: Option<&Value>) -> String {
    let time = value
        .and_then(Value::as_i64)
        .and_then(|at| DateTime::from_timestamp(at, 0));
    time.map_or_else(|| text(value), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn text(value: Option<&Value>) -> String {
    let whole = match value {
        None => return "(missing)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match whole.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
        None => whole,
    }
}
