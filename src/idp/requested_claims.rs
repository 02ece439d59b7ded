//! The `claims` parameter (OpenID Connect Core §5.5), as far as Entra's claims challenges use it: the capabilities of
//! the application, and the authentication contexts that an API demands (Microsoft Learn "Claims challenges, claims
//! requests, and client capabilities").

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    error::{OAuthError, invalid_request},
    parameters::Parameters,
};

/// Claims requested for the access token. Users of the emulator satisfy every authentication context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestedClaims {
    /// `xms_cc`: capabilities of the application, such as `cp1`.
    capabilities: Vec<String>,
    /// `acrs`: authentication contexts, such as `c1`.
    contexts: Vec<String>,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    access_token: Members,
}

#[derive(Deserialize, Default)]
struct Members {
    #[serde(default)]
    xms_cc: Option<ClaimValues>,
    #[serde(default)]
    acrs: Option<ClaimValues>,
}

/// `{"essential": true, "value": "c1"}` or `{"values": ["c1", "c2"]}`
#[derive(Deserialize)]
struct ClaimValues {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

impl RequestedClaims {
    /// Parses the parameter; without it, no claims are requested.
    ///
    /// # Errors
    /// AADSTS900144 if it is not JSON of this structure.
    pub fn parse(parameters: &Parameters) -> Result<Self, OAuthError> {
        let Some(text) = parameters.get("claims") else {
            return Ok(Self::default());
        };
        let malformed = |_| {
            invalid_request(
                900_144,
                "The request is not properly formatted. The parameter 'claims' is not valid JSON.",
            )
        };
        // First as an object: serde would accept an array for a struct, too.
        let object: Map<String, Value> = serde_json::from_str(text).map_err(malformed)?;
        let request: Request = serde_json::from_value(Value::Object(object)).map_err(malformed)?;
        let all = |claim: Option<ClaimValues>| {
            claim
                .into_iter()
                .flat_map(|claim| claim.value.into_iter().chain(claim.values))
                .collect()
        };
        Ok(Self {
            capabilities: all(request.access_token.xms_cc),
            contexts: all(request.access_token.acrs),
        })
    }

    /// Adds the claims of an earlier request of the same sign-in.
    pub fn merged_with(&self, earlier: &Self) -> Self {
        let both = |one: &[String], other: &[String]| {
            let mut all = other.to_vec();
            all.extend(one.iter().filter(|value| !other.contains(value)).cloned());
            all
        };
        Self {
            capabilities: both(&self.capabilities, &earlier.capabilities),
            contexts: both(&self.contexts, &earlier.contexts),
        }
    }

    /// As claims of the access token.
    pub fn as_claims(&self) -> Map<String, Value> {
        [("xms_cc", &self.capabilities), ("acrs", &self.contexts)]
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| (name.to_owned(), json!(values)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(claims: &str) -> Result<RequestedClaims, OAuthError> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("claims", claims)
            .finish();
        RequestedClaims::parse(&Parameters::parse(form.as_bytes()).expect("parameters"))
    }

    #[test]
    fn capabilities_and_contexts_are_read_in_both_forms() {
        let first = read(r#"{"access_token":{"xms_cc":{"values":["cp1"]},"nbf":{"essential":true,"value":"1"}}}"#);
        let second = read(r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}},"id_token":{}}"#);
        let both = second.expect("claims").merged_with(&first.expect("claims"));
        assert_eq!(
            Value::Object(both.as_claims()),
            json!({ "xms_cc": ["cp1"], "acrs": ["c1"] })
        );
        assert_eq!(read("").expect("nothing"), RequestedClaims::default());
        assert!(RequestedClaims::default().as_claims().is_empty());
        for bad in ["{", "[]", r#"{"access_token":1}"#, r#"{"access_token":{"acrs":"c1"}}"#] {
            assert_eq!(read(bad).expect_err(bad).code, 900_144);
        }
    }
}
