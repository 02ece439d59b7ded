//! `PORT`, `WEBSITES_PORT`, and the warning about plain HTTP.

use blogctl::config::{Role, Settings, Sources};

use super::serve_api;
use crate::support::binary::{CommandOutput, Running, blogctl};

/// The ports of API and site for a role, with these variables.
fn ports(role: Role, variables: &[(&str, &str)]) -> (u16, u16) {
    let environment = variables.iter().map(|(name, value)| (name.into(), value.into()));
    let sources = Sources {
        environment: environment.collect(),
        ..Sources::default()
    };
    // Required settings are missing; only the ports matter here.
    let (loaded, _) = Settings::load_leniently(&sources, role);
    (loaded.settings.api.port, loaded.settings.client.port)
}

#[test]
fn port_is_the_port_of_the_role_that_runs_and_of_no_other() {
    for name in ["PORT", "WEBSITES_PORT"] {
        assert_eq!(ports(Role::Api, &[(name, "8080")]), (8080, 5000), "{name}");
        assert_eq!(ports(Role::Client, &[(name, "8080")]), (8000, 8080), "{name}");
        assert_eq!(ports(Role::Any, &[(name, "8080")]), (8000, 5000), "{name}");
        assert_eq!(ports(Role::Api, &[(name, "")]), (8000, 5000), "{name} is empty");
    }
    assert_eq!(ports(Role::Api, &[("WEBSITES_PORT", "1"), ("PORT", "2")]), (2, 5000));
    assert_eq!(ports(Role::Api, &[("PORT", "2"), ("BLOG_API__PORT", "3")]), (3, 5000));
    assert_eq!(ports(Role::Client, &[("PORT", "2"), ("FLASK_PORT", "3")]), (8000, 2));
    assert_eq!(
        ports(Role::Client, &[("PORT", "2"), ("BLOG_CLIENT__PORT", "3")]),
        (8000, 3)
    );
}

#[test]
fn a_port_that_is_none_is_an_error_that_names_the_variable() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value) in [
        ("PORT", "abc"),
        ("PORT", "65536"),
        ("WEBSITES_PORT", "-1"),
        ("PORT", "8000,8001"),
    ] {
        let output = CommandOutput::from_command(serve_api(folder.path()).env(name, value));
        assert_eq!(output.code, Some(2), "{output:?}");
        let expected = format!("(environment variable {name})");
        assert!(
            output.stderr.contains("api.port") && output.stderr.contains(&expected),
            "{output:?}"
        );
    }
}

#[test]
fn commands_without_a_role_ignore_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = CommandOutput::from_command(blogctl(folder.path()).arg("config").env("PORT", "abc"));
    assert_eq!(output.code, Some(0), "{output:?}");
    let mut dev = blogctl(folder.path());
    dev.args(["dev", "--idp-port", "0", "--api-port", "0", "--client-port", "0"]);
    let mut dev = Running::start(dev.env("PORT", "1").env("WEBSITES_PORT", "abc"));
    dev.wait_for("Identity provider");
}

#[test]
fn plain_http_for_other_machines_is_a_warning_in_production() {
    const WARNING: &str = "plain HTTP on 0.0.0.0:";
    for (variables, is_warned) in [
        (&[][..], true),
        (&[("BLOG_SERVER__ENVIRONMENT", "development")], false),
        (&[("BLOG_SERVER__TRUSTED_PROXIES", "10.0.0.0/8")], false),
        (&[("BLOG_API__HOST", "127.0.0.1")], false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = serve_api(folder.path());
        command.args(["--port", "0"]).env("BLOG_API__HOST", "0.0.0.0");
        let mut running = Running::start(command.envs(variables.iter().copied()));
        running.wait_for("listening on");
        running.signal("INT");
        let (_, output) = running.wait_for_exit();
        assert_eq!(output.contains(WARNING), is_warned, "{variables:?}: {output}");
    }
}
