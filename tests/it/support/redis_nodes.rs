//! Redis on several servers: a cluster of three primaries with a replica each, and a primary with a replica and three
//! Sentinels. All are processes on loopback with their files in a temporary folder, and end with the test.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use blogctl::config::{RedisMode, RedisSettings};
use redis::{ConnectionLike as _, FromRedisValue, TlsCertificates, Value};
use tempfile::TempDir;

use super::{entra::wait_until, pki::TestCa};

const PASSWORD: &str = "hunter2-of-nodes";
const SENTINEL_PASSWORD: &str = "hunter2-of-sentinels";
/// The name that the Sentinels have for the primary.
pub const PRIMARY: &str = "blog";

/// A `redis-server` process.
pub struct Node {
    pub port: u16,
    child: Option<Child>,
    arguments: Vec<String>,
    password: &'static str,
    ca: Option<Vec<u8>>,
}

impl Node {
    fn start(port: u16, arguments: Vec<String>, password: &'static str, ca: Option<Vec<u8>>) -> Self {
        let mut node = Self {
            port,
            child: None,
            arguments,
            password,
            ca,
        };
        node.restart();
        node
    }

    /// Starts it with the same files.
    pub fn restart(&mut self) {
        let program = std::env::var_os("BLOGCTL_TEST_REDIS_SERVER").expect("there was one");
        let child = Command::new(program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server runs"));
        wait_until("redis-server listens", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// Kills the process (SIGKILL).
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn url(&self) -> String {
        let scheme = if self.ca.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://:{}@127.0.0.1:{}", self.password, self.port)
    }

    pub fn connection(&self) -> redis::Connection {
        let client = match &self.ca {
            None => redis::Client::open(self.url()),
            Some(ca) => redis::Client::build_with_tls(
                self.url(),
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(ca.clone()),
                },
            ),
        };
        let connection = client.expect("an address").get_connection();
        connection.expect("a connection")
    }

    /// Runs a command: words separated by blanks.
    pub fn run<T: FromRedisValue>(&self, command: &str) -> T {
        let answer = self.try_run(command);
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    fn try_run<T: FromRedisValue>(&self, command: &str) -> redis::RedisResult<T> {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().expect("a command"));
        words.for_each(|word| {
            cmd.arg(word);
        });
        let answer = self.connection().req_command(&cmd)?;
        T::from_redis_value(answer.extract_error()?).map_err(Into::into)
    }

    fn keys(&self) -> u64 {
        self.run("DBSIZE")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A certificate for all nodes, if they use TLS.
struct Tls {
    arguments: Vec<String>,
    ca: Vec<u8>,
    ca_path: PathBuf,
}

impl Tls {
    fn new(folder: &TempDir) -> Self {
        let authority = TestCa::new("CA of the nodes");
        let identity = authority.server(&["127.0.0.1", "localhost"]);
        let files = identity.write(folder.path(), "node");
        // Between the nodes of a cluster, both sides show a certificate.
        let client = authority.client().write(folder.path(), "node-as-client");
        let ca_path = authority.write(folder.path(), "ca.pem");
        let path = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
        let arguments = [
            ("--tls-cert-file", path(&files.certificate)),
            ("--tls-key-file", path(&files.key)),
            ("--tls-client-cert-file", path(&client.certificate)),
            ("--tls-client-key-file", path(&client.key)),
            ("--tls-ca-cert-file", path(&ca_path)),
            ("--tls-auth-clients", "no".to_owned()),
            ("--tls-replication", "yes".to_owned()),
        ];
        Self {
            arguments: arguments
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value])
                .collect(),
            ca: fs::read(&ca_path).expect("written"),
            ca_path,
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A port that is free, and so is the one 10,000 above it, which a node of a cluster uses for the others.
fn free_port(taken: &[u16]) -> u16 {
    for _ in 0..1000 {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("bound").port();
        if port < 55_000 && !taken.contains(&port) && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
    panic!("no free ports");
}

fn free_ports(count: usize) -> Vec<u16> {
    let mut ports = Vec::new();
    for _ in 0..count {
        ports.push(free_port(&ports));
    }
    ports
}

fn settings(mode: RedisMode, urls: &[String], ca_file: Option<PathBuf>) -> RedisSettings {
    let mut settings = super::redis::settings(&urls[0]);
    settings.url = None;
    settings.urls = urls.iter().filter_map(|url| super::redis::settings(url).url).collect();
    settings.mode = mode;
    settings.ca_file = ca_file;
    settings
}

/// Three primaries (0 to 2) and their replicas (3 to 5).
pub struct RedisCluster {
    pub nodes: Vec<Node>,
    tls: Option<Tls>,
    _folder: TempDir,
}

impl RedisCluster {
    /// `None` if Redis is not installed; `tests/run` says so.
    pub fn start(with_tls: bool) -> Option<Self> {
        super::needs("BLOGCTL_TEST_REDIS_SERVER")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tls = with_tls.then(|| Tls::new(&folder));
        let nodes = free_ports(6).into_iter().map(|port| {
            let place = folder.path().join(port.to_string());
            fs::create_dir(&place).expect("a folder");
            let port_options = match &tls {
                None => format!("--port {port}"),
                Some(_) => format!("--port 0 --tls-port {port} --tls-cluster yes"),
            };
            let mut arguments = words(&format!(
                "{port_options} --bind 127.0.0.1 --requirepass {PASSWORD} --masterauth {PASSWORD} --cluster-enabled yes \
                 --cluster-config-file nodes.conf --cluster-node-timeout 1000 --cluster-replica-validity-factor 0 \
                 --appendonly no --dir {}",
                place.display()
            ));
            arguments.extend(["--save".to_owned(), String::new()]);
            arguments.extend(tls.iter().flat_map(|tls| tls.arguments.clone()));
            Node::start(port, arguments, PASSWORD, tls.as_ref().map(|tls| tls.ca.clone()))
        });
        let cluster = Self {
            nodes: nodes.collect(),
            tls,
            _folder: folder,
        };
        cluster.form();
        Some(cluster)
    }

    fn form(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            node.run::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1));
        }
        let [first, others @ ..] = &*self.nodes else { return };
        for node in others {
            first.run::<()>(&format!("CLUSTER MEET 127.0.0.1 {}", node.port));
        }
        for (node, slots) in self.nodes.iter().zip([0..5461, 5461..10_923, 10_923..16_384]) {
            let slots: Vec<String> = slots.map(|slot: u16| slot.to_string()).collect();
            node.run::<()>(&format!("CLUSTER ADDSLOTS {}", slots.join(" ")));
        }
        self.wait_until_well(6);
        for (primary, replica) in [(0, 3), (1, 4), (2, 5)] {
            let id: String = self.nodes[primary].run("CLUSTER MYID");
            wait_until("the replica knows its primary", || {
                self.nodes[replica]
                    .try_run::<()>(&format!("CLUSTER REPLICATE {id}"))
                    .is_ok()
            });
        }
        wait_until("each primary has a replica", || {
            self.nodes.iter().all(|node| {
                let nodes: String = node.run("CLUSTER NODES");
                nodes.matches(" slave ").count() + nodes.matches("myself,slave ").count() == 3
            }) && self.nodes[3..]
                .iter()
                .all(|node| node.run::<String>("INFO replication").contains("master_link_status:up"))
        });
    }

    /// Waits until all running nodes agree that all slots are served, and know `known` nodes.
    pub fn wait_until_well(&self, known: usize) {
        wait_until("the cluster is well", || {
            self.nodes.iter().filter(|node| node.is_running()).all(|node| {
                let info: String = node.run("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{known}"))
            })
        });
    }

    /// Waits until the replica of a primary that was killed has taken its place.
    pub fn wait_until_failed_over(&self, primary: usize) {
        let replica = &self.nodes[primary + 3];
        wait_until("the replica is promoted", || {
            replica.run::<String>("INFO replication").contains("role:master")
        });
        self.wait_until_well(6);
    }

    /// Settings with the addresses of two nodes, which is enough to find the others.
    pub fn settings(&self) -> RedisSettings {
        let urls: Vec<String> = [1, 3].map(|index| self.nodes[index].url()).into();
        settings(
            RedisMode::Cluster,
            &urls,
            self.tls.as_ref().map(|tls| tls.ca_path.clone()),
        )
    }

    /// Waits until the replica of a primary has all its keys.
    pub fn wait_until_replicated(&self, primary: usize) {
        wait_until("all keys are replicated", || {
            self.nodes[primary].keys() == self.nodes[primary + 3].keys()
        });
    }

    /// Moves all slots with keys from one primary to another, as `redis-cli --cluster reshard` does. Returns how many.
    pub fn move_slots(&self, from: usize, to: usize) -> usize {
        let [source, target] = [from, to].map(|index| &self.nodes[index]);
        let [source_id, target_id] = [source, target].map(|node| node.run::<String>("CLUSTER MYID"));
        let keys: Vec<String> = source.run("KEYS *");
        let mut slots: Vec<u16> = keys
            .iter()
            .map(|key| source.run(&format!("CLUSTER KEYSLOT {key}")))
            .collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in &slots {
            target.run::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}"));
            source.run::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"));
            loop {
                let keys: Vec<String> = source.run(&format!("CLUSTER GETKEYSINSLOT {slot} 10"));
                if keys.is_empty() {
                    break;
                }
                for key in keys {
                    let mut migrate = redis::cmd("MIGRATE");
                    migrate.arg("127.0.0.1").arg(target.port).arg(&key).arg(0).arg(5000);
                    migrate.arg("AUTH").arg(PASSWORD);
                    let moved: Value = migrate.query(&mut source.connection()).expect("moved");
                    drop(moved);
                }
            }
            for node in [target, source] {
                node.run::<()>(&format!("CLUSTER SETSLOT {slot} NODE {target_id}"));
            }
        }
        slots.len()
    }
}

/// A primary (0), its replica (1), and three Sentinels with a password.
pub struct RedisSentinels {
    pub servers: Vec<Node>,
    pub sentinels: Vec<Node>,
    tls: Option<Tls>,
    password_file: PathBuf,
    _folder: TempDir,
}

impl RedisSentinels {
    /// `None` if Redis is not installed; `tests/run` says so.
    pub fn start(with_tls: bool) -> Option<Self> {
        super::needs("BLOGCTL_TEST_REDIS_SERVER")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tls = with_tls.then(|| Tls::new(&folder));
        let ca = || tls.as_ref().map(|tls| tls.ca.clone());
        let ports = free_ports(5);
        let tls_arguments: Vec<String> = tls.iter().flat_map(|tls| tls.arguments.clone()).collect();
        let port_options = |port: u16| match &tls {
            None => format!("--port {port}"),
            Some(_) => format!("--port 0 --tls-port {port}"),
        };
        let mut servers = Vec::new();
        for (index, &port) in ports[..2].iter().enumerate() {
            let place = folder.path().join(port.to_string());
            fs::create_dir(&place).expect("a folder");
            let mut arguments = words(&format!(
                "{} --bind 127.0.0.1 --requirepass {PASSWORD} --masterauth {PASSWORD} --appendonly no --dir {}",
                port_options(port),
                place.display()
            ));
            arguments.extend(["--save".to_owned(), String::new()]);
            arguments.extend(tls_arguments.clone());
            if index == 1 {
                arguments.extend(["--replicaof".to_owned(), format!("127.0.0.1 {}", ports[0])]);
            }
            servers.push(Node::start(port, arguments, PASSWORD, ca()));
        }
        wait_until("the replica has a link to the primary", || {
            servers[1]
                .run::<String>("INFO replication")
                .contains("master_link_status:up")
        });
        let sentinels: Vec<Node> = ports[2..]
            .iter()
            .map(|&port| {
                let place = folder.path().join(port.to_string());
                fs::create_dir(&place).expect("a folder");
                let file = place.join("sentinel.conf");
                let mut content = format!(
                    "bind 127.0.0.1\nrequirepass {SENTINEL_PASSWORD}\nsentinel sentinel-pass {SENTINEL_PASSWORD}\n\
                     dir {}\nsentinel monitor {PRIMARY} 127.0.0.1 {} 2\nsentinel auth-pass {PRIMARY} {PASSWORD}\n\
                     sentinel down-after-milliseconds {PRIMARY} 1000\nsentinel failover-timeout {PRIMARY} 5000\n",
                    place.display(),
                    ports[0]
                );
                let options = words(&port_options(port));
                for pair in options.chunks(2).chain(tls_arguments.chunks(2)) {
                    content.extend([pair[0].trim_start_matches('-'), " ", &pair[1], "\n"]);
                }
                fs::write(&file, content).expect("written");
                let arguments = vec![file.to_str().expect("UTF-8").to_owned(), "--sentinel".to_owned()];
                Node::start(port, arguments, SENTINEL_PASSWORD, ca())
            })
            .collect();
        let password_file = folder.path().join("sentinel-password");
        fs::write(&password_file, SENTINEL_PASSWORD).expect("written");
        let all = Self {
            servers,
            sentinels,
            tls,
            password_file,
            _folder: folder,
        };
        wait_until("the Sentinels know each other and the replica", || {
            all.sentinels.iter().all(|sentinel| {
                let info: String = sentinel.run("INFO sentinel");
                info.contains("status=ok") && info.contains("slaves=1") && info.contains("sentinels=3")
            })
        });
        Some(all)
    }

    /// Settings with the addresses of all Sentinels.
    pub fn settings(&self) -> RedisSettings {
        let urls: Vec<String> = self
            .sentinels
            .iter()
            .map(|sentinel| sentinel.url().replace(SENTINEL_PASSWORD, PASSWORD))
            .collect();
        let mut settings = settings(
            RedisMode::Sentinel,
            &urls,
            self.tls.as_ref().map(|tls| tls.ca_path.clone()),
        );
        settings.sentinel_master = Some(PRIMARY.to_owned());
        settings.sentinel_password = Some(SENTINEL_PASSWORD.into());
        settings.sentinel_password_file = Some(self.password_file.clone());
        settings
    }

    /// The port of the primary, as the Sentinel with this index says.
    pub fn primary(&self, sentinel: usize) -> u16 {
        let command = format!("SENTINEL get-master-addr-by-name {PRIMARY}");
        let (_, port): (String, u16) = self.sentinels[sentinel].run(&command);
        port
    }

    /// Waits until the replica has all keys.
    pub fn wait_until_replicated(&self) {
        wait_until("all keys are replicated", || {
            self.servers[0].keys() == self.servers[1].keys()
        });
    }
}
