//! Which client ids a POST was ever started for, and how it ended. This is what makes a second POST impossible.

use crate::{
    names::{ClientAlgoId, ClientOrderId},
    submission::{NotSentReason, SendWindow, Submission},
};
use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What this client knows of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmissionStatus {
    /// No POST was started for this id by this client or a clone of it.
    Never,
    /// A POST is under way.
    InFlight(SendWindow),
    /// It ended, like this.
    Ended(Submission),
    /// A POST was started and has ended; its ending is no longer kept.
    Forgotten,
}

/// How many ids are remembered as used. At the venue's own ceiling of 1,200 orders a minute that is more than seven hours,
/// which is longer than a plan stays claimed. What is kept of an id is eight bytes, so all of them are about 14 MB. Two ids
/// sharing the eight bytes would refuse an order that could have been sent, never send one twice.
const REMEMBERED: usize = 524_288;
/// How many submissions may be without a known ending at once; more are refused.
const OPEN: usize = 8_192;
/// How many known endings are kept whole.
const ENDINGS: usize = 1_024;

/// The id of an order or of a stop; the venue keeps them apart, and so does the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Order(ClientOrderId),
    Stop(ClientAlgoId),
}

#[derive(Debug)]
pub(crate) struct SubmissionLog {
    inner: Mutex<Inner>,
    hasher: RandomState,
    remembered: usize,
    open: usize,
}

#[derive(Debug, Default)]
struct Inner {
    used: HashSet<u64>,
    order_of_use: VecDeque<u64>,
    /// Under way or unknown.
    open: HashMap<Key, Open>,
    endings: HashMap<ClientOrderId, Submission>,
    order_of_endings: VecDeque<ClientOrderId>,
}

#[derive(Debug)]
enum Open {
    InFlight(SendWindow),
    Unknown(Box<Submission>),
    /// A stop whose placing ended as unknown; the caller holds the details.
    UnknownStop,
}

impl Default for SubmissionLog {
    fn default() -> Self {
        Self::with_bounds(REMEMBERED, OPEN)
    }
}

impl SubmissionLog {
    fn with_bounds(remembered: usize, open: usize) -> Self {
        Self {
            inner: Mutex::default(),
            hasher: RandomState::new(),
            remembered,
            open,
        }
    }

    /// Notes that a POST is about to start. Refuses an id that was used before.
    pub(crate) fn begin(&self, key: &Key, window: SendWindow) -> Result<(), NotSentReason> {
        let print = self.hasher.hash_one(key);
        let mut inner = self.lock();
        if inner.has_used(key, print) {
            return Err(NotSentReason::AlreadySubmitted);
        }
        if inner.open.len() >= self.open {
            return Err(NotSentReason::TooManyOpen(inner.open.len()));
        }
        if inner.order_of_use.len() >= self.remembered
            && let Some(oldest) = inner.order_of_use.pop_front()
        {
            inner.used.remove(&oldest);
        }
        inner.used.insert(print);
        inner.order_of_use.push_back(print);
        inner.open.insert(key.clone(), Open::InFlight(window));
        Ok(())
    }

    /// Whether a POST was ever started for this id. [`begin`](Self::begin) decides; this spares an id that is used up
    /// the wait before it.
    pub(crate) fn has_used(&self, key: &Key) -> bool {
        let print = self.hasher.hash_one(key);
        self.lock().has_used(key, print)
    }

    /// Notes how an order ended. One that ended as unknown stays open until it is settled.
    pub(crate) fn end_order(&self, id: &ClientOrderId, ending: &Submission) {
        let mut inner = self.lock();
        let key = Key::Order(id.clone());
        if let Submission::Unknown(_) = ending {
            inner
                .open
                .insert(key, Open::Unknown(Box::new(ending.clone())));
            return;
        }
        inner.open.remove(&key);
        if inner.endings.insert(id.clone(), ending.clone()).is_none() {
            inner.order_of_endings.push_back(id.clone());
        }
        if inner.order_of_endings.len() > ENDINGS
            && let Some(oldest) = inner.order_of_endings.pop_front()
        {
            inner.endings.remove(&oldest);
        }
    }

    /// Notes how placing a stop ended.
    pub(crate) fn end_stop(&self, id: &ClientAlgoId, known: bool) {
        let mut inner = self.lock();
        let key = Key::Stop(id.clone());
        if known {
            inner.open.remove(&key);
        } else {
            inner.open.insert(key, Open::UnknownStop);
        }
    }

    /// Frees the place of an unknown order that asking has settled without a report to keep.
    pub(crate) fn settle(&self, id: &ClientOrderId) {
        self.lock().open.remove(&Key::Order(id.clone()));
    }

