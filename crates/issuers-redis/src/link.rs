//! One connection that comes back by itself, and how its failures are reported.

use crate::config::IssuersConfig;
use apply_core::PortError;
use permit_issuers::{EntryId, Timestamp};
use permit_redis::{ConfigError, ConnectError, Meaning, Product};
use redis::{
    Client, FromRedisValue, IntoConnectionInfo, RedisError, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};
use std::{sync::Arc, time::Duration};

/// Nothing is sent twice behind the caller's back. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Link {
    manager: ConnectionManager,
    /// Host and port.
    at: Arc<str>,
    response_timeout: Duration,
}

impl Link {
    /// Connects when it is first needed, and again after each loss.
    pub(crate) fn new(config: &IssuersConfig) -> Result<Self, ConfigError> {
        let client = client(&config.url)?;
        let at = client.get_connection_info().addr().to_string();
        let manager = ConnectionManagerConfig::new()
            .set_response_timeout(Some(config.response_timeout))
            .set_connection_timeout(Some(config.connect_timeout))
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500));
        let manager = ConnectionManager::new_lazy_with_config(client, manager);
        Ok(Self {
            manager: manager.map_err(|_| bad_url())?,
            at: at.into(),
            response_timeout: config.response_timeout,
        })
    }

    /// A link to a server that serves us.
    pub(crate) async fn connect(config: &IssuersConfig) -> Result<Self, ConnectError> {
        let link = Self::new(config)?;
        link.meet().await?;
        Ok(link)
    }

    pub(crate) fn connection(&self) -> ConnectionManager {
        self.manager.clone()
    }

    /// Takes a plan that needs no permit off its group's list.
    pub(crate) async fn acknowledge(
        &self,
        stream: &str,
        group: &str,
        entry: EntryId,
    ) -> Result<(), PortError> {
        redis::cmd("XACK")
            .arg(stream)
            .arg(group)
            .arg(entry.to_string())
            .query_async::<()>(&mut self.connection())
            .await
            .map_err(failed("acknowledge the plan"))
    }

    /// Whether the server is new enough, as far as it says which one it is, and serves us.
    pub(crate) async fn meet(&self) -> Result<(), ConnectError> {
        let at = || self.at.to_string();
        let away = |error: RedisError| ConnectError::of(at(), &error, self.response_timeout);
        let mut ask = redis::cmd("INFO");
        ask.arg("server");
        let info: Result<String, RedisError> = ask.query_async(&mut self.connection()).await;
        let product = match info {
            Ok(info) => Product::read(&info),
            // Not every user may ask.
            Err(error) if matches!(Meaning::of(&error), Meaning::Forbidden { .. }) => None,
            Err(error) => return Err(away(error)),
        };
        if let Some(error) = product.and_then(|product| ConnectError::too_old(at(), &product)) {
            return Err(error);
        }
        // A server that loads says who it is, and nothing else.
        let mut connection = self.connection();
        let ping = redis::cmd("PING");
        ping.exec_async(&mut connection).await.map_err(away)
    }

    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        doing: &'static str,
    ) -> Result<T, PortError> {
        script
            .invoke_async(&mut self.connection())
            .await
            .map_err(failed(doing))
    }
}

/// What `TIME` answers: seconds, and microseconds within them.
pub(crate) fn moment((seconds, micros): (u64, u64)) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

pub(crate) fn failed(doing: &'static str) -> impl Fn(RedisError) -> PortError {
    move |error| match Meaning::of(&error).advice() {
        Some(advice) => PortError(format!("cannot {doing}: {error}; {advice}")),
        None => PortError(format!("cannot {doing}: {error}")),
    }
}

/// The URL may carry a password: an error about it never repeats it.
pub(crate) fn client(url: &str) -> Result<Client, ConfigError> {
    let info = url.into_connection_info().map_err(|_| bad_url())?;
    let tcp = TcpSettings::default().set_nodelay(true);
    Client::open(info.set_tcp_settings(tcp)).map_err(|_| bad_url())
}

pub(crate) fn bad_url() -> ConfigError {
    ConfigError::Url {
        problem: "it cannot be read".into(),
        fix: "reviewers speak to one server, write redis://[user:password@]host:port[/db]",
    }
}
