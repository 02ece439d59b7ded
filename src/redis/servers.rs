//! Which servers a connection leads to, for each `redis.mode`.

use std::{fs, time::Duration};

use redis::{
    Client, Connection as NodeConnection, ConnectionAddr, ConnectionInfo, ConnectionLike, ErrorKind,
    IntoConnectionInfo as _, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates,
    cluster::{ClusterClient, ClusterConnection},
    cmd,
};
use secrecy::ExposeSecret as _;

use super::{error::RedisSetupError, sentinel::Sentinels};
use crate::{
    config::{RedisMode, RedisSettings},
    passwords::{Password, PasswordError, PasswordSource, Service},
};

/// How often the client of a cluster follows a redirect, or repeats a command after a failure, before the command fails.
const CLUSTER_RETRIES: u32 = 2;
/// Shortest and longest pause before such a repetition, in milliseconds.
const CLUSTER_RETRY_PAUSE: (u64, u64) = (20, 100);

/// Where to connect to, and with which password.
pub(super) struct Servers {
    mode: Mode,
    /// Where the password comes from, if not from the addresses.
    passwords: Option<PasswordSource>,
    timeout: Duration,
}

enum Mode {
    Single(NodeFactory),
    Sentinel {
        sentinels: Sentinels,
        primary: NodeFactory,
    },
    Cluster {
        nodes: Vec<ConnectionInfo>,
        ca: Option<Vec<u8>>,
    },
}

/// A connection to one server, or to all nodes of a cluster.
pub(super) enum Connection {
    Node(NodeConnection),
    Cluster(Box<ClusterConnection>),
}

impl Servers {
    /// `None` when the settings name no Redis.
    pub(super) fn from_settings(settings: &RedisSettings) -> Result<Option<Self>, RedisSetupError> {
        let addresses = settings
            .addresses()
            .iter()
            .map(|url| url.expose().into_connection_info());
        let addresses: Vec<ConnectionInfo> = addresses.collect::<RedisResult<_>>().map_err(RedisSetupError::Client)?;
        let Some(first) = addresses.first().cloned() else {
            return Ok(None);
        };
        let ca = match &settings.ca_file {
            None => None,
            Some(path) => Some(fs::read(path).map_err(|reason| RedisSetupError::CaFile {
                path: path.clone(),
                reason,
            })?),
        };
        // The certificates are parsed here, too, so that a wrong file is reported at the start.
        let factory = NodeFactory { template: first, ca };
        factory.client(None, None).map_err(RedisSetupError::Client)?;
        let mode = match settings.mode {
            RedisMode::Single => Mode::Single(factory),
            RedisMode::Sentinel => {
                let sentinels =
                    sentinels(settings, addresses, factory.ca.as_deref()).map_err(RedisSetupError::Client)?;
                Mode::Sentinel {
                    sentinels,
                    primary: factory,
                }
            }
            RedisMode::Cluster => Mode::Cluster {
                nodes: addresses,
                ca: factory.ca,
            },
        };
        let servers = Self {
            mode,
            passwords: PasswordSource::new(&settings.password_origin(), Service::Redis)?,
            timeout: settings.timeout,
        };
        Ok(Some(servers))
    }

    /// Connects, with the password that is current now. After a rejection, once more if there is a newer one. Returns the
    /// password, too, unless it is in the addresses.
    pub(super) fn connect(&self) -> RedisResult<(Connection, Option<Password>)> {
        let Some(passwords) = &self.passwords else {
            return Ok((self.connect_with(None)?, None));
        };
        let password = passwords.current(self.timeout).map_err(|error| no_password(&error))?;
        match self.connect_with(Some(&password)) {
            Ok(connection) => Ok((connection, Some(password))),
            Err(error) if is_rejection(&error) => {
                let newer = passwords
                    .replace_rejected(&password, self.timeout)
                    .map_err(|error| no_password(&error))?;
                let newer = newer.ok_or(error)?;
                Ok((self.connect_with(Some(&newer))?, Some(newer)))
            }
            Err(error) => Err(error),
        }
    }

    fn connect_with(&self, password: Option<&Password>) -> RedisResult<Connection> {
        let connection = match &self.mode {
            Mode::Single(factory) => Connection::Node(factory.connect(None, password, self.timeout)?),
            Mode::Sentinel { sentinels, primary } => {
                let timeout = node_timeout(self.timeout);
                let connect = |host, port| primary.connect(Some((host, port)), password, timeout);
                Connection::Node(sentinels.connect(timeout, connect)?)
            }
            Mode::Cluster { nodes, ca } => {
                let client = cluster(nodes, ca.as_deref(), password, node_timeout(self.timeout))?;
                Connection::Cluster(Box::new(client.get_connection()?))
            }
        };
        connection.set_timeout(self.timeout)?;
        Ok(connection)
    }