    pub(crate) fn status(&self, id: &ClientOrderId) -> SubmissionStatus {
        let key = Key::Order(id.clone());
        let print = self.hasher.hash_one(&key);
        let inner = self.lock();
        match inner.open.get(&key) {
            Some(Open::InFlight(window)) => SubmissionStatus::InFlight(*window),
            Some(Open::Unknown(ending)) => SubmissionStatus::Ended((**ending).clone()),
            Some(Open::UnknownStop) | None => match inner.endings.get(id) {
                Some(ending) => SubmissionStatus::Ended(ending.clone()),
                None if inner.used.contains(&print) => SubmissionStatus::Forgotten,
                None => SubmissionStatus::Never,
            },
        }
    }

    /// How many submissions are under way or unknown.
    pub(crate) fn open(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before anything that could panic, so a poisoned ledger is still a true one.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn has_used(&self, key: &Key, print: u64) -> bool {
        self.used.contains(&print) || self.open.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::submission::{Unknown, UnknownCause};
    use crate::time::VenueTime;

    fn window() -> SendWindow {
        SendWindow::at(VenueTime::from_millis(5), Duration::from_millis(1500))
    }

    fn id(number: usize) -> ClientOrderId {
        format!("id-{number}").parse().unwrap()
    }

    fn order(number: usize) -> Key {
        Key::Order(id(number))
    }

    fn unknown() -> Submission {
        Submission::Unknown(Unknown {
            cause: UnknownCause::Abandoned,
            reply: None,
            window: window(),
        })
    }

    #[test]
    fn an_id_is_used_once_whatever_came_of_it() {
        let submissions = SubmissionLog::default();
        assert_eq!(submissions.status(&id(1)), SubmissionStatus::Never);
        submissions.begin(&order(1), window()).unwrap();
        assert_eq!(
            submissions.status(&id(1)),
            SubmissionStatus::InFlight(window())
        );
        assert_eq!(
            submissions.begin(&order(1), window()),
            Err(NotSentReason::AlreadySubmitted)
        );
        submissions.end_order(&id(1), &Submission::not_sent(NotSentReason::VenueBusy));
        assert_eq!(
            submissions.begin(&order(1), window()),
            Err(NotSentReason::AlreadySubmitted)
        );
        assert!(matches!(
            submissions.status(&id(1)),
            SubmissionStatus::Ended(Submission::NotSent(_))
        ));
    }

    #[test]
    fn orders_and_stops_have_ids_of_their_own() {
        let submissions = SubmissionLog::default();
        submissions.begin(&order(1), window()).unwrap();
        submissions
            .begin(&Key::Stop("id-1".parse().unwrap()), window())
            .unwrap();
        assert_eq!(submissions.open(), 2);
        submissions.end_stop(&"id-1".parse().unwrap(), true);
        assert_eq!(submissions.open(), 1);
    }

    #[test]
    fn an_unknown_order_stays_open_until_settled_and_keeps_its_place_against_new_ones() {
        let submissions = SubmissionLog::with_bounds(10, 2);
        for number in 0..2 {
            submissions.begin(&order(number), window()).unwrap();
            submissions.end_order(&id(number), &unknown());
        }
        assert_eq!(
            submissions.begin(&order(2), window()),
            Err(NotSentReason::TooManyOpen(2))
        );
        assert_eq!(
            submissions.status(&id(0)),
            SubmissionStatus::Ended(unknown())
        );
        submissions.settle(&id(0));
        submissions.begin(&order(2), window()).unwrap();
        assert_eq!(submissions.status(&id(0)), SubmissionStatus::Forgotten);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_ids_are_the_ones_remembered() {
        let submissions = SubmissionLog::with_bounds(100, 10);
        for number in 0..5_000 {
            submissions.begin(&order(number), window()).unwrap();
            submissions.end_order(&id(number), &Submission::not_sent(NotSentReason::VenueBusy));
        }
        let inner = submissions.lock();
        assert_eq!(
            (inner.used.len(), inner.order_of_use.len(), inner.open.len()),
            (100, 100, 0)
        );
        assert_eq!(
            (inner.endings.len(), inner.order_of_endings.len()),
            (ENDINGS, ENDINGS)
        );
        drop(inner);
        assert_eq!(submissions.status(&id(0)), SubmissionStatus::Never);
        for number in 4_900..5_000 {
            assert_eq!(
                submissions.begin(&order(number), window()),
                Err(NotSentReason::AlreadySubmitted)
            );
        }
    }

    #[test]
    fn an_unknown_order_is_refused_again_even_after_its_id_fell_out_of_memory() {
        let submissions = SubmissionLog::with_bounds(10, 5);
        submissions.begin(&order(0), window()).unwrap();
        submissions.end_order(&id(0), &unknown());
        for number in 1..100 {
            submissions.begin(&order(number), window()).unwrap();
            submissions.end_order(&id(number), &Submission::not_sent(NotSentReason::VenueBusy));
        }
        assert_eq!(
            submissions.begin(&order(0), window()),
            Err(NotSentReason::AlreadySubmitted)
        );
    }
}
