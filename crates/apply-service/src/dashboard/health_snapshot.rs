//! Whether orders can flow, and the parts that this hangs on.

use super::view::now;
use crate::{
    config::{RedisUrl, StateConfig},
    neighbours::ForeignView,
    reviewers::JudgedView,
};
use apply_core::Mode;
use serde::Serialize;

/// The top of the page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct HealthSnapshot {
    pub(super) version: &'static str,
    /// Differs between two processes: the page knows a restart by it.
    pub(super) instance: String,
    /// When the process began.
    pub(super) since: u64,
    pub(super) mode: &'static str,
    /// Where this process keeps its journal, which file halts it, and on which Redis it works: a command compares them
    /// with its own.
    pub(super) state_directory: String,
    pub(super) halt_file: String,
    pub(super) redis: String,
    pub(super) flow: TradingState,
    pub(super) lights: Vec<ComponentStatus>,
    /// What an operator has to look at, the most urgent first.
    pub(super) attention: Vec<Attention>,
    /// Every kill switch that is on or unknown.
    pub(super) switches: Vec<SwitchView>,
    /// Why plans before this process cannot be shown; none where they can.
    pub(super) past: Option<String>,
    /// Plans that owe a result, beside those under way.
    pub(super) owed: usize,
    /// How reviewers are, as far as that is known.
    pub(super) reviewers: Vec<JudgedView>,
    /// Who else writes results.
    pub(super) foreign: Vec<ForeignView>,
}

/// Something that an operator has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Attention {
    pub(super) kind: &'static str,
    pub(super) what: String,
    /// What to do next.
    pub(super) next: String,
    /// The plan that it is about, where it is about one.
    pub(super) plan: Option<String>,
}

/// A kill switch that is on, or of which that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct SwitchView {
    /// The variable, the file or the key.
    pub(super) name: String,
    pub(super) state: SwitchWord,
    /// Milliseconds since 1970, who turned it and why, as far as that is written down; of one that is unknown, why it is
    /// and whom to ask.
    pub(super) since: Option<u64>,
    pub(super) who: Option<String>,
    pub(super) why: Option<String>,
    /// How to end it.
    pub(super) resume: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SwitchWord {
    On,
    Unknown,
}

/// Whether orders can flow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(tag = "state", content = "why", rename_all = "snake_case")]
pub(super) enum TradingState {
    /// Not checked yet.
    #[default]
    Unknown,
    /// They can.
    Open,
    /// Everything but the orders themselves.
    DryRun,
    /// The kill switch is on.
    Halted(String),
    /// Something needed is away.
    Stuck(String),
}

/// One part and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ComponentStatus {
    pub(super) name: &'static str,
    pub(super) state: ComponentState,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ComponentState {
    Good,
    Fair,
    Bad,
    /// Not in use.
    Off,
}

impl HealthSnapshot {
    /// Of a process that begins now.
    pub fn begun(mode: Mode, instance: &str) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            instance: instance.to_owned(),
            since: now(),
            mode: mode.as_str(),
            ..Self::default()
        }
    }

    /// The same of one that keeps things there.
    #[must_use]
    pub fn kept_at(self, state: &StateConfig, redis: &RedisUrl) -> Self {
        Self {
            state_directory: state.directory.display().to_string(),
            halt_file: state.halt_file.display().to_string(),
            // Without its credentials.
            redis: redis.to_string(),
            ..self
        }
    }

    /// Whether the service can do its work: a halt is the operator's will and no failure.
    pub(super) fn is_well(&self) -> bool {
        match self.flow {
            TradingState::Open | TradingState::DryRun | TradingState::Halted(_) => true,
            TradingState::Unknown | TradingState::Stuck(_) => false,
        }
    }
}

impl ComponentStatus {
    /// `[+] Redis: up`, or `[-]` where it is bad.
    pub(super) fn line(&self) -> String {
        let sign = match self.state {
            ComponentState::Bad => '-',
            ComponentState::Good | ComponentState::Fair | ComponentState::Off => '+',
        };
        format!("[{sign}] {}: {}\n", self.name, self.text)
    }
}
