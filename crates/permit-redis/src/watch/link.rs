//! One server's watch connection: armed, asked whether it lives, made again.

use super::{hub::Hub, mode::WatchMode};
use crate::{
    background::{Background, Backoff},
    endpoint::{Endpoint, Patience},
};
use redis::{ErrorKind, PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection, cmd};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot};

/// A server that cannot push may be replaced by one that can; looked for this often.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Watches one server for the hub until dropped.
pub(crate) struct WatchLink {
    _task: Background,
}

impl WatchLink {
    /// Starts. The receiver resolves when the first attempt has come to a result. `doubt` is rung
    /// when the connection is lost: others to the same server are likely lost too.
    pub(crate) fn start(
        endpoint: Endpoint,
        patience: Patience,
        hub: Arc<Hub>,
        doubt: Arc<Notify>,
    ) -> (Self, oneshot::Receiver<()>) {
        let (settled, first) = oneshot::channel();
        let run = run(endpoint, patience, hub, doubt, settled);
        let link = Self {
            _task: Background::spawn(run),
        };
        (link, first)
    }
}

async fn run(
    endpoint: Endpoint,
    patience: Patience,
    hub: Arc<Hub>,
    doubt: Arc<Notify>,
    settled: oneshot::Sender<()>,
) {
    let name = endpoint.name();
    let (mut backoff, mut settled, mut times) = (Backoff::new(), Some(settled), 0_u64);
    let _wanted = hub.want();
    let mut announced = None;
    loop {
        let gone = Arc::new(Gone::default());
        let armed = arm(&endpoint, patience, &hub, &gone).await;
        let mode = armed.as_ref().map_or(WatchMode::Polling, |(_, mode)| *mode);
        if armed.is_ok() && announced.replace(mode) != Some(mode) {
            match mode.pushes() {
                true => tracing::info!(server = %name, %mode, "permits wake us when written"),
                false => tracing::warn!(
                    server = %name, %mode,
                    "this server cannot tell of writes: waiting plans ask at their step"
                ),
            }
        }
        let held = hub.arm(mode);
        if mode.pushes() {
            // Whatever was written while nobody watched.
            hub.registry().wake_all();
        }
        if let Some(settled) = settled.take() {
            let _ = settled.send(());
        }
        match armed {
            Ok((connection, mode)) if mode.pushes() => {
                let since = Instant::now();
                times += 1;
                if times > 1 {
                    hub.counters().watch_reconnects.add();
                }
                let why = broken(connection, patience, &gone).await;
                tracing::warn!(server = %name, error = %why, "the watch is blind until it is made again");
                drop(held);
                doubt.notify_one();
                // Their next look may have been put off for long, trusting in pushes.
                hub.registry().wake_all();
                backoff.after_life_of(since.elapsed());
                tokio::time::sleep(backoff.next()).await;
            }
            Ok(_) => tokio::time::sleep(TRY_AGAIN).await,
            Err(error) => {
                tracing::debug!(server = %name, %error, "cannot watch, trying on");
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Whether the library has said that the connection is closed.
#[derive(Default)]
struct Gone {
    said: AtomicBool,
    notify: Notify,
}

/// A connection over which pushes come, and which kind; polling where the server has none to give.
async fn arm(
    endpoint: &Endpoint,
    patience: Patience,
    hub: &Arc<Hub>,
    gone: &Arc<Gone>,
) -> RedisResult<(MultiplexedConnection, WatchMode)> {
    let (registry, said) = (Arc::clone(hub.registry()), Arc::clone(gone));
    // Called by whoever reads the socket: from here to the waiting task it is one hop.
    let sender = move |push: PushInfo| -> Result<(), ()> {
        if push.kind == PushKind::Disconnection {
            said.said.store(true, Ordering::Release);
            said.notify.notify_one();
        } else {
            registry.handle_push(&push);
        }
        Ok(())
    };
    let mut connection = match endpoint.open_for_pushes(patience, sender).await {
        Ok(connection) => connection,
        Err(error) if error.kind() == ErrorKind::RESP3NotSupported => {
            return Ok((endpoint.open(patience).await?, WatchMode::Polling));
        }
        Err(error) => return Err(error),
    };
    if !speaks_resp3(&mut connection).await? {
        return Ok((connection, WatchMode::Polling));
    }
    let mut tracking = cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in hub.registry().prefixes() {
        tracking.arg("PREFIX").arg(prefix);
    }
    match tracking.exec_async(&mut connection).await {
        Ok(()) => return Ok((connection, WatchMode::Tracking)),
        // Refused: unknown here, or not allowed to this user.
        Err(error) if error.code().is_some() => {
            tracing::info!(%error, "CLIENT TRACKING is refused, looking for keyspace notifications");
        }
        Err(error) => return Err(error),
    }
    if let Some(flags) = notifies(&mut connection).await? {
        if hub.registry().follows() && !flags.contains(['A', 'h']) {
            tracing::warn!(
                "this server does not tell of hashes, so followed ones have to be polled; add h to notify-keyspace-events to change that"
            );
        }
        let db = endpoint.db();
        for prefix in hub.registry().prefixes() {
            let pattern = format!("__keyspace@{db}__:{}*", escaped(prefix));
            match connection.psubscribe(pattern).await {
                Ok(()) => {}
                Err(error) if error.code().is_some() => {
                    return Ok((connection, WatchMode::Polling));
                }
                Err(error) => return Err(error),
            }
        }
        return Ok((connection, WatchMode::KeyspaceNotifications));
    }
    Ok((connection, WatchMode::Polling))
}

/// Over RESP2 the server accepts `CLIENT TRACKING` and never pushes, so its own word counts.
async fn speaks_resp3(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let hello: RedisResult<HashMap<String, Value>> = cmd("HELLO").query_async(connection).await;
    match hello {
        Ok(hello) => Ok(hello.get("proto") == Some(&Value::Int(3))),
        Err(error) if error.code().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the server announces, where that is writes, deletes and expiries by key. It is only asked,
/// never told to: the setting is the operator's, and costs every client of that server.
async fn notifies(connection: &mut MultiplexedConnection) -> RedisResult<Option<String>> {
    let mut config = cmd("CONFIG");
    config.arg("GET").arg("notify-keyspace-events");
    let answer: RedisResult<HashMap<String, String>> = config.query_async(connection).await;
    let flags = match answer {
        Ok(mut answer) => answer.remove("notify-keyspace-events").unwrap_or_default(),
        Err(error) if error.code().is_some() => return Ok(None),
        Err(error) => return Err(error),
    };
    let has = |flag| flags.contains(flag);
    let enough = has('K') && (has('A') || (has('g') && has('$') && has('x')));
    Ok(enough.then_some(flags))
}

/// A prefix as a pattern that means just itself.
fn escaped(prefix: &str) -> String {
    let special = |c| matches!(c, '*' | '?' | '[' | ']' | '\\');
    prefix.chars().fold(String::new(), |mut escaped, c| {
        if special(c) {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

/// Resolves with the reason when the connection is no good any more. A socket that is half open
/// says nothing, so it is asked.
async fn broken(mut connection: MultiplexedConnection, patience: Patience, gone: &Gone) -> String {
    loop {
        if gone.said.load(Ordering::Acquire) {
            return "the connection was closed".into();
        }
        tokio::select! {
            () = gone.notify.notified() => {}
            () = tokio::time::sleep(patience.ping_every) => {
                if let Err(error) = cmd("PING").exec_async(&mut connection).await {
                    return error.to_string();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prefix_as_a_pattern_means_just_itself() {
        assert_eq!(super::escaped("a:{b}*[c]"), "a:{b}\\*\\[c\\]");
    }
}