    /// Sends the current password on an open connection, so that the server does not close it when the previous one expires.
    /// `None` if this connection must be replaced: that of a cluster has many sockets, and opens more with the password it began with.
    pub(super) fn authenticate_again(&self, connection: &mut Connection) -> RedisResult<Option<Password>> {
        let (Some(passwords), Connection::Node(node)) = (&self.passwords, connection) else {
            return Ok(None);
        };
        let factory = match &self.mode {
            Mode::Single(factory) | Mode::Sentinel { primary: factory, .. } => factory,
            Mode::Cluster { .. } => return Ok(None),
        };
        let password = passwords.current(self.timeout).map_err(|error| no_password(&error))?;
        let mut auth = cmd("AUTH");
        if let Some(user) = factory.template.redis_settings().username() {
            auth.arg(user);
        }
        node.set_read_timeout(Some(node_timeout(self.timeout)))?;
        auth.arg(password.value().expose_secret()).exec(node)?;
        Ok(Some(password))
    }
}

fn no_password(error: &PasswordError) -> RedisError {
    (
        ErrorKind::AuthenticationFailed,
        "there is no password",
        error.to_string(),
    )
        .into()
}

/// Whether Redis did not accept the password. The client of a cluster puts the reasons of all nodes into one text.
fn is_rejection(error: &RedisError) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    [
        "wrongpass",
        "noauth",
        "authentication failed",
        "authenticationfailed",
        "invalid password",
    ]
    .iter()
    .any(|reason| text.contains(reason))
}

fn sentinels(settings: &RedisSettings, addresses: Vec<ConnectionInfo>, ca: Option<&[u8]>) -> RedisResult<Sentinels> {
    let mut login = RedisConnectionInfo::default();
    if let Some(user) = &settings.sentinel_user {
        login = login.set_username(user);
    }
    if let Some(password) = &settings.sentinel_password {
        login = login.set_password(password.expose_secret());
    }
    let clients = addresses
        .into_iter()
        .map(|address| client(address.set_redis_settings(login.clone()), ca));
    let master = settings.sentinel_master.clone().unwrap_or_default();
    Ok(Sentinels::new(clients.collect::<RedisResult<_>>()?, master))
}

fn cluster(
    nodes: &[ConnectionInfo],
    ca: Option<&[u8]>,
    password: Option<&Password>,
    timeout: Duration,
) -> RedisResult<ClusterClient> {
    let (min, max) = CLUSTER_RETRY_PAUSE;
    let mut builder = ClusterClient::builder(nodes.iter().cloned())
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(min)
        .max_retry_wait(max)
        .connection_timeout(timeout)
        .response_timeout(timeout);
    if let Some(password) = password {
        builder = builder.password(password.value().expose_secret());
    }
    if let Some(ca) = ca {
        builder = builder.certs(certificates(ca));
    }
    builder.build()
}

/// Connects to one server, with the user, the database and the TLS of the addresses.
struct NodeFactory {
    template: ConnectionInfo,
    ca: Option<Vec<u8>>,
}

impl NodeFactory {
    /// A client of the server at this place, or of the one in the addresses.
    fn client(&self, place: Option<(String, u16)>, password: Option<&Password>) -> RedisResult<Client> {
        let mut info = self.template.clone();
        if let Some((host, port)) = place {
            info = info.set_addr(match self.template.addr() {
                ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure: false,
                    tls_params: None,
                },
                _ => ConnectionAddr::Tcp(host, port),
            });
        }
        if let Some(password) = password {
            let login = info
                .redis_settings()
                .clone()
                .set_password(password.value().expose_secret());
            info = info.set_redis_settings(login);
        }
        client(info, self.ca.as_deref())
    }

    fn connect(
        &self,
        place: Option<(String, u16)>,
        password: Option<&Password>,
        timeout: Duration,
    ) -> RedisResult<NodeConnection> {
        let connection = self.client(place, password)?.get_connection_with_timeout(timeout)?;
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

fn client(info: ConnectionInfo, ca: Option<&[u8]>) -> RedisResult<Client> {
    match ca {
        None => Client::open(info),
        Some(ca) => Client::build_with_tls(info, certificates(ca)),
    }
}

fn certificates(ca: &[u8]) -> TlsCertificates {
    TlsCertificates {
        client_tls: None,
        root_cert: Some(ca.to_vec()),
    }
}
