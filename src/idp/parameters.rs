//! The parameters of a query string or a form. A repeated name is rejected.

use super::error::{self, OAuthError};

/// Decoded parameters in the order sent, each name once.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// AADSTS9000411 for a repeated parameter (RFC 6749 §3.1): the emulator does not guess which one counts.
    pub fn parse(encoded: &[u8]) -> Result<Self, OAuthError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(error::invalid_request(
                    9_000_411,
                    format!("The request is not properly formatted. The parameter '{name}' is duplicated."),
                ));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter. One without a value counts as not sent (RFC 6749 §3.1).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The value of a required parameter.
    ///
    /// # Errors
    /// AADSTS900144 if it is missing.
    pub fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| error::missing_parameter(name))
    }

    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicated_parameter_is_rejected() {
        let error = Parameters::parse(b"code=a&state=b&code=c").expect_err("rejected");
        assert_eq!(error.code, 9_000_411);
    }

    #[test]
    fn a_parameter_without_a_value_counts_as_not_sent() {
        let parameters = Parameters::parse(b"state=&scope=openid+profile").expect("parsed");
        assert_eq!(parameters.get("state"), None);
        assert_eq!(parameters.get("scope"), Some("openid profile"));
        assert_eq!(parameters.require("code").expect_err("missing").code, 900_144);
    }
}
