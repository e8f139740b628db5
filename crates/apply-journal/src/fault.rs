//! A disk that hangs, for tests.
//!
//! Without the feature `fault-points` there is nothing here: no variable is read, no branch taken. With
//! it, no write comes to disk while the file exists that `APPLY_FAULT_HANG` names.

#[cfg(feature = "fault-points")]
pub(crate) fn before_sync() {
    use std::{path::PathBuf, sync::OnceLock, thread, time::Duration};
    static HANG: OnceLock<Option<PathBuf>> = OnceLock::new();
    let hang = HANG.get_or_init(|| std::env::var_os("APPLY_FAULT_HANG").map(PathBuf::from));
    while hang.as_ref().is_some_and(|file| file.exists()) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Nothing.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) fn before_sync() {}
