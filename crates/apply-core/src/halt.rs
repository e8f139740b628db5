//! Whether trading is halted, as a switch says it.

/// Most bytes of a kill switch's value: see [`apply_wire::kill_switch`].
pub use apply_wire::kill_switch::MAX_BYTES as MAX_SWITCH_BYTES;

use apply_wire::kill_switch::{self, Switch};

/// Whether trading is halted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// It is not.
    Off,
    /// It is.
    On {
        /// What says so: a key, a setting, or that a switch could not be read.
        by: String,
    },
}

impl Halt {
    /// Whether nothing may be placed.
    pub fn is_on(&self) -> bool {
        matches!(self, Self::On { .. })
    }

    /// What a switch that holds this value says: [`kill_switch::read`]. What cannot be read halts.
    pub fn from_switch(name: &str, value: &[u8]) -> Self {
        match kill_switch::read(value) {
            Switch::Off => Self::Off,
            Switch::On => Self::On {
                by: name.to_owned(),
            },
            Switch::Unreadable => Self::unreadable(name),
        }
    }

    /// The same of a switch that cannot be read at all.
    pub fn unreadable(name: &str) -> Self {
        Self::On {
            by: format!("{name} (unreadable)"),
        }
    }
}
