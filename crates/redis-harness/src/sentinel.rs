//! A master and a replica, watched by sentinels.

use crate::{
    process::{NotReady, OwnDir, Process, free_port, server_program},
    server::{RedisServer, connect},
};
use redis::cmd;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// A master, its replica and one or more sentinels that agree on both. Dropping it kills all.
#[derive(Debug)]
pub struct Sentinel {
    master: RedisServer,
    replica: RedisServer,
    sentinels: Vec<(Process, OwnDir, u16)>,
}

const WITHIN: Duration = Duration::from_secs(30);

/// Sentinels that have named the same master for this long do not change their minds by themselves.
const AGREED: Duration = Duration::from_secs(2);

/// A failover that has not come to its end after this was given up.
const GIVEN_UP: Duration = Duration::from_secs(8);

impl Sentinel {
    /// The name the master is known under.
    pub const MASTER: &'static str = "mymaster";

    /// One sentinel that decides alone.
    pub async fn start() -> Self {
        Self::start_with(1).await
    }

    /// This many sentinels; the majority decides.
    pub async fn start_with(sentinels: usize) -> Self {
        let master = RedisServer::start().await;
        let replica = RedisServer::builder()
            .replica_of(master.port())
            .start()
            .await;
        let url = replica.url();
        until("the replica follows its master", async || {
            info(&url, "replication")
                .await
                .contains("master_link_status:up")
        })
        .await;

        let quorum = sentinels / 2 + 1;
        let mut running = Vec::with_capacity(sentinels);
        for _ in 0..sentinels {
            running.push(start_one(master.port(), quorum).await);
        }
        for (_, _, port) in &running {
            let url = format!("redis://127.0.0.1:{port}");
            let others = format!(",sentinels={sentinels}");
            until(
                "the sentinels know master, replica and each other",
                async || {
                    let seen = info(&url, "sentinel").await;
                    seen.contains("status=ok")
                        && seen.contains("slaves=1")
                        && seen.contains(&others)
                },
            )
            .await;
        }
        Self {
            master,
            replica,
            sentinels: running,
        }
    }

    /// The server that was master at the start.
    pub fn master(&mut self) -> &mut RedisServer {
        &mut self.master
    }

    /// The server that was replica at the start.
    pub fn replica(&mut self) -> &mut RedisServer {
        &mut self.replica
    }

    /// A planned failover: no server dies, the sentinels have the replica promoted. Returns once they name it. With
    /// `coordinated` the master hands over itself, which Valkey 9 can.
    ///
    /// # Panics
    ///
    /// Where the sentinels do not do it.
    pub async fn hand_over(&mut self, coordinated: bool) {
        let mut ask = cmd("SENTINEL");
        ask.arg("FAILOVER").arg(Self::MASTER);
        if coordinated {
            ask.arg("COORDINATED");
        }
        let sentinel = format!("redis://127.0.0.1:{}", self.sentinels[0].2);
        let mut begun: Option<Instant> = None;
        until("the sentinel names the new master", async || {
            if names(&sentinel).await == Some(self.replica.port()) {
                return true;
            }
            // One that was given up is begun again, and none that is under way.
            if begun.is_none_or(|begun| begun.elapsed() > GIVEN_UP) {
                let mut link = connect(&sentinel).await;
                begun = ask
                    .exec_async(&mut link)
                    .await
                    .ok()
                    .map(|()| Instant::now());
            }
            false
        })
        .await;
        for (_, _, port) in &self.sentinels {
            let url = format!("redis://127.0.0.1:{port}");
            until("every sentinel names the new master", async || {
                names(&url).await == Some(self.replica.port())
            })
            .await;
        }
    }

