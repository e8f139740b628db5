//! Faults scripted per request: which request, what the venue does with it, how the reply goes wrong.
//!
//! A [`Fault`] waits in a queue. Each arriving venue request is compared with the queue from its front, and
//! the first fault that matches and has runs left is used for that request; at most one fault touches a request.
//! Every fault counts its hits, so that a test can show that the path it meant to take was really taken.

mod canned;
mod script;
mod when;

use crate::{http::Request, symbol::is_price};
pub use canned::Canned;
pub use script::{Fill, HiddenFor, Rest, Script};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
pub use venue_facts::{CodeMeaning, VenueCode, venue_code, venue_codes};
pub use when::When;
pub(crate) use when::peek;

/// How the venue lets go of a connection, or what it says, without having acted on the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// TCP reset (RST).
    Reset,
    /// Orderly close (FIN) without a byte of reply.
    Close,
    /// No reply and no close, until the client leaves or the venue shuts down.
    Hang,
    /// This reply.
    Reply(Canned),
}

/// How the reply of a request that was acted on goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Whole and true.
    #[default]
    Whole,
    /// TCP reset (RST) instead of the reply: it happened, without an answer.
    Reset,
    /// Orderly close (FIN) without a byte of reply.
    Close,
    /// No reply and no close, until the client leaves or the venue shuts down.
    Hang,
    /// Headers that promise the whole body, half of it, then an orderly close.
    Cut,
    /// The true reply, its body in pieces with this many milliseconds between them.
    Slow {
        /// Bytes in one piece; at least one.
        piece: usize,
        /// Pause after each piece.
        pause_ms: u64,
    },
    /// This reply instead of the true one.
    Reply(Canned),
    /// The true reply with these fields overwritten: an answer that can be read and is not true. In a list every
    /// entry is altered; `null` takes the field away.
    Altered(BTreeMap<String, Value>),
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The venue never acts on it.
    NotExecuted(Instead),
    /// The venue acts on it (and may still refuse it by its own rules).
    Executed {
        /// How the execution is bent.
        #[serde(default)]
        script: Script,
        /// How the reply goes out.
        #[serde(default)]
        delivery: Delivery,
    },
    /// The client gets this at once, and the venue acts on the request only later: by then it is judged anew,
    /// its receive window included.
    Late {
        /// Milliseconds between what the client gets and the execution.
        after_ms: u64,
        /// What the client gets.
        instead: Instead,
        /// How the execution is bent.
        #[serde(default)]
        script: Script,
    },
}

/// One scripted fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests.
    #[serde(default)]
    pub when: When,
    /// For how many of them; `u32::MAX` is as good as always.
    #[serde(default = "one")]
    pub times: u32,
    /// Milliseconds between arrival and execution.
    #[serde(default)]
    pub delay_before_ms: u64,
    /// Milliseconds between execution and reply.
    #[serde(default)]
    pub delay_after_ms: u64,
    /// What happens.
    pub action: Action,
}

impl Fault {
    /// The venue does not act; the client gets this instead of a reply.
    pub fn not_executed(when: When, instead: Instead) -> Self {
        Self::new(when, Action::NotExecuted(instead))
    }

    /// The venue acts, and the reply goes out like this.
    pub fn executed(when: When, delivery: Delivery) -> Self {
        Self::new(
            when,
            Action::Executed {
                script: Script::default(),
                delivery,
            },
        )
    }

