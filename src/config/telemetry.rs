//! `[telemetry]`: where spans are sent. The variables of OpenTelemetry's specification are aliases of these settings.

use std::{fmt, fs, path::PathBuf};

use figment::value::Value;
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use url::Url;

use super::{
    loader::Loader,
    redact::HIDDEN,
    rules::{each, number, optional_url, text_or_empty},
    secret_file::secret_file,
    section::section,
    text_file::text_in,
    trusted_proxy::TrustedProxy,
    validate::plain_url,
    value::{Form, SettingValue, choices},
};
use crate::loopback::is_secure;

const AN_ENDPOINT: &str =
    "an http or https URL without user name, query or fragment, such as http://otel-collector:4318";
const ATTRIBUTES: &str = "name=value pairs separated by commas, such as deployment.environment.name=production";
const A_NAME: &str = "1 to 128 visible characters";

/// Whether requests to the collector are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Less work for this process.
    #[default]
    None,
    /// About a tenth of the bytes.
    Gzip,
}

choices!(Compression => "none or gzip");

section! {
    /// Traces: spans of requests, sent to an OpenTelemetry collector. See [tracing.md](tracing.md).
    #[derive(Debug, Clone)]
    pub struct TelemetrySettings = "telemetry" {
        /// Base URL of an OTLP/HTTP collector, such as `http://localhost:4318`; `/v1/traces` is appended unless the URL ends
        /// with it. Without it, no spans are recorded.
        #[alias(OTEL_EXPORTER_OTLP_ENDPOINT)]
        pub otlp_endpoint: Option<Url> = None, optional_url(AN_ENDPOINT, plain_url);

        /// `service.name` of the spans. Default: `blogctl-api` or `blogctl-client`.
        #[alias(OTEL_SERVICE_NAME)]
        pub service_name: String = String::new(), text_or_empty(A_NAME, service_name);

        /// Share of the traces that begin here and are recorded: 0 records none, 0.1 every tenth, 1 all. A trace that a
        /// trusted caller began is recorded if the caller records it.
        #[alias(OTEL_TRACES_SAMPLER_ARG)]
        pub sample_ratio: Ratio = Ratio::ALL;

        /// Headers of requests to the collector, for example with its API key: `name=value` pairs separated by commas, or an
        /// array of such pairs. A value may be percent-encoded. Secret.
        #[alias(OTEL_EXPORTER_OTLP_HEADERS)]
        pub headers: OtlpHeaders = OtlpHeaders::default();

        /// File with the headers, instead of `telemetry.headers`: one `name=value` pair on each line.
        pub headers_file: Option<PathBuf> = None, secret_file;

        /// `none` or `gzip`: whether requests to the collector are compressed.
        #[alias(OTEL_EXPORTER_OTLP_COMPRESSION)]
        pub compression: Compression = Compression::None;

        /// More attributes of the spans' resource, such as `deployment.environment.name=production`.
        #[alias(OTEL_RESOURCE_ATTRIBUTES)]
        pub resource_attributes: Vec<String> = Vec::new(), each(ATTRIBUTES, |pair| attribute(pair).is_some());

        /// Callers whose `traceparent` continues their trace, in addition to `server.trusted_proxies`: for the API, the
        /// addresses of the site. For any other caller, a new trace begins, which links to the caller's. Networks, single
        /// addresses, or `unix` for callers on a Unix socket.
        pub trusted_callers: Vec<TrustedProxy> = Vec::new();

        /// Most spans that wait for the collector. When it is away or slow, further spans are dropped and counted.
        pub queue_size: usize = 4096, number(64..=65_536);
    }
}

impl TelemetrySettings {
    /// The headers to send: those of the setting, or those in the file.
    pub fn headers(&self) -> &[(HeaderName, SecretString)] {
        &self.headers.0
    }

    /// `telemetry.resource_attributes` as names and values.
    pub fn attributes(&self) -> impl Iterator<Item = (String, String)> {
        self.resource_attributes.iter().filter_map(|pair| attribute(pair))
    }

    /// Reads the section, and the headers from their file.
    pub(super) fn load(loader: &mut Loader) -> Self {
        let mut settings = Self::read(loader);
        if let Some(path) = &settings.headers_file {
            if settings.headers.0.is_empty() {
                match read_file(path) {
                    Ok(headers) => settings.headers = headers,
                    Err((problem, hint)) => loader.reject("telemetry.headers_file", &problem, hint),
                }
            } else {
                loader.reject_both("telemetry.headers", "telemetry.headers_file");
            }
        }
        if settings.otlp_endpoint.as_ref().is_some_and(|url| !is_secure(url)) && !settings.headers.0.is_empty() {
            loader.warn(
                "telemetry.headers are sent unencrypted: use an https URL as telemetry.otlp_endpoint, or make sure that the \
                 network encrypts"
                    .to_owned(),
            );
        }
        settings
    }
}

