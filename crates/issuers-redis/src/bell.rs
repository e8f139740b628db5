//! Hearing that a stream was written to, without what was written.
//!
//! A blocking read would carry the entry itself, of whatever length. The server's tracking of keys sends the
//! stream's name alone.

use crate::{config::IssuersConfig, link};
use permit_redis::ConfigError;
use redis::{
    AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, RedisResult,
    aio::MultiplexedConnection,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, timeout_at},
};

/// Between two looks where the server announces nothing.
const WITHOUT_BELL: Duration = Duration::from_millis(20);

/// Between two tries to hear of writes.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Rings when the stream was written to.
pub(crate) struct Bell {
    client: Client,
    stream: String,
    config: AsyncConnectionConfig,
    rung: Arc<Notify>,
    gone: Arc<AtomicBool>,
    armed: Mutex<Armed>,
}

#[derive(Default)]
struct Armed {
    /// Kept open: the server announces writes for as long as it lasts.
    connection: Option<MultiplexedConnection>,
    tried: Option<Instant>,
}

/// What is to be waited for.
pub(crate) struct Rung<'a> {
    rung: &'a Notify,
    /// Whether the server announces writes.
    rings: bool,
}

impl Bell {
    pub(crate) fn new(config: &IssuersConfig, stream: &str) -> Result<Self, ConfigError> {
        let client = link::client(&config.url)?;
        let info = client.get_connection_info().clone();
        let settings = info.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        let client =
            Client::open(info.set_redis_settings(settings)).map_err(|_| link::bad_url())?;
        let (rung, gone) = (Arc::<Notify>::default(), Arc::new(AtomicBool::new(true)));
        let (ring, lost) = (Arc::clone(&rung), Arc::clone(&gone));
        let sender = move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                lost.store(true, Ordering::Release);
            }
            ring.notify_one();
            Ok(())
        };
        Ok(Self {
            client,
            stream: stream.to_owned(),
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(config.connect_timeout))
                .set_response_timeout(Some(config.response_timeout))
                .set_push_sender(sender),
            rung,
            gone,
            armed: Mutex::default(),
        })
    }

    /// From now on every write is heard, as far as the server announces it.
    pub(crate) async fn listen(&self) -> Rung<'_> {
        let mut armed = self.armed.lock().await;
        if self.gone.load(Ordering::Acquire) {
            armed.connection = None;
            let due = armed.tried.is_none_or(|tried| tried.elapsed() >= TRY_AGAIN);
            if due {
                armed.tried = Some(Instant::now());
                // Where this server or this user gets no announcements, it is looked at often.
                armed.connection = self.arm().await.ok();
            }
        }
        Rung {
            rung: &self.rung,
            rings: armed.connection.is_some(),
        }
    }

    async fn arm(&self) -> RedisResult<MultiplexedConnection> {
        self.gone.store(false, Ordering::Release);
        let connected = async {
            let client = &self.client;
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&self.config)
                .await?;
            redis::cmd("CLIENT")
                .arg(&["TRACKING", "ON", "BCAST", "PREFIX", &self.stream])
                .exec_async(&mut connection)
                .await?;
            Ok(connection)
        };
        let connected = connected.await;
        if connected.is_err() {
            self.gone.store(true, Ordering::Release);
        }
        connected
    }
}

impl Rung<'_> {
    /// Waits until it rings, or until then, or, where the server announces nothing, for a moment.
    pub(crate) async fn wait(self, until: Instant) {
        let until = match self.rings {
            true => until,
            false => until.min(Instant::now() + WITHOUT_BELL),
        };
        // Either way it is time to look.
        let _ = timeout_at(until, self.rung.notified()).await;
    }
}
