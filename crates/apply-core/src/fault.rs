//! Places at which a test can end the process as if it had been killed.
//!
//! Without the feature `fault-points` there is nothing here: no variable is read, no branch taken.
//! With it, `APPLY_FAULT_AT=after_intent` ends the process the first time a plan comes to that
//! point, `APPLY_FAULT_AT=after_intent:3` the third time.

/// The named steps of a plan's life, in their order.
#[cfg(feature = "fault-points")]
pub const POINTS: [&str; 11] = [
    "after_claim",
    "before_take",
    "after_prepare",
    "after_journal",
    "after_intent",
    "after_take",
    "before_post",
    "after_post",
    "after_outcome",
    "after_publish",
    "after_published_mark",
];

/// The process ends here where a test asks for it.
#[cfg(feature = "fault-points")]
pub(crate) fn point(name: &'static str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };
    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static SEEN: AtomicU32 = AtomicU32::new(0);
    debug_assert!(POINTS.contains(&name), "{name} is missing from POINTS");
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("APPLY_FAULT_AT").ok()?;
        let (point, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some((point.to_owned(), nth.parse().ok()?))
    });
    if let Some((point, nth)) = wanted
        && point == name
        && SEEN.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) fn point(_: &'static str) {}