fn read_file(path: &std::path::Path) -> Result<OtlpHeaders, (String, &'static str)> {
    let bytes = fs::read(path).map_err(|error| {
        (
            format!("names a file that cannot be read: {error}"),
            "check that the file exists and that the account that runs blogctl can read it",
        )
    })?;
    let text = text_in(&bytes).ok_or_else(|| {
        let problem = "names a file that is neither UTF-8 nor UTF-16 text".to_owned();
        (problem, "save it as UTF-8")
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match OtlpHeaders::parse(lines) {
        Some(headers) if !headers.0.is_empty() => Ok(headers),
        _ => Err((
            "names a file without valid headers".to_owned(),
            "put one name=value pair on each line",
        )),
    }
}

/// A share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    /// Everything.
    pub const ALL: Self = Self(1.0);

    /// `None` unless from 0 to 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// From 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl SettingValue for Ratio {
    const EXPECTED: &'static str = "a number from 0 to 1, such as 0.1";

    fn read(value: &Value) -> Result<Self, String> {
        let number = match value.to_num() {
            Some(number) => number
                .to_f64()
                .or_else(|| number.to_u32().map(f64::from))
                .or_else(|| number.to_i128().and_then(|n| u32::try_from(n).ok()).map(f64::from)),
            None => super::value::text(value)?.trim().parse().ok(),
        };
        number.and_then(Self::new).ok_or_else(String::new)
    }
    fn show(&self) -> Json {
        json!(self.0)
    }
}

/// Headers of requests to the collector. `Debug` shows no value.
#[derive(Clone, Default)]
pub struct OtlpHeaders(Vec<(HeaderName, SecretString)>);

/// Headers that the exporter sets itself, or that would change what a request means.
const OWN_HEADERS: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

impl OtlpHeaders {
    /// Pairs of `name=value`, with percent-encoded values as in the specification of `OTEL_EXPORTER_OTLP_HEADERS`.
    fn parse<'t>(pairs: impl Iterator<Item = &'t str>) -> Option<Self> {
        pairs.map(header).collect::<Option<Vec<_>>>().map(Self)
    }
}

fn header(pair: &str) -> Option<(HeaderName, SecretString)> {
    let (name, value) = pair.split_once('=')?;
    let name: HeaderName = name.trim().parse().ok()?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let is_valid = !value.is_empty() && HeaderValue::from_str(&value).is_ok() && !OWN_HEADERS.contains(&name.as_str());
    is_valid.then(|| (name, SecretString::from(value.into_owned())))
}

impl fmt::Debug for OtlpHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl SettingValue for OtlpHeaders {
    const EXPECTED: &'static str = "name=value pairs separated by commas, such as api-key=KEY, with names of headers that blogctl does not set itself";
    const FORM: Form = Form::Secret;

    fn read(value: &Value) -> Result<Self, String> {
        let headers = if let Some(array) = value.as_array() {
            let pairs: Option<Vec<&str>> = array.iter().map(Value::as_str).collect();
            pairs.and_then(|pairs| Self::parse(pairs.into_iter()))
        } else {
            let pairs = super::value::text(value)?.split(',').map(str::trim);
            Self::parse(pairs.filter(|pair| !pair.is_empty()))
        };
        headers.ok_or_else(String::new)
    }
    fn show(&self) -> Json {
        match self.0.len() {
            0 => Json::Null,
            _ => json!(
                self.0
                    .iter()
                    .map(|(name, _)| format!("{name}={HIDDEN}"))
                    .collect::<Vec<_>>()
            ),
        }
    }
    fn quote(_: &Value) -> String {
        "has an invalid value".to_owned()
    }
}

fn service_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A `name=value` pair with a percent-encoded value, as in the specification of `OTEL_RESOURCE_ATTRIBUTES`.
fn attribute(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let is_name = |name: &str| service_name(name) && !name.contains(['"', '\\']);
    let is_valid = is_name(name.trim()) && value.len() <= 255 && !value.chars().any(char::is_control);
    is_valid.then(|| (name.trim().to_owned(), value.into_owned()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn headers_are_read_in_the_form_of_the_specification_and_never_shown() {
        for good in ["api-key=hunter2", " api-key = hunter2 ,", "api-key=hunter%32"] {
            let headers = OtlpHeaders::read(&Value::from(good)).unwrap();
            let [(name, value)] = &*headers.0 else { panic!("{good}") };
            assert_eq!((name.as_str(), value.expose_secret()), ("api-key", "hunter2"), "{good}");
            let shown = format!("{headers:?} {}", headers.show());
            assert!(shown.contains("api-key") && !shown.contains("hunter2"), "{shown}");
        }
        let two = OtlpHeaders::read(&Value::from(vec!["a=1", "b=x=y"])).unwrap();
        assert_eq!(two.0.len(), 2);
        assert_eq!(two.0[1].1.expose_secret(), "x=y");
        for bad in [
            "hunter2",
            "api key=1",
            "a=",
            "a=%0d%0ab:c",
            "host=other",
            "Content-Type=text/html",
            "a=1,b",
        ] {
            assert!(OtlpHeaders::read(&Value::from(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ratio_is_a_number_from_0_to_1() {
        for (value, expected) in [
            (Value::from("0.25"), Some(0.25)),
            (Value::from(0.5), Some(0.5)),
            (Value::from(1), Some(1.0)),
            (Value::from(0_u8), Some(0.0)),
            (Value::from("1"), Some(1.0)),
            (Value::from("10%"), None),
            (Value::from(2), None),
            (Value::from(-0.1), None),
            (Value::from("NaN"), None),
            (Value::from("inf"), None),
        ] {
            assert_eq!(Ratio::read(&value).ok().map(Ratio::get), expected, "{value:?}");
        }
    }

    #[test]
    fn resource_attributes_are_pairs() {
        let pair = |text| attribute(text).map(|(name, value)| format!("{name}|{value}"));
        assert_eq!(pair("a.b=c").as_deref(), Some("a.b|c"));
        assert_eq!(pair("a=b%20c%2C").as_deref(), Some("a|b c,"));
        for bad in ["a", "=b", "a b=c", "a=%0a", "a=%ff"] {
            assert_eq!(attribute(bad), None, "{bad}");
        }
    }
}
