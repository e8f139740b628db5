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
    endpoint::{Address, Timeouts},
    node::Handle,
    sentinels::{Named, Sentinels, newest},
    slots::{SlotRange, read_slots},
};
use redis::cmd;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

/// Whether the server that answers for a key is in charge of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InCharge {
    /// There is one server, and no other can take its place.
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
    timeouts: Timeouts,
    heard: Mutex<Heard>,
    /// Held while they are asked: callers that come meanwhile share the next answers.
    asking: tokio::sync::Mutex<()>,
}

/// Those who appoint.
pub(crate) enum Appointers {
    /// Each has an opinion on the one master.
    Sentinels {
        sentinels: Sentinels,
        /// The server that is used as the master: left where another one is.
        node: Handle,
    },
    /// Each master of a cluster has an opinion on every slot.
    Masters(Masters),
}

/// What one of them says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opinion {
    Master(Address),
    /// Another server is about to take the place of this one.
    Failover(Address),
    Slots(Vec<SlotRange>),
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

/// How often they are asked without a cause. A caller that needs a younger confirmation asks.
pub(crate) const EVERY: Duration = Duration::from_millis(300);

impl Charge {
    /// Begins to ask.
    pub(crate) fn start(appointers: Appointers, timeouts: Timeouts) -> Self {
        let shared = Arc::new(Shared {
            appointers,
            timeouts,
            heard: Mutex::new(Heard::Nothing {
                why: "the current master is not known yet".into(),
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
        let (round, named) = self.round().await;
        self.leave(&round, &named);
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

    /// Leaves a server that another one has taken the place of: it goes on answering for seconds, and nobody
    /// reads what is written to it.
    fn leave(&self, round: &Round, named: &[Named]) {
        let Appointers::Sentinels { node, .. } = &self.appointers else {
            return;
        };
        let Some(at) = node
            .at()
            .filter(|at| named.iter().any(|other| other.at != *at))
        else {
            return;
        };
        // One that is alone with its word may have been away; where it contradicts others the newest counts.
        let counts = named.iter().any(|other| other.at == at) || round.is_majority();
        match newest(named) {
            Some(master) if counts && *master != at => {
                node.leave(
                    &at,
                    format!("the sentinels name {} as the master", shown(master)),
                );
            }
            _ => {}
        }
    }

    /// What all say, and whom each sentinel names.
    async fn round(&self) -> (Round, Vec<Named>) {
        let asked_at = Instant::now();
        let mut answers = JoinSet::new();
        match &self.appointers {
            Appointers::Sentinels { sentinels, .. } => {
                let mut asked = sentinels.ask(self.timeouts);
                let mut named = Vec::with_capacity(sentinels.len());
                while let Some(answer) = asked.join_next().await {
                    named.extend(answer.ok().and_then(Result::ok).flatten());
                }
                let opinions = named.iter().map(|named| match named.failing_over {
                    true => Opinion::Failover(named.at.clone()),
                    false => Opinion::Master(named.at.clone()),
                });
                let round = Round {
                    asked_at,
                    opinions: opinions.collect(),
                    asked: sentinels.len(),
                };
                return (round, named);
            }
            Appointers::Masters(masters) => {
                for (host, server) in masters.all() {
                    let asked = async move {
                        let mut slots = cmd("CLUSTER");
                        slots.arg("SLOTS");
                        let answer = server.node.ask(&slots).await.ok()?;
                        read_slots(answer, &host).map(Opinion::Slots)
                    };
                    answers.spawn(timeout(self.timeouts.response, asked));
                }
            }
        }
        let asked = answers.len();
        let mut opinions = Vec::with_capacity(asked);
        while let Some(answer) = answers.join_next().await {
            opinions.extend(answer.ok().and_then(Result::ok).flatten());
        }
        let round = Round {
            asked_at,
            opinions,
            asked,
        };
        (round, Vec::new())
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
        let named: Vec<Owner<'_>> = named.collect();
        let Some(first) = named.first() else {
            return unconfirmed("no sentinel or node names the current master");
        };
        if let Some(other) = named.iter().find(|other| other.id != first.id) {
            return unconfirmed(&format!(
                "some name {}, others {}",
                first.shown(),
                other.shown()
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
        match named.iter().any(|named| named.at == Some(at)) {
            true => InCharge::Confirmed {
                asked_at: self.asked_at,
            },
            false => unconfirmed(&format!(
                "{} is in charge, not {}",
                first.shown(),
                shown(at)
            )),
        }
    }
}

/// Who is named, and where it is.
struct Owner<'a> {
    id: Id<'a>,
    at: Option<&'a Address>,
}

impl Owner<'_> {
    fn shown(&self) -> String {
        match (self.at, &self.id) {
            (Some(at), _) => shown(at),
            (None, Id::Address(at)) => shown(at),
            (None, Id::Node(id)) => format!("node {id}"),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Id<'a> {
    Address(&'a Address),
    Node(&'a str),
}

impl Opinion {
    fn names(&self, slot: u16) -> Option<Owner<'_>> {
        match self {
            Self::Master(at) | Self::Failover(at) => Some(Owner {
                id: Id::Address(at),
                at: Some(at),
            }),
            Self::Slots(ranges) => {
                let mut ranges = ranges.iter();
                let range = ranges.find(|range| (range.first..=range.last).contains(&slot))?;
                Some(Owner {
                    id: Id::Node(&range.id),
                    at: range.at.as_ref(),
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
            at: Some(at(port)),
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
}
