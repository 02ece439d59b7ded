//! Sampling: a trusted caller decides whether a trace is recorded, otherwise the ratio does.

use blogctl::config::{Ratio, TelemetrySettings};

use super::{CALLER, PARENT, TRACE};
use crate::support::{api::TestApi, collector::Collector};

const NOT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// Requests something of an API with these settings, with a `traceparent` if it is not empty.
fn request(collector: &Collector, settings: TelemetrySettings, traceparent: &str) {
    let api = TestApi::with(|all| all.telemetry = settings);
    let call = api.anonymous().call("GET", "/nowhere");
    let call = if traceparent.is_empty() {
        call
    } else {
        call.header("traceparent", traceparent)
    };
    assert_eq!(call.send().status, 404);
    drop(api);
    assert!(collector.spans().len() <= 1, "{:?}", collector.spans());
}

#[test]
fn a_trusted_caller_decides_and_otherwise_the_ratio_does() {
    for (is_trusted, ratio, traceparent, recorded, is_continued) in [
        (true, 1.0, "", true, false),
        (true, 0.0, "", false, false),
        (true, 0.0, PARENT, true, true),
        (true, 1.0, PARENT, true, true),
        (true, 1.0, NOT_SAMPLED, false, false),
        (true, 0.0, NOT_SAMPLED, false, false),
        // A client that is not trusted decides nothing.
        (false, 0.0, PARENT, false, false),
        (false, 1.0, PARENT, true, false),
        (false, 1.0, NOT_SAMPLED, true, false),
        (false, 1.0, "garbage", true, false),
    ] {
        let case = format!("trusted: {is_trusted}, ratio {ratio}, traceparent {traceparent:?}");
        let collector = Collector::start();
        let mut settings = collector.settings();
        settings.sample_ratio = Ratio::new(ratio).expect("a ratio");
        if !is_trusted {
            settings.trusted_callers.clear();
        }
        request(&collector, settings, traceparent);
        let spans = collector.spans();
        assert_eq!(!spans.is_empty(), recorded, "{case}: {spans:?}");
        let Some(span) = spans.first() else { continue };
        assert_eq!(span.trace == TRACE, is_continued, "{case}: {span:?}");
        assert_eq!(span.parent == CALLER, is_continued, "{case}: {span:?}");
        let is_linked = !is_trusted && traceparent.contains(TRACE);
        let links: &[&str] = if is_linked { &[TRACE] } else { &[] };
        assert_eq!(span.links, links, "{case}");
    }
}

#[test]
fn about_the_share_of_the_ratio_is_recorded() {
    let collector = Collector::start();
    let mut settings = collector.settings();
    settings.sample_ratio = Ratio::new(0.5).expect("a ratio");
    let api = TestApi::with(|all| all.telemetry = settings);
    let client = api.with_token("none").keep_alive();
    for _ in 0..400 {
        client.status("/nowhere");
    }
    drop(api);
    let recorded = collector.spans().len();
    // Each is recorded with the probability 0.5: outside of this range once in 10^15 runs.
    assert!((120..=280).contains(&recorded), "{recorded} of 400");
}
