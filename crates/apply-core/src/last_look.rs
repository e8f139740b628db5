//! The last look before an order leaves: after its timestamp, before its signature.

use crate::{
    event::Event,
    life::{ApplyLayer, ClaimedPlan},
    ports::{Halt, Mastership, PlanLog, PortError, Ports, ProposalSource, Standing},
    times::{LAST_CONFIRMATION, LAST_YES},
};
use apply_wire::Reason;
use futures_util::future::{Either, join, select};
use permit_gate::{Grant, Timer};
use std::{
    future::Future,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Decides whether an order that has its timestamp may be signed.
///
/// The venue's port asks it once the order has all it might have to wait for: a turn, room under the venue's limits. After
/// [`Look::Go`] it signs and sends without an await in between.
pub trait LastLook: Send + Sync {
    /// Looks at what is known at this moment. `stamped` is when the timestamp was taken, on the clock of the ports.
    /// Answers at once: it reads memory and the metadata of one file.
    fn look(&self, stamped: Instant) -> Look;

    /// Asks the store for what [`Look::AskAgain`] found too old. The order needs a new timestamp and a new look
    /// afterwards.
    ///
    /// Cancellation safe: it reads only.
    fn ask_again(&self) -> impl Future<Output = Result<(), HeldBack>> + Send;
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Sign and send.
    Go,
    /// The last yes, or the last confirmation of the master, is too old for this timestamp.
    AskAgain,
    /// The order must not leave.
    HeldBack(HeldBack),
}

/// Why an order that was about to leave did not. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeldBack {
    /// A kill switch is on, or cannot be read.
    #[error("trading was halted before the order was signed: {by}")]
    Halted {
        /// What says so.
        by: String,
    },
    /// The plan is not this attempt's any more, or another server answers than the one it was claimed on.
    #[error("the plan was lost before the order was signed: {why}")]
    Lost {
        /// How that is known.
        why: String,
    },
    /// The time in which the order may be signed is over.
    #[error("the order could not be signed in time: {why}")]
    TooLate {
        /// What took so long.
        why: String,
    },
}

impl HeldBack {
    /// The `error` of the result.
    pub fn reason(&self) -> Reason {
        self.into()
    }
}

/// One order that is about to leave, and until when the store's word for it counts.
pub(crate) struct Leaving<'a, P: Ports> {
    layer: &'a ApplyLayer<P>,
    claimed: &'a ClaimedPlan,
    /// When the last script that said yes was sent: the one that took the permits, or a later one.
    last_yes: Mutex<Instant>,
    sign_by: Instant,
}

impl<'a, P: Ports> Leaving<'a, P> {
    /// An order that leaves on this grant, and not after `sign_by`.
    pub(crate) fn on(
        layer: &'a ApplyLayer<P>,
        claimed: &'a ClaimedPlan,
        grant: &Grant,
        sign_by: Instant,
    ) -> Self {
        Self {
            layer,
            claimed,
            last_yes: Mutex::new(grant.asked_at()),
            sign_by,
        }
    }

    fn last_yes(&self) -> MutexGuard<'_, Instant> {
        self.last_yes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_yes_at(&self, moment: Instant) -> bool {
        moment <= later(*self.last_yes(), LAST_YES)
    }

    /// Whether the server that the plan was claimed on is known to be in charge at `moment`; `None` where that has to be
    /// asked.
    fn is_confirmed_at(&self, moment: Instant, said: &Mastership) -> Result<bool, HeldBack> {
        let confirmed = match said {
            Mastership::Fixed { .. } => true,
            Mastership::Confirmed { asked_at, .. } => moment <= later(*asked_at, LAST_CONFIRMATION),
            Mastership::Unconfirmed { .. } => return Ok(false),
        };
        match said.server() == Some(self.claimed.hold().server) {
            true => Ok(confirmed),
            false => Err(HeldBack::Lost {
                why: "another server of the store answers than the one it was claimed on".into(),
            }),
        }
    }

    fn now(&self) -> Instant {
        self.layer.ports().clock().now()
    }

