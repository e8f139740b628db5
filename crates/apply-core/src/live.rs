//! The attempts of this process that are still at work. One that is not may be found in the store all the
//! same, where that has gone back to an older state.

use permit_gate::AttemptId;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// All of them. Clones share the content.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveAttempts(Arc<Mutex<HashSet<AttemptId>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct LiveAttempt {
    id: AttemptId,
    all: LiveAttempts,
}

impl LiveAttempts {
    /// From now on this one is.
    pub(crate) fn begin(&self, id: AttemptId) -> LiveAttempt {
        self.lock().insert(id.clone());
        LiveAttempt {
            id,
            all: self.clone(),
        }
    }

    pub(crate) fn contains(&self, id: &AttemptId) -> bool {
        self.lock().contains(id)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<AttemptId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveAttempt {
    pub(crate) fn id(&self) -> &AttemptId {
        &self.id
    }
}

impl Drop for LiveAttempt {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}
