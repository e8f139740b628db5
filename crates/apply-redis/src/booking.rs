//! The neighbours' ledger: a position brain of January books the newest executed result of a symbol at each of its
//! polls, whether it has booked it before or not, as long as it stands among the newest ten results. So a result that
//! it has booked once is pushed out of these by entries that it books nothing for.

use crate::plan_store::{RedisPlanStore, failed};
use apply_core::{ApplyResult, Decision, PortError, Symbol};
use apply_wire::field::{FILLER, FILLER_BOOKED};
use permit_gate::PlanId;
use redis::Value;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::{Duration, Instant},
};

/// How many results the brain looks at.
const WINDOW: usize = 10;
/// Most bytes of a field that are read: more than a plan id or a symbol may have.
const MOST: usize = 64;

/// How long a result may stand there without being booked before it holds up no other one: six of the brain's
/// polls.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Watches over the ledger of a brain that books again and again. What it knows is the store's, so that a process that
/// dies in the middle leaves nothing undone: the next one looks at the same entries.
pub struct Bookkeeper {
    plan_store: RedisPlanStore,
    patience: Duration,
    /// Executed results that are not booked, and since when that is known.
    waiting: HashMap<PlanId, Instant>,
    /// Those that were not booked in time, and reported.
    overdue: HashSet<PlanId>,
    /// Ledgers of another type or form, reported once each.
    left_alone: HashSet<String>,
}

impl fmt::Debug for Bookkeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bookkeeper")
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

/// What one look came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Booked {
    /// These were booked, and are out of the brain's sight now.
    pub pushed_out: Vec<(PlanId, Symbol)>,
    /// These were not booked within [`PATIENCE`]: there is no ledger, or its brain stands still. Each is reported once.
    pub overdue: Vec<(PlanId, Symbol)>,
    /// Ledgers that say nothing of what was booked in this time, each with why. A ledger is reported once, and again where it
    /// could be read meanwhile.
    pub left_alone: Vec<(String, &'static str)>,
}

/// What a ledger says of the plan it has booked last.
enum Ledger {
    /// This one.
    Names(String),
    /// There is none.
    Absent,
    /// It is there, and does not say it.
    Other(&'static str),
}

/// One result as the brain sees it.
struct Seen {
    id: String,
    executed: Option<(PlanId, Symbol)>,
}

impl RedisPlanStore {
    /// Somebody who keeps results from being booked twice.
    pub fn bookkeeper(&self, patience: Duration) -> Bookkeeper {
        Bookkeeper {
            plan_store: self.clone(),
            patience,
            waiting: HashMap::new(),
            overdue: HashSet::new(),
            left_alone: HashSet::new(),
        }
    }

    async fn ledger(&self, ledger: &str) -> Result<Ledger, PortError> {
        let mut at = self.link().at(ledger);
        let mut read = redis::cmd("HGET");
        read.arg(ledger).arg(LAST_BOOKED);
        match read.query_async::<Option<String>>(&mut at).await {
            Ok(Some(plan)) => return Ok(Ledger::Names(plan)),
            Ok(None) => {}
            Err(error) if error.code() == Some("WRONGTYPE") => {
                return Ok(Ledger::Other("it is no hash"));
            }
            Err(error) => return Err(failed("read the position ledger")(error)),
        }
        let there: Result<bool, _> = redis::cmd("EXISTS").arg(ledger).query_async(&mut at).await;
        match there {
            Ok(true) => Ok(Ledger::Other(
                "it does not say which plan it has booked last",
            )),
            Ok(false) => Ok(Ledger::Absent),
            // A user that may read the field alone: what it learns is a little less.
            Err(error) if error.code() == Some("NOPERM") => Ok(Ledger::Absent),
            Err(error) => Err(failed("read the position ledger")(error)),
        }
    }
}

/// The ledger's field that names the plan it has booked last.
const LAST_BOOKED: &str = "last_result_plan_id";

impl Bookkeeper {
    /// Looks once, and pushes out what was booked. Asks for the newest results, and for the ledger of each symbol with an
    /// executed one among them.
    ///
    /// Cancellation: safe, and so is calling it from several processes.
    pub async fn look(&mut self, now: Instant, timestamp: u64) -> Result<Booked, PortError> {
        let seen = self.window().await?;
        let mut booked = Booked::default();
        let (mut symbols, mut states) = (HashSet::new(), Vec::new());
        for entry in &seen {
            states.push(match &entry.executed {
                // Of a symbol it books the newest one and no other.
                Some((plan, symbol)) if symbols.insert(symbol.clone()) => {
                    let key = format!("{}{symbol}", self.plan_store.keys().ledger);
                    let ledger = self.plan_store.ledger(&key).await?;
                    if let Ledger::Names(_) | Ledger::Absent = &ledger {
                        self.left_alone.remove(&key);
                    }
                    match ledger {
                        Ledger::Names(last) if last == plan.as_str() => State::Booked,
                        _ if !self.is_overdue(plan, now) => State::Waits,
                        // A brain that has booked nothing yet does not say it either: that is known by now.
                        Ledger::Other(why) => {
                            if self.left_alone.insert(key.clone()) {
                                booked.left_alone.push((key, why));
                            }
                            State::Nothing
                        }
                        Ledger::Names(_) | Ledger::Absent => {
                            if self.overdue.insert(plan.clone()) {
                                booked.overdue.push((plan.clone(), symbol.clone()));
                            }
                            State::Nothing
                        }
                    }
                }
                Some(_) | None => State::Nothing,
            });
        }
        let executed = || seen.iter().filter_map(|entry| entry.executed.as_ref());
        self.waiting
            .retain(|plan, _| executed().any(|(of, _)| of == plan));
        self.overdue
            .retain(|plan| executed().any(|(of, _)| of == plan));
        let last = last_to_push_out(&states);
        let entry = last.and_then(|last| Some((last, seen.get(last)?.executed.as_ref()?)));
        let (Some(newest), Some((last, (plan, symbol)))) = (seen.first(), entry) else {
            return Ok(booked);
        };
        let filler = filler(plan, symbol, timestamp);
        if self.pad(&newest.id, WINDOW - last, filler).await? {
            let gone = seen.iter().zip(&states).skip(last);
            let gone = gone.filter(|(_, state)| **state == State::Booked);
            booked.pushed_out = gone
                .filter_map(|(entry, _)| entry.executed.clone())
                .collect();
        }
        Ok(booked)
    }