    /// After a failover: the former master comes back as the replica, and the two change their names. Returns once
    /// every sentinel would promote it.
    pub async fn rejoin(&mut self) {
        // Sentinels may have failed over again meanwhile. Who is made to follow loses what was written to it alone, so it
        // must not be the one that they name.
        if self.named().await == self.replica.port() {
            std::mem::swap(&mut self.master, &mut self.replica);
        }
        if self.replica.is_over() {
            self.replica.restart().await;
        }
        let mut follow = cmd("REPLICAOF");
        follow.arg("127.0.0.1").arg(self.master.port());
        let url = self.replica.url();
        until("the former master follows the new one", async || {
            // Set again: a sentinel may have set it otherwise meanwhile.
            let _ = follow.exec_async(&mut connect(&url).await).await;
            let info = info(&url, "replication").await;
            info.contains("master_link_status:up")
                && info.contains(&format!("master_port:{}", self.master.port()))
        })
        .await;
        for (_, _, port) in &self.sentinels {
            let url = format!("redis://127.0.0.1:{port}");
            let port = self.replica.port().to_string();
            until("every sentinel would promote the replica", async || {
                let mut ask = cmd("SENTINEL");
                ask.arg("REPLICAS").arg(Self::MASTER);
                let replicas = ask.query_async(&mut connect(&url).await).await;
                let replicas: Vec<HashMap<String, String>> = replicas.unwrap_or_default();
                let is = |replica: &HashMap<String, String>, name: &str, word: &str| {
                    replica.get(name).is_some_and(|value| value == word)
                };
                replicas.iter().any(|replica| {
                    is(replica, "port", &port)
                        && is(replica, "flags", "slave")
                        && is(replica, "master-link-status", "ok")
                })
            })
            .await;
        }
    }

    /// The port of whom all sentinels have called master for a while.
    async fn named(&self) -> u16 {
        let (mut last, mut since) = (None, Instant::now());
        until("all sentinels name the same master", async || {
            let mut all = Vec::with_capacity(self.sentinels.len());
            for (_, _, port) in &self.sentinels {
                all.push(names(&format!("redis://127.0.0.1:{port}")).await);
            }
            let agreed = all[0].filter(|port| all.iter().all(|other| *other == Some(*port)));
            if agreed.is_none() || agreed != last {
                (last, since) = (agreed, Instant::now());
            }
            agreed.is_some() && since.elapsed() > AGREED
        })
        .await;
        last.unwrap_or_default()
    }

    /// The sentinels' URLs.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels
            .iter()
            .map(|(_, _, port)| format!("redis://127.0.0.1:{port}"))
            .collect()
    }

    /// Kills the master and returns once the former replica is one.
    pub async fn fail_over(&mut self) {
        self.master.kill();
        self.is_promoted().await;
    }

    /// Returns once the former replica is the master, whatever became of the other one.
    pub async fn is_promoted(&self) {
        let url = self.replica.url();
        // A connection for each look: a server that is promoted closes those it has.
        until("the replica is promoted", async || {
            info(&url, "replication").await.contains("role:master")
        })
        .await;
    }
}

async fn start_one(master_port: u16, quorum: usize) -> (Process, OwnDir, u16) {
    for _ in 0..20 {
        let (dir, port) = (OwnDir::new(), free_port());
        let name = Sentinel::MASTER;
        let lines = [
            "bind 127.0.0.1".to_owned(),
            format!("port {port}"),
            format!("dir {}", dir.path().display()),
            format!("sentinel monitor {name} 127.0.0.1 {master_port} {quorum}"),
            format!("sentinel down-after-milliseconds {name} 500"),
            format!("sentinel failover-timeout {name} 3000"),
        ];
        let file = dir.write("sentinel.conf", &(lines.join("\n") + "\n"));
        let args = [file.display().to_string(), "--sentinel".to_owned()];
        match Process::start(&server_program(), &args, port, &dir).await {
            Ok(process) => return (process, dir, port),
            Err(NotReady::PortTaken) => {}
            Err(NotReady::Other(why)) => panic!("the sentinel did not come up: {why}"),
        }
    }
    panic!("somebody took our port 20 times in a row");
}

/// The port of whom a sentinel calls master.
async fn names(sentinel: &str) -> Option<u16> {
    let mut ask = cmd("SENTINEL");
    ask.arg("get-master-addr-by-name").arg(Sentinel::MASTER);
    let named = ask.query_async(&mut connect(sentinel).await).await;
    named.ok().map(|(_, port): (String, u16)| port)
}

/// One section of INFO; empty where the server has just closed the connection.
async fn info(url: &str, section: &str) -> String {
    let mut link = connect(url).await;
    let answer = cmd("INFO").arg(section).query_async(&mut link).await;
    answer.unwrap_or_default()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < WITHIN, "it never came true that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
