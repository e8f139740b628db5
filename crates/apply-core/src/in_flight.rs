//! An order that is about to leave, and how it looks once more at what allows it.

use crate::{
    event::Event,
    halt::Halt,
    hold::PortError,
    last_look::{HeldBack, LastLook, Look},
    layer::{ApplyLayer, ClaimedPlan},
    ports::{Mastership, PlanLog, Ports, ProposalSource, Standing},
    times::{LAST_CONFIRMATION, LAST_YES},
};
use futures_util::future::{Either, join, select};
use permit_gate::{Grant, Timer};
use std::{
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// One order that is about to leave, and until when the store's word for it counts.
pub(crate) struct InFlightOrder<'a, P: Ports> {
    layer: &'a ApplyLayer<P>,
    claimed: &'a ClaimedPlan,
    /// When the last script that said yes was sent: the one that took the permits, or a later one.
    last_yes: Mutex<Instant>,
    sign_by: Instant,
}

impl<'a, P: Ports> InFlightOrder<'a, P> {
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
        let mut reported = false;
        loop {
            let error = match self.ask_once().await {
                Ok(()) => return Ok(()),
                Err(Unanswered::HeldBack(held)) => return Err(held),
                Err(Unanswered::Failed(error)) => error,
            };
            if !reported {
                let symbol = self.claimed.plan().symbol();
                self.layer
                    .port_failed(symbol, "ask again before the order", &error);
                reported = true;
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

impl<P: Ports> LastLook for InFlightOrder<'_, P> {
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
        // Emitted before the switch is read: who turns it can ask afterwards which orders had passed it.
        self.layer.emit(Event::InFlight {
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
