//! Requests to the servers of this process, and their connections. The names are those of OpenTelemetry's conventions for HTTP
//! where they have one.

use std::{cell::RefCell, collections::HashMap, sync::LazyLock, time::Duration};

use super::{
    catalog::Catalog,
    counter::Counter,
    family::Family,
    float,
    histogram::Histogram,
    observed::{Observation, Observed},
};

/// The route of a request that no route matches.
const NO_ROUTE: &str = "none";
/// A method that no route accepts: the client may choose any word.
const OTHER_METHOD: &str = "_OTHER";

static DURATIONS: LazyLock<Family<Histogram, 4>> = LazyLock::new(|| {
    Family::durations(
        "http_server_request_duration_seconds",
        "Time from the head of a request to the head of its response, by pattern of the route",
        ["role", "http_request_method", "http_route", "http_response_status_code"],
    )
});
static ACTIVE_REQUESTS: LazyLock<Observed<1>> = LazyLock::new(|| {
    Observed::gauges(
        "http_server_active_requests",
        "Requests in flight: from the head of the request to the end of the response",
        ["role"],
    )
});
static CONNECTIONS: LazyLock<Observed<1>> =
    LazyLock::new(|| Observed::gauges("blogctl_connections", "Open connections of clients", ["role"]));
static CONNECTION_LIMIT: LazyLock<Observed<1>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_connections_limit",
        "Most connections at once: server.max_connections, or what the limit of open files allows",
        ["role"],
    )
});
static REFUSED: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_connections_refused",
        "Connections closed without a response, because the server or the client's address has too many",
        ["role"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    DURATIONS.describe(catalog);
    ACTIVE_REQUESTS.describe(catalog);
    CONNECTIONS.describe(catalog);
    CONNECTION_LIMIT.describe(catalog);
    REFUSED.describe(catalog);
}

/// A histogram of this thread's cache.
struct Series {
    role: &'static str,
    method: &'static str,
    status: u16,
    histogram: Histogram,
}

thread_local! {
    /// The histograms that this thread has used, by route. Otherwise every request would take the lock of the family.
    static USED: RefCell<HashMap<String, Vec<Series>>> = RefCell::default();
}

/// Records a request. `route` is the pattern of the route that matched, never the path.
pub fn record(role: &'static str, method: &str, route: Option<&str>, status: u16, duration: Duration) {
    if !super::is_enabled() {
        return;
    }
    let (method, route) = (known_method(method), route.unwrap_or(NO_ROUTE));
    USED.with_borrow_mut(|used| {
        let is_same = |series: &&Series| series.status == status && series.method == method && series.role == role;
        if let Some(series) = used.get(route).and_then(|all| all.iter().find(is_same)) {
            series.histogram.record(duration);
            return;
        }
        let histogram = DURATIONS.with([
            role.into(),
            method.into(),
            route.to_owned().into(),
            status.to_string().into(),
        ]);
        histogram.record(duration);
        used.entry(route.to_owned()).or_default().push(Series {
            role,
            method,
            status,
            histogram,
        });
    });
}

/// One of the methods that exist, or [`OTHER_METHOD`].
pub(super) fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT",
    ];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or(OTHER_METHOD)
}

/// The state of a server's connections.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// How many are open.
    pub open: usize,
    /// How many may be open.
    pub limit: usize,
    /// How many requests are in flight.
    pub active_requests: usize,
}

/// Reports the connections of a server until the observation is dropped. `read` returns `None` when the server is gone.
pub fn observe_connections(
    role: &'static str,
    read: impl Fn() -> Option<Connections> + Clone + Send + Sync + 'static,
) -> Observation {
    let _ = REFUSED.with([role.into()]);
    let of = |family: &Observed<1>, part: fn(Connections) -> usize| {
        let read = read.clone();
        family.observe([role.into()], move || read().map(part).map(float))
    };
    Observation::all([
        of(&ACTIVE_REQUESTS, |connections| connections.active_requests),
        of(&CONNECTIONS, |connections| connections.open),
        of(&CONNECTION_LIMIT, |connections| connections.limit),
    ])
}

/// Counts a connection that was closed without a response.
pub fn connection_refused(role: &'static str) {
    REFUSED.with([role.into()]).increment();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_one_of_ten() {
        for (method, label) in [
            ("GET", "GET"),
            ("get", OTHER_METHOD),
            ("PROPFIND", OTHER_METHOD),
            ("", OTHER_METHOD),
        ] {
            assert_eq!(known_method(method), label);
        }
    }
}
