//! Lines about both roles: environment, identity provider, TLS, proxies, logs, audit trail, stopping, account.

use rustix::process::geteuid;

use super::{Check, CheckResult, DoctorContext, check, public_hosts};
use crate::config::{DEV_TENANT_ID, Environment, LogFormat, TrustedProxy};

/// Shortest time, in seconds, in which a load balancer usually notices that a replica is not ready.
const MIN_DRAIN_SECONDS: u64 = 5;

pub fn checks() -> Vec<Check> {
    vec![
        check(
            "production_environment",
            "Environment",
            &["server.environment"],
            environment,
        ),
        check(
            "production_authority",
            "Authority",
            &["entra.authority_host", "entra.tenant_id"],
            authority,
        ),
        check(
            "production_tls",
            "TLS",
            &[
                "server.trusted_proxies",
                "client.host",
                "api.host",
                "server.tls.cert_path",
                "server.tls.acme.directory",
            ],
            tls,
        ),
        check("production_log", "Log", &["log.level", "log.format"], log),
        check(
            "production_metrics",
            "Metrics",
            &["metrics.enabled", "metrics.host"],
            metrics,
        ),
        check(
            "production_telemetry",
            "Traces",
            &["telemetry.otlp_endpoint"],
            telemetry,
        ),
        check("production_audit", "Audit trail", &["audit.path"], audit),
        check("production_drain", "Drain", &["server.drain_seconds"], drain),
        check("production_account", "Account", &[], account),
    ]
}

fn environment(context: &DoctorContext) -> Vec<CheckResult> {
    vec![match context.settings.server.environment {
        Environment::Production => CheckResult::ok("production"),
        Environment::Development => CheckResult::failed(
            "development: weak cookie keys are accepted, and the site may send access tokens over plain HTTP",
            "production",
            "set server.environment = \"production\" (ENVIRONMENT)",
        ),
    }]
}

fn authority(context: &DoctorContext) -> Vec<CheckResult> {
    let entra = &context.settings.entra;
    let mut results = Vec::new();
    if entra.tenant_id == DEV_TENANT_ID {
        results.push(CheckResult::failed(
            "the tenant is that of the development emulator",
            "the tenant of your organisation",
            "set entra.tenant_id to the directory (tenant) ID that the portal shows",
        ));
    }
    match &entra.authority_host {
        None => {}
        Some(host) if host.scheme() != "https" => results.push(CheckResult::failed(
            format!("{host} is not HTTPS: an attacker on the network path could sign in as any user"),
            "Microsoft's host, or another one over HTTPS",
            "remove entra.authority_host",
        )),
        Some(host) if is_local(host) => results.push(CheckResult::failed(
            format!("{host} is on this machine, like the development emulator"),
            "Microsoft's host",
            "remove entra.authority_host",
        )),
        Some(host) => results.push(CheckResult::warning(
            format!("{host} is not the host of a Microsoft cloud by default"),
            "no entra.authority_host; entra.cloud names the cloud",
            "remove entra.authority_host, unless this identity provider is intended",
        )),
    }
    if results.is_empty() {
        results.push(CheckResult::ok("the tenant and the host of a Microsoft cloud"));
    }
    results
}

fn is_local(url: &url::Url) -> bool {
    crate::loopback::is_loopback(url)
}

fn tls(context: &DoctorContext) -> Vec<CheckResult> {
    let settings = &context.settings;
    let proxies = &settings.server.trusted_proxies;
    let public = public_hosts(context);
    let is_everyone =
        |proxy: &TrustedProxy| matches!(proxy, TrustedProxy::Network(network) if network.prefix_len() == 0);
    if proxies.iter().any(is_everyone) {
        return vec![CheckResult::failed(
            "server.trusted_proxies has a network of all addresses: every client can choose its own address",
            "only the networks of the reverse proxies",
            "name the addresses of the proxies in server.trusted_proxies",
        )];
    }
    if settings.server.tls.is_on() {
        return vec![CheckResult::ok("server.tls: the servers speak HTTPS only")];
    }
    if !proxies.is_empty() {
        return vec![CheckResult::ok(format!(
            "a reverse proxy terminates TLS: {} entries in server.trusted_proxies",
            proxies.len()
        ))];
    }
    match public.first() {
        Some((setting, host)) => vec![CheckResult::failed(
            format!("{setting} is {host}, other machines reach it over plain HTTP, and no reverse proxy is configured"),
            "TLS here, or a reverse proxy with TLS in server.trusted_proxies",
            "put a reverse proxy in front and set server.trusted_proxies to its address, or let the server listen on 127.0.0.1",
        )],
        None => vec![CheckResult::warning(
            "only programs on this machine reach the server, and server.trusted_proxies is empty: if a reverse proxy runs here, \
             all its clients share one address in rate limits and in the audit trail",
            "the address of the reverse proxy in server.trusted_proxies",
            "set server.trusted_proxies = [\"127.0.0.1\"] if a reverse proxy on this machine terminates TLS",
        )],
    }
}

