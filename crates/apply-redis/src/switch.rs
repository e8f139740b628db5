//! The kill switch as it was seen last. Once on it counts as on until a value that says off is read: a server
//! that forgets forgets the switch as well.

use apply_core::{GenerationId, SwitchNote};
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is known of the switch, and who writes that down.
#[derive(Default)]
pub(crate) struct SwitchMemory(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    note: Option<SwitchNote>,
    keep: Option<Box<dyn Fn(SwitchNote) + Send + Sync>>,
    /// What disarmed, where that could not be marked in the store: its key ends by itself, and trading was not resumed.
    unmarked: Option<String>,
}

impl SwitchMemory {
    /// From now on every change is handed to `keep`. `note` is what an earlier process has kept.
    pub(crate) fn keep_with(
        &self,
        note: Option<SwitchNote>,
        keep: impl Fn(SwitchNote) + Send + Sync + 'static,
    ) {
        let mut memory = self.lock();
        if memory.note.is_none() {
            memory.note = note;
        }
        memory.keep = Some(Box::new(keep));
    }

    /// Whether it was on when it was seen last.
    pub(crate) fn is_on(&self) -> bool {
        self.lock().note.as_ref().is_some_and(|note| note.on)
    }

    /// What the server remembered when it was seen to be on; `None` where that was not known.
    pub(crate) fn generation(&self) -> Option<GenerationId> {
        let memory = self.lock();
        memory
            .note
            .as_ref()
            .and_then(|note| note.generation.clone())
    }

    /// What disarmed and could not be marked in the store, if anything.
    pub(crate) fn unmarked(&self) -> Option<String> {
        self.lock().unmarked.clone()
    }

    /// A disarm was seen: `None` where it is marked in the store.
    pub(crate) fn set_unmarked(&self, by: Option<String>) {
        self.lock().unmarked = by;
    }

    /// It is seen now.
    pub(crate) fn saw(&self, on: bool, generation: Option<GenerationId>) {
        let mut memory = self.lock();
        let known = memory.note.as_ref().filter(|note| note.on);
        let changed = match known {
            Some(known) if on => generation.is_some() && known.generation != generation,
            Some(_) => true,
            None => on,
        };
        if !changed {
            return;
        }
        let note = SwitchNote { on, generation };
        memory.note = Some(note.clone());
        if let Some(keep) = &memory.keep {
            keep(note);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SwitchMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SwitchMemory")
            .field(&self.lock().note)
            .finish()
    }
}
