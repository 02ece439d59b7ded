//! When an assertion is valid: `exp`, `nbf` and `iat`, each with a tolerance for clock skew (RFC 7523 §3).

use serde_json::{Map, Value};

use super::parts::{missing, not_strict};
use crate::idp::{
    clock,
    error::{OAuthError, invalid_client},
};

/// Tolerated clock skew.
pub const SKEW_SECONDS: i64 = 5 * 60;

/// Longest lifetime that Entra accepts, and the longest that strict mode accepts.
const MOST_SECONDS: i64 = 24 * 60 * 60;
const MOST_SECONDS_STRICT: i64 = 10 * 60;

/// Times beyond the year 9999 are errors, and would overflow sums.
const LATEST: f64 = 253_402_300_799.0;

/// Checks the times, and returns `exp`.
///
/// # Errors
/// AADSTS90014 if `exp` (in strict mode also `nbf`) is missing, 700024 if the assertion is not valid now or lives too
/// long, 70002 if a time is not an integer in strict mode.
pub fn check(claims: &Map<String, Value>, now: i64, strict: bool) -> Result<i64, OAuthError> {
    let read = |name: &str| claims.get(name).map(|value| seconds(name, value, strict)).transpose();
    let expires_at = read("exp")?.ok_or_else(|| missing("exp"))?;
    let not_before = read("nbf")?;
    let issued_at = read("iat")?;
    if strict && not_before.is_none() {
        return Err(missing("nbf"));
    }
    let starts = [not_before, issued_at];
    let begins_at = starts.iter().flatten().min().copied().unwrap_or(now);
    let too_early = starts.iter().flatten().any(|start| *start > now + SKEW_SECONDS);
    let too_late = expires_at <= now - SKEW_SECONDS;
    if too_early || too_late || expires_at <= begins_at {
        return Err(out_of_range(now, begins_at, expires_at));
    }
    let most = if strict { MOST_SECONDS_STRICT } else { MOST_SECONDS };
    // `iat` may be seconds after a back-dated `nbf`, so the lifetime counts from `nbf`.
    let life = expires_at - not_before.or(issued_at).unwrap_or(now).min(now);
    if life <= MOST_SECONDS && strict && life > most {
        return Err(not_strict("it lives longer than ten minutes"));
    }
    if life > most {
        Err(out_of_range(now, begins_at, expires_at))
    } else {
        Ok(expires_at)
    }
}

fn seconds(name: &str, value: &Value, strict: bool) -> Result<i64, OAuthError> {
    let not_a_time = || {
        invalid_client(
            50027,
            format!("JWT token is invalid or malformed. The claim '{name}' is not a time."),
        )
    };
    if strict && !value.is_i64() {
        return Err(not_strict(&format!("its claim '{name}' is not an integer")));
    }
    let number = value
        .as_f64()
        .filter(|number| (0.0..=LATEST).contains(number))
        .ok_or_else(not_a_time)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "between 0 and the year 9999, and fractions of seconds do not matter"
    )]
    Ok(number as i64)
}

fn out_of_range(now: i64, from: i64, until: i64) -> OAuthError {
    invalid_client(
        700_024,
        format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry time of \
             assertion {}.",
            clock::rfc3339(now),
            clock::rfc3339(from),
            clock::rfc3339(until)
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn rejection_code(claims: &Value, strict: bool) -> Option<u32> {
        let claims = claims.as_object().expect("an object");
        check(claims, NOW, strict).err().map(|error| error.code)
    }

    #[test]
    fn what_entra_accepts_is_accepted() {
        for good in [
            json!({ "nbf": NOW, "iat": NOW, "exp": NOW + 600 }),
            json!({ "iat": 1_800_000_000.25, "exp": 1_800_000_600.25 }),
            json!({ "exp": NOW + 600 }),
            json!({ "nbf": NOW - 300, "exp": NOW - 200 }),
            json!({ "nbf": NOW + 300, "exp": NOW + 900 }),
            json!({ "nbf": NOW, "exp": NOW + 24 * 3600 }),
        ] {
            assert_eq!(rejection_code(&good, false), None, "{good}");
        }
    }

    #[test]
    fn what_entra_rejects_is_rejected() {
        for (bad, code) in [
            (json!({ "nbf": NOW }), 90014),
            (json!({ "nbf": NOW - 900, "exp": NOW - 300 }), 700_024),
            (json!({ "nbf": NOW + 301, "exp": NOW + 900 }), 700_024),
            (json!({ "iat": NOW + 301, "exp": NOW + 900 }), 700_024),
            (json!({ "nbf": NOW, "exp": NOW + 24 * 3600 + 1 }), 700_024),
            (json!({ "exp": NOW + 24 * 3600 + 1 }), 700_024),
            (json!({ "nbf": NOW + 200, "exp": NOW + 100 }), 700_024),
            (json!({ "nbf": NOW, "exp": "soon" }), 50027),
            (json!({ "nbf": NOW, "exp": 1e300 }), 50027),
            (json!({ "nbf": NOW, "exp": null }), 50027),
            (json!({ "nbf": -1, "exp": NOW + 600 }), 50027),
        ] {
            assert_eq!(rejection_code(&bad, false), Some(code), "{bad}");
            assert!(rejection_code(&bad, true).is_some(), "{bad}");
        }
    }

    #[test]
    fn strict_mode_wants_integers_nbf_and_ten_minutes() {
        assert_eq!(
            rejection_code(&json!({ "nbf": NOW - 5, "iat": NOW, "exp": NOW + 595 }), true),
            None
        );
        for (bad, code) in [
            (json!({ "iat": NOW, "exp": NOW + 600 }), 90014),
            (json!({ "nbf": NOW, "exp": 1_800_000_600.5 }), 70002),
            (json!({ "nbf": NOW, "exp": 1_800_000_600.0 }), 70002),
            (json!({ "nbf": NOW, "iat": 1_800_000_000.5, "exp": NOW + 600 }), 70002),
            (json!({ "nbf": NOW, "exp": NOW + 601 }), 70002),
        ] {
            assert_eq!(rejection_code(&bad, true), Some(code), "{bad}");
        }
    }
}
