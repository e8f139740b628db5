//! Whether the server that answers is the one in charge: asked of those who appoint it, not of itself. A master that
//! was replaced may not know it and go on answering.
//!
//! All are asked at once, again and again and whenever it is asked for. A majority has to answer, and none may name
//! another server: one that knows of the change is enough to doubt. Sentinels name the former master for up to a second
//! after its replica was promoted; but the one that promotes it says before that a failover is in progress, and that is
//! enough to doubt as well.

use crate::{
    background::Background,
    cluster::Masters,
    endpoint::{Address, Patience, config},
};
use redis::{
    Client, ConnectionInfo, RedisResult, Value, aio::MultiplexedConnection, cmd, from_redis_value,
    pipe,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

/// Whether the server that answers for a key is in charge of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InCharge {
    /// There is one server, and nobody puts another one in its place.
    Always,
    /// A majority of those who appoint it named it, and none named another.
    Confirmed {
        /// When they were asked, which is before they answered.
        asked_at: Instant,
    },
    /// They did not, they name another one, or it is not connected.
    Unconfirmed {
        /// Why, in a sentence.
        why: String,
    },
}

/// Keeps asking. Dropping it ends that.
pub(crate) struct Charge {
    shared: Arc<Shared>,
    _keeper: Background,
}

struct Shared {
    appointers: Appointers,
    patience: Patience,
    heard: Mutex<Heard>,
    /// Held while they are asked: whoever comes meanwhile is served by the next answers, together.
    asking: tokio::sync::Mutex<()>,
}

/// Those who appoint.
pub(crate) enum Appointers {
    /// Each has an opinion on the one master.
    Sentinels {
        sentinels: Vec<Arc<Sentinel>>,
        /// What they call the master.
        name: String,
    },
    /// Each master of a cluster has an opinion on every slot.
    Masters(Masters),
}

/// One sentinel, and the connection to it.
pub(crate) struct Sentinel {
    info: ConnectionInfo,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
}

/// What one of them says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opinion {
    Master(Address),
    /// Another server is about to take the place of this one.
    Failover(Address),
    Slots(Vec<SlotRange>),
}

/// Slots and who serves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotRange {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) at: Address,
    /// The node's name, which stays the same whatever address it is known under.
    pub(crate) id: String,
}

/// What all of them said when they were asked last.
struct Round {
    asked_at: Instant,
    opinions: Vec<Opinion>,
    asked: usize,
}

/// The last round that counts.
enum Heard {
    Round(Round),
    Nothing { why: String },
}

/// How often they are asked without being told to. Whoever needs a confirmation that is younger asks.
pub(crate) const EVERY: Duration = Duration::from_millis(300);

impl Appointers {
    pub(crate) fn sentinels(all: &[ConnectionInfo], name: String) -> Self {
        let sentinel = |info: &ConnectionInfo| Sentinel {
            info: info.clone(),
            connection: tokio::sync::Mutex::default(),
        };
        Self::Sentinels {
            sentinels: all.iter().map(sentinel).map(Arc::new).collect(),
            name,
        }
    }
}

impl Charge {
    /// Begins to ask.
    pub(crate) fn start(appointers: Appointers, patience: Patience) -> Self {
        let shared = Arc::new(Shared {
            appointers,
            patience,
            heard: Mutex::new(Heard::Nothing {
                why: "nobody was asked yet who is in charge".into(),
            }),
            asking: tokio::sync::Mutex::default(),
        });
        let keeping = Arc::clone(&shared);
        Self {
            shared,
            _keeper: Background::spawn(async move {
                loop {
                    keeping.ask().await;
                    tokio::time::sleep(EVERY).await;
                }
            }),
        }
    }

    /// Asks now.
    pub(crate) async fn ask(&self) {
        self.shared.ask().await;
    }

    /// Whether the server at this address is in charge of the slot, as far as was heard.
    pub(crate) fn of(&self, slot: u16, at: Option<&Address>) -> InCharge {
        match (&*self.shared.heard(), at) {
            (_, None) => unconfirmed("there is no connection to the server"),
            (Heard::Nothing { why }, _) => unconfirmed(why),
            (Heard::Round(round), Some(at)) => round.judge(slot, at),
        }
    }
}

