//! The names of keys and streams.

use std::fmt::Display;

/// What stands before the part of a key that differs: a symbol, a plan id, an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix(&'static str);

impl Prefix {
    /// The prefix.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The key of this symbol, plan or instance.
    pub fn of(self, what: impl Display) -> String {
        format!("{}{what}", self.0)
    }

    /// The key template of a plan, as in `quantum:permit:{plan}`.
    pub fn template(self) -> String {
        self.of("{plan}")
    }

    /// The template on a cluster, with the plan in a hash tag: `quantum:permit:{{plan}}`.
    pub fn tagged_template(self) -> String {
        self.of("{{plan}}")
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.0.to_owned()
    }
}

/// Of a proposal; a symbol follows. A hash that the brain rewrites in place.
pub const PROPOSAL: Prefix = Prefix("quantum:harvest:proposal:");
/// Of a claim; a plan id follows.
pub const DEDUPE: Prefix = Prefix("quantum:apply:dedupe:");
/// Of the mark that a plan is on the stream; a plan id follows.
pub const STREAM_PUBLISHED: Prefix = Prefix("quantum:apply:stream_published:");
/// Of the mark that a result is on the stream; a plan id follows.
pub const RESULT_PUBLISHED: Prefix = Prefix("quantum:apply:result_published:");
/// Of the receipt of a plan's permits; a plan id follows.
pub const RECEIPT: Prefix = Prefix("quantum:apply:inflight:");
/// Of an instance's lease; its owner follows.
pub const LEASE: Prefix = Prefix("quantum:apply:lease:");
/// Of the lease that every live instance renews. Names of journals have no colon.
pub const LEASE_OF_LIVE: &str = "quantum:apply:lease:mode:testnet";
/// Of the lease that every dry run renews.
pub const LEASE_OF_DRY_RUN: &str = "quantum:apply:lease:mode:dry_run";
/// Of the note which journal lies at a place; the place follows.
pub const JOURNAL: Prefix = Prefix("quantum:apply:journal:");
/// Of the governor's permit; a plan id follows.
pub const PERMIT_GOVERNOR: Prefix = Prefix("quantum:permit:");
/// Of the position brain's permit; a plan id follows.
pub const PERMIT_P33: Prefix = Prefix("quantum:permit:p33:");
/// Of the portfolio gate's permit; a plan id follows.
pub const PERMIT_P26: Prefix = Prefix("quantum:permit:p26:");
/// Of what the governor granted; a symbol follows.
pub const GOVERNOR_USAGE: Prefix = Prefix("quantum:governor:usage:");
/// Of the venue's position; a symbol follows.
pub const POSITION_SNAPSHOT: Prefix = Prefix("quantum:position:snapshot:");
/// Of the canonical position; a symbol follows.
pub const POSITION_STATE: Prefix = Prefix("quantum:state:positions:");
/// Of the moment of the last fill, in milliseconds; a symbol follows.
pub const LAST_EXECUTION: Prefix = Prefix("quantum:cooldown:last_exec_ts:");
/// Of the position by results; a symbol follows.
pub const POSITION_LEDGER: Prefix = Prefix("quantum:position:ledger:");