    /// The venue acts, and its reply says something else in these fields.
    pub fn altered<'a>(when: When, fields: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Self::executed(when, Delivery::Altered(fields.collect()))
    }

    /// The venue acts as scripted and answers truly.
    pub fn scripted(when: When, script: Script) -> Self {
        Self::new(
            when,
            Action::Executed {
                script,
                delivery: Delivery::Whole,
            },
        )
    }

    /// The client gets this at once; the venue acts after this time, if the request's receive window lasts so long.
    pub fn late(when: When, after: Duration, instead: Instead) -> Self {
        Self::new(
            when,
            Action::Late {
                after_ms: millis(after),
                instead,
                script: Script::default(),
            },
        )
    }

    /// A reply written by hand; `executes` says whether the venue acts before it is sent.
    pub fn reply(when: When, executes: bool, canned: Canned) -> Self {
        if executes {
            Self::executed(when, Delivery::Reply(canned))
        } else {
            Self::not_executed(when, Instead::Reply(canned))
        }
    }

    /// A new order fills like this.
    pub fn fill(when: When, fill: Fill) -> Self {
        Self::scripted(
            when,
            Script {
                fill: Some(fill),
                ..Script::default()
            },
        )
    }

    /// For the first `n` matching requests instead of one.
    #[must_use]
    pub fn times(mut self, n: u32) -> Self {
        self.times = n;
        self
    }

    /// For every matching request.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// Waits between arrival and execution.
    #[must_use]
    pub fn delay_before(mut self, delay: Duration) -> Self {
        self.delay_before_ms = millis(delay);
        self
    }

    /// Waits between execution and reply.
    #[must_use]
    pub fn delay_after(mut self, delay: Duration) -> Self {
        self.delay_after_ms = millis(delay);
        self
    }

    /// Queries say -2013 for a while. No effect on a fault that does not execute.
    #[must_use]
    pub fn hide_order(mut self, veil: HiddenFor) -> Self {
        if let Some(script) = self.script_mut() {
            script.hide_order = Some(veil);
        }
        self
    }

    /// `userTrades` leaves the trades out for a while. No effect on a fault that does not execute.
    #[must_use]
    pub fn hide_trades(mut self, veil: HiddenFor) -> Self {
        if let Some(script) = self.script_mut() {
            script.hide_trades = Some(veil);
        }
        self
    }

    /// `positionRisk` shows the old position for a while. No effect on a fault that does not execute.
    #[must_use]
    pub fn hide_position(mut self, veil: HiddenFor) -> Self {
        if let Some(script) = self.script_mut() {
            script.hide_position = Some(veil);
        }
        self
    }

    /// Whether it can be carried out; otherwise what is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let price = match &self.action {
            Action::NotExecuted(_) => None,
            Action::Executed { script, .. } | Action::Late { script, .. } => {
                script.fill.as_ref().and_then(|fill| fill.price)
            }
        };
        match price {
            Some(price) if !is_price(price) => Err(format!("no fill can have the price {price}")),
            _ => Ok(()),
        }
    }

    fn script_mut(&mut self) -> Option<&mut Script> {
        match &mut self.action {
            Action::NotExecuted(_) => None,
            Action::Executed { script, .. } | Action::Late { script, .. } => Some(script),
        }
    }

    fn new(when: When, action: Action) -> Self {
        Self {
            when,
            times: 1,
            delay_before_ms: 0,
            delay_after_ms: 0,
            action,
        }
    }
}

fn one() -> u32 {
    1
}

fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

/// Names a fault that was put into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// A fault and how often it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultStatus {
    /// Its name.
    pub id: FaultId,
    /// How many requests it touched.
    pub hits: u32,
    /// As it was queued.
    pub fault: Fault,
}

/// Beyond this many faults, each new one takes the place of the oldest that has no runs left.
const KEPT: usize = 10_000;

/// The queue. A fault stays after its last run so that its hits can be read.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next_id: u64,
    queued: Vec<Queued>,
}

