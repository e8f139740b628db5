//! Those who say which server is master. All are asked side by side: one that is silent costs nothing while
//! others answer.

use crate::timeouts::{Address, Timeouts, config};
use redis::{
    Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value, aio::MultiplexedConnection,
    from_redis_value, pipe,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

/// How long the others are waited for once one has answered.
const LINGER: Duration = Duration::from_millis(100);

/// All sentinels of one master. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Sentinels {
    all: Arc<[Arc<Sentinel>]>,
    name: Arc<str>,
}

/// One sentinel, and the connection to it.
struct Sentinel {
    info: ConnectionInfo,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
}

/// Whom a sentinel calls master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) at: Address,
    /// Whether it puts another server in its place, or has found with others that it has to be done.
    pub(crate) failing_over: bool,
    /// How many times the master was replaced, as far as it knows; 0 where it does not say.
    epoch: u64,
}

impl Sentinels {
    pub(crate) fn new(all: &[ConnectionInfo], name: &str) -> Self {
        let sentinel = |info: &ConnectionInfo| {
            Arc::new(Sentinel {
                info: info.clone(),
                connection: tokio::sync::Mutex::default(),
            })
        };
        Self {
            all: all.iter().map(sentinel).collect(),
            name: name.into(),
        }
    }

    /// What they call the master.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whom each of them calls master, as they answer: none of one that does not, or knows of none.
    pub(crate) fn ask(&self, timeouts: Timeouts) -> JoinSet<RedisResult<Option<Named>>> {
        let mut asked = JoinSet::new();
        for sentinel in &*self.all {
            let (sentinel, name) = (Arc::clone(sentinel), Arc::clone(&self.name));
            asked.spawn(async move {
                let answer = timeout(timeouts.sentinel, sentinel.master(&name, timeouts));
                answer.await.unwrap_or_else(|_| {
                    Err(RedisError::from(std::io::Error::from(
                        std::io::ErrorKind::TimedOut,
                    )))
                })
            });
        }
        asked
    }

    /// The master: whom they name, and where they name several, who was named last.
    pub(crate) async fn master(&self, timeouts: Timeouts) -> RedisResult<Address> {
        let (mut asked, mut until) = (self.ask(timeouts), None);
        let (mut named, mut unknown, mut last) = (Vec::new(), false, None);
        loop {
            let next = match until {
                None => asked.join_next().await,
                Some(until) => timeout_at(until, asked.join_next()).await.ok().flatten(),
            };
            match next {
                None => break,
                Some(Ok(Ok(Some(said)))) => {
                    named.push(said);
                    until.get_or_insert_with(|| Instant::now() + LINGER);
                }
                Some(Ok(Ok(None))) => unknown = true,
                Some(Ok(Err(error))) => last = Some(error),
                Some(Err(_)) => {}
            }
        }
        match (newest(&named), last) {
            (Some(address), _) => Ok(address.clone()),
            (None, _) if unknown => Err(failed(format!(
                "the sentinels know no master named {}: correct the name in REDIS_URL",
                self.name
            ))),
            (None, Some(error)) => Err(failed(format!(
                "no sentinel answers within {:?}, the last: {error}",
                timeouts.sentinel
            ))),
            (None, None) => Err(failed("no sentinel is configured".into())),
        }
    }
}

/// Which of those that are named is master: the one of the newest configuration, as far as they say; else the one
/// that most of them name.
pub(crate) fn newest(named: &[Named]) -> Option<&Address> {
    let mut votes: HashMap<&Address, (u64, usize)> = HashMap::new();
    for said in named {
        let vote = votes.entry(&said.at).or_default();
        *vote = (vote.0.max(said.epoch), vote.1 + 1);
    }
    let most = votes.into_iter().max_by_key(|(_, vote)| *vote);
    most.map(|(address, _)| address)
}

impl Sentinel {
    /// Whom it calls master; `None` where it knows of none by this name.
    async fn master(&self, name: &str, timeouts: Timeouts) -> RedisResult<Option<Named>> {
        let mut slot = self.connection.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => {
                let client = Client::open(self.info.clone())?;
                let config = config(timeouts);
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?
            }
        };
        let mut ask = pipe();
        // What it knows of the master first: a failover that begins in between shows in the name, or the next time.
        ask.cmd("SENTINEL").arg("MASTER").arg(name);
        ask.cmd("SENTINEL").arg("get-master-addr-by-name").arg(name);
        // Of a name that it does not know it says nothing but that.
        ask.ignore_errors();
        let (known, at): (Value, Value) = ask.query_async(&mut connection).await?;
        // Kept only where it answered: one that breaks off is made anew the next time.
        *slot = Some(connection);
        let at: Option<Address> = from_redis_value(at.extract_error()?)?;
        Ok(at.map(|at| Named::read(at, known)))
    }
}

impl Named {
    /// `known` are the names and values that `SENTINEL MASTER` answers.
    fn read(at: Address, known: Value) -> Self {
        let known: HashMap<String, String> = from_redis_value(known).unwrap_or_default();
        let flags = known.get("flags").map(String::as_str).unwrap_or_default();
        let epoch = known
            .get("config-epoch")
            .and_then(|epoch| epoch.parse().ok());
        Self {
            at,
            failing_over: flags
                .split(',')
                .any(|flag| matches!(flag, "o_down" | "failover_in_progress")),
            epoch: epoch.unwrap_or(0),
        }
    }
}

fn failed(why: String) -> RedisError {
    RedisError::from((ErrorKind::Io, "Sentinel", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(port: u16, known: &[&str]) -> Named {
        let known = known.iter().map(|s| Value::BulkString((*s).into()));
        Named::read(("h".into(), port), Value::Array(known.collect()))
    }

    #[test]
    fn a_failover_that_is_found_to_be_needed_or_in_progress_is_heard() {
        let failing = |flags| read(1, &["name", "mymaster", "flags", flags]).failing_over;
        for flags in ["master,o_down", "master,s_down,o_down,failover_in_progress"] {
            assert!(failing(flags), "{flags}");
        }
        for flags in ["master", "master,s_down", "master,s_down,disconnected"] {
            assert!(!failing(flags), "{flags}");
        }
        assert!(!Named::read(("h".into(), 1), Value::Okay).failing_over);
    }

    #[test]
    fn the_newest_configuration_counts_and_else_what_most_say() {
        let of = |port, epoch| read(port, &["config-epoch", epoch]);
        let port = |named: &[Named]| newest(named).map(|(_, port)| *port);
        assert_eq!(port(&[]), None);
        assert_eq!(port(&[of(1, "3"), of(1, "3"), of(2, "4")]), Some(2));
        assert_eq!(port(&[of(1, "3"), of(2, "3"), of(2, "3")]), Some(2));
        assert_eq!(port(&[of(1, "?"), of(2, "?"), of(2, "?")]), Some(2));
    }
}