    async fn ask_store(&self) -> Result<(), Unanswered> {
        let plan = self.claimed.plan();
        let plans = self.layer.ports().plans();
        match plans.ask_again(&plan.id, self.claimed.attempt()).await {
            Ok(Standing::Holds { asked_at }) => {
                *self.last_yes() = asked_at;
                Ok(())
            }
            Ok(Standing::Lost) => Err(Unanswered::HeldBack(HeldBack::Lost {
                why: "the store does not show it as this attempt's".into(),
            })),
            Ok(Standing::Halted { by }) => Err(Unanswered::HeldBack(HeldBack::Halted { by })),
            Err(error) => Err(Unanswered::Failed(error)),
        }
    }

    async fn ask_who_is_master(&self) -> Result<(), Unanswered> {
        let said = self.layer.ports().plans().confirm_mastership().await;
        if let Mastership::Unconfirmed { why } = &said {
            return Err(Unanswered::Failed(PortError(why.clone())));
        }
        self.is_confirmed_at(self.now(), &said)
            .map(drop)
            .map_err(Unanswered::HeldBack)
    }

    /// Asks for whatever is too old at this moment, both at once.
    async fn ask_once(&self) -> Result<(), Unanswered> {
        let now = self.now();
        let said = self.layer.ports().plans().mastership();
        let confirmed = self
            .is_confirmed_at(now, &said)
            .map_err(Unanswered::HeldBack)?;
        let store = async {
            match self.has_yes_at(now) {
                true => Ok(()),
                false => self.ask_store().await,
            }
        };
        let master = async {
            match confirmed {
                true => Ok(()),
                false => self.ask_who_is_master().await,
            }
        };
        let (store, master) = join(store, master).await;
        store.and(master)
    }

    /// Asks until there is an answer.
    async fn ask(&self) -> HeldBackOr {
        let mut told = false;
        loop {
            let error = match self.ask_once().await {
                Ok(()) => return Ok(()),
                Err(Unanswered::HeldBack(held)) => return Err(held),
                Err(Unanswered::Failed(error)) => error,
            };
            if !told {
                let symbol = self.claimed.plan().symbol();
                self.layer
                    .port_failed(symbol, "ask again before the order", &error);
                told = true;
            }
            self.layer
                .ports()
                .clock()
                .sleep_until(later(self.now(), PAUSE))
                .await;
        }
    }
}

type HeldBackOr = Result<(), HeldBack>;

/// A question without a yes.
enum Unanswered {
    HeldBack(HeldBack),
    /// It may be asked again.
    Failed(PortError),
}

impl<P: Ports> LastLook for Leaving<'_, P> {
    fn look(&self, stamped: Instant) -> Look {
        if stamped > self.sign_by {
            return Look::HeldBack(HeldBack::TooLate {
                why: "it had to wait too long for its turn".into(),
            });
        }
        let ports = self.layer.ports();
        if !ports.plans().is_current(self.claimed.hold()) {
            return Look::HeldBack(HeldBack::Lost {
                why: "the store may have forgotten something since it was claimed".into(),
            });
        }
        match self.is_confirmed_at(stamped, &ports.plans().mastership()) {
            Ok(true) if self.has_yes_at(stamped) => {}
            Ok(_) => return Look::AskAgain,
            Err(held) => return Look::HeldBack(held),
        }
        // Told before the switch is looked at: whoever turns it can ask afterwards which orders had passed it.
        self.layer.tell(Event::Leaving {
            plan: self.claimed.plan(),
        });
        match ports.proposals().local_halt() {
            Halt::On { by } => Look::HeldBack(HeldBack::Halted { by }),
            Halt::Off => Look::Go,
        }
    }

    async fn ask_again(&self) -> Result<(), HeldBack> {
        let late = pin!(self.layer.ports().clock().sleep_until(self.sign_by));
        match select(pin!(self.ask()), late).await {
            Either::Left((asked, _)) => asked,
            Either::Right(_) => Err(HeldBack::TooLate {
                why: "the store did not answer".into(),
            }),
        }
    }
}

/// Between two questions, the first of which was not answered.
const PAUSE: Duration = Duration::from_millis(20);

fn later(moment: Instant, span: Duration) -> Instant {
    moment.checked_add(span).unwrap_or(moment)
}
