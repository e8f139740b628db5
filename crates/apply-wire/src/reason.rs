//! Every reason code there is, each once: how it is written, what it means for the plan, how loud it is
//! logged, whether an order may exist, and what `docs/troubleshooting.md` says of it.

use std::{convert::Infallible, fmt, str::FromStr};

/// What a reason means for its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It is no obstacle.
    Passed,
    /// The proposal cannot be followed, so there is no plan.
    Refused,
    /// The plan waits and is looked at again.
    PutOff,
    /// Nothing was to be done.
    Skip,
    /// Something forbade it.
    Blocked,
    /// It failed.
    Error,
    /// It may have been executed; its outcome is unknown.
    Unresolved(Left),
}

/// What may be at the venue of a plan that is unresolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Left {
    /// An order.
    Order,
    /// A stop.
    Stop,
}

/// How loud a reason is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As expected.
    Info,
    /// To be looked at when it repeats.
    Warn,
    /// To be looked at.
    Error,
}

/// Whether something was sent to the venue for a plan that ended for this reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Surely nothing.
    Nothing,
    /// It may have been, by this attempt or an earlier one.
    Perhaps,
}

/// The part of a code that differs from case to case.
pub trait Part: fmt::Display + Sized {
    /// From the code's text; `None` where it cannot stand there.
    fn parse(text: &str) -> Option<Self>;
}

/// A permit's name, as in `governor_permit_denied`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermitName(Box<str>);

/// Which permits were missing: `both`, `all`, or names joined by `+`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Missing(Box<str>);

/// An action that is not known. A comma parts reasons and is left out of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionWord(Box<str>);

/// A code of the venue, as in `order_rejected:-2022`.
pub type VenueCode = i64;

/// Most characters of an unknown action.
const ACTION_CHARS: usize = 40;

impl PermitName {
    /// A name of 1 to 32 characters out of `a-z 0-9 _`; anything else is no name of a permit.
    pub fn new(name: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let fits = (1..=32).contains(&name.len()) && name.bytes().all(plain);
        fits.then(|| Self(name.into()))
    }
}

impl Missing {
    /// All of two.
    pub fn both() -> Self {
        Self("both".into())
    }

    /// All of more than two.
    pub fn all() -> Self {
        Self("all".into())
    }

    /// These.
    pub fn these<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        Self(names.join("+").into())
    }
}

impl ActionWord {
    /// The action as a proposal names it, cut to what a code holds.
    pub fn new(action: &str) -> Self {
        let word: String = action
            .chars()
            .filter(|c| *c != ',')
            .take(ACTION_CHARS)
            .collect();
        Self(word.into())
    }
}

impl Part for PermitName {
    fn parse(text: &str) -> Option<Self> {
        Self::new(text)
    }
}

impl Part for Missing {
    fn parse(text: &str) -> Option<Self> {
        let named = text.split('+').all(|name| PermitName::new(name).is_some());
        named.then(|| Self(text.into()))
    }
}

impl Part for ActionWord {
    fn parse(text: &str) -> Option<Self> {
        let word = Self::new(text);
        (&*word.0 == text).then_some(word)
    }
}

impl Part for VenueCode {
    fn parse(text: &str) -> Option<Self> {
        text.parse()
            .ok()
            .filter(|code: &Self| code.to_string() == text)
    }
}

macro_rules! texts {
    ($($name:ident)*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )* };
}

texts! { PermitName Missing ActionWord }

/// A heading of `docs/troubleshooting.md`: when a reason of it is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Before there is a plan.
    Proposals,
    /// Before any permit is awaited.
    Plans,
    /// During the wait for permits.
    Permits,
    /// Between the permits and the order.
    BeforeOrder,
    /// From the order on.
    Venue,
}

impl Section {
    const ALL: [Self; 5] = [
        Self::Proposals,
        Self::Plans,
        Self::Permits,
        Self::BeforeOrder,
        Self::Venue,
    ];

    fn heading(self) -> (&'static str, &'static str) {
        match self {
            Self::Proposals => (
                "Proposals that are refused",
                "No plan comes of these; the log says which field.",
            ),
            Self::Plans => (
                "Plans that are not executed",
                "Decided before any permit is awaited. No order exists.",
            ),
            Self::Permits => (
                "Permits",
                "The plan waited and was blocked. No order exists unless an entry says otherwise.",
            ),
            Self::BeforeOrder => (
                "Between permits and order",
                "The permits were taken and nothing was placed.",
            ),
            Self::Venue => ("The venue", ""),
        }
    }
}

