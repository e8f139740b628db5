//! How long things may take around an order. Each span stands here once; what has to hold between them is checked when
//! this file is compiled.
//!
//! ```text
//!  last yes sent        timestamp                                     landed, or never
//!       ├── LAST_YES ───────┼──── RECEIVE_WINDOW ────┼── LANDING_SLACK ──┤
//!       └──────── a question to the venue counts only after all of this ─┘
//! ```

use std::time::Duration;

/// From the sending of the last script that said yes to the order's timestamp. The script said that the plan is this
/// attempt's and that the kill switch is off. An order whose timestamp comes later asks once more.
///
/// An order may follow the kill switch in the store by this long, and everybody who asks the venue about a plan waits for
/// it first: so it is short. It is longer than a script takes on a bad day, the way there and back included: on a store
/// that takes longer than this to answer no order leaves.
pub const LAST_YES: Duration = Duration::from_millis(200);

/// From the sending of the last question which server is in charge to the order's timestamp, where another one may be put
/// in its place.
pub const LAST_CONFIRMATION: Duration = Duration::from_millis(600);

/// How long those who are asked may go on naming the former one: the one that replaced it announces itself to the others at once, and
/// says itself, before it does, that it is about to.
pub const NAMING_LAG: Duration = Duration::from_millis(400);

/// How long after its timestamp the venue takes an order in.
pub const RECEIVE_WINDOW: Duration = Duration::from_millis(1500);

/// How much longer an order may land: the venue's clocks differ from each other, and ours may be ahead of them.
pub const LANDING_SLACK: Duration = Duration::from_millis(1250);

/// How long after its timestamp an order may land.
pub const LANDING: Duration = RECEIVE_WINDOW.saturating_add(LANDING_SLACK);

/// How long a server that lost writes has to be up before a plan is claimed on it, where no other server may be put in its
/// place. No order lands after that on the word of what was lost.
pub const CLEAN_AFTER: Duration = Duration::from_millis(3250);

/// The same where another server may be put in its place: the former one may go on saying yes for a while.
pub const CLEAN_AFTER_FAILOVER: Duration = Duration::from_millis(4000);

/// From the adoption of a plan to the question to the venue that decides about it. The former holder gets no yes after the
/// adoption.
pub const ADOPTION_WAIT: Duration = Duration::from_millis(3250);

/// A result that was published no longer than this before a store may have lost what it was published last is looked at once more,
/// and published again where it is gone. Long against all that lets a result be published to a server that is about to lose it:
/// those who name the master and are late with it, an append-only file that is synced once a second, a replica that lags.
pub const REPUBLISHED_WITHIN: Duration = CLEAN_AFTER_FAILOVER.saturating_mul(15);

const _: () = {
    // Shorter than 100 ms a script may not be back in time; longer than 250 ms an order follows the switch too late.
    assert!(100 <= LAST_YES.as_millis() && LAST_YES.as_millis() <= 250);
    assert!(lasts_beyond(CLEAN_AFTER, LAST_YES));
    assert!(lasts_beyond(CLEAN_AFTER_FAILOVER, LAST_YES));
    assert!(lasts_beyond(
        CLEAN_AFTER_FAILOVER,
        LAST_CONFIRMATION.saturating_add(NAMING_LAG)
    ));
    assert!(lasts_beyond(ADOPTION_WAIT, LAST_YES));
    assert!(
        REPUBLISHED_WITHIN.as_millis()
            >= 10 * (LAST_CONFIRMATION.as_millis() + NAMING_LAG.as_millis())
    );
};

/// Whole milliseconds; the most there are where it is longer.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Whole microseconds; the most there are where it is longer.
pub fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Whether an order that leaves on a word of this age can no longer land after `wait`. Not longer than is not enough: a
/// search through every state found an order that landed after an equal wait.
const fn lasts_beyond(wait: Duration, age: Duration) -> bool {
    wait.as_millis() > age.as_millis() + LANDING.as_millis()
}
