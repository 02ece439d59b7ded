//! What a token says, read without believing it. Only claims that the API looks at are shown with their values; of what
//! tells about a person, no more than that it is there.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    config::ApiSettings,
    entra::{
        Authority,
        access_token::{is_audience, names_of_api},
    },
};

/// Values come from whoever made the token.
const MOST_CHARS: usize = 160;
/// Longest token that is read.
const MOST_BYTES: usize = 16 * 1024;

/// Claims that tell about a person.
const PERSONAL: [&str; 8] =
    ["name", "given_name", "family_name", "email", "preferred_username", "upn", "unique_name", "ipaddr"];
const TIMES: [&str; 3] = ["iat", "nbf", "exp"];
const SHOWN: [&str; 16] = [
    "ver", "iss", "aud", "tid", "oid", "idtyp", "scp", "roles", "azp", "appid", "azpacr", "appidacr", "iat", "nbf",
    "exp", "xms_cc",
];

/// One line of the explanation.
pub struct ShownClaim {
    pub name: &'static str,
    pub value: String,
    /// What the API expects, or what the value means.
    pub note: Option<String>,
    /// Whether the API would refuse the token for it, as far as it can be told by itself.
    pub is_wrong: bool,
}

/// A token that may say anything.
pub struct UnverifiedToken {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    is_unsigned: bool,
}

impl UnverifiedToken {
    /// `None` when it is not a JWT with a payload to read.
    pub fn of(token: &str) -> Option<Self> {
        if token.len() > MOST_BYTES {
            return None;
        }
        let mut parts = token.split('.');
        let (header, payload, signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let object = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self { header: object(header)?, claims: object(payload)?, is_unsigned: signature.is_empty() })
    }

    /// An ID token has the site for its audience, or a nonce and no scope.
    pub fn is_id_token_for(&self, client_id: &str) -> bool {
        let is_for_site = !client_id.is_empty() && self.claims.get("aud").and_then(Value::as_str) == Some(client_id);
        is_for_site || (self.claims.contains_key("nonce") && !self.claims.contains_key("scp"))
    }

    /// Whether nobody vouches for it.
    pub fn is_unsigned(&self) -> bool {
        self.is_unsigned || self.header.get("alg").and_then(Value::as_str) == Some("none")
    }

    /// Header and claims, in the order in which they are looked at, and the one that is `concerned`.
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
            let is_wrong = name == "alg" && value != "RS256";
            shown.push(ShownClaim { name, value, note, is_wrong });
        }
        for name in SHOWN {
            let value = self.claims.get(name);
            // Of v1's and v2's names for the same thing, the token has one; what must be there is shown as missing.
            let note = note(name, value, authority, settings);
            if value.is_some() || ["iss", "aud", "tid", "oid", "scp", "exp", "nbf"].contains(&name) {
                let is_wrong = is_wrong(name, value, authority, settings);
                let value = if TIMES.contains(&name) { time(value) } else { text(value) };
                shown.push(ShownClaim { name, value, note, is_wrong });
            }
        }
        // What the verdict is about is always there to see, also when the token lacks it.
        let is_of_v1 = concerned.is_some_and(|name| ["azp", "azpacr"].contains(&name));
        if let Some(name) = concerned.filter(|name| !is_of_v1 && shown.iter().all(|claim| claim.name != *name)) {
            let value = self.claims.get(name).or_else(|| self.header.get(name));
            shown.push(ShownClaim { name, value: text(value), note: None, is_wrong: false });
        }
        let personal: Vec<_> = PERSONAL.into_iter().filter(|name| self.claims.contains_key(*name)).collect();
        if !personal.is_empty() {
            shown.push(ShownClaim {
                name: "about the user",
                value: format!("{} (not shown)", personal.join(", ")),
                note: None,
                is_wrong: false,
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
        "iss" => "expected an issuer of the tenant that tid names".to_owned(),
        "aud" => format!("expected {}", names_of_api(settings).join(" or ")),
        "tid" => {
            let tenants = std::iter::once(authority.tenant_id().to_string()).chain(settings.tenants.iter().cloned());
            format!("expected {}", tenants.collect::<Vec<_>>().join(" or "))
        }
        "scp" if settings.allow_app_only && value.is_none() => "an application without a user has none".to_owned(),
        "scp" => format!("expected {} among its words", settings.required_scope),
        "oid" => "expected a GUID: who calls".to_owned(),
        "exp" => match seconds()? {
            past if past <= 0 => format!("{} ago", span(past)),
            ahead => format!("in {}", span(ahead)),
        },
        "nbf" => match seconds()? {
            past if past <= 0 => return None,
            ahead => format!("only in {}", span(ahead)),
        },
        "azpacr" | "appidacr" => match value.and_then(Value::as_str)? {
            "0" => "the calling application proved nothing".to_owned(),
            "1" => "the calling application proved itself by a secret".to_owned(),
            "2" => "the calling application proved itself by a certificate".to_owned(),
            _ => return None,
        },
        _ => return None,
    })
}

/// The API's own validation decides, and stops at the first; this is for those that come after.
fn is_wrong(name: &str, value: Option<&Value>, authority: &Authority, settings: &ApiSettings) -> bool {
    let text = value.and_then(Value::as_str);
    let seconds = || value.and_then(Value::as_i64);
    let (now, skew) = (Utc::now().timestamp(), i64::from(settings.clock_skew_seconds));
    match name {
        "iss" if settings.tenants.is_empty() => {
            !text.is_some_and(|iss| iss == authority.issuer_v2() || iss == authority.issuer_v1())
        }
        "iss" => text.is_none(),
        "aud" => !text.is_some_and(|aud| is_audience(settings, aud)),
        "tid" => {
            let own = authority.tenant_id().to_string();
            let is_known =
                |tid: &str| std::iter::once(&own).chain(&settings.tenants).any(|own| own.eq_ignore_ascii_case(tid));
            !text.is_some_and(is_known)
        }
        "oid" => text.is_none_or(|oid| Uuid::try_parse(oid).is_err()),
        "scp" => match text {
            Some(scp) => !scp.split_whitespace().any(|word| word == settings.required_scope),
            None => value.is_some() || !settings.allow_app_only,
        },
        "exp" => seconds().is_none_or(|exp| exp.saturating_add(skew) <= now),
        "nbf" | "iat" if value.is_some() => seconds().is_none_or(|from| from.saturating_sub(skew) > now),
        "roles" => value.is_some_and(|roles| !roles.is_array()),
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
    let time = value.and_then(Value::as_i64).and_then(|at| DateTime::from_timestamp(at, 0));
    time.map_or_else(|| text(value), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn text(value: Option<&Value>) -> String {
    let whole = match value {
        None => return "(missing)".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match whole.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
        None => whole,
    }
}
