//! Pebble, a test server for ACME.
//!
//! ```ignore
//! let Some(pebble) = Pebble::start(plain_http_port, 3600) else { return };
//! settings.server.tls.acme.directory = Some(pebble.directory());
//! settings.server.tls.acme.ca_file = Some(pebble.ca_file());
//! ```

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use url::Url;

use super::{needs, pki::TestCa};

/// A Pebble that may run, stopped when dropped.
pub struct Pebble {
    program: String,
    port: u16,
    management_port: u16,
    ca: TestCa,
    folder: TempDir,
    child: Option<Child>,
    /// Resolves every name to 127.0.0.1.
    dns: Child,
    dns_port: u16,
}

impl Pebble {
    /// Prepares one that verifies domains on this port, and issues certificates for so many seconds. `None` if Pebble is
    /// not installed.
    pub fn prepare(http_port: u16, validity_seconds: u64) -> Option<Self> {
        let program = needs("BLOGCTL_TEST_PEBBLE")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = TestCa::new("CA of Pebble's own certificate");
        let files = ca.server(&["localhost", "127.0.0.1"]).write(folder.path(), "pebble");
        ca.write(folder.path(), "ca.pem");
        let [port, management_port, dns_port, dns_management_port] = [(); 4].map(|()| free_port());
        let settings = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management_port}"),
            "certificate": files.certificate,
            "privateKey": files.key,
            "httpPort": http_port,
            "tlsPort": http_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": validity_seconds,
        }});
        fs::write(folder.path().join("pebble.json"), settings.to_string()).expect("written");
        // Debian's package has both programs.
        let dns = Command::new(format!("{program}-challtestsrv"))
            .args([
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ])
            .args(["-dns01", &format!("127.0.0.1:{dns_port}")])
            .args(["-management", &format!("127.0.0.1:{dns_management_port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble-challtestsrv runs");
        wait_until_listens(dns_management_port);
        Some(Self {
            dns,
            dns_port,
            program,
            port,
            management_port,
            ca,
            folder,
            child: None,
        })
    }

    /// Prepares one and runs it.
    pub fn start(http_port: u16, validity_seconds: u64) -> Option<Self> {
        let mut pebble = Self::prepare(http_port, validity_seconds)?;
        pebble.run();
        Some(pebble)
    }

    /// Runs it. It has forgotten everything that it knew before.
    pub fn run(&mut self) {
        let child = Command::new(&self.program)
            .arg("-config")
            .arg(self.folder.path().join("pebble.json"))
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.dns_port)])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("pebble runs"));
        wait_until_listens(self.port);
    }

    /// Stops it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> Url {
        Url::parse(&format!("https://localhost:{}/dir", self.port)).expect("a URL")
    }

    /// The CA that its own certificate is from.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The root of the certificates that it issues, in PEM.
    pub fn root(&self) -> String {
        let url = format!("https://localhost:{}/roots/0", self.management_port);
        let mut response = self.ca.agent(None).get(url).call().expect("a response");
        response.body_mut().read_to_string().expect("text")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        let _ = self.dns.kill();
        let _ = self.dns.wait();
    }
}

fn wait_until_listens(port: u16) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on port {port}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a free port")
        .port()
}
