//! The one connection of a board, which is given up where it has gone silent.

use redis::{
    Client, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Hands out the connection. The manager in it comes back by itself after an error of the socket,
/// but takes a silence for patience: a half-open connection (a host that is gone, a gateway that
/// forgot us) would stay until the kernel's keepalive ends it, which takes hours. So the first answer
/// that does not come in time makes the next command open a new connection.
pub(crate) struct Link {
    client: Client,
    config: ConnectionManagerConfig,
    current: Mutex<Current>,
}

struct Current {
    manager: ConnectionManager,
    /// How many there were before.
    number: u64,
}

impl Link {
    /// Connects with the first command.
    pub(crate) fn new(client: Client, config: ConnectionManagerConfig) -> RedisResult<Arc<Self>> {
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        let current = Mutex::new(Current { manager, number: 0 });
        Ok(Arc::new(Self {
            client,
            config,
            current,
        }))
    }

    /// The connection as it is now.
    pub(crate) fn connection(self: &Arc<Self>) -> Connection {
        let current = self.current();
        Connection {
            manager: current.manager.clone(),
            number: current.number,
            link: Arc::clone(self),
        }
    }

    /// Gives up the connection of this number, once.
    fn give_up(&self, number: u64) {
        let mut current = self.current();
        if current.number != number {
            return;
        }
        let fresh =
            ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone());
        // Where there is no new one the old one stays: it may yet come back.
        if let Ok(manager) = fresh {
            let number = number + 1;
            *current = Current { manager, number };
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One use of the link.
pub(crate) struct Connection {
    manager: ConnectionManager,
    number: u64,
    link: Arc<Link>,
}

impl Connection {
    fn watch<T>(&self, answer: RedisResult<T>) -> RedisResult<T> {
        if answer.as_ref().is_err_and(RedisError::is_timeout) {
            self.link.give_up(self.number);
        }
        answer
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let answer = self.manager.req_packed_command(cmd).await;
            self.watch(answer)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let answers = self.manager.req_packed_commands(pipeline, offset, count);
            let answers = answers.await;
            self.watch(answers)
        })
    }

    fn get_db(&self) -> i64 {
        self.manager.get_db()
    }
}
