//! Two replicas of each role as processes behind load balancers, with PostgreSQL and Redis. The identity provider runs in this
//! process.
//!
//! ```ignore
//! let Some(system) = ReplicatedSystem::start(&[]) else { return };
//! system.apis[0].kill();
//! browser.get(&system.site.url("/posts"));                      // the other replica answers
//! ```

use std::collections::HashMap;

use blogctl::serve;
use tempfile::TempDir;

use super::{
    api::Client,
    database::PostgresDatabase,
    idp::IdpControl,
    load_balancer::LoadBalancer,
    redis::RedisServer,
    replica::{Replica, arguments},
    stored_posts::{PostText, stored_posts},
    system::{TestServer, settings_for},
};

/// The running system.
pub struct ReplicatedSystem {
    pub apis: [Replica; 2],
    pub sites: [Replica; 2],
    /// In front of the API's replicas.
    pub api: LoadBalancer,
    /// In front of the site's replicas.
    pub site: LoadBalancer,
    pub redis: RedisServer,
    pub postgres: PostgresDatabase,
    idp: TestServer,
    _folder: TempDir,
}

impl ReplicatedSystem {
    /// Starts everything, with these settings (`section.key=value`) in addition. `None` without PostgreSQL or Redis.
    pub fn start(more: &[&str]) -> Option<Self> {
        let (postgres, redis) = (PostgresDatabase::new()?, RedisServer::start()?);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let idp = serve::listen("127.0.0.1", 0).expect("a free port");
        let ((api_listener, api), (site_listener, site)) = (LoadBalancer::start(), LoadBalancer::start());
        let settings = settings_for(folder.path(), &idp, &api_listener, &site_listener);
        let idp = TestServer::idp(idp, settings.clone());
        let mut set = arguments(&settings);
        set.extend([
            format!("client.public_url=http://localhost:{}", site.port),
            "database.migrate_at_start=true".to_owned(),
            "api.rate_limits=false".to_owned(),
        ]);
        set.extend(more.iter().map(|setting| (*setting).to_owned()));
        let (database_url, redis_url) = (postgres.settings.url.clone(), redis.url());
        let environment = [("BLOG_DATABASE__URL", &*database_url), ("BLOG_REDIS__URL", &*redis_url)];
        let replica =
            |command, balancer: &LoadBalancer| Replica::new(command, folder.path(), &set, &environment, balancer);
        let apis = [(); 2].map(|()| replica("serve-api", &api));
        let sites = [(); 2].map(|()| replica("serve-client", &site));
        for replica in apis.iter().chain(&sites) {
            replica.start();
        }
        Some(Self {
            apis,
            sites,
            api,
            site,
            redis,
            postgres,
            idp,
            _folder: folder,
        })
    }

    /// The replicas in the order of a rolling update.
    pub fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.apis.iter().chain(&self.sites)
    }

    /// Controls the identity provider.
    pub fn control(&self) -> IdpControl {
        IdpControl::new(&self.idp)
    }

    /// A client of the API, through the load balancer.
    pub fn alice(&self) -> Client {
        Client::at(&self.api.url(""), &self.control().token().mint())
    }

    /// All posts in the database.
    pub fn posts(&self) -> HashMap<i64, PostText> {
        stored_posts(&self.postgres.settings.url)
    }

    /// The titles of all posts in the database.
    pub fn titles(&self) -> Vec<String> {
        self.posts().into_values().map(|post| post.title).collect()
    }
}
