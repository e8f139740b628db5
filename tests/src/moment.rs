//! When a brain has computed a proposal, in its words.

use jiff::Timestamp;
use std::sync::LazyLock;

/// Now, with a fraction of a second of its own: a service takes it for a plan that no store has known before,
/// and no two plans are the same.
pub fn computed_now(unique: u64) -> String {
    computed(Timestamp::now(), unique)
}

/// The same as of one moment of this run of the tests, so that what is drawn twice is the same.
pub fn computed_in_this_run(unique: u64) -> String {
    static BEGAN: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);
    computed(*BEGAN, unique)
}

fn computed(at: Timestamp, unique: u64) -> String {
    let at = at.strftime("%Y-%m-%dT%H:%M:%S");
    format!("{at}.{:09}Z", unique % 1_000_000_000)
}
