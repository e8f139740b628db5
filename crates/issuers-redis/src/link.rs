//! One connection that comes back by itself, and how its failures are told.

use apply_core::PortError;
use permit_issuers::Timestamp;
use permit_redis::{Meaning, Product};
use redis::{
    Client, FromRedisValue, IntoConnectionInfo, RedisError, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};
use std::time::Duration;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Nothing is sent twice behind the caller's back. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Link(ConnectionManager);

impl Link {
    /// Connects when it is first needed, and again after each loss.
    pub(crate) fn new(url: &str, response_timeout: Duration) -> Result<Self, PortError> {
        let manager = ConnectionManagerConfig::new()
            .set_response_timeout(Some(response_timeout))
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500));
        ConnectionManager::new_lazy_with_config(client(url)?, manager)
            .map(Self)
            .map_err(|error| PortError(format!("cannot set up Redis: {error}")))
    }

    pub(crate) fn connection(&self) -> ConnectionManager {
        self.0.clone()
    }

    /// Whether the server answers.
    pub(crate) async fn ping(&self) -> Result<(), PortError> {
        redis::cmd("PING")
            .query_async::<()>(&mut self.connection())
            .await
            .map_err(|error| match Meaning::of(&error) {
                Meaning::TimedOut | Meaning::NoAnswer => PortError(format!(
                    "it cannot be reached: {error}; start it, or correct REDIS_URL"
                )),
                _ => failed("use it")(error),
            })
    }

    /// Whether the server is new enough, as far as it says which one it is.
    pub(crate) async fn is_new_enough(&self) -> Result<(), PortError> {
        let mut ask = redis::cmd("INFO");
        ask.arg("server");
        let told: Result<String, RedisError> = ask.query_async(&mut self.connection()).await;
        match told {
            Ok(told) => match Product::read(&told).and_then(|product| product.too_old()) {
                Some(why) => Err(PortError(why)),
                None => Ok(()),
            },
            // Not every user may ask.
            Err(error) if matches!(Meaning::of(&error), Meaning::Forbidden { .. }) => Ok(()),
            Err(error) => Err(failed("ask which server it is")(error)),
        }
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
pub(crate) fn client(url: &str) -> Result<Client, PortError> {
    let bad = || {
        PortError(
            "the Redis URL cannot be read: reviewers speak to one server, redis://[user:password@]host:port[/db]".into(),
        )
    };
    let info = url.into_connection_info().map_err(|_| bad())?;
    let tcp = TcpSettings::default().set_nodelay(true);
    Client::open(info.set_tcp_settings(tcp)).map_err(|_| bad())
}
