//! Several masters that share the slots.

use crate::server::{RedisServer, ServerBuilder, connect};
use redis::cmd;
use std::time::{Duration, Instant};

/// A running cluster of masters without replicas. Dropping it kills all of them.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<RedisServer>,
}

const SLOTS: usize = 16_384;

impl Cluster {
    /// Starts this many masters and returns once each of them sees the whole cluster as well.
    pub async fn start(masters: usize) -> Self {
        Self::start_as(masters, &RedisServer::builder()).await
    }

    /// The same where every master has this many databases, which only some servers can:
    /// [`Cluster::has_numbered_databases`].
    pub async fn start_numbered(masters: usize, databases: usize) -> Self {
        let line = format!("cluster-databases {databases}");
        Self::start_as(masters, &RedisServer::builder().config(&line)).await
    }

    /// Whether the servers that tests start know more than database 0 on a cluster: Valkey 9 and later do.
    pub fn has_numbered_databases() -> bool {
        RedisServer::version() >= (9, 0)
    }

    async fn start_as(masters: usize, how: &ServerBuilder) -> Self {
        let mut nodes = Vec::with_capacity(masters);
        for _ in 0..masters {
            nodes.push(how.clone().cluster_enabled().start().await);
        }
        for (i, node) in nodes.iter().enumerate() {
            let mut link = node.connection().await;
            let (from, to) = (SLOTS * i / masters, SLOTS * (i + 1) / masters - 1);
            // A range at once is for 7.0 and later.
            let slots: Vec<usize> = (from..=to).collect();
            run(&mut link, cmd("CLUSTER").arg("ADDSLOTS").arg(slots)).await;
            // Distinct epochs from the start: otherwise the nodes have to fight them out first.
            run(&mut link, cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(i + 1)).await;
        }
        let mut first = nodes[0].connection().await;
        for node in &nodes[1..] {
            let bus: i64 = bus_port(node).await;
            run(
                &mut first,
                cmd("CLUSTER")
                    .arg("MEET")
                    .arg("127.0.0.1")
                    .arg(node.port())
                    .arg(bus),
            )
            .await;
        }
        for node in &nodes {
            agreed(node, masters).await;
        }
        Self { nodes }
    }

    /// The masters, in the order of their slots.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// As [`Cluster::nodes`], to kill, pause or restart one.
    pub fn nodes_mut(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    /// Every master's URL.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }
}

async fn bus_port(node: &RedisServer) -> i64 {
    let mut link = node.connection().await;
    let answer: Vec<String> = cmd("CONFIG")
        .arg("GET")
        .arg("cluster-port")
        .query_async(&mut link)
        .await
        .unwrap_or_else(|error| panic!("cluster-port: {error}"));
    let port = answer.get(1).and_then(|port| port.parse().ok());
    // Before 7.0 it cannot be chosen.
    port.unwrap_or_else(|| i64::from(node.port()) + 10_000)
}

async fn run(link: &mut redis::aio::MultiplexedConnection, command: &redis::Cmd) {
    let () = command
        .query_async(link)
        .await
        .unwrap_or_else(|error| panic!("the cluster cannot be put together: {error}"));
}

async fn agreed(node: &RedisServer, masters: usize) {
    let started = Instant::now();
    loop {
        let mut link = connect(&node.url()).await;
        let info: String = cmd("CLUSTER")
            .arg("INFO")
            .query_async(&mut link)
            .await
            .unwrap_or_else(|error| panic!("CLUSTER INFO: {error}"));
        if info.contains("cluster_state:ok")
            && info.contains(&format!("cluster_known_nodes:{masters}"))
        {
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "the cluster does not agree:\n{info}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