/// What is known of a reason whatever stands in its part that differs.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The code; what differs stands in angle brackets: `order_rejected:<code>`.
    pub code: &'static str,
    /// Under which heading it is explained.
    pub section: Section,
    /// What it means for the plan.
    pub class: Class,
    /// How loud it is logged.
    pub level: Level,
    /// Whether something was sent.
    pub sent: Sent,
    /// What happened, whether an order can exist, and what to do.
    text: &'static [&'static str],
}

impl Entry {
    /// What happened, whether an order can exist, and what to do; Markdown.
    pub fn text(&self) -> String {
        let lines = self
            .text
            .iter()
            .map(|line| line.strip_prefix(' ').unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// What stands before and after the part that differs; `None` where nothing does.
    fn around(&self) -> Option<(&'static str, &'static str)> {
        let (before, rest) = self.code.split_once('<')?;
        let (_, after) = rest.split_once('>')?;
        Some((before, after))
    }

    fn part<P: Part>(&self, code: &str) -> Option<P> {
        let (before, after) = self.around()?;
        P::parse(code.strip_prefix(before)?.strip_suffix(after)?)
    }
}

/// A row is all there is to a reason: nothing of it can be left out.
macro_rules! reasons {
    ($(
        $(#[doc = $text:literal])+
        $name:ident $(($field:ident: $part:ty))? = $code:literal:
            $section:ident, $class:ident $(($left:ident))?, $level:ident, $sent:ident;
    )+) => {
        /// Why a plan was not executed, or a proposal not followed. Made of text by [`Reason::parse`], made
        /// into text by `Display`.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(
                $(#[doc = $text])+
                $name $(($part))?,
            )+
            /// A code this version does not know: of a rule of one's own, or of another version.
            Other(Box<str>),
        }

        mod entries {
            #![allow(non_upper_case_globals)] // named like their variants
            use super::*;

            $(
                pub(super) const $name: Entry = Entry {
                    code: $code,
                    section: Section::$section,
                    class: Class::$class $((Left::$left))?,
                    level: Level::$level,
                    sent: Sent::$sent,
                    text: &[$($text),+],
                };
            )+
        }

        impl Reason {
            /// Every reason there is, in the order of `docs/troubleshooting.md`.
            pub const ENTRIES: &[Entry] = &[$(entries::$name),+];

            /// What is known of it; `None` for a code this version does not know.
            pub fn entry(&self) -> Option<&'static Entry> {
                Some(match self {
                    $( reasons!(@pattern $name $($field)?) => &entries::$name, )+
                    Self::Other(_) => return None,
                })
            }

            /// Reads a code. What this version does not know is [`Reason::Other`] and is written as it was.
            pub fn parse(code: &str) -> Self {
                // Whole codes first: `missing_new_sl` is no permit that is missing.
                $( reasons!(@whole code $name $($field)?); )+
                $( reasons!(@part code $name $($field: $part)?); )+
                Self::Other(code.into())
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $( reasons!(@bind $name $($field)?) => reasons!(@write f $name $($field)?), )+
                    Self::Other(code) => f.write_str(code),
                }
            }
        }
    };
    (@pattern $name:ident) => { Self::$name };
    (@pattern $name:ident $field:ident) => { Self::$name(_) };
    (@bind $name:ident) => { Self::$name };
    (@bind $name:ident $field:ident) => { Self::$name($field) };
    (@write $f:ident $name:ident) => { $f.write_str(entries::$name.code) };
    (@write $f:ident $name:ident $field:ident) => { write_around($f, &entries::$name, $field) };
    (@whole $code:ident $name:ident) => {
        if $code == entries::$name.code {
            return Self::$name;
        }
    };
    (@whole $code:ident $name:ident $field:ident) => {};
    (@part $code:ident $name:ident) => {};
    (@part $code:ident $name:ident $field:ident: $part:ty) => {
        if let Some($field) = entries::$name.part::<$part>($code) {
            return Self::$name($field);
        }
    };
}

fn write_around(f: &mut fmt::Formatter<'_>, entry: &Entry, part: &dyn fmt::Display) -> fmt::Result {
    let (before, after) = entry.around().unwrap_or((entry.code, ""));
    write!(f, "{before}{part}{after}")
}

