//! The AADSTS codes that blogctl knows: what each means and who must do what about it
//! (Microsoft Learn, "Microsoft Entra authentication and authorization error codes").

/// What kind of remedy an error needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Reload the certificate, and repeat the request once.
    ReloadCertificate,
    /// An operator must mend the registration or the settings.
    Configuration,
    /// An administrator or the user must consent.
    Consent,
    /// The user must sign in again.
    SignInAgain,
    /// Unknown to blogctl, or passing.
    Other,
}

/// An error answer of Entra's authorize or token endpoint, by its AADSTS code.
///
/// Never holds a token, a code or an assertion: `description` is Entra's text with everything that looks like one
/// removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntraError {
    /// OAuth 2.0 error code, such as `invalid_client` (RFC 6749 §5.2).
    pub error: String,
    /// AADSTS number, such as 700027, when the answer names one.
    pub code: Option<u32>,
    /// Entra's description, cleaned, first line only.
    pub description: String,
    /// Entra's correlation id, for its support.
    pub correlation_id: Option<String>,
}

impl EntraError {
    /// What kind of remedy it needs.
    pub fn remedy(&self) -> Remedy {
        unimplemented!()
    }
    /// One sentence: what happened. In words of our own, by code.
    pub fn cause(&self) -> &'static str {
        unimplemented!()
    }
    /// One or two sentences: who must do what, and where in the portal.
    pub fn advice(&self) -> &'static str {
        unimplemented!()
    }
    /// From the `error` and `error_description` parameters that the authorize endpoint sends to the redirect URI.
    pub fn from_callback(error: &str, error_description: &str) -> Self {
        let _ = (error, error_description);
        unimplemented!()
    }
}
