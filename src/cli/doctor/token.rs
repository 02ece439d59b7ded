//! `blogctl doctor --token`: shows the claims of an access token, and explains why the API accepts or rejects it. The validation of
//! the API decides. The token, its signature and its personal data are never shown.

mod claims;
mod pasted;

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anstyle::Style;
use anyhow::{Context, anyhow};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use self::claims::{ShownClaim, UnverifiedToken};
use super::{finding::Status, report};
use crate::{
    cli::{
        error_report::{ErrorReport, WithHint as _, WrongUsage},
        wrap,
    },
    config::{ConfigError, ConfigErrors, Settings, quotable_path, text_in},
    entra::{AccessTokenValidator, Provider, Rejection, TokenError, access_token::api_names},
};

const LABEL: Style = Style::new().dimmed();
const NAME: Style = Style::new().bold();
/// Longest input. Tokens are shorter; another kind of file must not fill memory.
const MAX_BYTES: u64 = 1024 * 1024;

/// Whether the API accepts a token, and why not.
#[derive(Serialize)]
struct Outcome {
    accepted: bool,
    /// Stable code, as in the problem document of the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    sentence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip)]
    concerns: Option<&'static str>,
}

impl Outcome {
    /// Whether the token is rejected because of `claim`, or would be once the first problem is fixed.
    fn is_about(&self, claim: &ShownClaim) -> bool {
        !self.accepted && (claim.is_invalid || self.concerns == Some(claim.name))
    }

    /// Version 1 tokens have other names for the claims about the calling application.
    fn with_names_of(mut self, claims: &[ShownClaim]) -> Self {
        let older = [("azp", "appid"), ("azpacr", "appidacr")];
        let is_there = |name: &str| claims.iter().any(|claim| claim.name == name);
        if let Some((_, older)) = older
            .into_iter()
            .find(|(name, older)| self.concerns == Some(*name) && !is_there(name) && is_there(older))
        {
            self.concerns = Some(older);
        }
        self
    }
}