reasons! {
    /// The hash lacks `harvest_action` or `kill_score`, or has `calibrated=1` and no `action`. Look at it with `HGETALL quantum:harvest:proposal:<symbol>` and fix the brain.
    ProposalFieldMissing = "proposal_field_missing": Proposals, Refused, Warn, Nothing;

    /// A field that must be a finite number holds something else, `nan` included. Fix the brain.
    ProposalNotANumber = "proposal_not_a_number": Proposals, Refused, Warn, Nothing;

    /// A kill score below 0 would pass every threshold. Fix the brain.
    ProposalNegativeScore = "proposal_negative_score": Proposals, Refused, Warn, Nothing;

    /// `calibrated` is neither 1 nor 0, so that nothing shows whether `action` or `harvest_action` counts. Fix the
    /// calibrator.
    ProposalCalibrationUnreadable = "proposal_calibration_unreadable": Proposals, Refused, Warn, Nothing;

    /// A field has more than 256 bytes. The log names the field and its size; its text is not read. Fix the brain, or find
    /// out who else writes under the key.
    ProposalFieldTooLong = "proposal_field_too_long": Proposals, Refused, Warn, Nothing;

    /// The proposal would execute and is older than `APPLY_PROPOSAL_MAX_AGE_SEC` allows. The log names its age. Nothing came of
    /// it; the brain's next computation is followed. Where that happens to fresh proposals, set the clocks by NTP.
    ProposalTooOld = "proposal_too_old": Proposals, Refused, Warn, Nothing;

    /// `APPLY_PROPOSAL_MAX_AGE_SEC` is set, and the proposal's time is more than 5 s ahead of this machine's clock, so that its
    /// age means nothing. Set both clocks by NTP.
    ProposalFromTheFuture = "proposal_from_the_future": Proposals, Refused, Warn, Nothing;

    /// `APPLY_PROPOSAL_MAX_AGE_SEC` is set, and `computed_at_utc` is no moment as in `2026-01-25T00:30:08Z` (or, where it is
    /// absent, `last_update_epoch` no number of seconds). Fix the brain. Where both are absent: `proposal_field_missing`.
    ProposalTimeUnreadable = "proposal_time_unreadable": Proposals, Refused, Warn, Nothing;

    /// The key is no hash, or holds bytes that are no text. Find out who else writes under it.
    ProposalUnreadable = "proposal_unreadable": Proposals, Refused, Warn, Nothing;

    /// A kill switch is on, or the governor has disarmed: `apply-layer status` says which, and the disarm's reason. As a result's error it means that the switch was found on during
    /// the wait or after the order's timestamp, before its signature; nothing was placed.
    KillSwitchActive = "kill_switch_active": Plans, Blocked, Warn, Nothing;

    /// The symbol is not in `APPLY_ALLOWLIST`. Add it there and restart, or leave it.
    NotInAllowlist = "not_in_allowlist": Plans, Skip, Info, Nothing;

    /// The score is at or above `K_BLOCK_CRITICAL`, and the action is no close that `K_CLOSE_THRESHOLD` decides about. A person decides.
    KillScoreCritical = "kill_score_critical": Plans, Blocked, Warn, Nothing;

    /// The score is at or above `K_CLOSE_THRESHOLD`, from which closes are blocked where it is set. A person decides.
    KillScoreCloseThreshold = "kill_score_close_threshold": Plans, Blocked, Warn, Nothing;

    /// The score is at or above `K_BLOCK_WARNING`, and the action is no close.
    KillScoreWarningRiskIncrease = "kill_score_warning_risk_increase": Plans, Blocked, Warn, Nothing;

    /// No obstacle: the score is at or above `K_BLOCK_WARNING`, and the action is a close, which goes on.
    KillScoreWarningCloseOk = "kill_score_warning_close_ok": Plans, Passed, Info, Perhaps;

    /// The brain says: leave things as they are.
    ActionHold = "action_hold": Plans, Skip, Info, Nothing;

    /// The brain asks for a stop, and `APPLY_STOPS` is `off`: no stop was placed, and none was cancelled. No permits were awaited.
    /// Where this service is to move stops, set `APPLY_STOPS=on` and restart; else nothing has to be done.
    StopsOff = "stops_off": Plans, Skip, Info, Nothing;

    /// `UPDATE_SL` without `new_sl_proposed`. Fix the brain.
    MissingNewSl = "missing_new_sl": Plans, Error, Warn, Nothing;

    /// `new_sl_proposed` is no price above 0. Fix the brain.
    InvalidNewSl = "invalid_new_sl": Plans, Error, Warn, Nothing;

    /// The brain wrote an unknown action. Fix the brain, or look for a newer version of this service.
    UnknownAction(word: ActionWord) = "unknown_action_<word>": Plans, Error, Warn, Nothing;

    /// The plan was claimed before, here or by another instance. Its first attempt has a result of its own; this one is
    /// skipped.
    DuplicatePlan = "duplicate_plan": Plans, Skip, Info, Perhaps;

    /// `APPLY_MAX_IN_FLIGHT` plans are under way. Nothing was claimed; the proposal is looked at again when there is room.
    TooManyPlansInFlight = "too_many_plans_in_flight": Plans, PutOff, Warn, Nothing;

    /// Redis was restarted or replaced a moment ago and may have lost a claim. Nothing is claimed until every order that was
    /// allowed before has landed or cannot land any more; `/readyz` says how long. Then the proposal is looked at again.
    StoreMayHaveForgotten = "store_may_have_forgotten": Plans, PutOff, Warn, Nothing;

    /// Some permits were still missing at the deadline; the reason is one of the next entry. `apply-layer permits ls` shows
    /// whether the issuer writes at all, `apply-layer stats` how often. If permits come just too late, raise
    /// `APPLY_PERMIT_WAIT_MS`; if they never come, look at the issuer's own log.
    PermitTimeout(missing: Missing) = "permit_timeout_or_missing:missing_<permits>": Permits, Blocked, Warn, Nothing;

    /// Which permits were missing: `missing_both` with two required ones, `missing_all` with more, or those that are
    /// named, as in `missing_governor+p26`.
    PermitsMissing(missing: Missing) = "missing_<permits>": Permits, Blocked, Warn, Nothing;

    /// The reviewer said no; the result's details carry its reason. Ask the reviewer, not this service. For
    /// `reconcile_required_qty_mismatch` the position brain's ledger differs from the venue's position.
    PermitDenied(permit: PermitName) = "<permit>_permit_denied": Permits, Blocked, Warn, Nothing;

    /// Something lies under the permit's key that is no permit. The line's `detail`, `apply-layer permits show <plan>` and
    /// `apply-layer permits judge` name the field and the place, show what stands there, and say what to write instead.
    /// [writing-permits.md](writing-permits.md) lists what each language's JSON writer does. Fix the issuer; nothing is guessed.
    PermitMalformed(permit: PermitName) = "invalid_<permit>_permit_format": Permits, Blocked, Warn, Nothing;

    /// The permit is for another symbol than the plan, letter for letter. Fix the issuer.
    PermitSymbolMismatch(permit: PermitName) = "<permit>_permit_symbol_mismatch": Permits, Blocked, Warn, Nothing;

    /// The permit says that it was used already. The issuer wrote an old one again.
    PermitConsumed(permit: PermitName) = "<permit>_permit_consumed": Permits, Blocked, Warn, Nothing;

    /// The position brain says yes and writes that the position it saw is 0. Nothing can be closed. Let it say no, or leave
    /// `exchange_position_amt` out where it does not know it.
    PermitFlatPosition(permit: PermitName) = "<permit>_permit_flat_position": Permits, Blocked, Warn, Nothing;

    /// The position brain allows 0 or less. Usually the position is gone; look at its ledger. If the detail shows `0.0000`, the
    /// writer rounds to too few places.
    InvalidSafeCloseQty = "invalid_safe_close_qty": Permits, Blocked, Warn, Nothing;

    /// Permits must be signed (`APPLY_PERMIT_KEYS`), and this one has no field `signed`. Usually the issuer has no key yet, or
    /// writes the field under another name; the detail says what is there. Give the issuer its key
    /// ([permits-signing.md](permits-signing.md)). If the issuer does sign, find out who else writes under its key.
    PermitUnsigned(permit: PermitName) = "<permit>_permit_unsigned": Permits, Blocked, Warn, Nothing;

    /// What stands in `signed` is not of the form; the detail says which part, and how it has to be written. Fix the issuer; the
    /// worked example helps.
    PermitSignatureMalformed(permit: PermitName) = "<permit>_permit_signature_malformed": Permits, Blocked, Warn, Nothing;

    /// Signed with a key id that this issuer has none of here; the detail names those it has. After a rotation: let the issuer
    /// sign with the new key, or keep the old one a while longer.
    PermitKeyUnknown(permit: PermitName) = "<permit>_permit_key_unknown": Permits, Blocked, Warn, Nothing;

    /// The named key did not sign this text. In this order: compare the secret of that key id at both ends; compare the message
    /// with the worked example (nine texts, each with its length); let the issuer write the very text it signed, and not encode
    /// the object again. If all three agree, the permit was changed on its way, possibly by an attacker.
    PermitSignatureWrong(permit: PermitName) = "<permit>_permit_signature_wrong": Permits, Blocked, Warn, Nothing;

    /// Signed by another issuer, or for another plan; the detail says which. An issuer's name is the permit's name in
    /// `APPLY_PERMITS`, in lower case. If names and plan ids are right at the issuer, permits are being copied.
    PermitForeign(permit: PermitName) = "<permit>_permit_foreign": Permits, Blocked, Warn, Nothing;

    /// The signature is good, and the plan digest in it is not that of this publication. For an issuer that never worked: its
    /// digest is computed otherwise. It counts every field of the plan's entry but `timestamp`, fields it does not know too,
    /// sorted by name. For an issuer that works otherwise: Redis was rolled back, the plan was handed out again, or somebody
    /// lays out old permits. The issuer's permit for this publication would count.
    PermitReplayed(permit: PermitName) = "<permit>_permit_replayed": Permits, Blocked, Warn, Nothing;

    /// Issued more than 5 s ahead of this machine's clock; the detail says by how much. Set the clocks by NTP, and write
    /// milliseconds.
    PermitFuture(permit: PermitName) = "<permit>_permit_future": Permits, Blocked, Warn, Nothing;

    /// Expired on this machine's clock; the detail says how long ago. Set the clocks by NTP, and write milliseconds.
    PermitStale(permit: PermitName) = "<permit>_permit_stale": Permits, Blocked, Warn, Nothing;

    /// The time or the plan's content is not known here, so nothing can be compared; the detail says which. From the service: set
    /// its clock. From `permits show`: the plan is no longer on its stream. In a program of your own: give the gate a timer with a
    /// wall clock (`permit_gate::TokioTimer`) and the subject a content.
    PermitUnverifiable(permit: PermitName) = "<permit>_permit_unverifiable": Permits, Blocked, Warn, Nothing;

    /// Redis could not be reached or understood up to the deadline. `apply-layer check` says why.
    PermitStoreUnavailable = "permit_store_unavailable": Permits, Blocked, Warn, Nothing;

    /// Redis took the request for the permits and did not answer in time. The permits may be gone; no order follows. A new
    /// proposal gets new permits.
    PermitTakeUnanswered = "permit_take_unanswered": Permits, Blocked, Warn, Nothing;

    /// The request reached Redis after the deadline, and nothing was taken. The machine or the network was held up.
    PermitTakeTooLate = "permit_take_too_late": Permits, Blocked, Warn, Nothing;

    /// Another attempt took this plan's permits. Two instances run, or one was started anew: look for the other's result,
    /// which may have an order.
    PermitsTakenByOther = "permits_taken_by_other": Permits, Blocked, Warn, Perhaps;

    /// This is a dry run, and a live instance works on the same Redis: the permits are the live one's to take, and were left
    /// alone. The dry run had claimed the plan before the live one started, so the live one does not execute it. Give the dry run a Redis or a database of its
    /// own.
    LiveInstanceBeside = "live_instance_beside": Permits, Blocked, Warn, Nothing;

    /// The gate was asked twice for one plan. A defect of this program: report it with the log.
    GateAlreadyAnswered = "gate_already_answered": Permits, Blocked, Warn, Perhaps;

    /// The venue holds no position of the symbol. There is nothing to close.
    NoPosition = "no_position": BeforeOrder, Blocked, Warn, Nothing;

    /// The position turned round between the review and the order.
    PositionSideMismatch = "position_side_mismatch": BeforeOrder, Blocked, Warn, Nothing;

    /// No permit says how much may be closed. One of `APPLY_PERMITS` has to, as `p33` does.
    NoPermittedQuantity = "no_permitted_quantity": BeforeOrder, Blocked, Warn, Nothing;

    /// What permits and position allow is less than the venue's smallest order. Close the rest by hand. For a stop: its permits
    /// name a quantity that is too small for one.
    QuantityNotOrderable = "quantity_not_orderable": BeforeOrder, Blocked, Warn, Nothing;

    /// The proposed stop would be set off at once: it sells a long position at or above the mark price, or buys back a short one
    /// at or below it. The details name both prices. Nothing was placed, and the old stop is still there.
    /// Look at what the brain proposes; to close a position, propose a close.
    StopWrongSideOfMarket = "stop_wrong_side_of_market": BeforeOrder, Blocked, Warn, Nothing;

    /// The proposed stop is further from the mark price than `APPLY_STOP_MAX_DISTANCE_PCT` allows (20 % by default), as after a
    /// slip in its digits. The details name both prices and the distance. Nothing was placed, and the old stop is still there.
    /// Where stops are meant to be so far away, raise the setting.
    StopTooFarFromMarket = "stop_too_far_from_market": BeforeOrder, Blocked, Warn, Nothing;

    /// The venue gave no mark price with the position, so the proposed stop could not be held against the market. Nothing was
    /// placed, and the old stop is still there.
    StopWithoutMarkPrice = "stop_without_mark_price": BeforeOrder, Blocked, Warn, Nothing;

    /// Something came too late for the order, and nothing was sent; the details say what. Position and rules: `apply-layer check`
    /// measures the venue's answers. Its turn at a slow venue: 16 orders are under way at once. Redis, asked once more before
    /// the order: look at its latency and, behind sentinels or on a cluster, at whether a majority of them answers.
    NotReadyInTime = "not_ready_in_time": BeforeOrder, Blocked, Error, Nothing;

    /// The portfolio gate wrote its permit and made something of the action that is no smaller close, such as a hold; the
    /// details name its word. Nothing was placed. Ask the portfolio gate, not this service.
    PortfolioGateDowngraded = "portfolio_gate_downgraded": BeforeOrder, Blocked, Warn, Nothing;

    /// What the portfolio gate made of the action (`quantum:stream:portfolio.gate.final_action`) cannot be read, or is no
    /// action; the details say why. Nothing is guessed, and nothing was placed. Look at the newest entries of that stream.
    PortfolioGateUnreadable = "portfolio_gate_unreadable": BeforeOrder, Blocked, Warn, Nothing;

    /// The permits were taken for another symbol than the plan's. A defect of this program: report it with the log.
    GrantSymbolMismatch = "grant_symbol_mismatch": BeforeOrder, Blocked, Error, Nothing;

    /// What was written down is not what was about to be ordered. A defect of this program: report it with the log.
    IntentMismatch = "intent_mismatch": BeforeOrder, Blocked, Error, Perhaps;

    /// Redis forgot the claim, was started again or was replaced by another server, or another instance took the plan over. No
    /// order was placed. The log says `Result owed` first; the result follows once no other instance has the plan and the venue has
    /// said that nothing was executed. Look at why Redis was restarted ([recovery.md](recovery.md#two-machines-and-a-redis-that-forgot)).
    ClaimLost = "claim_lost": BeforeOrder, Error, Error, Perhaps;

    /// The journal on disk could not be used, and without it nothing is placed. Look at the disk's space and owner.
    JournalUnavailable = "journal_unavailable": BeforeOrder, Error, Error, Perhaps;

    /// The service ended between claim and order, or Redis forgot the claim. The venue says that nothing was placed; the next change
    /// of the proposal makes a new plan.
    InterruptedBeforeOrder = "interrupted_before_order": BeforeOrder, Error, Warn, Nothing;

    /// There are no keys. Set `BINANCE_TESTNET_API_KEY` and `BINANCE_TESTNET_API_SECRET`.
    MissingBinanceCredentials = "missing_binance_credentials": Venue, Error, Error, Nothing;

    /// The venue could not be asked for position or rules, though it was asked again and again until just before the permits'
    /// deadline. The details carry its last words. Nothing was placed. Of a plan that may have been claimed before, because
    /// Redis may have forgotten it, this is published only once the venue has said that it has no order of it.
    VenueUnavailable = "venue_unavailable": Venue, Error, Error, Nothing;

    /// The account is not fit for what the plan needs; the details say how. Nothing was placed.
    VenueRefusesAccount = "venue_refuses_account": Venue, Error, Error, Nothing;

    /// The venue refused the order with this code of its own. The details carry its words and a sentence on what to do. No order
    /// exists. Which codes are refusals stands in one table, `crates/venue-facts/data/error_codes.tsv`;
    /// `quantum_apply_venue_refusals_total{to="order",code="<code>"}` counts them.
    OrderRejected(code: VenueCode) = "order_rejected:<code>": Venue, Error, Error, Perhaps;

    /// The venue does not list the symbol. Nothing was placed, and no permits were taken. `apply-layer check` compares
    /// `SYMBOLS` with what the venue lists; correct the name, or take it out.
    SymbolNotListed = "symbol_not_listed": Venue, Blocked, Warn, Nothing;

    /// The venue lists the symbol and takes no orders on it now; the details carry its word (`SETTLING`, `PENDING_TRADING`, …).
    /// Nothing was placed, and no permits were taken. Look at the venue's notices; the next proposal is tried again.
    SymbolNotTrading = "symbol_not_trading": Venue, Blocked, Warn, Nothing;

    /// The order did not leave this machine, or the venue says that it took nothing in and gives no code: the clock is too far
    /// off, limits leave no room, no connection could be made, the venue's firewall turned it away. No order exists.
    OrderNotSent = "order_not_sent": Venue, Error, Error, Perhaps;

    /// The order's fate was unknown, the venue was asked, and there is evidence that it was not executed. The details say what
    /// the evidence is, and after it what the venue answered to the order: status, code and words. A code that no document
    /// calls a refusal ends here, and so does one that is not documented at all.
    OrderNotExecuted = "order_not_executed": Venue, Error, Warn, Perhaps;

    /// The order ended without a fill.
    OrderNotFilled = "order_not_filled": Venue, Error, Warn, Perhaps;

    /// **An order may exist**: its outcome could not be determined. Look at the venue for the client order id `apply-<plan>`. It is
    /// never sent again; `apply-layer forget` refuses such a plan. The details may say that the venue's answer
    /// contradicts what was sent, with the field and both values: a larger quantity than was ordered, the other side, an
    /// order that is not reduce-only. Such an answer is not believed, and the venue is asked for half a minute more. Where the
    /// venue showed the order before, still open or with a status that no document explains, the details say how much of it had
    /// filled; then the result says `executed=True` with that quantity.
    OrderUnresolved = "order_unresolved": Venue, Unresolved(Order), Error, Perhaps;

    /// The venue refused the new stop; the old one is still there. The details carry the venue's words and a sentence on what to
    /// do, as with `order_rejected:<code>`.
    StopRejected(code: VenueCode) = "stop_rejected:<code>": Venue, Error, Error, Perhaps;

    /// The new stop did not leave this machine, or the venue was asked and does not know it; the old one is still there. Where
    /// the venue answered something to the new stop, the details carry it.
    StopNotSent = "stop_not_sent": Venue, Error, Error, Perhaps;

    /// **Look at the venue's open stops**: the new one may be there, and the old one too. As with `order_unresolved`, an
    /// answer that contradicts the stop that was sent (quantity, side, trigger, type) is not believed.
    StopUnresolved = "stop_unresolved": Venue, Unresolved(Stop), Error, Perhaps;
}

