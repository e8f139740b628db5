//! A store on a real server, and the hands of issuers and operators.

#![allow(dead_code, unreachable_pub, unused_imports)] // each test uses its part of it

use permit_gate::{
    Ask, AttemptId, Block, Event, Grant, PlanId, Subject, Take, Timer, WaitPolicy, contract::Bench,
    wait_and_take,
};
use permit_redis::{PermitKeys, RedisConfig, RedisPermitStore};
use redis::{FromRedisValue, aio::MultiplexedConnection, cmd};
use redis_harness::RedisServer;
use std::time::{Duration, Instant};

mod proxy;

pub use proxy::Proxy;

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

/// The runtime's own clock.
pub struct TokioTimer;

impl Timer for TokioTimer {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until(at.into()).await;
    }
}

pub fn plan(id: impl ToString) -> PlanId {
    PlanId::new(&id.to_string()).unwrap()
}

/// A take that has plenty of time.
pub fn take(plan: &PlanId, attempt: &str) -> Take {
    let now = Instant::now();
    Take {
        plan: plan.clone(),
        attempt: AttemptId::new(attempt).unwrap(),
        asked_at: now,
        not_after: now + Duration::from_secs(60),
    }
}

pub fn governor() -> &'static str {
    r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"created_at":1769301008.977}"#
}

pub fn position() -> &'static str {
    r#"{"allow":true,"symbol":"BTCUSDT","safe_close_qty":0.008,"created_at":1769301009.1}"#
}

/// Writes a permit as its issuer does.
pub async fn write(issuer: &mut MultiplexedConnection, plan: &PlanId, permit: &str) {
    let keys = PermitKeys::default();
    let content = match permit {
        "governor" => governor(),
        _ => position(),
    };
    let mut set = cmd("SETEX");
    set.arg(keys.template(permit).unwrap().key(plan))
        .arg(60)
        .arg(content);
    set.exec_async(issuer).await.unwrap();
}

/// Waits for the permits of a plan with a net so wide that only a push can be in time.
pub const PUSH_ONLY: WaitPolicy = WaitPolicy {
    wait: Duration::from_secs(60),
    step: Duration::from_secs(50),
    grace: Duration::from_millis(150),
};

pub async fn wait(
    store: &RedisPermitStore,
    plan: &PlanId,
    policy: WaitPolicy,
) -> (Result<Grant, Block>, Vec<Event>) {
    let ask = Ask {
        subject: Subject::new(plan.clone(), "BTCUSDT"),
        attempt: AttemptId::new(&format!("test.{plan}")).unwrap(),
        policy,
    };
    let mut events = Vec::new();
    let answer = wait_and_take(store, &TokioTimer, ask, |event| events.push(event)).await;
    (answer, events)
}

/// Yields until it holds; the test hangs, and is killed as such, where it never does.
pub async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
