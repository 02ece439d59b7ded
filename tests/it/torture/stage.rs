//! One API with its database, which a scenario breaks and repairs.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use blogctl::serve;
use tempfile::TempDir;

use super::{
    either,
    report::{Row, counts},
    writers::Writers,
};
use crate::support::{
    api::Client,
    idp::IdpControl,
    load_balancer::LoadBalancer,
    postgres_server::PostgresServer,
    replica::{Replica, arguments},
    stored_posts::{PostText, stored_posts},
    system::{TestServer, settings_for},
    tcp_proxy::TcpProxy,
};

const WRITERS: usize = 4;

/// Where the posts are.
pub enum Store {
    Sqlite(PathBuf),
    /// The API reaches the server through the proxy.
    Postgres(PostgresServer, TcpProxy),
}

impl Store {
    /// An SQLite file in this folder.
    pub fn sqlite_in(folder: &Path) -> Self {
        Self::Sqlite(folder.join("blog.db"))
    }

    /// A server with its data in this folder. `None` without PostgreSQL.
    pub fn postgres_in(folder: &Path) -> Option<Self> {
        let server = PostgresServer::start(folder)?;
        let proxy = TcpProxy::to(server.port);
        Some(Self::Postgres(server, proxy))
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(_, proxy) => PostgresServer::url_at(proxy.port()),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(..) => "PostgreSQL",
        }
    }

    /// The server and the way to it.
    pub fn postgres(&mut self) -> (&mut PostgresServer, &TcpProxy) {
        match self {
            Self::Postgres(server, proxy) => (server, proxy),
            Self::Sqlite(_) => panic!("only with PostgreSQL"),
        }
    }

    /// Starts the killed server again.
    pub fn restart(&mut self) {
        let (server, proxy) = self.postgres();
        server.restart();
        proxy.redirect(server.port);
    }

    /// All posts, read without the API.
    pub fn posts(&self) -> HashMap<i64, PostText> {
        match self {
            Self::Sqlite(path) => stored_posts(&path.display().to_string()),
            Self::Postgres(server, _) => stored_posts(&PostgresServer::url_at(server.port)),
        }
    }
}

/// The running API.
pub struct Stage {
    pub api: Replica,
    pub store: Store,
    pub folder: TempDir,
    _balancer: LoadBalancer,
    idp: TestServer,
}

impl Stage {
    /// On SQLite, in a new folder.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::sqlite_in(folder.path());
        Self::with(folder, store, &[], &[])
    }

    /// On a new PostgreSQL server, if it is installed.
    pub fn postgres() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::postgres_in(folder.path())?;
        Some(Self::with(folder, store, &[], &[]))
    }

    /// On each database.
    pub fn each(scenario: impl Fn(Self)) {
        scenario(Self::sqlite());
        if let Some(stage) = Self::postgres() {
            scenario(stage);
        }
    }

    /// With more settings (`section.key=value`) and environment.
    pub fn with(folder: TempDir, store: Store, settings: &[&str], environment: &[(&str, &str)]) -> Self {
        let idp = serve::listen("127.0.0.1", 0).expect("a free port");
        let (listener, balancer) = LoadBalancer::start();
        let system = settings_for(folder.path(), &idp, &listener, &listener);
        let idp = TestServer::idp(idp, system.clone());
        let mut set = arguments(&system);
        set.extend(
            [
                "api.rate_limits=false",
                "database.migrate_at_start=true",
                "server.drain_seconds=0",
            ]
            .map(str::to_owned),
        );
        // The short form waits less for silent servers; the full form has the defaults.
        let short = [
            "database.deadline_seconds=3",
            "database.statement_timeout_seconds=2",
            "database.lock_timeout_seconds=2",
            "database.connect_timeout_seconds=2",
            "database.tcp_user_timeout_seconds=2",
        ];
        set.extend(either(&short[..], &[]).iter().map(|&setting| setting.to_owned()));
        set.extend(settings.iter().map(|&setting| setting.to_owned()));
        let url = store.url();
        let mut environment = environment.to_vec();
        environment.push(("BLOG_DATABASE__URL", &url));
        let api = Replica::new("serve-api", folder.path(), &set, &environment, &balancer);
        api.start();
        Self {
            api,
            store,
            folder,
            _balancer: balancer,
            idp,
        }
    }

    pub fn control(&self) -> IdpControl {
        IdpControl::new(&self.idp)
    }

    /// A client with a new token.
    pub fn client(&self) -> Client {
        Client::at(&self.url(), &self.control().token().mint())
    }

    /// The API's address now.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api.backend.port())
    }

    /// Starts writers, and waits until they write.
    pub fn writers(&self) -> Writers {
        let backend = Arc::clone(&self.api.backend);
        let address = move || format!("http://127.0.0.1:{}", backend.port());
        let address: Arc<dyn Fn() -> String + Send + Sync> = Arc::new(address);
        let writers = Writers::start(WRITERS, Duration::ZERO, &address, &self.client());
        writers.wait_for(50);
        writers
    }

    /// Stops everything, compares the database with what was acknowledged, and records the result. `allowed` names the
    /// outcomes that attempts without an acknowledgement may have.
    pub fn finish(self, scenario: &str, writers: Writers, recovered_in: Duration, allowed: &[&str]) {
        let acknowledged = writers.acknowledged();
        let seen = writers.finish();
        let errors = self.api.terminate();
        let losses = seen.ledger.lock().compare(&self.store.posts());
        let failures = seen.failures.lock();
        Row {
            scenario,
            database: self.store.name(),
            acknowledged,
            lost: losses.lost.len(),
            doubled: losses.doubled.len(),
            recovered_in: Some(recovered_in),
            remarks: counts(&failures),
        }
        .record();
        assert!(losses.lost.is_empty(), "lost: {:?}", losses.lost);
        assert!(losses.doubled.is_empty(), "doubled: {:?}", losses.doubled);
        let unexpected: Vec<_> = failures
            .keys()
            .filter(|outcome| !allowed.contains(&outcome.as_str()))
            .collect();
        assert!(
            unexpected.is_empty(),
            "only {allowed:?} may happen: {failures:?}\n{errors}"
        );
    }
}
