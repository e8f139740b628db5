//! Where Redis is, and what things are called there.

use apply_core::days_around;
use apply_wire::{defaults, key};
use permit_gate::PlanId;
use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    time::{Duration, SystemTime},
};

/// How to reach Redis, and how patient to be.
#[derive(Clone)]
pub struct PlanStoreConfig {
    /// `redis://[user:password@]host:port/db`. May carry a password and is never printed.
    pub url: String,
    /// How long one answer may take.
    pub response_timeout: Duration,
    /// The names.
    pub keys: Keys,
    /// Who this is, among all that share the server.
    pub instance: Instance,
    /// The place of this instance's journal, under which the store remembers whose it is; none where
    /// no reader may miss it.
    pub journal_place: Option<String>,
    /// What the lease says of where this instance is and what it keeps.
    pub kept: Kept,
    /// How long a skipped plan counts as published.
    pub published_ttl: Duration,
    /// How long a result counts as published; at least as long as a claim lasts.
    pub result_ttl: Duration,
    /// About how many entries the two streams keep.
    pub stream_length: usize,
    /// Whether claims of this plan store may lead to orders. Those of one that only rehearses say so, and
    /// the attempt that ends such a plan need not ask the venue.
    pub orders: bool,
    /// Whether a portfolio gate has to grant: claimed plans are shown to it on a stream of its own, and what it makes
    /// of their action is read.
    pub portfolio_gate: bool,
    /// How long after the server may have forgotten something no plan is claimed. It has to be longer
    /// than anything takes that was allowed before: from the last look at the store to the moment from
    /// which the venue does not take the order any more. `None`: [`apply_core::times::CLEAN_AFTER`] on one
    /// server, [`apply_core::times::CLEAN_AFTER_FAILOVER`] where another one can take its place.
    pub clean_after: Option<Duration>,
}

impl PlanStoreConfig {
    /// The contract's names and limits on the server at `url`; answers within half a second.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            response_timeout: Duration::from_millis(500),
            keys: Keys::default(),
            instance: Instance::alone(),
            journal_place: None,
            kept: Kept::default(),
            published_ttl: defaults::PUBLISHED_TTL,
            result_ttl: defaults::DEDUPE_TTL,
            stream_length: defaults::STREAM_LENGTH,
            orders: true,
            portfolio_gate: false,
            clean_after: None,
        }
    }
}

/// Where an instance is and what it keeps: for operators, whose commands have to look at the same place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// What its machine calls itself.
    pub host: String,
    /// Where its journal lies.
    pub state_directory: String,
    /// The file that halts it.
    pub halt_file: String,
}

impl fmt::Debug for PlanStoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanStoreConfig")
            .field("response_timeout", &self.response_timeout)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Who works on a plan: a machine, which may start again, and the process that runs on it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The machine's name: the same after a restart, another for each state directory. Two running
    /// processes must never share it; the journal's lock sees to that.
    pub owner: String,
    /// The process's name, new at each start.
    pub process: String,
    /// How long after its last sign of life an instance counts as gone. Renewed three times as often.
    pub lease: Duration,
}

impl Instance {
    /// An instance with a name of its own, used once.
    pub fn alone() -> Self {
        let random = RandomState::new().build_hasher().finish();
        let name = format!("{}-{random:016x}", std::process::id());
        Self {
            owner: name.clone(),
            process: name,
            lease: Duration::from_secs(15),
        }
    }
}

