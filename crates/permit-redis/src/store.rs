//! The store an embedder holds.

use crate::{
    config::{ConfigError, RedisConfig, Topology},
    endpoint::{Endpoint, Patience},
    node::Node,
    stats::{Counters, Stats},
    take::Order,
};
use permit_gate::{PermitSet, PermitStore, PlanId, Reply, Signal, StoreError, Take, Watch};
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Permits on Redis. Clones share everything.
#[derive(Clone)]
pub struct RedisPermitStore {
    inner: Arc<Inner>,
}

struct Inner {
    config: RedisConfig,
    counters: Arc<Counters>,
    in_flight: Semaphore,
    node: Node,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration cannot work, now or later.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Redis could not be reached or refused us. Trying again may help.
    #[error("cannot reach Redis at {at}: {why}")]
    Unreachable {
        /// Hosts and ports.
        at: String,
        /// What the last try ended with.
        why: String,
    },
}

impl RedisPermitStore {
    /// Connects.
    pub async fn connect(config: RedisConfig) -> Result<Self, ConnectError> {
        config.check()?;
        let patience = Patience {
            connect: config.connect_timeout,
            response: config.response_timeout,
            ping_every: config.ping_every,
        };
        let counters = Arc::new(Counters::default());
        let Topology::Single(info) = &config.topology else {
            unreachable!()
        };
        let endpoint = Endpoint::Fixed(info.clone());
        let node = Node::start(endpoint, patience, Arc::clone(&counters));
        node.ready(config.connect_timeout)
            .await
            .map_err(|why| ConnectError::Unreachable {
                at: config.topology.to_string(),
                why,
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                in_flight: Semaphore::new(config.max_in_flight),
                config,
                counters,
                node,
            }),
        })
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.inner.counters.snapshot(0)
    }
}

impl PermitStore for RedisPermitStore {
    type Watch = RedisWatch;

    fn permits(&self) -> &PermitSet {
        self.inner.config.keys.permits()
    }

    fn watch(&self, _: &PlanId) -> RedisWatch {
        RedisWatch
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        let inner = &*self.inner;
        let order = Order::new(&inner.config, take, false);
        let _turn = inner.in_flight.acquire().await;
        let answer = inner.node.take(&order).await;
        answer?.into_reply(&order)
    }

    fn net_interval(&self, step: Duration) -> Duration {
        step
    }
}

impl fmt::Debug for RedisPermitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPermitStore")
            .field("config", &self.inner.config)
            .finish()
    }
}

/// w
#[derive(Debug)]
pub struct RedisWatch;

impl Watch for RedisWatch {
    async fn changed(&mut self) -> Signal {
        std::future::pending().await
    }
}
