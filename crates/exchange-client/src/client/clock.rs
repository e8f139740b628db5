//! Learning the venue's time and keeping it.

use super::{Client, Question, flag_taken, lock};
use crate::{
    endpoint::{Form, clock},
    error::RequestError,
    submission::NotSentReason,
    time::{Anchor, Offset, Sample, VenueTime},
    transport::Pool,
};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// How the time is asked for in one measurement; the quickest answer counts. Asking over the orders' connection keeps it
/// open, too.
const SAMPLES: [Pool; 3] = [Pool::Orders, Pool::Questions, Pool::Orders];
/// A measurement this many times older than it should be is not used any more: by default after a quarter of an hour,
/// in which two clocks that differ by 100 ppm drift 90 ms apart. [`LANDING_SLACK`](crate::LANDING_SLACK) counts on it.
const TOO_OLD: u32 = 3;

#[derive(Default)]
pub(super) struct Clock {
    anchor: Mutex<Option<Anchor>>,
    /// See [`ClockReading::jumps`].
    jumps: AtomicU64,
    /// The venue refused a timestamp: measure before anything else is signed.
    refused: AtomicBool,
    measuring: tokio::sync::Mutex<()>,
}

/// What is known of the venue's clock. For metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockReading {
    /// Venue minus this machine's wall clock.
    pub offset: Offset,
    /// The round trip it was measured over; the reading is at most half of it wrong.
    pub round_trip: Duration,
    /// How long ago it was measured.
    pub age: Duration,
    /// How often a measurement found another time than the one before it led to expect, by more than their round trips
    /// explain: this machine slept or stood still meanwhile, or the venue's clock was set. What was to happen within a
    /// short time by this machine's clock has to be thought over then.
    pub jumps: u64,
}

impl Client {
    /// Asks the venue for its time, three times, and keeps the answer with the shortest round trip. Weight 3.
    ///
    /// # Errors
    /// [`RequestError`] where no answer came; what was known before stays.
    pub async fn measure_clock(&self) -> Result<ClockReading, RequestError> {
        // Who asks again does not wait behind a question that has no answer.
        let _alone = match self.fresh {
            true => None,
            false => Some(self.inner.clock.measuring.lock().await),
        };
        self.measure_alone().await
    }

    /// What is known of the venue's clock; `None` before the first measurement.
    #[must_use]
    pub fn clock(&self) -> Option<ClockReading> {
        let now = Instant::now();
        lock(&self.inner.clock.anchor)
            .as_ref()
            .map(|anchor| self.reading(anchor, now))
    }

    fn reading(&self, anchor: &Anchor, now: Instant) -> ClockReading {
        ClockReading {
            offset: anchor.offset,
            round_trip: anchor.round_trip,
            age: anchor.age(now),
            jumps: self.inner.clock.jumps.load(Ordering::Acquire),
        }
    }

    /// The venue's time as well as it is known: measured, or this machine's before the first measurement.
    #[must_use]
    pub fn server_time(&self) -> VenueTime {
        self.server_time_at(Instant::now())
    }

    pub(super) fn server_time_at(&self, now: Instant) -> VenueTime {
        match lock(&self.inner.clock.anchor).as_ref() {
            Some(anchor) => anchor.server_time(now),
            None => wall_clock(),
        }
    }

    async fn measure_alone(&self) -> Result<ClockReading, RequestError> {
        let refused = flag_taken(&self.inner.clock.refused);
        let mut samples = Vec::with_capacity(SAMPLES.len());
        let mut failed = None;
        for lane in SAMPLES {
            match self.sample(lane).await {
                Ok(sample) => samples.push(sample),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let anchor = match (Anchor::from_samples(&samples), failed) {
            (Some(anchor), _) => anchor,
            (None, Some(error)) => {
                // What was trusted is as good as before: a measurement beside the work costs no order.
                self.inner.clock.refused.fetch_or(refused, Ordering::AcqRel);
                return Err(error);
            }
            (None, None) => {
                return Err(RequestError::Failed(
                    "the time was not asked for".to_owned(),
                ));
            }
        };
        let mut known = lock(&self.inner.clock.anchor);
        let now = Instant::now();
        if known.is_some_and(|before| anchor.jumps_from(&before, now)) {
            // Before the new time is there for anybody to stamp with.
            self.inner.clock.jumps.fetch_add(1, Ordering::Release);
        }
        *known = Some(anchor);
        drop(known);
        tracing::debug!(offset = %anchor.offset, round_trip = ?anchor.round_trip, "measured the venue's time");
        Ok(self.reading(&anchor, now))
    }

    async fn sample(&self, lane: Pool) -> Result<Sample, RequestError> {
        let asked = Instant::now();
        let question = Question {
            lane: match self.fresh {
                true => Pool::Fresh,
                false => lane,
            },
            ..Question::open(clock::PATH, clock::WEIGHT, Form::new()).with_last_weight()
        };
        let answer = self.exchange(&question).await?;
        let server = self.decode(answer, |body, _| clock::decode(body))?;
        Ok(Sample {
            asked,
            answered: Instant::now(),
            wall: wall_clock(),
            server,
        })
    }

    /// Makes sure there is a time to sign with; measures where there is none, starts a measurement beside where it is old.
    pub(super) async fn ensure_clock(&self) -> Result<(), RequestError> {
        let clock = &self.inner.clock;
        let max_age = self.inner.settings.clock_max_age;
        let age = self.clock().map(|reading| reading.age);
        let refused = clock.refused.load(Ordering::Acquire);
        match age {
            Some(age) if !refused && age <= max_age => Ok(()),
            Some(age) if !refused && age <= max_age * TOO_OLD => {
                let client = self.clone();
                tokio::spawn(async move {
                    if let Ok(_alone) = client.inner.clock.measuring.try_lock()
                        && let Err(error) = client.measure_alone().await
                    {
                        tracing::debug!(%error, "the venue's time could not be measured again");
                    }
                });
                Ok(())
            }
            _ => self.measure_clock().await.map(drop),
        }
    }

    /// The next request will measure the time before it is signed.
    pub(super) fn distrust_clock(&self) {
        self.inner.clock.refused.store(true, Ordering::Release);
    }

    /// True where an order can be signed at once.
    pub(super) fn clock_is_fresh(&self) -> bool {
        let trusted = !self.inner.clock.refused.load(Ordering::Acquire);
        trusted
            && self
                .clock()
                .is_some_and(|reading| reading.age <= self.inner.settings.clock_max_age)
    }

    /// Refuses where this machine's clock is further off than allowed.
    pub(super) fn check_drift(&self) -> Result<(), NotSentReason> {
        let limit = self.inner.settings.max_clock_offset;
        match self.clock() {
            Some(reading) if reading.offset.size() <= limit => Ok(()),
            Some(reading) => Err(NotSentReason::ClockDrift {
                offset: reading.offset,
                limit,
            }),
            None => Err(NotSentReason::ClockUnknown(
                "it was never measured".to_owned(),
            )),
        }
    }
}

fn wall_clock() -> VenueTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    VenueTime::from_millis(0).plus(since)
}
