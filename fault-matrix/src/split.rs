//! A master, its replica, and sentinels that each machine hears something else of.

use redis_harness::{Proxy, RedisServer, SentinelStub};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How many sentinels each machine asks.
const SENTINELS: usize = 3;

/// The replica and the ways of the machines.
pub(crate) struct Split {
    replica: RedisServer,
    /// Of each machine: its way to the master at the start, and its sentinels.
    ways: Vec<(Proxy, Vec<SentinelStub>)>,
}

impl Split {
    /// A replica that follows this master, and so many machines' ways to them.
    pub(crate) async fn of(master: &RedisServer, machines: usize) -> Self {
        let replica = RedisServer::builder()
            .replica_of(master.port())
            .start()
            .await;
        let mut ways = Vec::new();
        for _ in 0..machines {
            let proxy = Proxy::to(master.port()).await;
            let mut sentinels = Vec::new();
            for _ in 0..SENTINELS {
                sentinels.push(SentinelStub::saying(proxy.port()).await);
            }
            ways.push((proxy, sentinels));
        }
        let split = Self { replica, ways };
        split.follows().await;
        split
    }

    /// Until the replica has what its master has.
    async fn follows(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut connection = self.replica.connection().await;
            let mut info = redis::cmd("INFO");
            let info: Result<String, _> =
                info.arg("replication").query_async(&mut connection).await;
            if info.is_ok_and(|info| info.contains("master_link_status:up")) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the replica never follows its master"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// How one machine finds its master.
    pub(crate) fn url(&self, machine: usize) -> String {
        let (_, sentinels) = &self.ways[machine];
        let hosts: Vec<String> = sentinels.iter().map(SentinelStub::host).collect();
        format!("redis+sentinel://{}/mymaster", hosts.join(","))
    }

    /// The server that is promoted.
    pub(crate) fn promoted(&self) -> String {
        self.replica.url()
    }

    /// The replica becomes a master, and all machines but the first one are led to it.
    pub(crate) async fn begin(&self) {
        let mut connection = self.replica.connection().await;
        let () = redis::cmd("REPLICAOF")
            .arg("NO")
            .arg("ONE")
            .query_async(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("the replica cannot be promoted: {error}"));
        for (proxy, sentinels) in self.ways.iter().skip(1) {
            sentinels.iter().for_each(|s| s.say(self.replica.port()));
            proxy.close();
        }
    }

    /// The first machine hears but one of its sentinels, which still names the old master.
    pub(crate) fn leave_in_the_dark(&self) {
        if let Some((_, sentinels)) = self.ways.first() {
            sentinels.iter().skip(1).for_each(SentinelStub::fall_silent);
        }
    }

    /// The first machine is led to the new master.
    pub(crate) fn heal(&self) {
        if let Some((proxy, sentinels)) = self.ways.first() {
            sentinels.iter().for_each(|s| s.say(self.replica.port()));
            proxy.close();
        }
    }

    /// The old master becomes a replica of the new one, and loses what it alone has.
    pub(crate) async fn demote(&self, master: &RedisServer) {
        let mut connection = master.connection().await;
        let () = redis::cmd("REPLICAOF")
            .arg("127.0.0.1")
            .arg(self.replica.port())
            .query_async(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("the old master cannot be demoted: {error}"));
    }
}
