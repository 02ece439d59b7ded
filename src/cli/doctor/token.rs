//! `blogctl doctor --token`: what an access token says, and why the API takes or refuses it. The API's own validation
//! decides. The token itself, its signature and what it says of a person are never shown.

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
/// Longer than any token; a file of another kind must not fill memory.
const MOST_BYTES: u64 = 1024 * 1024;

/// What is told of a token.
#[derive(Serialize)]
struct Verdict {
    accepted: bool,
    /// Stable code, as the API's problem document has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    sentence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    #[serde(skip)]
    concerns: Option<&'static str>,
}

impl Verdict {
    /// Whether `claim` is one of those for which the token is refused, or would be if the first were mended.
    fn is_about(&self, claim: &ShownClaim) -> bool {
        !self.accepted && (claim.is_wrong || self.concerns == Some(claim.name))
    }

    /// Version 1 tokens call the calling application otherwise.
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
/// When there is no token, or the API's settings are wrong.
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
        // Whoever reads JSON reads nothing else.
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
        let claims: Vec<_> = claims.iter().map(|claim| marked(claim, &verdict)).collect();
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

/// As people paste it.
fn read(file: &Path) -> anyhow::Result<SecretString> {
    let mut bytes = Zeroizing::new(Vec::new());
    let is_stdin = file == Path::new("-");
    let outcome = if is_stdin {
        io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|opened| opened.take(MOST_BYTES).read_to_end(&mut bytes))
    };
    let name = if is_stdin {
        "standard input".to_owned()
    } else {
        quotable_path(file).into_owned()
    };
    let hint = "name a text file that holds one access token, or - for standard input";
    outcome.with_context(|| format!("cannot read {name}")).hint(hint)?;
    let text = text_in(&bytes)
        .ok_or_else(|| anyhow!("{name} holds no text"))
        .hint(hint)?;
    let token = pasted::token_in(&text, &name)?;
    if token.is_empty() {
        return Err(WrongUsage(format!("{name} holds no token")).into());
    }
    Ok(SecretString::from(token.as_str()))
}

fn verdict(validator: &AccessTokenValidator, token: &str, settings: &Settings) -> Verdict {
    let scope = api_names(&settings.api).into_iter().next().unwrap_or_default();
    let scope = format!("{scope}/{}", settings.api.required_scope);
    match validator.validate(token) {
        Ok(_) => Verdict {
            accepted: true,
            code: None,
            sentence: "the API takes this token".to_owned(),
            remedy: None,
            concerns: None,
        },
        Err(TokenError::KeysUnavailable) => {
            let otherwise = validator
                .check_unverified_claims(token)
                .err()
                .map(|error| refused(&error, token, settings, &scope));
            let (sentence, concerns, remedy) = match otherwise {
                None => ("apart from its signature it is as it should be".to_owned(), None, None),
                Some(verdict) => (
                    format!("apart from its signature: {}", verdict.sentence),
                    verdict.concerns,
                    verdict.remedy,
                ),
            };
            let keys = "run blogctl doctor --role api to see what keeps this machine from Entra ID";
            Verdict {
                accepted: false,
                code: Some("keys_unavailable"),
                sentence: format!(
                    "its signature cannot be checked, since Entra ID's signing keys cannot be had; {sentence}"
                ),
                remedy: Some(remedy.map_or_else(|| keys.to_owned(), |remedy| format!("{keys}; {remedy}"))),
                concerns,
            }
        }
        Err(error) => refused(&error, token, settings, &scope),
    }
}

fn refused(error: &TokenError, token: &str, settings: &Settings, scope: &str) -> Verdict {
    let (code, concerns, remedy) = match error {
        TokenError::Rejected(refusal) => (refusal.code(), refusal.claim(), refusal.hint(scope)),
        TokenError::InsufficientScope { .. } => (
            "insufficient_scope",
            Some("scp"),
            format!(
                "ask for {scope}, and have it granted under API permissions of the calling application's registration"
            ),
        ),
        TokenError::Forbidden(forbidden) => (forbidden.code(), Some(forbidden.claim()), forbidden.hint().to_owned()),
        TokenError::ClaimsRequired { acr } => (
            "insufficient_claims",
            Some("acrs"),
            format!(
                "sign in again with the authentication context {acr}; a client that handles claims challenges does"
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
            format!("access token refused: the token's claim {} {}", claim.name, claim.fault),
            remedy,
        ),
        None => special(error, token, settings, scope).unwrap_or((error.to_string(), remedy)),
    };
    let concerns = concerns.or_else(|| malformed.filter(|claim| !claim.is_personal()).map(|claim| claim.name));
    Verdict {
        accepted: false,
        code: Some(code),
        sentence,
        remedy: Some(remedy),
        concerns,
    }
}

/// What is sent in place of an access token most often, and looks like something else to the rules.
fn special(error: &TokenError, token: &str, settings: &Settings, scope: &str) -> Option<(String, String)> {
    let TokenError::Rejected(refusal) = error else {
        return None;
    };
    let ask = format!("send the access token that was issued for {scope}");
    if *refusal == Rejection::Malformed {
        if !token.contains('.') {
            let told =
                "this is no JWT at all but an opaque text, such as an authorization code or a refresh token".to_owned();
            return Some((told, ask));
        }
        return UnverifiedToken::of(token)
            .filter(UnverifiedToken::is_unsigned)
            .map(|_| {
                let told =
                    "this token is not signed: anybody can make one like it (alg none, or no signature)".to_owned();
                (told, ask)
            });
    }
    let is_id_token = UnverifiedToken::of(token).is_some_and(|token| token.is_id_token_for(&settings.client.client_id));
    (is_id_token
        && matches!(
            refusal,
            Rejection::WrongAudience | Rejection::AppOnly | Rejection::IdToken
        ))
    .then(|| {
        let told = "this is an ID token: it tells the site who signed in, and is no access token".to_owned();
        (
            told,
            format!("{ask}: access_token in the token endpoint's answer, not id_token"),
        )
    })
}

/// A claim as JSON, with whether it is the one that the verdict is about.
fn marked(claim: &ShownClaim, verdict: &Verdict) -> serde_json::Value {
    json!({
        "claim": claim.name, "value": claim.value, "note": claim.note, "refused": verdict.is_about(claim),
    })
}

fn as_text(claims: &[ShownClaim], verdict: &Verdict) -> String {
    let mut text = String::new();
    let columns = wrap::stdout_width();
    let symbols = report::Symbols::of_locale();
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