impl Reason {
    /// What it means for the plan. Of a code this version does not know: that something forbade it.
    pub fn class(&self) -> Class {
        self.entry().map_or(Class::Blocked, |entry| entry.class)
    }

    /// How loud it is logged. Of a code this version does not know: as a warning.
    pub fn level(&self) -> Level {
        self.entry().map_or(Level::Warn, |entry| entry.level)
    }

    /// Whether something was sent to the venue. Of a code this version does not know: perhaps.
    pub fn sent(&self) -> Sent {
        self.entry().map_or(Sent::Perhaps, |entry| entry.sent)
    }

    /// Whether the plan may have been executed without anybody knowing.
    pub fn is_unresolved(&self) -> bool {
        match self.class() {
            Class::Unresolved(Left::Order | Left::Stop) => true,
            Class::Passed
            | Class::Refused
            | Class::PutOff
            | Class::Skip
            | Class::Blocked
            | Class::Error => false,
        }
    }
}

impl From<&str> for Reason {
    fn from(code: &str) -> Self {
        Self::parse(code)
    }
}

impl FromStr for Reason {
    type Err = Infallible;

    fn from_str(code: &str) -> Result<Self, Infallible> {
        Ok(Self::parse(code))
    }
}

const INTRODUCTION: &str = "\
# Troubleshooting by reason code

