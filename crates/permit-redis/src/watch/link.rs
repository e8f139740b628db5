//! One server's watch connection: armed, asked whether it lives, made again. It leads to where the commands go.

use super::{
    mode::WatchMode,
    status::{UNANNOUNCED, WatchStatus},
};
use crate::{
    background::{Background, Backoff},
    endpoint::{Endpoint, Timeouts},
    meaning::{Meaning, explain},
    node::{Handle, Node, run_of},
};
use redis::{
    ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value, aio::MultiplexedConnection, cmd,
};
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

/// What is said of a watch that leads elsewhere.
const ELSEWHERE: &str = "the watch leads to another server than the commands";

/// Watches one server for the hub until dropped.
pub(crate) struct WatchLink {
    _task: Background,
}

/// What a watch needs to be made.
struct Wanted {
    endpoint: Endpoint,
    timeouts: Timeouts,
    status: Arc<WatchStatus>,
    /// Where the commands go.
    commands: Handle,
    /// Rung when the connection is lost: others to the same server are likely lost too.
    doubt: Arc<Notify>,
}

/// A watch that was made.
struct Armed {
    connection: MultiplexedConnection,
    /// How it hears of writes; why not, where it is not.
    mode: Result<WatchMode, String>,
    /// The run of the server it leads to, where that is known.
    run: Option<String>,
    /// The connection for commands there was before.
    beside: u64,
}

impl WatchLink {
    /// Starts. The receiver resolves when the first attempt has come to a result.
    pub(crate) fn start(
        endpoint: Endpoint,
        timeouts: Timeouts,
        status: Arc<WatchStatus>,
        node: &Node,
    ) -> (Self, oneshot::Receiver<()>) {
        let (settled, first) = oneshot::channel();
        let wanted = Wanted {
            endpoint,
            timeouts,
            status,
            commands: node.handle(),
            doubt: Arc::clone(node.doubt()),
        };
        let link = Self {
            _task: Background::spawn(async move { wanted.run(settled).await }),
        };
        (link, first)
    }
}

