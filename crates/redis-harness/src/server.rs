//! One server.

use crate::{
    certificates::Certificates,
    process::{NotReady, OwnDir, Process, free_port, server_program, version_of},
};
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use std::time::{Duration, Instant};

/// From this port on the bus of a cluster's node, 10000 above it, has no port.
const NO_BUS_ABOVE: u16 = 55_536;

/// How long a connection may take to be there, however often it has to be begun.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);

/// How long an answer may take. A busy machine decides no test.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long a port may be taken while its server is down: connections that were open on it, and those that others
/// happen to have from it, are gone by then.
const PORT_BACK_WITHIN: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills it and removes its directory.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    dir: OwnDir,
    port: u16,
    tls: Option<Tls>,
    options: ServerBuilder,
}

#[derive(Debug, Clone)]
struct Tls {
    port: u16,
    certificates: Certificates,
}

impl RedisServer {
    /// A plain server that keeps nothing on disk: `redis-server`, or what `REDIS_SERVER` names.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A server with options.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The plain port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:{port}`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The same with a user of [`ServerBuilder::acl`].
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// `rediss://127.0.0.1:{port}`, for a server started with [`ServerBuilder::tls`].
    pub fn tls_url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.need_tls().port)
    }

    /// The certificates of a server started with [`ServerBuilder::tls`].
    pub fn certificates(&self) -> &Certificates {
        &self.need_tls().certificates
    }

    /// Major and minor version of the servers that tests start, as the program prints it. Valkey prints its own.
    pub fn version() -> (u32, u32) {
        version_of(&server_program())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A new connection of the default user to the plain port.
    pub async fn connection(&self) -> MultiplexedConnection {
        connect(&self.url()).await
    }

    /// Bytes that the server has sent to all its clients since it started.
    pub async fn bytes_sent(&self) -> u64 {
        let mut link = self.connection().await;
        let mut info = redis::cmd("INFO");
        let asked = info.arg("stats").query_async::<String>(&mut link).await;
        let stats = asked.unwrap_or_else(|error| panic!("no statistics: {error}"));
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        let bytes = line.and_then(|bytes| bytes.trim().parse().ok());
        bytes.unwrap_or_else(|| panic!("the server counts no bytes: {stats}"))
    }

    /// SIGKILL: the server gets no chance to tidy up. [`RedisServer::restart`] brings it back.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Kills it where it still runs, and starts it again on the same ports and directory.
    pub async fn restart(&mut self) {
        self.process.kill();
        let tls_port = self.tls.as_ref().map(|tls| tls.port);
        let started = Instant::now();
        loop {
            let args = self.options.args(self.port, tls_port, &self.dir, &self.tls);
            match Process::start(&self.options.program, &args, self.port, &self.dir).await {
                Ok(process) => {
                    self.process = process;
                    return;
                }
                Err(NotReady::PortTaken) if started.elapsed() < PORT_BACK_WITHIN => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(NotReady::PortTaken) => {
                    panic!("port {} was taken while its server was down", self.port)
                }
                Err(NotReady::Other(why)) => panic!("the server did not come back: {why}"),
            }
        }
    }

    /// Whether its process has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.process.is_over()
    }

    /// SIGSTOP: its sockets stay open and do not answer.
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// SIGCONT: it goes on where it stopped.
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    fn need_tls(&self) -> &Tls {
        self.tls
            .as_ref()
            .unwrap_or_else(|| panic!("this server was started without .tls()"))
    }
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    program: String,
    tls: bool,
    cluster: bool,
    rdb: bool,
    lines: Vec<String>,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            program: server_program(),
            tls: false,
            cluster: false,
            rdb: false,
            lines: Vec::new(),
        }
    }
}

impl ServerBuilder {
    /// Another server program, found on `PATH` or given by its path: `valkey-server`.
    pub fn program(mut self, name: &str) -> Self {
        self.program = name.into();
        self
    }

    /// An append-only file, flushed as `fsync` says: `always`, `everysec` or `no`.
    pub fn aof(self, fsync: &str) -> Self {
        self.config("appendonly yes")
            .config(&format!("appendfsync {fsync}"))
    }

    /// Snapshots as the server saves them by default, as a distribution's package is set up.
    pub fn rdb(mut self) -> Self {
        self.rdb = true;
        self
    }

    /// One user, in the words of `ACL SETUSER`: `worker on >secret ~* +@all`.
    pub fn acl(self, user: &str) -> Self {
        self.config(&format!("user {user}"))
    }

    /// A second port that speaks TLS with a certificate made for this server.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// A node that can join a cluster. See [`crate::Cluster`].
    pub fn cluster_enabled(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// A replica of the server on this loopback port.
    pub fn replica_of(self, port: u16) -> Self {
        self.config(&format!("replicaof 127.0.0.1 {port}"))
    }

    /// Any other line of `redis.conf`.
    pub fn config(mut self, line: &str) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Starts it; returns once it answers PING.
    ///
    /// # Panics
    ///
    /// Where the program is not installed or does not come up.
    pub async fn start(self) -> RedisServer {
        let dir = OwnDir::new();
        for _ in 0..200 {
            let port = free_port();
            if self.cluster && port >= NO_BUS_ABOVE {
                continue;
            }
            let tls = self.tls.then(|| Tls {
                port: free_port(),
                certificates: Certificates::generate(&dir),
            });
            let args = self.args(port, tls.as_ref().map(|tls| tls.port), &dir, &tls);
            match Process::start(&self.program, &args, port, &dir).await {
                Ok(process) => {
                    return RedisServer {
                        process,
                        dir,
                        port,
                        tls,
                        options: self,
                    };
                }
                Err(NotReady::PortTaken) => {}
                Err(NotReady::Other(why)) => panic!("{} did not come up: {why}", self.program),
            }
        }
        panic!("somebody took our port 200 times in a row");
    }

    /// Writes the configuration file and returns the command line.
    fn args(
        &self,
        port: u16,
        tls_port: Option<u16>,
        dir: &OwnDir,
        tls: &Option<Tls>,
    ) -> Vec<String> {
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("port {port}"),
            format!("dir {}", dir.path().display()),
            "daemonize no".to_owned(),
        ];
        if !self.rdb {
            lines.push("save \"\"".into());
        }
        if let (Some(tls_port), Some(Tls { certificates, .. })) = (tls_port, tls) {
            lines.push(format!("tls-port {tls_port}"));
            lines.push("tls-auth-clients no".into());
            for (name, file) in [
                ("tls-ca-cert-file", &certificates.ca_file),
                ("tls-cert-file", &certificates.cert_file),
                ("tls-key-file", &certificates.key_file),
            ] {
                lines.push(format!("{name} {}", file.display()));
            }
        }
        if self.cluster {
            lines.push("cluster-enabled yes".into());
            // The default bus port is the port plus 10000, which may not exist; before 7.0 there is no other.
            if version_of(&self.program) >= (7, 0) {
                lines.push(format!("cluster-port {}", free_port()));
            }
            lines.push("cluster-node-timeout 2000".into());
        }
        lines.extend(self.lines.iter().cloned());
        let file = dir.write("server.conf", &(lines.join("\n") + "\n"));
        vec![file.display().to_string()]
    }
}

/// Tries again for a while: a server that has just been promoted closes the connections it has,
/// those being set up included.
pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    let patient = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    let started = Instant::now();
    loop {
        match client
            .get_multiplexed_async_connection_with_config(&patient)
            .await
        {
            Ok(connection) => return connection,
            Err(error) if started.elapsed() > CONNECT_WITHIN => {
                panic!("cannot connect to {url}: {error}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
