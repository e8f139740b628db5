//! The rules of the protocol as data, so that each can be dropped and its price be seen.

/// What a stamp needs to know about the server that said yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirm {
    /// A majority named this server the master at most D before the stamp.
    BeforeStamp,
    /// A majority named this server the master at most D before the take.
    BeforeTake,
    /// The server itself says that it is a master. A deposed one says so, too.
    ByRole,
    /// Nothing.
    Never,
}

/// What an instance does about a plan that it claimed and lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loser {
    /// It looks again until it sees a final mark; where neither entry nor mark is left it claims the
    /// plan once more, only to close it.
    Closes,
    /// It never says anything.
    Silent,
    /// It says "not executed" where it finds neither entry nor mark.
    Speaks,
    /// It stops as soon as another attempt holds the entry.
    LeavesIt,
}

/// The rules an instance follows. The numbers in brackets are those of docs/protocol-model.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Claim, adopt and publish compare the store's generation (1).
    pub generation: bool,
    /// They compare the server's run id with the one the generation was written under (2).
    pub run_id: bool,
    /// A new connection looks at the run id before any script runs on it, and another one loses every
    /// attempt that has no stamp (3).
    pub run_on_connection: bool,
    /// A question to the venue counts once the generation is W old (4).
    pub wait_w: bool,
    /// For servers whose scripts may not read `INFO`: W counts for each process, from its first answer,
    /// from a changed run id and from `forgot` (5).
    pub per_process: bool,
    /// With `per_process`: the process's own start counts.
    pub own_start: bool,
    /// With `per_process`: it counts from the first answer, not from the start.
    pub first_answer: bool,
    /// With `per_process`: `forgot` counts.
    pub forgot: bool,
    /// An age that came with an answer grows from the receipt of the answer, not from its request (6).
    pub age_from_receipt: bool,
    /// Nothing is claimed before W has passed (7).
    pub claim_when_clean: bool,
    /// A claim refuses while another attempt's entry is open (8).
    pub claim_sees_entry: bool,
    /// A claim refuses where a final mark stands (9).
    pub claim_sees_mark: bool,
    /// The claim is in the journal before it is in the store (10).
    pub claim_journaled: bool,
    /// A claim whose answer was lost is settled, whatever the proposal says by then (11).
    pub lost_claim_settled: bool,
    /// "Not executed" needs a question to the venue that counts (12).
    pub ask_before_no: bool,
    /// The venue is asked before every order, not only where the plan is older than the generation.
    pub ask_before_order: bool,
    /// The same before "not executed", for an instance that claimed the plan and gives it up.
    pub ask_before_early_no: bool,
    /// A plan so old that its claim and mark may have expired counts as older than the generation.
    pub old_plans_in_doubt: bool,
    /// Take and ask-again need the attempt's own entry, with the intent noted (13).
    pub take_sees_entry: bool,
    /// Take, note and ask-again compare the generation, too.
    pub take_sees_generation: bool,
    /// Take and ask-again need the attempt's own claim, too.
    pub take_sees_claim: bool,
    /// Permits, entry and mark lie in different slots: after the take the entry is always asked once more (14).
    pub cluster: bool,
    /// With `cluster`: from the look whether the attempt holds the plan to the publication of "not executed",
    /// which lie in different slots, at most F passes.
    pub published_in_time: bool,
    /// The stamp comes at most F after the last script that said yes; later, the entry is
    /// asked again. Without this rule T takes F's place (15).
    pub ask_again: bool,
    /// F and T count from the sending of the script, not from its answer (16).
    pub from_sending: bool,
    /// The stamp comes first, what it is compared with is looked at afterwards (17).
    pub stamp_first: bool,
    /// The kill-switch file is looked at after the stamp (18).
    pub file_after_stamp: bool,
    /// What the stamp needs to know about the master (19).
    pub confirm: Confirm,
    /// A change of server loses every attempt that has no stamp (20).
    pub server_change_loses: bool,
    /// The loser of a plan publishes nothing about it (21).
    pub loser_silent: bool,
    /// What a loser does instead (22).
    pub loser: Loser,
    /// Who may have ordered asks the venue before it owes nothing more at a mark "not executed" (23).
    pub asks_before_leaving: bool,
    /// An adopter asks the venue whether an intent was noted or not (24).
    pub adopter_asks: bool,
    /// After a restart the own entry is adopted or a closing claim made; nothing is published without
    /// holding the plan (25).
    pub restart_holds: bool,
    /// An open entry of this process whose attempt is over is adopted (26).
    pub own_stale_adopted: bool,
    /// A closing claim waits A before its question counts, as an adoption does (27).
    pub closing_waits: bool,
    /// A switch that was seen on stays on until "off" is read (28).
    pub sticky_switch: bool,
    /// Publishing checks entry and generation (29).
    pub publish_checks: bool,
    /// A publication is done when a confirmation sent after its answer names the same server (30).
    pub publish_confirmed: bool,
    /// That confirmation is sent once those who name the master know of every failover before the answer.
    pub confirmed_after_lag: bool,
    /// A mark ends what is owed when a confirmation sent after it was read names the same server (31).
    pub mark_confirmed: bool,
    /// "Executed" is written after a "not executed" that stands (32).
    pub correction: bool,
    /// What was published is published again after a change of server, after a forgetting and at a start, where it does not
    /// stand (33). The fence keeps its other promises without it.
    pub published_again: bool,
    /// The order's window counts from the claim, and an adopter waits for the end of the window that the
    /// entry names. The rule before the fence; F and A take its place.
    pub order_window: bool,
}

