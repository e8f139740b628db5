//! A store on a real server, and the hands of issuers and operators.

#![allow(dead_code, unreachable_pub)] // each test uses its part of it

use permit_gate::{PlanId, contract::Bench};
use permit_redis::{PermitKeys, RedisConfig, RedisPermitStore};
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd};
use redis_harness::RedisServer;
use std::time::{Duration, Instant};

pub const KILL_SWITCH: &str = "quantum:global:kill_switch";

/// Two stores on the same server, and a connection for everybody else.
pub struct RedisBench {
    pub store: RedisPermitStore,
    pub rival: RedisPermitStore,
    pub keys: PermitKeys,
    /// One to each server; on a cluster the one that has the key answers.
    pub issuers: Vec<MultiplexedConnection>,
}

impl RedisBench {
    pub async fn new(config: RedisConfig, server: &RedisServer) -> Self {
        let issuers = vec![server.connection().await];
        Self::with_keys(config, PermitKeys::default(), issuers).await
    }

    pub async fn with_keys(
        config: RedisConfig,
        keys: PermitKeys,
        issuers: Vec<MultiplexedConnection>,
    ) -> Self {
        let config = config.permits(keys.clone());
        Self {
            store: RedisPermitStore::connect(config.clone()).await.unwrap(),
            rival: RedisPermitStore::connect(config).await.unwrap(),
            keys,
            issuers,
        }
    }

    /// Runs a command as somebody who knows nothing of us.
    pub async fn issue<T: FromRedisValue>(&self, command: &redis::Cmd) -> T {
        for issuer in &self.issuers {
            match command.query_async(&mut issuer.clone()).await {
                Err(error) if error.code() == Some("MOVED") => {}
                answer => return answer.unwrap(),
            }
        }
        panic!("no server has the key");
    }

    fn key(&self, plan: &PlanId, permit: &str) -> String {
        self.keys.template(permit).unwrap().key(plan)
    }
}

impl Bench for RedisBench {
    type Store = RedisPermitStore;

    fn store(&self) -> &RedisPermitStore {
        &self.store
    }

    fn rival(&self) -> &RedisPermitStore {
        &self.rival
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn write(&self, plan: &PlanId, permit: &str, content: &[u8], ttl: Option<Duration>) {
        let mut set = cmd("SET");
        set.arg(self.key(plan, permit)).arg(content);
        if let Some(ttl) = ttl {
            set.arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap());
        }
        self.issue::<()>(&set).await;
    }

    async fn expire(&self, plan: &PlanId, permit: &str) {
        let mut expire = cmd("PEXPIRE");
        expire.arg(self.key(plan, permit)).arg(1);
        self.issue::<()>(&expire).await;
        while self.holds(plan, permit).await {}
    }

    async fn holds(&self, plan: &PlanId, permit: &str) -> bool {
        let mut exists = cmd("EXISTS");
        exists.arg(self.key(plan, permit));
        self.issue(&exists).await
    }

    async fn halt(&self, on: bool) {
        let mut switch = cmd(if on { "SET" } else { "DEL" });
        switch.arg(KILL_SWITCH);
        if on {
            switch.arg("true");
        }
        self.issue::<()>(&switch).await;
    }

    fn pushes(&self) -> bool {
        self.store.watch_mode().pushes()
    }

    async fn at_most(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
    }
}
