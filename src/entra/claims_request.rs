//! The `claims` parameter of authorization and token requests: it declares that the application handles claims challenges
//! (`cp1`), and repeats what a challenge demanded (Microsoft Learn "Claims challenges, claims requests, and client
//! capabilities").

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value, json};

/// Longest accepted challenge, in bytes of base64. Entra's have a few hundred.
const MAX_CHALLENGE: usize = 4096;

/// Padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The claims that an API demands of a token in its challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimsChallenge(Map<String, Value>);

impl ClaimsChallenge {
    /// Decodes `claims` of a `WWW-Authenticate` header: base64 of a JSON object. `None` when it is anything else.
    pub fn decode(claims: &str) -> Option<Self> {
        if claims.len() > MAX_CHALLENGE {
            return None;
        }
        let json = BASE64.decode(claims).or_else(|_| BASE64URL.decode(claims)).ok()?;
        Self::from_json(&json)
    }

    /// Reads `claims` of the token endpoint's error response: JSON in a string, or the same in base64.
    pub fn from_error(claims: &str) -> Option<Self> {
        if claims.len() > MAX_CHALLENGE {
            return None;
        }
        Self::from_json(claims.as_bytes()).or_else(|| Self::decode(claims))
    }

    /// Reads a JSON object whose members are objects.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        match serde_json::from_slice(json).ok()? {
            Value::Object(claims) if claims.values().all(Value::is_object) => Some(Self(claims)),
            _ => None,
        }
    }

    /// Whether a token that meets `self` should also meet `other`. Times (`nbf`) are ignored: continuous access evaluation asks
    /// for a token issued after a certain time, and for a later one each time.
    pub fn demands_the_same(&self, other: &Self) -> bool {
        let without_time = |claims: &Map<String, Value>| {
            let mut claims = claims.clone();
            for wanted in claims.values_mut() {
                if let Some(nbf) = wanted.get_mut("nbf") {
                    *nbf = Value::Null;
                }
            }
            claims
        };
        without_time(&self.0) == without_time(&other.0)
    }

    /// The JSON, to keep the challenge during a sign-in.
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

/// The `claims` parameter: always the capability `cp1`, and the demands of a challenge.
pub(super) fn claims_parameter(challenge: Option<&ClaimsChallenge>) -> String {
    let mut claims = challenge.map(|challenge| challenge.0.clone()).unwrap_or_default();
    let access_token = claims.entry("access_token").or_insert_with(|| json!({}));
    if let Value::Object(access_token) = access_token {
        access_token.insert("xms_cc".to_owned(), json!({ "values": ["cp1"] }));
    }
    Value::Object(claims).to_string()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn the_parameter_holds_the_challenge_and_the_capability() {
        let demand = json!({ "access_token": { "acrs": { "essential": true, "value": "c1" } } }).to_string();
        for encoded in [
            STANDARD.encode(&demand),
            STANDARD_NO_PAD.encode(&demand),
            URL_SAFE_NO_PAD.encode(&demand),
        ] {
            let challenge = ClaimsChallenge::decode(&encoded).expect("a challenge");
            let parameter: Value = serde_json::from_str(&claims_parameter(Some(&challenge))).expect("JSON");
            let expected = json!({ "access_token": {
                "acrs": { "essential": true, "value": "c1" }, "xms_cc": { "values": ["cp1"] },
            } });
            assert_eq!(parameter, expected);
            assert_eq!(
                ClaimsChallenge::from_json(challenge.to_json().as_bytes()),
                Some(challenge)
            );
        }
        assert_eq!(
            claims_parameter(None),
            r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#
        );
    }

    #[test]
    fn a_token_error_brings_its_claims_as_json() {
        let demand = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
        let challenge = ClaimsChallenge::from_error(demand).expect("a challenge");
        assert_eq!(challenge.to_json(), demand);
        assert_eq!(ClaimsChallenge::from_error(&STANDARD.encode(demand)), Some(challenge));
        for bad in [
            "",
            "{",
            "[]",
            r#"{"a":1}"#,
            &format!(r#"{{"a":{{"b":"{}"}}}}"#, "x".repeat(5000)),
        ] {
            assert_eq!(ClaimsChallenge::from_error(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_invalid_challenge_is_none() {
        for bad in [
            "",
            "!",
            "bnVsbA",
            &STANDARD.encode("[]"),
            &STANDARD.encode(r#"{"access_token":1}"#),
            &"A".repeat(5000),
        ] {
            assert_eq!(ClaimsChallenge::decode(bad), None, "{bad}");
        }
    }
}
