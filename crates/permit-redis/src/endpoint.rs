//! Whom to connect to, and the connecting.

pub(crate) use crate::timeouts::{Address, Timeouts, config};

use crate::{config::at_address, meaning::Meaning, sentinels::Sentinels};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, ProtocolVersion,
    RedisError, RedisResult, Value, aio::AsyncPushSender, aio::MultiplexedConnection, cmd,
};

/// One server, however it is found.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// At this address.
    Fixed(ConnectionInfo),
    /// The server that the sentinels call master, asked anew for every connection.
    Master {
        sentinels: Sentinels,
        server: ConnectionInfo,
    },
}

impl Endpoint {
    /// A connection for commands.
    pub(crate) async fn open(&self, timeouts: Timeouts) -> RedisResult<MultiplexedConnection> {
        Ok(self.open_at(timeouts).await?.0)
    }

    /// The same, and where it leads: to whom the sentinels named. Nowhere in particular where the address is fixed.
    pub(crate) async fn open_at(
        &self,
        timeouts: Timeouts,
    ) -> RedisResult<(MultiplexedConnection, Option<Address>)> {
        self.connect(timeouts, ProtocolVersion::RESP2, config(timeouts))
            .await
    }

    /// A RESP3 connection whose pushes go to `sender`; fails where the server speaks no RESP3.
    pub(crate) async fn open_for_pushes(
        &self,
        timeouts: Timeouts,
        sender: impl AsyncPushSender,
    ) -> RedisResult<MultiplexedConnection> {
        let config = config(timeouts).set_push_sender(sender);
        let connected = self.connect(timeouts, ProtocolVersion::RESP3, config);
        Ok(connected.await?.0)
    }

    async fn connect(
        &self,
        timeouts: Timeouts,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
    ) -> RedisResult<(MultiplexedConnection, Option<Address>)> {
        let (info, at) = match self {
            Self::Fixed(info) => (info.clone(), None),
            Self::Master { sentinels, server } => {
                let at = sentinels.master(timeouts).await?;
                (at_address(server, &at.0, at.1), Some(at))
            }
        };
        let settings = info.redis_settings().clone().set_protocol(protocol);
        let client = Client::open(info.set_redis_settings(settings))?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        if let Self::Master { .. } = self {
            must_be_master(&mut connection).await?;
        }
        Ok((connection, at))
    }

    /// The database everything lies in.
    pub(crate) fn db(&self) -> i64 {
        match self {
            Self::Fixed(info) | Self::Master { server: info, .. } => info.redis_settings().db(),
        }
    }

    /// Host and port, where they are fixed.
    pub(crate) fn address(&self) -> Option<Address> {
        match self {
            Self::Fixed(info) => match info.addr() {
                ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                    Some((host.clone(), *port))
                }
                _ => None,
            },
            Self::Master { .. } => None,
        }
    }

    /// Host and port where they are fixed, for the log.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Fixed(info) => info.addr().to_string(),
            Self::Master { sentinels, .. } => format!("master {}", sentinels.name()),
        }
    }
}

/// A sentinel may still name a master that has just been replaced; that one is not to be believed.
async fn must_be_master(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    match cmd("ROLE").query_async::<Value>(connection).await {
        Ok(Value::Array(role)) if is_master(&role) => Ok(()),
        Ok(_) => Err(failed("the server is not, or no longer, the master")),
        // Not every user may ask. A replica refuses the first write then, and we come back here.
        Err(error) if matches!(Meaning::of(&error), Meaning::Forbidden { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_master(role: &[Value]) -> bool {
    matches!(role.first(), Some(Value::BulkString(word)) if word == b"master")
}

fn failed(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Io, why))
}