impl Wanted {
    async fn run(&self, settled: oneshot::Sender<()>) {
        let status = &self.status;
        let name = self.endpoint.name();
        let (mut backoff, mut settled, mut times) = (Backoff::new(), Some(settled), 0_u64);
        let _wanted = status.want();
        let mut announced = None;
        loop {
            let gone = Arc::new(Disconnected::default());
            let mut blind = status.blindness();
            blind.mark_unchanged();
            let armed = arm(self, &gone).await.map_err(|error| explain(&error));
            let armed = match armed {
                Ok(armed) if self.is_elsewhere(&armed) => Err(ELSEWHERE.to_owned()),
                armed => armed,
            };
            let mode = match &armed {
                Ok(Armed { mode: Ok(mode), .. }) => *mode,
                _ => WatchMode::Polling,
            };
            status.set_trouble(match &armed {
                Ok(armed) => armed.mode.as_ref().err().cloned(),
                Err(why) => Some(why.clone()),
            });
            if let Ok(armed) = &armed
                && announced.replace(mode) != Some(mode)
            {
                match &armed.mode {
                    Ok(mode) => {
                        tracing::info!(server = %name, %mode, "pushes wake waits when a permit is written")
                    }
                    Err(why) => tracing::warn!(
                        server = %name, %mode, %why,
                        "this server cannot push writes: waiting plans poll at their step"
                    ),
                }
            }
            let held = status.arm(mode);
            if mode.pushes() {
                // What was written while there was no watch.
                status.registry().wake_all();
            }
            if let Some(settled) = settled.take() {
                let _ = settled.send(());
            }
            match armed {
                Ok(armed) if mode.pushes() => {
                    let since = Instant::now();
                    times += 1;
                    if times > 1 {
                        status.counters().watch_reconnects.add();
                    }
                    let why = tokio::select! {
                        why = self.broken(armed, &gone) => why,
                        _ = blind.changed() => UNANNOUNCED.into(),
                    };
                    tracing::warn!(server = %name, error = %why, "the watch is blind until it is made again");
                    drop(held);
                    status.set_trouble(Some(why));
                    self.doubt.notify_one();
                    // Their next look may have been put off for long, trusting in pushes.
                    status.registry().wake_all();
                    backoff.after_life_of(since.elapsed());
                    tokio::time::sleep(backoff.next()).await;
                }
                Ok(armed) => self.polled(armed).await,
                Err(why) => {
                    tracing::debug!(server = %name, error = %why, "cannot watch, trying on");
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    }

    /// Whether the commands go to another server. Where the runs are not known, whether they go over another
    /// connection than when the watch was made.
    fn is_elsewhere(&self, armed: &Armed) -> bool {
        match (self.commands.run(), &armed.run) {
            // Whether they go anywhere is not known.
            (None, _) => false,
            (Some((_, Some(theirs))), Some(ours)) => theirs != *ours,
            (Some((generation, _)), _) => armed.beside != 0 && generation != armed.beside,
        }
    }

    /// Resolves when it is worth trying again whether the server can push.
    async fn polled(&self, armed: Armed) {
        let mut changes = self.commands.changes();
        let again =
            async { while changes.changed().await.is_ok() && !self.is_elsewhere(&armed) {} };
        // A server that was replaced is worth a look at once.
        let _ = tokio::time::timeout(TRY_AGAIN, again).await;
    }

    /// Resolves with the reason when the watch is no good any more. A socket that is half open says nothing, so
    /// it is asked.
    async fn broken(&self, mut armed: Armed, gone: &Disconnected) -> String {
        let mut changes = self.commands.changes();
        loop {
            if gone.said.load(Ordering::Acquire) {
                return "the connection was closed".into();
            }
            if self.is_elsewhere(&armed) {
                return ELSEWHERE.into();
            }
            if let (0, Some((generation, _))) = (armed.beside, self.commands.run()) {
                armed.beside = generation;
            }
            tokio::select! {
                () = gone.notify.notified() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(self.timeouts.ping_every) => {
                    if let Err(error) = cmd("PING").exec_async(&mut armed.connection).await {
                        return explain(&error);
                    }
                }
            }
        }
    }
}

/// Whether what a server says is an answer about what it can do, and not about this moment.
fn is_a_no(error: &RedisError) -> bool {
    let meaning = Meaning::of(error);
    meaning.is_an_answer() && !meaning.is_passing()
}

/// Whether the library has said that the connection is closed.
#[derive(Default)]
struct Disconnected {
    said: AtomicBool,
    notify: Notify,
}

/// A connection over which pushes come, and which kind; why not, where the server has none to give.
async fn arm(wanted: &Wanted, gone: &Arc<Disconnected>) -> RedisResult<Armed> {
    let Wanted {
        endpoint,
        timeouts,
        status,
        commands,
        ..
    } = wanted;
    let beside = commands.run().map_or(0, |(generation, _)| generation);
    let (registry, said) = (Arc::clone(status.registry()), Arc::clone(gone));
    // Called by the task that reads the socket: from here to the waiting task it is one hop.
    let sender = move |push: PushInfo| -> Result<(), ()> {
        if push.kind == PushKind::Disconnection {
            said.said.store(true, Ordering::Release);
            said.notify.notify_one();
        } else {
            registry.handle_push(&push);
        }
        Ok(())
    };
    let (mut connection, resp3) = match endpoint.open_for_pushes(*timeouts, sender).await {
        Ok(mut connection) => {
            let resp3 = speaks_resp3(&mut connection).await?;
            (connection, resp3)
        }
        Err(error) if error.kind() == ErrorKind::RESP3NotSupported => {
            (endpoint.open(*timeouts).await?, false)
        }
        Err(error) => return Err(error),
    };
    let run = run_of(&mut connection).await?;
    let mode = match resp3 {
        true => mode_of(endpoint, status, &mut connection).await?,
        false => Err("the server does not speak RESP3, over which pushes come".into()),
    };
    Ok(Armed {
        connection,
        mode,
        run,
        beside,
    })
}

/// Which pushes the server has to give, and gives from now on.
async fn mode_of(
    endpoint: &Endpoint,
    status: &WatchStatus,
    connection: &mut MultiplexedConnection,
) -> RedisResult<Result<WatchMode, String>> {
    let mut tracking = cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in status.registry().prefixes() {
        tracking.arg("PREFIX").arg(prefix);
    }
    let refused = match tracking.exec_async(connection).await {
        Ok(()) => return Ok(Ok(WatchMode::Tracking)),
        // Refused: unknown here, or not allowed to this user.
        Err(error) if is_a_no(&error) => format!("CLIENT TRACKING is refused ({error})"),
        Err(error) => return Err(error),
    };
    let Some(flags) = notifies(connection).await? else {
        return Ok(Err(format!(
            "{refused}, and keyspace notifications are off, or not readable"
        )));
    };
    tracing::info!(why = %refused, "looking for keyspace notifications");
    if status.registry().follows() && !flags.contains(['A', 'h']) {
        tracing::warn!(
            "this server does not push writes of hashes, so proposals are polled; add h to notify-keyspace-events"
        );
    }
    let db = endpoint.db();
    for prefix in status.registry().prefixes() {
        let pattern = format!("__keyspace@{db}__:{}*", escaped(prefix));
        match connection.psubscribe(pattern).await {
            Ok(()) => {}
            Err(error) if is_a_no(&error) => {
                return Ok(Err(format!("{refused}, and PSUBSCRIBE is ({error})")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(WatchMode::KeyspaceNotifications))
}

/// Over RESP2 the server accepts `CLIENT TRACKING` and never pushes, so its own word counts. It is asked with
/// the version: without one 6.0 says nothing.
async fn speaks_resp3(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let hello: RedisResult<HashMap<String, Value>> =
        cmd("HELLO").arg(3).query_async(connection).await;
    match hello {
        Ok(hello) => Ok(hello.get("proto") == Some(&Value::Int(3))),
        Err(error) if is_a_no(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the server announces, where that is writes, deletes and expiries by key. It is only asked,
/// never asked to: the setting is the operator's, and costs every client of that server.
async fn notifies(connection: &mut MultiplexedConnection) -> RedisResult<Option<String>> {
    let mut config = cmd("CONFIG");
    config.arg("GET").arg("notify-keyspace-events");
    let answer: RedisResult<HashMap<String, String>> = config.query_async(connection).await;
    let flags = match answer {
        Ok(mut answer) => answer.remove("notify-keyspace-events").unwrap_or_default(),
        Err(error) if is_a_no(&error) => return Ok(None),
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_prefix_as_a_pattern_means_just_itself() {
        assert_eq!(super::escaped("a:{b}*[c]"), "a:{b}\\*\\[c\\]");
    }
}