impl Shared {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks everybody, unless somebody else has begun to since this was called.
    async fn ask(&self) {
        let wanted = Instant::now();
        let _alone = self.asking.lock().await;
        if let Heard::Round(round) = &*self.heard()
            && round.asked_at >= wanted
        {
            return;
        }
        let round = self.round().await;
        let mut heard = self.heard();
        *heard = match (std::mem::replace(&mut *heard, nothing("")), round) {
            (_, round) if round.is_majority() => Heard::Round(round),
            // What was said before ages, unless somebody says otherwise now.
            (Heard::Round(before), round) if round.agrees_with(&before) => Heard::Round(before),
            (_, round) => nothing(&format!(
                "{} of {} say who is in charge",
                round.opinions.len(),
                round.asked
            )),
        };
    }

    async fn round(&self) -> Round {
        let asked_at = Instant::now();
        let mut answers = JoinSet::new();
        match &self.appointers {
            Appointers::Sentinels { sentinels, name } => {
                for sentinel in sentinels {
                    let asked = Arc::clone(sentinel).master(name.clone(), self.patience);
                    answers.spawn(timeout(self.patience.response, asked));
                }
            }
            Appointers::Masters(masters) => {
                for (host, server) in masters.all() {
                    let asked = async move {
                        let mut slots = cmd("CLUSTER");
                        slots.arg("SLOTS");
                        let answer = server.node.ask(&slots).await.ok()?;
                        read_slots(answer, &host).map(Opinion::Slots)
                    };
                    answers.spawn(timeout(self.patience.response, asked));
                }
            }
        }
        let asked = answers.len();
        let mut opinions = Vec::with_capacity(asked);
        while let Some(answer) = answers.join_next().await {
            opinions.extend(answer.ok().and_then(Result::ok).flatten());
        }
        Round {
            asked_at,
            opinions,
            asked,
        }
    }
}

impl Sentinel {
    /// Whom it calls master; `None` where it does not answer, or knows of none.
    async fn master(self: Arc<Self>, name: String, patience: Patience) -> Option<Opinion> {
        let mut slot = self.connection.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.connect(patience).await.ok()?,
        };
        let mut ask = pipe();
        // What it knows of the master first: a failover that begins in between shows in the name, or the next time.
        ask.cmd("SENTINEL").arg("MASTER").arg(&name);
        ask.cmd("SENTINEL")
            .arg("get-master-addr-by-name")
            .arg(&name);
        let answer: RedisResult<(Value, Option<Address>)> = ask.query_async(&mut connection).await;
        let (known, named) = answer.ok()?;
        // Kept only where it answered: one that breaks off is made anew the next time.
        *slot = Some(connection);
        let failover = is_failing_over(known);
        named.map(|at| match failover {
            true => Opinion::Failover(at),
            false => Opinion::Master(at),
        })
    }

    async fn connect(&self, patience: Patience) -> RedisResult<MultiplexedConnection> {
        Client::open(self.info.clone())?
            .get_multiplexed_async_connection_with_config(&config(patience))
            .await
    }
}

impl Round {
    fn is_majority(&self) -> bool {
        self.opinions.len() > self.asked / 2
    }

    /// Whether none of these opinions contradicts one that was heard before.
    fn agrees_with(&self, before: &Self) -> bool {
        let all = || self.opinions.iter().chain(&before.opinions);
        all().all(|one| all().all(|other| one.agrees_with(other)))
    }

    fn judge(&self, slot: u16, at: &Address) -> InCharge {
        let failover = |said: &&Opinion| matches!(said, Opinion::Failover(_));
        if self.opinions.iter().any(|said| failover(&said)) {
            return unconfirmed("another server is about to take the place of the master");
        }
        let named = self.opinions.iter().filter_map(|said| said.names(slot));
        let named: Vec<Named<'_>> = named.collect();
        let Some(first) = named.first() else {
            return unconfirmed("nobody says who is in charge");
        };
        if let Some(other) = named.iter().find(|other| other.id != first.id) {
            return unconfirmed(&format!(
                "some name {}, others {}",
                shown(first.at),
                shown(other.at)
            ));
        }
        if named.len() <= self.asked / 2 {
            return unconfirmed(&format!(
                "{} of {} say who is in charge",
                named.len(),
                self.asked
            ));
        }
        // A node of a cluster may be known under several addresses; one that leads to ours will do.
        match named.iter().any(|named| named.at == at) {
            true => InCharge::Confirmed {
                asked_at: self.asked_at,
            },
            false => unconfirmed(&format!(
                "{} is in charge, not {}",
                shown(first.at),
                shown(at)
            )),
        }
    }
}