    /// Whether a result was waited for long enough.
    fn is_overdue(&mut self, plan: &PlanId, now: Instant) -> bool {
        let since = *self.waiting.entry(plan.clone()).or_insert(now);
        now.saturating_duration_since(since) >= self.patience
    }

    async fn window(&self) -> Result<Vec<Seen>, PortError> {
        let results = &self.plan_store.keys().results;
        let mut call = self.plan_store.scripts().window.key(results);
        call.arg(WINDOW).arg(MOST);
        let mut at = self.plan_store.link().at(results);
        let entries = call.invoke_async::<Vec<(String, Vec<u8>, Vec<u8>, Value)>>(&mut at);
        let entries = entries.await.map_err(failed("read the newest results"))?;
        let read = |plan: Vec<u8>, symbol: Vec<u8>| {
            let plan = String::from_utf8(plan).ok()?.parse().ok()?;
            Some((plan, String::from_utf8(symbol).ok()?.parse().ok()?))
        };
        let seen = entries
            .into_iter()
            .map(|(id, plan, symbol, executed)| Seen {
                id,
                executed: match executed {
                    Value::Int(1) => read(plan, symbol),
                    _ => None,
                },
            });
        Ok(seen.collect())
    }

    async fn pad(
        &self,
        newest: &str,
        count: usize,
        filler: Vec<(&'static str, String)>,
    ) -> Result<bool, PortError> {
        let results = &self.plan_store.keys().results;
        let mut call = self.plan_store.scripts().pad.key(results);
        call.arg(newest)
            .arg(count)
            .arg(self.plan_store.stream_length());
        for (field, value) in filler {
            call.arg(field).arg(value);
        }
        let mut at = self.plan_store.link().at(results);
        let padded = call.invoke_async::<i64>(&mut at);
        let padded = padded.await.map_err(failed("push booked results out"))?;
        Ok(padded == 1)
    }
}

/// What an entry is to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was executed, or a newer one of its symbol counts, or it was waited for long enough.
    Nothing,
    /// It will be booked at the next poll, and must stay.
    Waits,
    /// It was booked, and would be booked again.
    Booked,
}

/// The newest entry that is to leave the brain's sight, with all that are older: the newest one that was booked
/// without an older one that waits. `states` begin with the newest entry.
fn last_to_push_out(states: &[State]) -> Option<usize> {
    let oldest_first = states.iter().enumerate().rev();
    let settled = oldest_first.take_while(|(_, state)| **state != State::Waits);
    let booked = settled.filter(|(_, state)| **state == State::Booked);
    booked.map(|(index, _)| index).last()
}

/// A result that books nothing: what the service before this one wrote once a cycle.
fn filler(plan: &PlanId, symbol: &Symbol, timestamp: u64) -> Vec<(&'static str, String)> {
    let error = Some(apply_core::Reason::DuplicatePlan);
    let result = ApplyResult::nothing_happened(plan, symbol, Decision::Skip, error, timestamp);
    let mut fields = result.to_fields();
    fields.push((FILLER, FILLER_BOOKED.to_owned()));
    fields
}

#[cfg(test)]
mod tests {
    use super::{State::*, *};

    #[test]
    fn what_was_booked_leaves_and_what_waits_to_be_booked_stays() {
        for (states, last) in [
            (&[][..], None),
            (&[Nothing, Nothing], None),
            (&[Booked], Some(0)),
            (&[Waits], None),
            // Newest first: one that came meanwhile stays within sight.
            (&[Waits, Booked], Some(1)),
            (&[Waits, Nothing, Booked, Nothing, Booked], Some(2)),
            // An older one that waits would be pushed out with it.
            (&[Booked, Waits], None),
            (&[Booked, Waits, Nothing, Booked], Some(3)),
        ] {
            assert_eq!(last_to_push_out(states), last, "{states:?}");
        }
    }
}