A code stands in `reason_codes` of a plan, in `error` of a result, in `reason=` of a `[PERMIT_WAIT] BLOCK` line and in
the labels of the metrics. `apply-layer stats` counts them, `apply-layer results tail` shows the newest. Each entry says
what happened, whether an order can exist, and what to do. Parts in angle brackets are filled in.

Before anything else: `apply-layer check`. It finds most causes and names the fix.
";

/// The text of `docs/troubleshooting.md`.
pub fn troubleshooting() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in Section::ALL {
        let (title, about) = section.heading();
        page += &format!("\n## {title}\n");
        if !about.is_empty() {
            page += &format!("\n{about}\n");
        }
        let of_it = Reason::ENTRIES
            .iter()
            .filter(|entry| entry.section == section);
        for entry in of_it {
            page += &format!("\n### `{}`\n{}\n", entry.code, entry.text());
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reason of each entry, with something in the part that differs.
    fn one_of_each() -> impl Iterator<Item = (String, &'static Entry)> {
        let filled = |entry: &'static Entry| {
            let words = [
                ("<permit>", "p33"),
                ("<permits>", "governor+p26"),
                ("<word>", "DOUBLE UP"),
                ("<code>", "-2022"),
            ];
            let code = words
                .iter()
                .fold(entry.code.to_owned(), |code, (part, word)| {
                    code.replace(part, word)
                });
            (code, entry)
        };
        Reason::ENTRIES.iter().map(filled)
    }

    #[test]
    fn every_reason_is_read_as_itself_and_written_as_it_was() {
        for (code, entry) in one_of_each() {
            let reason = Reason::parse(&code);
            assert_eq!(
                reason.entry().map(|e| e.code),
                Some(entry.code),
                "{code} is {reason:?}"
            );
            assert_eq!(reason.to_string(), code);
            assert_eq!(
                reason.is_unresolved(),
                code.ends_with("_unresolved"),
                "{code}"
            );
        }
    }

    #[test]
    fn the_words_of_the_contract_are_these_reasons() {
        let p33 = || PermitName::new("p33").unwrap();
        for (code, reason) in [
            (
                "permit_timeout_or_missing:missing_both",
                Reason::PermitTimeout(Missing::both()),
            ),
            ("missing_all", Reason::PermitsMissing(Missing::all())),
            (
                "missing_governor+p33",
                Reason::PermitsMissing(Missing::these(["governor", "p33"])),
            ),
            ("p33_permit_denied", Reason::PermitDenied(p33())),
            ("invalid_p33_permit_format", Reason::PermitMalformed(p33())),
            ("invalid_safe_close_qty", Reason::InvalidSafeCloseQty),
            ("missing_new_sl", Reason::MissingNewSl),
            (
                "missing_binance_credentials",
                Reason::MissingBinanceCredentials,
            ),
            ("order_rejected:-2022", Reason::OrderRejected(-2022)),
            (
                "unknown_action_A_permit_denied",
                Reason::UnknownAction(ActionWord::new("A_permit,_denied")),
            ),
            (
                "order_rejected:+5",
                Reason::Other("order_rejected:+5".into()),
            ),
            (
                "permit_timeout_or_missing",
                Reason::Other("permit_timeout_or_missing".into()),
            ),
            ("", Reason::Other("".into())),
        ] {
            assert_eq!(Reason::parse(code), reason);
            assert_eq!(reason.to_string(), code);
        }
    }

    #[test]
    fn no_code_stands_twice_and_each_is_explained() {
        for (i, entry) in Reason::ENTRIES.iter().enumerate() {
            assert!(!entry.text().trim().is_empty(), "{}", entry.code);
            assert!(
                Reason::ENTRIES[..i].iter().all(|e| e.code != entry.code),
                "{}",
                entry.code
            );
        }
    }

    #[test]
    fn the_page_is_made_of_this_table() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let page = std::fs::read_to_string(format!("{root}/docs/troubleshooting.md")).unwrap();
        assert!(
            page == troubleshooting(),
            "run: cargo run -p apply-wire --example troubleshooting > docs/troubleshooting.md"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_as_it_was(code in "\\PC{0,60}") {
            prop_assert_eq!(Reason::parse(&code).to_string(), code);
        }

        #[test]
        fn every_action_is_read_as_it_was_written(action in "\\PC{0,60}") {
            let reason = Reason::UnknownAction(ActionWord::new(&action));
            prop_assert_eq!(Reason::parse(&reason.to_string()), reason);
        }
    }
}
