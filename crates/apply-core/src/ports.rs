//! What the core needs from outside, one small trait each.

pub use crate::{
    halt::{Halt, MAX_SWITCH_BYTES},
    hold::{Generation, GenerationId, Hold, PortError, Publisher, ServerId},
};

use crate::{
    exchange::Exchange,
    journal::{Intent, Journal},
    plan::Plan,
    proposal::{ProposalError, RawProposal},
    result::ApplyResult,
    symbol::Symbol,
};
use permit_gate::{AttemptId, PermitStore, PlanId, Timer};
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// One look at a symbol's proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The hash, or that there is none, or that it cannot be read.
    pub proposal: Result<Option<RawProposal>, ProposalError>,
    /// The kill switch at the same moment. Unreadable is on.
    pub halt: Halt,
}

/// Where proposals come from.
pub trait ProposalSource: Send + Sync {
    /// Looks at a symbol's proposal and the kill switch together.
    fn fetch(&self, symbol: &Symbol) -> impl Future<Output = Result<Observed, PortError>> + Send;

    /// Looks at the kill switch alone. Unreadable is on.
    fn fetch_halt(&self, symbol: &Symbol) -> impl Future<Output = Result<Halt, PortError>> + Send {
        async { Ok(self.fetch(symbol).await?.halt) }
    }

    /// What halts trading on this machine alone, looked at just before an order leaves: it must be
    /// answered at once, without asking anybody. Unreadable is on. A source without a switch of
    /// its own has none to read.
    fn local_halt(&self) -> Halt {
        Halt::Off
    }

    /// Resolves when the proposal may have changed since the last call. A source without pushes never
    /// resolves; the caller polls besides. Cancellation safe.
    fn changed(&self, symbol: &Symbol) -> impl Future<Output = ()> + Send;

    /// Resolves once the writer of the proposal has finished, since it
    /// may be written in several steps, and says whether anything was written meanwhile. What is known
    /// of that is what the source has heard by then: a write whose word is still on its way is not.
    ///
    /// Cancellation: a change that came meanwhile is not reported again by
    /// [`ProposalSource::changed`]; a caller that gives up has to read again.
    fn debounced(&self, _: &Symbol) -> impl Future<Output = Debounced> + Send {
        async { Debounced::Unchanged }
    }
}

/// What a wait for the writer's end has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debounced {
    /// Nothing was written meanwhile: what was read stands.
    Unchanged,
    /// Something was written, or the store cannot say: the proposal is whole now and has to be read again.
    Changed,
}

/// Whose a plan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Ours: execute it. The same attempt asking again gets this answer again.
    Won(Hold),
    /// Somebody claimed it before, works on it, or has published its end.
    Taken,
    /// This attempt claimed it, and the store has forgotten that since: it executes nothing and still
    /// owes the plan a result.
    Lost,
    /// The store may have forgotten something a moment ago. Nothing was claimed and nothing published: ask
    /// again, for this attempt or another one, once it is clean.
    TooYoung {
        /// When that is.
        clean_at: Instant,
    },
}

impl Claim {
    /// Whether it is ours.
    pub fn is_won(&self) -> bool {
        matches!(self, Self::Won(_))
    }
}

/// What a plan is that somebody wants to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reclaim {
    /// No attempt held it: now this attempt ends it.
    Held(Hold),
    /// Somebody holds it.
    Open(OpenPlan),
    /// Its final result was published.
    Ended {
        /// Whether it says that something was executed.
        executed: bool,
    },
}

/// How far the holder of a plan had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It may have ordered: that it had noted no intent may have been forgotten.
    Claimed,
    /// It had noted what it was about to do.
    Noted,
    /// It only rehearsed: no order can have left.
    Rehearsed,
    /// It wanted to end the plan, and places nothing.
    Closing,
}

/// A claimed plan that has no final result yet, as the attempt that finishes it finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPlan {
    /// The plan.
    pub plan: PlanId,
    /// Its symbol.
    pub symbol: Symbol,
    /// The step's name.
    pub step: String,
    /// The attempt that holds it.
    pub attempt: AttemptId,
    /// Whether that is an attempt of this process.
    pub ours: bool,
    /// Whether it is one of this machine: of this process or an earlier one.
    pub of_this_machine: bool,
    /// How far it had come.
    pub stage: Stage,
    /// What it was about to do. Where there is none something can have left all the same: a store that
    /// forgets its last writes forgets this one.
    pub intent: Option<Intent>,
    /// How the store knows that it was not changed since.
    pub token: String,
}