/// The stream of plans.
pub const PLANS: &str = "quantum:stream:apply.plan";
/// The stream of results.
pub const RESULTS: &str = "quantum:stream:apply.result";
/// The stream on which the portfolio gate finds plans.
pub const HARVEST_PROPOSALS: &str = "quantum:stream:harvest.proposal";
/// The stream on which the portfolio gate says what it made of a plan's action.
pub const FINAL_ACTIONS: &str = "quantum:stream:portfolio.gate.final_action";
/// The last result whose fill stands in ledger and position, where this service writes them.
pub const LEDGER_CURSOR: &str = "quantum:apply:ledger_cursor";
/// The stream of waits for permits that are over.
pub const WAITS: &str = "quantum:stream:apply.wait";
/// The stream of permits that came after their plan's deadline.
pub const LATE_PERMITS: &str = "quantum:apply:late_permits";
/// The kill switch: see [`crate::kill_switch`].
pub const KILL_SWITCH: &str = "quantum:global:kill_switch";
/// Why the kill switch was turned on, where a program did it.
pub const KILL_SWITCH_REASON: &str = "quantum:global:kill_switch:reason";
/// The neighbours' own switch. It does not halt this service; neighbours that read it stop while it is `1`, the
/// governor among them.
pub const NEIGHBOURS_SWITCH: &str = "quantum:kill";
/// Of the governor's reason where it writes no permit; a plan id follows.
pub const GOVERNOR_BLOCK: Prefix = Prefix("quantum:governor:block:");
/// Of the governor's disarm; a day follows. Its text is the reason.
pub const GOVERNOR_DISARM: Prefix = Prefix("quantum:governor:disarm:");
/// Where the service before this one takes its allowlist from, since February. Its presence alone is looked at.
pub const UNIVERSE: &str = "quantum:cfg:universe:active";
/// That a disarm of the governor was seen, until it is resumed from: the governor's own key ends with its day.
pub const DISARMED: &str = "quantum:apply:disarmed";
/// The hash of claimed plans without a final result.
pub const OPEN: &str = "quantum:apply:open";
/// What the server remembers, since when.
pub const GENERATION: &str = "quantum:apply:generation";
/// The stream of turns of the kill switch.
pub const HALT_LOG: &str = "quantum:apply:halt_log";
/// The last result that every ledger holds.
pub const RESULTS_CURSOR: &str = "quantum:position:results_cursor";

/// The name of the governor's permit.
pub const GOVERNOR: &str = "governor";
/// The name of the position brain's permit.
pub const P33: &str = "p33";
/// The name of the portfolio gate's permit.
pub const P26: &str = "p26";

/// The governor's group on the streams of plans and results.
pub const GROUP_GOVERNOR: &str = "governor";
/// The position brain's group on the stream of plans.
pub const GROUP_P33: &str = "p33";

#[cfg(test)]
mod tests {
    use super::*;

    /// Other programs use these names. Written out once more, so that a slip of a finger is noticed.
    #[test]
    fn the_neighbours_find_what_they_look_for() {
        let id = "67e6da21fa9fe506";
        for (key, name) in [
            (PROPOSAL.of("BTCUSDT"), "quantum:harvest:proposal:BTCUSDT"),
            (DEDUPE.of(id), "quantum:apply:dedupe:67e6da21fa9fe506"),
            (
                STREAM_PUBLISHED.of(id),
                "quantum:apply:stream_published:67e6da21fa9fe506",
            ),
            (PERMIT_GOVERNOR.of(id), "quantum:permit:67e6da21fa9fe506"),
            (PERMIT_P33.of(id), "quantum:permit:p33:67e6da21fa9fe506"),
            (PERMIT_P26.of(id), "quantum:permit:p26:67e6da21fa9fe506"),
            (
                POSITION_LEDGER.of("BTCUSDT"),
                "quantum:position:ledger:BTCUSDT",
            ),
            (
                GOVERNOR_BLOCK.of(id),
                "quantum:governor:block:67e6da21fa9fe506",
            ),
            (HARVEST_PROPOSALS.into(), "quantum:stream:harvest.proposal"),
            (
                FINAL_ACTIONS.into(),
                "quantum:stream:portfolio.gate.final_action",
            ),
            (
                POSITION_STATE.of("BTCUSDT"),
                "quantum:state:positions:BTCUSDT",
            ),
            (
                LAST_EXECUTION.of("BTCUSDT"),
                "quantum:cooldown:last_exec_ts:BTCUSDT",
            ),
            (PLANS.into(), "quantum:stream:apply.plan"),
            (RESULTS.into(), "quantum:stream:apply.result"),
            (KILL_SWITCH.into(), "quantum:global:kill_switch"),
            (
                KILL_SWITCH_REASON.into(),
                "quantum:global:kill_switch:reason",
            ),
            (NEIGHBOURS_SWITCH.into(), "quantum:kill"),
        ] {
            assert_eq!(key, name);
        }
        assert_eq!(PERMIT_P33.template(), "quantum:permit:p33:{plan}");
        assert_eq!(PERMIT_P33.tagged_template(), "quantum:permit:p33:{{plan}}");
    }
}