/// Who is named, and where it is.
struct Named<'a> {
    id: Id<'a>,
    at: &'a Address,
}

#[derive(PartialEq, Eq)]
enum Id<'a> {
    Address(&'a Address),
    Node(&'a str),
}

impl Opinion {
    fn names(&self, slot: u16) -> Option<Named<'_>> {
        match self {
            Self::Master(at) | Self::Failover(at) => Some(Named {
                id: Id::Address(at),
                at,
            }),
            Self::Slots(ranges) => {
                let mut ranges = ranges.iter();
                let range = ranges.find(|range| (range.first..=range.last).contains(&slot))?;
                Some(Named {
                    id: Id::Node(&range.id),
                    at: &range.at,
                })
            }
        }
    }

    fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Slots(mine), Self::Slots(theirs)) => {
                let owners = |ranges: &[SlotRange]| -> Vec<(u16, u16, String)> {
                    let owner = |range: &SlotRange| (range.first, range.last, range.id.clone());
                    let mut owners: Vec<_> = ranges.iter().map(owner).collect();
                    owners.sort_unstable();
                    owners
                };
                owners(mine) == owners(theirs)
            }
            (mine, theirs) => mine == theirs,
        }
    }
}

/// Whether a sentinel puts another server in the place of the master, or has found with others that it has to be done.
/// `known` are the names and values that `SENTINEL MASTER` answers.
fn is_failing_over(known: Value) -> bool {
    let known: HashMap<String, String> = from_redis_value(known).unwrap_or_default();
    let flags = known.get("flags").map(String::as_str).unwrap_or_default();
    flags
        .split(',')
        .any(|flag| matches!(flag, "o_down" | "failover_in_progress"))
}

/// `[[first, last, [host, port, id, …], replicas …] …]`. A node that does not know its own host says nothing or nil:
/// then it is the one we asked.
pub(crate) fn read_slots(answer: Value, asked: &str) -> Option<Vec<SlotRange>> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    let read = |range: Value| {
        let Value::Array(range) = range else {
            return None;
        };
        let [
            Value::Int(first),
            Value::Int(last),
            Value::Array(master),
            ..,
        ] = &*range
        else {
            return None;
        };
        let text = |value: Option<&Value>| match value {
            Some(Value::BulkString(text)) => String::from_utf8(text.clone()).ok(),
            _ => None,
        };
        let host = text(master.first()).filter(|host| !host.is_empty());
        let Some(Value::Int(port)) = master.get(1) else {
            return None;
        };
        Some(SlotRange {
            first: u16::try_from(*first).ok()?,
            last: u16::try_from(*last).ok()?,
            at: (
                host.unwrap_or_else(|| asked.into()),
                u16::try_from(*port).ok()?,
            ),
            id: text(master.get(2)).unwrap_or_default(),
        })
    };
    let ranges: Vec<_> = ranges.into_iter().map(read).collect::<Option<_>>()?;
    (!ranges.is_empty()).then_some(ranges)
}

fn nothing(why: &str) -> Heard {
    Heard::Nothing { why: why.into() }
}

fn unconfirmed(why: &str) -> InCharge {
    InCharge::Unconfirmed { why: why.into() }
}