/// Explains the token in `file`.
///
/// # Errors
/// If there is no token, or the settings of the API are invalid.
pub fn run(file: &Path, settings: &Settings, mut errors: Vec<ConfigError>, as_json: bool) -> anyhow::Result<ExitCode> {
    errors.retain(|error| {
        !["client.", "idp.", "database.", "azure.", "redis."]
            .iter()
            .any(|room| error.setting.starts_with(room))
    });
    if !errors.is_empty() {
        return Err(ConfigErrors(errors).into());
    }
    let token = match read(file) {
        Ok(token) => token,
        // With --json, the error is JSON, too.
        Err(error) if as_json => {
            let report = ErrorReport::new(&error);
            let ErrorReport { message, hint, .. } = &report;
            let verdict = json!({ "accepted": false, "code": "no_token", "sentence": message, "remedy": hint });
            // The error is the same object that every command prints.
            let output = json!({ "error": report.to_json(), "verdict": verdict, "claims": [] });
            let text = serde_json::to_string_pretty(&output)? + "\n";
            anstream::stdout().lock().write_all(text.as_bytes())?;
            return Ok(ExitCode::from(report.exit_code));
        }
        Err(error) => return Err(error),
    };
    let token = token.expose_secret();
    let provider = Arc::new(Provider::for_tenants(&settings.entra, &settings.api.tenants)?);
    let validator = AccessTokenValidator::new(Arc::clone(&provider), &settings.api);
    let verdict = verdict(&validator, token, settings);
    let claims =
        UnverifiedToken::of(token).map(|token| token.shown(provider.authority(), &settings.api, verdict.concerns));
    let claims = claims.unwrap_or_default();
    let verdict = verdict.with_names_of(&claims);
    let text = if as_json {
        let claims: Vec<_> = claims.iter().map(|claim| claim_json(claim, &verdict)).collect();
        serde_json::to_string_pretty(&json!({ "verdict": verdict, "claims": claims }))? + "\n"
    } else {
        as_text(&claims, &verdict)
    };
    anstream::stdout().lock().write_all(text.as_bytes())?;
    Ok(if verdict.accepted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Reads the token in any form in which people paste it.
fn read(file: &Path) -> anyhow::Result<SecretString> {
    let mut bytes = Zeroizing::new(Vec::new());
    let is_stdin = file == Path::new("-");
    let outcome = if is_stdin {
        io::stdin().lock().take(MAX_BYTES).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|opened| opened.take(MAX_BYTES).read_to_end(&mut bytes))
    };
    let name = if is_stdin {
        "standard input".to_owned()
    } else {
        quotable_path(file).into_owned()
    };
    let hint = "name a text file with one access token, or - for standard input";
    outcome.with_context(|| format!("cannot read {name}")).hint(hint)?;
    let text = text_in(&bytes)
        .ok_or_else(|| anyhow!("{name} is not text"))
        .hint(hint)?;
    let token = pasted::token_in(&text, &name)?;
    if token.is_empty() {
        return Err(WrongUsage(format!("{name} contains no token")).into());
    }
    Ok(SecretString::from(token.as_str()))
}

fn verdict(validator: &AccessTokenValidator, token: &str, settings: &Settings) -> Outcome {
    let scope = api_names(&settings.api).into_iter().next().unwrap_or_default();
    let scope = format!("{scope}/{}", settings.api.required_scope);
    match validator.validate(token) {
        Ok(_) => Outcome {
            accepted: true,
            code: None,
            sentence: "the API accepts this token".to_owned(),
            remedy: None,
            concerns: None,
        },
        Err(TokenError::KeysUnavailable) => {
            let otherwise = validator
                .check_unverified_claims(token)
                .err()
                .map(|error| rejected(&error, token, settings, &scope));
            let (sentence, concerns, remedy) = match otherwise {
                None => ("apart from its signature, it is valid".to_owned(), None, None),
                Some(verdict) => (
                    format!("apart from its signature: {}", verdict.sentence),
                    verdict.concerns,
                    verdict.remedy,
                ),
            };
            let keys = "run blogctl doctor --role api to see why this machine cannot reach Entra ID";
            Outcome {
                accepted: false,
                code: Some("keys_unavailable"),
                sentence: format!(
                    "its signature cannot be checked, because the signing keys of Entra ID cannot be fetched; {sentence}"
                ),
                remedy: Some(remedy.map_or_else(|| keys.to_owned(), |remedy| format!("{keys}; {remedy}"))),
                concerns,
            }
        }
        Err(error) => rejected(&error, token, settings, &scope),
    }
}

fn rejected(error: &TokenError, token: &str, settings: &Settings, scope: &str) -> Outcome {
    let (code, concerns, remedy) = match error {
        TokenError::Rejected(rejection) => (rejection.code(), rejection.claim(), rejection.hint(scope)),
        TokenError::InsufficientScope { .. } => (
            "insufficient_scope",
            Some("scp"),
            format!("request {scope}, and grant it under API permissions of the calling application's registration"),
        ),
        TokenError::Forbidden(forbidden) => (forbidden.code(), Some(forbidden.claim()), forbidden.hint().to_owned()),
        TokenError::ClaimsRequired { acr } => (
            "insufficient_claims",
            Some("acrs"),
            format!(
                "sign in again with the authentication context {acr}, as a client that handles claims challenges does"
            ),
        ),
        TokenError::KeysUnavailable => ("keys_unavailable", None, String::new()),
    };
    let malformed = match error {
        TokenError::Rejected(Rejection::MalformedClaims) => claims::malformed(token),
        _ => None,
    };
    let (sentence, remedy) = match &malformed {
        Some(claim) => (
            format!("access token rejected: the claim {} {}", claim.name, claim.fault),
            remedy,
        ),
        None => special(error, token, settings, scope).unwrap_or((error.to_string(), remedy)),
    };
    let concerns = concerns.or_else(|| malformed.filter(|claim| !claim.is_personal()).map(|claim| claim.name));
    Outcome {
        accepted: false,
        code: Some(code),
        sentence,
        remedy: Some(remedy),
        concerns,
    }
}

/// Explains the most common things that are sent instead of an access token.
fn special(error: &TokenError, token: &str, settings: &Settings, scope: &str) -> Option<(String, String)> {
    let TokenError::Rejected(rejection) = error else {
        return None;
    };
    let ask = format!("send an access token for {scope}");
    if *rejection == Rejection::Malformed {
        if !token.contains('.') {
            let sentence =
                "this is not a JWT, but opaque text, such as an authorization code or a refresh token".to_owned();
            return Some((sentence, ask));
        }
        return UnverifiedToken::of(token)
            .filter(UnverifiedToken::is_unsigned)
            .map(|_| {
                let sentence =
                    "this token is not signed, so anyone can forge it (alg none, or no signature)".to_owned();
                (sentence, ask)
            });
    }
    let is_id_token = UnverifiedToken::of(token).is_some_and(|token| token.is_id_token_for(&settings.client.client_id));
    (is_id_token
        && matches!(
            rejection,
            Rejection::WrongAudience | Rejection::AppOnly | Rejection::IdToken
        ))
    .then(|| {
        let sentence = "this is an ID token: it identifies the user to the site, and is not an access token".to_owned();
        (
            sentence,
            format!("{ask}: access_token in the response of the token endpoint, not id_token"),
        )
    })
}

/// A claim as JSON.
fn claim_json(claim: &ShownClaim, verdict: &Outcome) -> serde_json::Value {
    json!({
        "claim": claim.name, "value": claim.value, "note": claim.note, "refused": verdict.is_about(claim),
    })
}

fn as_text(claims: &[ShownClaim], verdict: &Outcome) -> String {
    let mut text = String::new();
    let columns = wrap::stdout_width();
    let symbols = report::Symbols::from_locale();
    let width = symbols.width;
    let widest = claims.iter().map(|claim| claim.name.chars().count()).max().unwrap_or(0);
    for claim in claims {
        let ShownClaim { name, value, note, .. } = claim;
        let (symbol, style) = if verdict.is_about(claim) {
            symbols.of(Status::Failed)
        } else {
            (" ", Style::new())
        };
        let indent = width + widest + 3;
        let value = report::safe(value);
        let line = format!("{style}{symbol:<width$}{style:#} {NAME}{name:<widest$}{NAME:#}  {value}");
        let _ = writeln!(text, "{}", wrap::wrap(&line, indent, columns));
        if let Some(note) = note {
            let line = format!("{:indent$}{LABEL}{}{LABEL:#}", "", report::safe(note));
            let _ = writeln!(text, "{}", wrap::wrap(&line, indent, columns));
        }
    }
    if !claims.is_empty() {
        text.push('\n');
    }
    let (symbol, style) = symbols.of(if verdict.accepted { Status::Ok } else { Status::Failed });
    let line = format!("{style}{symbol:<width$}{style:#} {}", report::safe(&verdict.sentence));
    let _ = writeln!(text, "{}", wrap::wrap(&line, width + 1, columns));
    if let Some(remedy) = &verdict.remedy {
        let line = format!("{:width$} {LABEL}remedy{LABEL:#} {}", "", report::safe(remedy));
        let _ = writeln!(text, "{}", wrap::wrap(&line, width + "  remedy".len(), columns));
    }
    text
}