/// The names of wire §4. A prefix is followed by a symbol or a plan id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Before the symbol of a proposal hash.
    pub proposal: String,
    /// Before the plan id of a claim.
    pub dedupe: String,
    /// Before the plan id of "this plan is on the stream".
    pub published: String,
    /// Before the plan id of "this result is on the stream".
    pub result_published: String,
    /// Before the plan id of the permit store's receipt, dropped with the result.
    pub receipt: String,
    /// The stream of plans.
    pub plans: String,
    /// The stream of results.
    pub results: String,
    /// The kill switch.
    pub kill_switch: String,
    /// Before the symbol of the position brain's ledger.
    pub ledger: String,
    /// Before the symbol of the canonical position.
    pub position: String,
    /// Before the symbol of the moment of the last fill.
    pub last_execution: String,
    /// The last result whose fill stands in ledger and position.
    pub ledger_cursor: String,
    /// Before the plan id of the governor's reason for writing no permit.
    pub governor_block: String,
    /// The stream on which the portfolio gate finds plans.
    pub harvest_proposals: String,
    /// The stream on which it says what it made of their actions.
    pub final_actions: String,
    /// The stream of waits that are over.
    pub waits: String,
    /// The stream of permits that came too late.
    pub late_permits: String,
    /// Before the day of the governor's disarm, whose text is the reason.
    pub disarm: String,
    /// That a disarm was seen, until it is resumed from: the governor's own key ends with its day.
    pub disarmed: String,
    /// The hash of claimed plans without a final result.
    pub open: String,
    /// What the server remembers, since when.
    pub generation: String,
    /// Before the owner of a sign of life.
    pub lease: String,
    /// Renewed by every live instance.
    pub live: String,
    /// Renewed by every dry run.
    pub rehearsing: String,
    /// Before the place of a journal: which journal lies there.
    pub journal: String,
    /// The stream of turns of the kill switch.
    pub halt_log: String,
    /// Whether a receipt's plan id stands in a hash tag.
    pub tag_receipts: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            proposal: key::PROPOSAL.into(),
            dedupe: key::DEDUPE.into(),
            published: key::STREAM_PUBLISHED.into(),
            result_published: key::RESULT_PUBLISHED.into(),
            receipt: key::RECEIPT.into(),
            plans: key::PLANS.into(),
            results: key::RESULTS.into(),
            kill_switch: key::KILL_SWITCH.into(),
            ledger: key::POSITION_LEDGER.into(),
            position: key::POSITION_STATE.into(),
            last_execution: key::LAST_EXECUTION.into(),
            ledger_cursor: key::LEDGER_CURSOR.into(),
            governor_block: key::GOVERNOR_BLOCK.into(),
            harvest_proposals: key::HARVEST_PROPOSALS.into(),
            final_actions: key::FINAL_ACTIONS.into(),
            waits: key::WAITS.into(),
            late_permits: key::LATE_PERMITS.into(),
            disarm: key::GOVERNOR_DISARM.into(),
            disarmed: key::DISARMED.into(),
            open: key::OPEN.into(),
            generation: key::GENERATION.into(),
            lease: key::LEASE.into(),
            live: key::LEASE_OF_LIVE.into(),
            rehearsing: key::LEASE_OF_DRY_RUN.into(),
            journal: key::JOURNAL.into(),
            halt_log: key::HALT_LOG.into(),
            tag_receipts: false,
        }
    }
}

impl Keys {
    /// The same on a cluster, where a script reaches the keys of one slot only. The streams, the
    /// proposals and the switch keep their names. What has to change with a stream in one step goes
    /// to its slot, by the stream's name in a hash tag: `quantum:apply:open` becomes
    /// `quantum:apply:open:{quantum:stream:apply.plan}`; the receipt goes to its plan's permits.
    pub fn on_a_cluster(self) -> Self {
        let (plans, results) = (tag_of(&self.plans), tag_of(&self.results));
        Self {
            dedupe: format!("{}{{{plans}}}:", self.dedupe),
            published: format!("{}{{{plans}}}:", self.published),
            open: format!("{}:{{{plans}}}", self.open),
            generation: format!("{}:{{{plans}}}", self.generation),
            live: format!("{}:{{{plans}}}", self.live),
            rehearsing: format!("{}:{{{plans}}}", self.rehearsing),
            result_published: format!("{}{{{results}}}:", self.result_published),
            tag_receipts: true,
            ..self
        }
    }

    /// The keys that halt by being there, whatever they hold, at this moment: the governor's disarm of the days
    /// around it, and the mark that one was seen, which is the last of them.
    pub fn halting(&self, now: SystemTime) -> Vec<String> {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let days = days_around(since.unwrap_or_default());
        let of_days = days.iter().map(|day| format!("{}{day}", self.disarm));
        of_days.chain([self.disarmed.clone()]).collect()
    }

    /// The permit store's receipt of this plan.
    pub(crate) fn receipt_of(&self, plan: &PlanId) -> String {
        match self.tag_receipts {
            true => format!("{}{{{plan}}}", self.receipt),
            false => Self::of(&self.receipt, plan),
        }
    }

    pub(crate) fn of(prefix: &str, plan: &PlanId) -> String {
        format!("{prefix}{plan}")
    }
}

/// What a key's slot is computed from.
fn tag_of(key: &str) -> &str {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    tag.map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty())
        .unwrap_or(key)
}