fn log(context: &DoctorContext) -> Vec<CheckResult> {
    let log = &context.settings.log;
    let level = log.level.to_ascii_lowercase();
    let levels = || {
        level
            .split(',')
            .map(|part| part.rsplit('=').next().unwrap_or_default().trim())
    };
    let mut results = Vec::new();
    if levels().any(|level| ["debug", "trace"].contains(&level)) {
        results.push(CheckResult::failed(
            format!("log.level is {}: the log shows internals, and grows quickly", log.level),
            "info or warn",
            "set log.level = \"info\", and unset DEBUG",
        ));
    }
    if levels().any(|level| ["off", "error"].contains(&level)) && level.split(',').count() == 1 {
        results.push(CheckResult::warning(
            format!(
                "log.level is {}: warnings, such as that of an expiring certificate, are not logged",
                log.level
            ),
            "info or warn",
            "set log.level = \"info\"",
        ));
    }
    if log.format != LogFormat::Json {
        results.push(CheckResult::warning(
            "log.format is text, which programs can only guess at",
            "json",
            "set log.format = \"json\" if a collector reads the log",
        ));
    }
    if results.is_empty() {
        results.push(CheckResult::ok(format!("{}, as JSON", log.level)));
    }
    results
}

fn audit(context: &DoctorContext) -> Vec<CheckResult> {
    vec![match &context.settings.audit.path {
        Some(path) => CheckResult::ok(format!("written to {}", path.display())),
        None => CheckResult::warning(
            "off: nothing records who signed in, and who changed which post",
            "a file or stdout in audit.path",
            "set audit.path, for example to /var/log/blogctl/audit-{role}.jsonl, or to stdout in a container",
        ),
    }]
}

fn metrics(context: &DoctorContext) -> Vec<CheckResult> {
    let metrics = &context.settings.metrics;
    vec![if metrics.enabled {
        CheckResult::ok(format!(
            "on {}:{}; only the scraper may reach it",
            metrics.host, metrics.port
        ))
    } else {
        CheckResult::warning(
            "off: no alert can fire",
            "a scraper, and alerts for certificates, sign-ins, errors and the database",
            "set metrics.enabled = true, and metrics.host to an address that only the scraper reaches",
        )
    }]
}

fn telemetry(context: &DoctorContext) -> Vec<CheckResult> {
    vec![match &context.settings.telemetry.otlp_endpoint {
        Some(endpoint) => CheckResult::ok(format!("sent to {endpoint}")),
        None => CheckResult::warning(
            "off: nothing shows which part of a slow request took the time",
            "a collector in telemetry.otlp_endpoint",
            "set telemetry.otlp_endpoint to the URL of an OTLP/HTTP collector",
        ),
    }]
}

fn drain(context: &DoctorContext) -> Vec<CheckResult> {
    let seconds = context.settings.server.drain.as_secs();
    vec![if seconds < MIN_DRAIN_SECONDS {
        CheckResult::warning(
            format!("{seconds} s: a load balancer that probes less often sends requests to a server that has stopped"),
            "longer than the load balancer takes to notice",
            "set server.drain_seconds to the interval of its probes, times the failures that it tolerates",
        )
    } else {
        CheckResult::ok(format!(
            "{seconds} s; it must be longer than the load balancer takes to notice"
        ))
    }]
}

/// The doctor usually runs as the account of the service.
fn account(_: &DoctorContext) -> Vec<CheckResult> {
    vec![if geteuid().is_root() {
        CheckResult::warning(
            "the doctor runs as root; if the service does, an attacker who breaks into it has the whole machine",
            "an account without other rights",
            "run the service, and this command, as its own account (container: USER 65532; systemd: DynamicUser=yes)",
        )
    } else {
        CheckResult::ok("not root")
    }]
}
