//! Finds the primary by asking Sentinels, as the guidelines for clients of Sentinel say: ask one after the other, start with
//! the one that answered last, and let the server confirm that it is the primary.
//!
//! The `redis` crate has a client for Sentinel, too, but it waits without limit for a Sentinel that accepts a connection and
//! then says nothing.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redis::{Client, Connection, ErrorKind, RedisError, RedisResult, Value, cmd};

/// The Sentinels of one primary.
pub(super) struct Sentinels {
    clients: Vec<Client>,
    /// The name that they have for the primary.
    master: String,
    /// Index of the one that answered last.
    preferred: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(clients: Vec<Client>, master: String) -> Self {
        Self {
            clients,
            master,
            preferred: AtomicUsize::new(0),
        }
    }

    /// Connects to the primary with `connect`, which gets its host and port. Each Sentinel has `timeout` to answer.
    ///
    /// # Errors
    /// When no Sentinel answers, none knows the name, or the server that they name does not accept the connection or is
    /// not the primary. The error of a named server is preferred: it says more.
    pub(super) fn connect(
        &self,
        timeout: Duration,
        connect: impl Fn(String, u16) -> RedisResult<Connection>,
    ) -> RedisResult<Connection> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let count = self.clients.len();
        let (mut of_server, mut of_sentinel) = (None, None);
        for (index, client) in self.clients.iter().enumerate().cycle().skip(preferred).take(count) {
            let (host, port) = match self.ask(client, timeout) {
                Ok(address) => address,
                Err(error) => {
                    of_sentinel = Some(error);
                    continue;
                }
            };
            match connect(host, port).and_then(confirmed) {
                Ok(connection) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                // Another Sentinel may have noticed a failover that this one has not.
                Err(error) => of_server = Some(error),
            }
        }
        let none = || RedisError::from((ErrorKind::InvalidClientConfig, "there is no Sentinel"));
        Err(of_server.or(of_sentinel).unwrap_or_else(none))
    }

    fn ask(&self, sentinel: &Client, timeout: Duration) -> RedisResult<(String, u16)> {
        let mut connection = sentinel.get_connection_with_timeout(timeout)?;
        connection.set_read_timeout(Some(timeout))?;
        connection.set_write_timeout(Some(timeout))?;
        let address: Option<(String, u16)> = cmd("SENTINEL")
            .arg("get-master-addr-by-name")
            .arg(&self.master)
            .query(&mut connection)?;
        address.ok_or_else(|| {
            let problem = "a Sentinel does not know this name of redis.sentinel_master";
            (ErrorKind::MasterNameNotFoundBySentinel, problem, self.master.clone()).into()
        })
    }
}

/// The connection, if its server says that it is the primary. A user who may not ask gets the benefit of the doubt: a
/// replica rejects the first write.
fn confirmed(mut connection: Connection) -> RedisResult<Connection> {
    let role: Vec<Value> = match cmd("ROLE").query(&mut connection) {
        Ok(role) => role,
        Err(error) if error.code() == Some("NOPERM") => return Ok(connection),
        Err(error) => return Err(error),
    };
    let is_primary = role.first().is_some_and(|role| match role {
        Value::BulkString(role) => role == b"master",
        Value::SimpleString(role) => role == "master",
        _ => false,
    });
    if is_primary {
        Ok(connection)
    } else {
        Err((ErrorKind::Io, "the server that a Sentinel named is not the primary").into())
    }
}
