//! A store on a real server, and the hands of issuers and operators.

#![allow(dead_code, unreachable_pub)] // each test uses its part of it

use permit_gate::{PlanId, contract::Bench};
use permit_redis::{PermitKeys, RedisConfig, RedisPermitStore};
use redis::{aio::MultiplexedConnection, cmd};
use std::time::{Duration, Instant};

pub const KILL_SWITCH: &str = "quantum:global:kill_switch";

/// Two stores on the same server, and a connection for everybody else.
pub struct RedisBench {
    pub store: RedisPermitStore,
    pub rival: RedisPermitStore,
    pub keys: PermitKeys,
    pub issuer: MultiplexedConnection,
    pub pushes: bool,
}

impl RedisBench {
    pub async fn new(config: RedisConfig, issuer: MultiplexedConnection, pushes: bool) -> Self {
        Self {
            store: RedisPermitStore::connect(config.clone()).await.unwrap(),
            rival: RedisPermitStore::connect(config).await.unwrap(),
            keys: PermitKeys::default(),
            issuer,
            pushes,
        }
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
        set.exec_async(&mut self.issuer.clone()).await.unwrap();
    }

    async fn expire(&self, plan: &PlanId, permit: &str) {
        let mut expire = cmd("PEXPIRE");
        expire.arg(self.key(plan, permit)).arg(1);
        expire.exec_async(&mut self.issuer.clone()).await.unwrap();
        while self.holds(plan, permit).await {}
    }

    async fn holds(&self, plan: &PlanId, permit: &str) -> bool {
        let mut exists = cmd("EXISTS");
        exists.arg(self.key(plan, permit));
        exists.query_async(&mut self.issuer.clone()).await.unwrap()
    }

    async fn halt(&self, on: bool) {
        let mut switch = cmd(if on { "SET" } else { "DEL" });
        switch.arg(KILL_SWITCH);
        if on {
            switch.arg("true");
        }
        switch.exec_async(&mut self.issuer.clone()).await.unwrap();
    }

    fn pushes(&self) -> bool {
        self.pushes
    }

    async fn at_most(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
    }
}