/// What the store says of an attempt that is about to place its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The plan is still this attempt's, its intent is noted there, and the store's kill switch is off.
    Holds {
        /// When the question was sent. The answer was true at some moment after it.
        asked_at: Instant,
    },
    /// The plan is not this attempt's any more: no order may follow.
    Lost,
    /// The store's kill switch is on, or cannot be read: no order may follow.
    Halted {
        /// What says so.
        by: String,
    },
}

/// Whether the server that answers is the one in charge. One that was replaced may not know it and go
/// on answering yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mastership {
    /// There is one server, and no other can take its place.
    Fixed {
        /// That server.
        server: ServerId,
    },
    /// Those who appoint it have named the server that answers here.
    Confirmed {
        /// The server they named, which is the one that is connected.
        server: ServerId,
        /// When they were asked, which is before they answered.
        asked_at: Instant,
    },
    /// They have not, or they name another one, or it is unknown: no order may follow.
    Unconfirmed {
        /// Why, in a sentence.
        why: String,
    },
}

impl Mastership {
    /// The server that is in charge, where that is known.
    pub fn server(&self) -> Option<ServerId> {
        match self {
            Self::Fixed { server } | Self::Confirmed { server, .. } => Some(*server),
            Self::Unconfirmed { .. } => None,
        }
    }
}

/// The stream of plans, and the claims on them.
pub trait PlanLog: Send + Sync {
    /// In one atomic step: claims an EXECUTE plan for `attempt` and puts it on the stream, or
    /// learns why not. It is refused while anybody holds the plan, where its final result was published, and
    /// while the store is not clean ([`Generation`]). Idempotent per attempt: asking again after a lost
    /// answer neither loses the claim nor publishes twice. The claim lasts for `ttl`.
    ///
    /// After an error the claim may have happened, or may still happen for a moment: only
    /// [`PlanLog::find_claim`] shows.
    fn claim(
        &self,
        plan: &Plan,
        attempt: &AttemptId,
        ttl: Duration,
        timestamp: u64,
    ) -> impl Future<Output = Result<Claim, PortError>> + Send;

    /// What became of a claim of this attempt that was asked for and not answered: [`Claim::Won`],
    /// [`Claim::Taken`] or [`Claim::Lost`] where it was carried out, `None` where it was not and will not be
    /// any more. An error where that is not known yet: ask again. `ttl` is the one it was asked for with.
    fn find_claim(
        &self,
        plan: &PlanId,
        attempt: &AttemptId,
        ttl: Duration,
    ) -> impl Future<Output = Result<Option<Claim>, PortError>> + Send;

    /// Puts a plan that will not execute on the stream, once: `false` where the same decision on
    /// the same plan was published already, or the plan is claimed: its attempt publishes what
    /// becomes of it.
    fn announce(
        &self,
        plan: &Plan,
        timestamp: u64,
    ) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Notes beside the claim what its attempt is about to do: `false` where the claim is not that
    /// attempt's any more, and then no order may follow. Asking again after a lost answer is safe.
    fn note_intent(&self, intent: &Intent) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Claimed plans without a final result that no other instance works on: those of an instance that is
    /// gone, this machine's from before this process started, and this process's own: which of these
    /// it still works on it knows itself.
    fn fetch_abandoned(&self) -> impl Future<Output = Result<Vec<OpenPlan>, PortError>> + Send;

    /// Shows a claimed plan to reviewers who do not read the stream of plans. Asking again is safe: they know a plan by
    /// its id.
    fn show_claimed(&self, _: &Plan) -> impl Future<Output = Result<(), PortError>> + Send {
        async { Ok(()) }
    }

    /// What the reviewers have made of a plan's action, as they name it; `None` where they left it as it is. To be asked
    /// once every permit is taken: an error is a no.
    fn fetch_final_action(
        &self,
        _: &PlanId,
    ) -> impl Future<Output = Result<Option<String>, PortError>> + Send {
        async { Ok(None) }
    }

    /// What the reviewer who writes the permit of this name has left as its reason for writing none; `None` where it has
    /// left nothing. For people alone: nothing is decided by it.
    fn fetch_why_missing(
        &self,
        _: &PlanId,
        _permit: &str,
    ) -> impl Future<Output = Result<Option<String>, PortError>> + Send {
        async { Ok(None) }
    }

    /// Takes an abandoned plan over, so that `attempt` alone finishes it: `None` where
    /// it changed since it was fetched. Asking again after a lost answer is safe.
    fn adopt(
        &self,
        open: &OpenPlan,
        attempt: &AttemptId,
    ) -> impl Future<Output = Result<Option<Hold>, PortError>> + Send;