#[derive(Debug)]
struct Queued {
    status: FaultStatus,
    passed: u32,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) -> FaultId {
        if self.queued.len() >= KEPT {
            let spent = |queued: &Queued| queued.status.hits >= queued.status.fault.times;
            if let Some(oldest) = self.queued.iter().position(spent) {
                self.queued.remove(oldest);
            }
        }
        self.next_id += 1;
        let id = FaultId(self.next_id);
        self.queued.push(Queued {
            status: FaultStatus { id, hits: 0, fault },
            passed: 0,
        });
        id
    }

    pub(crate) fn clear(&mut self) {
        self.queued.clear();
    }

    pub(crate) fn statuses(&self) -> impl Iterator<Item = &FaultStatus> {
        self.queued.iter().map(|queued| &queued.status)
    }

    /// The fault for this request, counted as a hit.
    pub(crate) fn take_for(&mut self, request: &Request) -> Option<(FaultId, Fault)> {
        for Queued { status, passed } in &mut self.queued {
            if status.hits >= status.fault.times || !status.fault.when.matches(request) {
                continue;
            }
            if *passed < status.fault.when.skip {
                *passed += 1;
                continue;
            }
            status.hits += 1;
            return Some((status.id, status.fault.clone()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn order(parameters: &str) -> Request {
        Request {
            method: "POST".into(),
            path: "/fapi/v1/order".into(),
            body: parameters.into(),
            ..Request::default()
        }
    }

    #[test]
    fn the_first_fault_that_matches_is_used_as_often_as_it_says() {
        let mut faults = Faults::default();
        let eth = faults.add(Fault::not_executed(
            When::order().symbol("ETHUSDT"),
            Instead::Reset,
        ));
        let any = faults.add(Fault::executed(When::order(), Delivery::Cut).times(2));
        let mut used = |parameters: &str| faults.take_for(&order(parameters)).map(|(id, _)| id);
        assert_eq!(used("symbol=BTCUSDT"), Some(any));
        assert_eq!(used("symbol=ETHUSDT"), Some(eth));
        assert_eq!(used("symbol=ETHUSDT"), Some(any));
        assert_eq!(used("symbol=ETHUSDT"), None);
    }

    #[test]
    fn a_fault_may_let_requests_pass_and_may_name_a_client_id() {
        let mut faults = Faults::default();
        faults.add(Fault::not_executed(
            When::order().client_id("a:1").skip(1),
            Instead::Close,
        ));
        assert!(faults.take_for(&order("newClientOrderId=b")).is_none());
        assert!(faults.take_for(&order("newClientOrderId=a%3A1")).is_none());
        assert!(faults.take_for(&order("newClientOrderId=a%3A1")).is_some());
        assert_eq!(faults.statuses().next().unwrap().hits, 1);
    }

    #[test]
    fn a_long_queue_forgets_spent_faults_and_no_other() {
        let mut faults = Faults::default();
        let fault = Fault::not_executed(When::order(), Instead::Close);
        let first = faults.add(fault.clone());
        faults.take_for(&order("symbol=BTCUSDT")).unwrap();
        for _ in 0..KEPT {
            faults.add(fault.clone());
        }
        assert_eq!(faults.statuses().count(), KEPT);
        assert!(faults.statuses().all(|status| status.id != first));
        faults.add(fault);
        assert_eq!(faults.statuses().count(), KEPT + 1);
    }

    #[test]
    fn a_fault_travels_as_json_and_a_misspelt_one_is_refused() {
        let fault = Fault::fill(When::order(), Fill::only(rust_decimal::Decimal::new(1, 3)))
            .hide_order(HiddenFor::queries(2))
            .delay_after(Duration::from_millis(5));
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
        let short: Fault =
            serde_json::from_str(r#"{"action":{"executed":{"delivery":"reset"}}}"#).unwrap();
        assert_eq!(short, Fault::executed(When::any(), Delivery::Reset));
        for misspelt in [
            r#"{"action":{"executed":{"delivry":"reset"}}}"#,
            r#"{"when":{"methd":"POST"},"action":{"not_executed":"reset"}}"#,
            r#"{"tims":2,"action":{"not_executed":"reset"}}"#,
            r#"{"action":{"not_executed":"whole"}}"#,
        ] {
            assert!(
                serde_json::from_str::<Fault>(misspelt).is_err(),
                "{misspelt}"
            );
        }
    }
}
