//! The `claims` parameter (OpenID Connect Core §5.5), as far as Entra's claims challenges use it: what the application can
//! handle, and which authentication contexts an API demands (Microsoft Learn "Claims challenges, claims requests, and
//! client capabilities").

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    error::{Refusal, invalid_request},
    parameters::Parameters,
};

/// What the access token is to say. Users here meet every authentication context that is asked for.
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
    xms_cc: Option<Wanted>,
    #[serde(default)]
    acrs: Option<Wanted>,
}

/// `{"essential": true, "value": "c1"}` or `{"values": ["c1", "c2"]}`
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

impl RequestedClaims {
    /// From the parameter; nothing when it is not there.
    ///
    /// # Errors
    /// AADSTS900144 when it is no JSON of that shape.
    pub fn read(parameters: &Parameters) -> Result<Self, Refusal> {
        let Some(text) = parameters.get("claims") else {
            return Ok(Self::default());
        };
        let malformed = |_| {
            invalid_request(
                900_144,
                "The request is not properly formatted. The parameter 'claims' is not valid JSON.",
            )
        };
        // First as an object: serde would take an array for a structure, too.
        let object: Map<String, Value> = serde_json::from_str(text).map_err(malformed)?;
        let request: Request = serde_json::from_value(Value::Object(object)).map_err(malformed)?;
        let all = |wanted: Option<Wanted>| {
            wanted
                .into_iter()
                .flat_map(|w| w.value.into_iter().chain(w.values))
                .collect()
        };
        Ok(Self {
            capabilities: all(request.access_token.xms_cc),
            contexts: all(request.access_token.acrs),
        })
    }

    /// Together with those of an earlier request of the same sign-in.
    pub fn and(&self, earlier: &Self) -> Self {
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

    /// The claims of the access token.
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

    fn read(claims: &str) -> Result<RequestedClaims, Refusal> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("claims", claims)
            .finish();
        RequestedClaims::read(&Parameters::parse(form.as_bytes()).expect("parameters"))
    }

    #[test]
    fn capabilities_and_contexts_are_read_in_both_forms() {
        let first = read(r#"{"access_token":{"xms_cc":{"values":["cp1"]},"nbf":{"essential":true,"value":"1"}}}"#);
        let second = read(r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}},"id_token":{}}"#);
        let both = second.expect("claims").and(&first.expect("claims"));
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