    /// Gives a plan that no attempt holds to `attempt`, to be ended and not to be executed,
    /// whatever its claim says, unless its end was published. Asking again after a lost answer is safe.
    fn reclaim(
        &self,
        plan: &PlanId,
        symbol: &Symbol,
        step: &str,
        attempt: &AttemptId,
        ttl: Duration,
    ) -> impl Future<Output = Result<Reclaim, PortError>> + Send;

    /// Whether nothing has been heard since that takes the plan out of these hands: that the store may
    /// have forgotten something, or that another server answers. Answers at once, without asking anybody.
    fn is_current(&self, _: &Hold) -> bool {
        true
    }

    /// Looks once more whether this attempt may place its order: the plan is still its own, with its
    /// intent noted, and the kill switch is off. Reads only, in one round trip; asks for no permits and
    /// changes nothing, so asking again and dropping the future are safe. An error is a no.
    fn ask_again(
        &self,
        plan: &PlanId,
        attempt: &AttemptId,
    ) -> impl Future<Output = Result<Standing, PortError>> + Send;

    /// Whether the server that answers is in charge, as far as that is known at this moment. Answers
    /// at once, without asking anybody; what keeps it known runs beside. An order may follow only while
    /// the server is that of its claim, and where it is [`Mastership::Confirmed`] not long ago.
    fn mastership(&self) -> Mastership {
        Mastership::Fixed {
            server: ServerId(0),
        }
    }

    /// The same, asked for now. Safe to drop and to repeat.
    fn confirm_mastership(&self) -> impl Future<Output = Mastership> + Send {
        async { self.mastership() }
    }
}

/// What came of publishing a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It is on the stream now.
    Published,
    /// It was there before, by this attempt: an answer was lost, or it is published again. Nothing was written.
    Stands,
    /// It is on the stream, and takes the place of a final one that said that nothing was executed.
    Corrected,
    /// Another attempt published its final result; nothing was written.
    Before,
    /// The same, and it says that the plan was executed, though it was this attempt's all the time and the
    /// venue said that nothing was.
    Contradicted,
    /// The plan is not the attempt's to end; nothing was written. It still owes a result until one is published.
    NotHeld,
    /// The store may have forgotten something since the result was found out; nothing was written, and
    /// the venue has to be asked again.
    Forgot,
    /// The store will not take it, now or later, before an operator fixes something; nothing was written.
    Refused {
        /// What, in a sentence.
        why: String,
    },
}

/// The stream of results.
pub trait ResultLog: Send + Sync {
    /// Publishes a result of an unclaimed plan, once a reason, and never after a final one:
    /// [`PublishOutcome::Published`], [`PublishOutcome::Before`] or [`PublishOutcome::Refused`].
    fn publish(
        &self,
        result: &ApplyResult,
    ) -> impl Future<Output = Result<PublishOutcome, PortError>> + Send;

    /// Ends a claimed plan with its final result. That something was executed any attempt may publish that knows
    /// it; that nothing was, only the attempt that holds the plan, and only while the store remembers what
    /// it did when that was found out. Nothing is done twice: asking again after a lost answer is
    /// safe.
    fn finalize(
        &self,
        result: &ApplyResult,
        publisher: &Publisher,
    ) -> impl Future<Output = Result<PublishOutcome, PortError>> + Send;
}

/// Time: the gate's timer, and the wall clock for what others read.
pub trait Clock: Timer {
    /// Whole seconds since 1970, as the streams carry them; 0 where there is no wall clock.
    fn unix_seconds(&self) -> u64 {
        self.since_1970().map_or(0, |since| since.as_secs())
    }
}

#[cfg(feature = "tokio")]
impl Clock for permit_gate::TokioTimer {}

/// All ports together, so that one type parameter stands for the outside.
pub trait Ports: Send + Sync + 'static {
    /// Where proposals come from.
    type Proposals: ProposalSource;
    /// Where plans go and are claimed.
    type Plans: PlanLog;
    /// Where results go.
    type Results: ResultLog;
    /// Where permits lie.
    type Permits: PermitStore;
    /// What is written down on this machine.
    type Journal: Journal;
    /// The venue.
    type Exchange: Exchange;
    /// Time.
    type Clock: Clock;

    /// See [`Ports::Proposals`].
    fn proposals(&self) -> &Self::Proposals;
    /// See [`Ports::Plans`].
    fn plans(&self) -> &Self::Plans;
    /// See [`Ports::Results`].
    fn results(&self) -> &Self::Results;
    /// See [`Ports::Permits`].
    fn permits(&self) -> &Self::Permits;
    /// See [`Ports::Journal`].
    fn journal(&self) -> &Self::Journal;
    /// See [`Ports::Exchange`].
    fn exchange(&self) -> &Self::Exchange;
    /// See [`Ports::Clock`].
    fn clock(&self) -> &Self::Clock;
}