fn shown((host, port): &Address) -> String {
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        ("10.0.0.1".into(), port)
    }

    fn master(port: u16) -> Opinion {
        Opinion::Master(at(port))
    }

    fn slots(port: u16, id: &str) -> Opinion {
        Opinion::Slots(vec![SlotRange {
            first: 0,
            last: 99,
            at: at(port),
            id: id.into(),
        }])
    }

    fn round(opinions: Vec<Opinion>, asked: usize) -> Round {
        Round {
            asked_at: Instant::now(),
            opinions,
            asked,
        }
    }

    fn is_confirmed(opinions: Vec<Opinion>, asked: usize) -> bool {
        matches!(
            round(opinions, asked).judge(7, &at(1)),
            InCharge::Confirmed { .. }
        )
    }

    #[test]
    fn a_majority_has_to_name_our_server_and_none_another() {
        assert!(is_confirmed(vec![master(1)], 1));
        assert!(is_confirmed(vec![master(1), master(1)], 3));
        assert!(!is_confirmed(vec![master(1)], 2));
        assert!(!is_confirmed(vec![master(1)], 3));
        assert!(!is_confirmed(vec![master(1), master(1), master(2)], 3));
        assert!(!is_confirmed(vec![master(2), master(2), master(2)], 3));
        assert!(!is_confirmed(vec![], 0));
    }

    #[test]
    fn one_that_fails_over_is_enough_to_doubt_and_so_is_the_round_before() {
        let failover = Opinion::Failover(at(1));
        assert!(!is_confirmed(
            vec![master(1), master(1), failover.clone()],
            3
        ));
        let before = round(vec![master(1), master(1)], 3);
        assert!(!round(vec![failover], 3).agrees_with(&before));
        let known = |flags: &str| {
            let text = |s: &str| Value::BulkString(s.into());
            is_failing_over(Value::Array(
                ["name", "mymaster", "flags", flags].map(text).to_vec(),
            ))
        };
        for flags in ["master,o_down", "master,s_down,o_down,failover_in_progress"] {
            assert!(known(flags), "{flags}");
        }
        for flags in ["master", "master,s_down", "master,s_down,disconnected"] {
            assert!(!known(flags), "{flags}");
        }
        assert!(!is_failing_over(Value::Okay));
    }

    #[test]
    fn a_node_of_a_cluster_is_known_by_its_name_and_only_for_its_slots() {
        assert!(is_confirmed(vec![slots(1, "a"), slots(1, "a")], 3));
        // Another address of the same node.
        assert!(is_confirmed(vec![slots(1, "a"), slots(2, "a")], 3));
        assert!(!is_confirmed(vec![slots(1, "a"), slots(1, "b")], 3));
        let elsewhere = round(vec![slots(1, "a"), slots(1, "a")], 2);
        assert!(matches!(
            elsewhere.judge(100, &at(1)),
            InCharge::Unconfirmed { .. }
        ));
    }

    #[test]
    fn one_voice_against_what_was_heard_before_is_enough_to_doubt_it() {
        let before = round(vec![master(1), master(1)], 3);
        assert!(round(vec![], 3).agrees_with(&before));
        assert!(round(vec![master(1)], 3).agrees_with(&before));
        assert!(!round(vec![master(2)], 3).agrees_with(&before));
        let before = round(vec![slots(1, "a")], 1);
        assert!(round(vec![slots(2, "a")], 3).agrees_with(&before));
        assert!(!round(vec![slots(1, "b")], 3).agrees_with(&before));
    }

    #[test]
    fn a_map_of_slots_is_read_whole_or_not_at_all() {
        let (i, text) = (Value::Int, |s: &str| Value::BulkString(s.into()));
        let range = |host| {
            let master = Value::Array(vec![host, i(7000), text("id")]);
            Value::Array(vec![i(0), i(99), master, Value::Nil])
        };
        let at = |host: &str| {
            Some(vec![SlotRange {
                first: 0,
                last: 99,
                at: (host.to_owned(), 7000),
                id: "id".into(),
            }])
        };
        assert_eq!(
            read_slots(Value::Array(vec![range(text("a"))]), "x"),
            at("a")
        );
        assert_eq!(
            read_slots(Value::Array(vec![range(text(""))]), "x"),
            at("x")
        );
        assert_eq!(
            read_slots(Value::Array(vec![range(Value::Nil)]), "x"),
            at("x")
        );
        assert_eq!(
            read_slots(Value::Array(vec![range(text("a")), i(1)]), "x"),
            None
        );
        assert_eq!(read_slots(Value::Array(vec![]), "x"), None);
        assert_eq!(read_slots(Value::Nil, "x"), None);
    }
}