impl Rules {
    /// What the service did before it had a fence.
    pub const UNFENCED: Self = Self {
        generation: false,
        run_id: false,
        run_on_connection: false,
        wait_w: false,
        per_process: false,
        own_start: false,
        first_answer: false,
        forgot: false,
        age_from_receipt: true,
        claim_when_clean: false,
        claim_sees_entry: false,
        claim_sees_mark: false,
        claim_journaled: false,
        lost_claim_settled: false,
        ask_before_no: false,
        ask_before_order: true,
        ask_before_early_no: true,
        old_plans_in_doubt: true,
        take_sees_entry: false,
        take_sees_generation: false,
        take_sees_claim: false,
        cluster: false,
        published_in_time: true,
        ask_again: false,
        from_sending: false,
        stamp_first: false,
        file_after_stamp: false,
        confirm: Confirm::Never,
        server_change_loses: false,
        loser_silent: false,
        loser: Loser::Silent,
        asks_before_leaving: false,
        adopter_asks: false,
        restart_holds: false,
        own_stale_adopted: false,
        closing_waits: false,
        sticky_switch: false,
        publish_checks: false,
        publish_confirmed: false,
        confirmed_after_lag: false,
        mark_confirmed: false,
        correction: false,
        published_again: false,
        order_window: true,
    };

    /// The protocol that fences a store which forgets.
    pub const FENCE: Self = Self {
        generation: true,
        run_id: true,
        run_on_connection: true,
        wait_w: true,
        per_process: false,
        own_start: true,
        first_answer: true,
        forgot: true,
        age_from_receipt: true,
        claim_when_clean: true,
        claim_sees_entry: true,
        claim_sees_mark: true,
        claim_journaled: true,
        lost_claim_settled: true,
        ask_before_no: true,
        ask_before_order: true,
        ask_before_early_no: true,
        old_plans_in_doubt: true,
        take_sees_entry: true,
        take_sees_generation: false,
        take_sees_claim: false,
        cluster: false,
        published_in_time: true,
        ask_again: true,
        from_sending: true,
        stamp_first: true,
        file_after_stamp: true,
        confirm: Confirm::BeforeStamp,
        server_change_loses: true,
        loser_silent: true,
        loser: Loser::Closes,
        asks_before_leaving: true,
        adopter_asks: true,
        restart_holds: true,
        own_stale_adopted: true,
        closing_waits: true,
        sticky_switch: true,
        publish_checks: true,
        publish_confirmed: true,
        confirmed_after_lag: true,
        mark_confirmed: true,
        correction: true,
        published_again: false,
        order_window: false,
    };

    /// The fence on a server whose scripts may not read `INFO`.
    pub const FENCE_PER_PROCESS: Self = Self {
        per_process: true,
        ..Self::FENCE
    };

    /// The fence on a cluster, where permits and entry lie in different slots.
    pub const FENCE_CLUSTER: Self = Self {
        cluster: true,
        ..Self::FENCE
    };
}

/// Times in whole units; one unit stands for about a second. All delays are free; these are what the
/// rules compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Overall time from the take to the stamp, where F does not hold.
    pub t: u8,
    /// From the last yes to the stamp.
    pub f: u8,
    /// From the last confirmation of the master to the stamp.
    pub d: u8,
    /// The venue's receive window.
    pub r: u8,
    /// Slack of the venue's clock.
    pub s: u8,
    /// How old a generation must be before a question counts.
    pub w: u8,
    /// From an adoption or a restart to its question.
    pub a: u8,
    /// How long those who name the master may name the old one after a failover: 0 is never.
    pub lag: u8,
}

impl Times {
    /// What everything is checked with unless it says otherwise: W = A = max(F, D) + R + S + 1.
    pub const BASE: Self = Self {
        t: 2,
        f: 1,
        d: 1,
        r: 2,
        s: 1,
        w: 5,
        a: 5,
        lag: 0,
    };

    /// How long after its stamp an order may land.
    pub(crate) const fn landing(&self) -> u8 {
        self.r + self.s
    }

    /// When a question about one's own stamped order counts.
    pub(crate) const fn own(&self) -> u8 {
        self.landing() + 1
    }

    /// When the window that an entry names is over: adoption before the fence.
    pub(crate) const fn window(&self) -> u8 {
        self.t + self.landing() + 1
    }
}
