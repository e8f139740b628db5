//! A store's connections, for callers that keep other data on the same Redis.

use crate::{
    config::RedisConfig,
    connections::{ConnectError, Connections, Servers},
    failure::not_sent,
    keys::slot_of,
    mastership::InCharge,
    product::Product,
    server_id::ServerId,
};
use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value, aio::ConnectionLike,
};
use std::{fmt, sync::Arc, time::Instant};
use tokio::sync::Semaphore;

/// The command connections of a store, kept alive by its supervisors: to one server, to the one that the
/// sentinels call master, or to each master of a cluster. Clones share them.
///
/// Nothing is sent twice, but for what a node of a cluster said belongs to another one, which it
/// says before it does anything. Where there is no connection a command waits for one as long as for an
/// answer; a connection that does not answer in time is asked whether it lives, and made again.
#[derive(Clone)]
pub struct RedisLink {
    inner: Arc<Connections>,
    /// Turns of its own: a crowd that writes must not keep takes waiting, nor time out in a
    /// socket's queue.
    turns: Arc<Semaphore>,
}

/// How many commands of one link may be out at the same time.
const AT_ONCE: usize = 256;

impl RedisLink {
    /// Connects without a permit store: nothing is asked of the permits' keys, and nothing watched.
    ///
    /// # Errors
    ///
    /// As [`crate::RedisPermitStore::connect`]. Cancellation: nothing is left behind.
    pub async fn connect(config: RedisConfig) -> Result<Self, ConnectError> {
        Ok(Self::over(Arc::new(
            Connections::connect(config.watching(false)).await?,
        )))
    }

    pub(crate) fn over(inner: Arc<Connections>) -> Self {
        Self {
            inner,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Whether the servers are a cluster, where a script reaches the keys of one slot only.
    pub fn is_cluster(&self) -> bool {
        matches!(self.inner.servers, Servers::Cluster(_))
    }

    /// Whether the server that answers for this key is in charge of it, as far as was heard from those who appoint
    /// it. Answers at once; they are asked every 300 ms beside.
    pub fn in_charge(&self, key: &str) -> InCharge {
        self.inner.in_charge(slot_of(key))
    }

    /// The same, asked for now.
    ///
    /// Cancellation safe. Takes as long as an answer may take, however few of them answer.
    pub async fn confirm_in_charge(&self, key: &str) -> InCharge {
        self.inner.ask_who_is_in_charge().await;
        self.in_charge(key)
    }

    /// The earliest moment, in the microseconds of the server of this key, that can be meant by our `at`;
    /// `None` where its time is not known.
    pub fn deadline(&self, key: &str, at: Instant) -> Option<i64> {
        match &self.inner.servers {
            Servers::One(server) => server.node.clock().deadline(at),
            Servers::Cluster(cluster) => {
                let owner = cluster.owner(slot_of(key)).ok()?;
                owner.node.clock().deadline(at)
            }
        }
    }

    /// Whether another server can take the place of the one that answers: with sentinels and on a cluster.
    pub fn is_replaceable(&self) -> bool {
        self.inner.config.is_replaceable()
    }

    /// Which server answers for this key, and since when it does; `None` where none did yet. What is
    /// said of it holds for every command that was sent after it was said: before a new connection is
    /// used it is known whom it leads to.
    pub fn server_of(&self, key: &str) -> Option<(ServerId, Instant)> {
        match &self.inner.servers {
            Servers::One(server) => server.node.server(),
            Servers::Cluster(cluster) => cluster.owner(slot_of(key)).ok()?.node.server(),
        }
    }

    /// Which server answers for this key, by its own word; `None` where it does not say, or none has answered.
    pub fn product_of(&self, key: &str) -> Option<Product> {
        match &self.inner.servers {
            Servers::One(server) => server.node.product(),
            Servers::Cluster(cluster) => cluster.owner(slot_of(key)).ok()?.node.product(),
        }
    }

    /// A connection for commands about this key and others of its slot.
    pub fn at(&self, key: &str) -> LinkAt {
        LinkAt {
            link: self.clone(),
            slot: slot_of(key),
        }
    }

    /// A connection for this caller alone, to the server of this key, for commands that
    /// hold up their connection. Sends `commands` over it and closes it, unless all went well.
    ///
    /// Cancellation: what was sent may still happen.
    pub async fn apart(&self, key: &str, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let owner;
        let node = match &self.inner.servers {
            Servers::One(server) => &server.node,
            Servers::Cluster(cluster) => {
                owner = cluster.owner(slot_of(key)).map_err(not_sent)?;
                &owner.node
            }
        };
        let mut own = node.exclusive().await.map_err(not_sent)?;
        let answers = commands.query_async(&mut own.connection).await?;
        own.put_back();
        Ok(answers)
    }
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

/// A [`RedisLink`] bound to the slot of a key. On one server every slot is the same.
#[derive(Debug, Clone)]
pub struct LinkAt {
    link: RedisLink,
    slot: u16,
}

impl ConnectionLike for LinkAt {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let _turn = self.link.turns.acquire().await.map_err(closing)?;
            match &self.link.inner.servers {
                Servers::One(server) => server.node.send(command).await,
                Servers::Cluster(cluster) => cluster.send(self.slot, command).await,
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let _turn = self.link.turns.acquire().await.map_err(closing)?;
            match &self.link.inner.servers {
                Servers::One(server) => server.node.send_all(commands, offset, count).await,
                Servers::Cluster(cluster) => {
                    cluster.send_all(self.slot, commands, offset, count).await
                }
            }
        })
    }

    fn get_db(&self) -> i64 {
        match &self.link.inner.servers {
            Servers::One(server) => server.node.db(),
            Servers::Cluster(cluster) => cluster.db(),
        }
    }
}

fn closing(_: tokio::sync::AcquireError) -> RedisError {
    RedisError::from((ErrorKind::Io, "the link is closing"))
}
