//! Which servers a connection leads to, for each `redis.mode`.

use std::{fs, time::Duration};

use redis::{
    Client, Connection as NodeConnection, ConnectionAddr, ConnectionInfo, ConnectionLike, IntoConnectionInfo as _,
    RedisResult, TlsCertificates,
    cluster::{ClusterClient, ClusterConnection},
};
use secrecy::ExposeSecret as _;

use super::{error::RedisSetupError, sentinel::Sentinels};
use crate::config::{RedisMode, RedisSettings, RedisUrl};

/// How often the client of a cluster follows a redirect, or repeats a command after a failure, before the command fails.
const CLUSTER_RETRIES: u32 = 2;
/// Shortest and longest pause before such a repetition, in milliseconds.
const CLUSTER_RETRY_PAUSE: (u64, u64) = (20, 100);

/// Where to connect to.
pub(super) struct Servers {
    mode: Mode,
    timeout: Duration,
}

enum Mode {
    Single(Client),
    Sentinel { sentinels: Sentinels, primary: NodeFactory },
    Cluster(Box<ClusterClient>),
}

/// A connection to one server, or to all nodes of a cluster.
pub(super) enum Connection {
    Node(NodeConnection),
    Cluster(Box<ClusterConnection>),
}

impl Servers {
    /// `None` when the settings name no Redis.
    pub(super) fn from_settings(settings: &RedisSettings) -> Result<Option<Self>, RedisSetupError> {
        let addresses = settings.addresses();
        let Some(first) = addresses.first() else {
            return Ok(None);
        };
        let ca = match &settings.ca_file {
            None => None,
            Some(path) => Some(fs::read(path).map_err(|reason| RedisSetupError::CaFile {
                path: path.clone(),
                reason,
            })?),
        };
        let timeout = settings.timeout;
        let mode = match settings.mode {
            RedisMode::Single => info(first)
                .and_then(|info| client(info, ca.as_deref()))
                .map(Mode::Single),
            RedisMode::Sentinel => Self::sentinel(settings, first, ca),
            RedisMode::Cluster => Self::cluster(addresses, ca, timeout).map(|client| Mode::Cluster(Box::new(client))),
        };
        let mode = mode.map_err(RedisSetupError::Client)?;
        Ok(Some(Self { mode, timeout }))
    }

    fn sentinel(settings: &RedisSettings, first: &RedisUrl, ca: Option<Vec<u8>>) -> RedisResult<Mode> {
        let clients = settings.addresses().iter().map(|address| {
            let info = info(address)?;
            let mut login = redis::RedisConnectionInfo::default();
            if let Some(user) = &settings.sentinel_user {
                login = login.set_username(user);
            }
            if let Some(password) = &settings.sentinel_password {
                login = login.set_password(password.expose_secret());
            }
            client(info.set_redis_settings(login), ca.as_deref())
        });
        let master = settings.sentinel_master.clone().unwrap_or_default();
        Ok(Mode::Sentinel {
            sentinels: Sentinels::new(clients.collect::<RedisResult<_>>()?, master),
            primary: NodeFactory {
                template: info(first)?,
                ca,
            },
        })
    }

    fn cluster(addresses: &[RedisUrl], ca: Option<Vec<u8>>, timeout: Duration) -> RedisResult<ClusterClient> {
        let (min, max) = CLUSTER_RETRY_PAUSE;
        let mut builder = ClusterClient::builder(addresses.iter().map(RedisUrl::expose))
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(min)
            .max_retry_wait(max)
            .connection_timeout(node_timeout(timeout))
            .response_timeout(node_timeout(timeout));
        if let Some(ca) = ca {
            builder = builder.certs(certificates(ca));
        }
        builder.build()
    }

    pub(super) fn connect(&self) -> RedisResult<Connection> {
        let connection = match &self.mode {
            Mode::Single(client) => Connection::Node(client.get_connection_with_timeout(self.timeout)?),
            Mode::Sentinel { sentinels, primary } => {
                let timeout = node_timeout(self.timeout);
                Connection::Node(sentinels.connect(timeout, |host, port| primary.connect(host, port, timeout))?)
            }
            Mode::Cluster(client) => Connection::Cluster(Box::new(client.get_connection()?)),
        };
        connection.set_timeout(self.timeout)?;
        Ok(connection)
    }
}

/// Connects to servers that are only known by host and port, with the user, the password and the TLS of the addresses.
struct NodeFactory {
    template: ConnectionInfo,
    ca: Option<Vec<u8>>,
}

impl NodeFactory {
    fn connect(&self, host: String, port: u16, timeout: Duration) -> RedisResult<NodeConnection> {
        let address = match self.template.addr() {
            ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let client = client(self.template.clone().set_addr(address), self.ca.as_deref())?;
        let connection = client.get_connection_with_timeout(timeout)?;
        connection.set_read_timeout(Some(timeout))?;
        connection.set_write_timeout(Some(timeout))?;
        Ok(connection)
    }
}

impl Connection {
    pub(super) fn commands(&mut self) -> &mut dyn ConnectionLike {
        match self {
            Self::Node(connection) => connection,
            Self::Cluster(connection) => connection.as_mut(),
        }
    }

    /// Limits how long one command may take: in a cluster each attempt, of which there are up to
    /// `CLUSTER_RETRIES` + 1.
    pub(super) fn set_timeout(&self, timeout: Duration) -> RedisResult<()> {
        match self {
            Self::Node(connection) => {
                connection.set_read_timeout(Some(timeout))?;
                connection.set_write_timeout(Some(timeout))
            }
            Self::Cluster(connection) => {
                let timeout = Some(node_timeout(timeout));
                connection.set_read_timeout(timeout)?;
                connection.set_write_timeout(timeout)
            }
        }
    }

    /// Whether it leads to several servers, of which one may fail.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Node(connection) => connection.is_open(),
            Self::Cluster(connection) => connection.is_open(),
        }
    }
}

/// The time for one of several servers, if `whole` is for all of them.
fn node_timeout(whole: Duration) -> Duration {
    whole / 4
}

fn info(address: &RedisUrl) -> RedisResult<ConnectionInfo> {
    address.expose().into_connection_info()
}

fn client(info: ConnectionInfo, ca: Option<&[u8]>) -> RedisResult<Client> {
    match ca {
        None => Client::open(info),
        Some(ca) => Client::build_with_tls(info, certificates(ca.to_vec())),
    }
}

fn certificates(ca: Vec<u8>) -> TlsCertificates {
    TlsCertificates {
        client_tls: None,
        root_cert: Some(ca),
    }
}
