//! What happens between the permits and the order is emitted once the order is on its way; all but that it
//! may leave now ([`Event::InFlight`]), so that who has just turned the switch finds it.

use crate::{event::Event, layer::ApplyLayer, plan::Plan, ports::Ports};
use permit_gate::{PermitSet, Terms};
use rust_decimal::Decimal;
use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

/// Events of one plan that were not emitted yet. Lines, counters and pages take their time, and
/// a disk that holds up a line would hold up the order.
pub(crate) struct PendingEvents<'a> {
    plan: &'a Plan,
    permits: &'a PermitSet,
    pending: Mutex<Vec<PendingEvent>>,
    troubles: Mutex<Option<Box<Troubles>>>,
}

/// How the permit store has failed a plan up to now: `the permit store's answer was lost` and the like.
type Troubles = Vec<String>;

/// An event that may wait.
pub(crate) enum PendingEvent {
    /// The plan is on the stream.
    Published,
    /// The wait began; how long it may last.
    WaitStarted(Duration),
    /// The gate has seen something.
    Seen(permit_gate::Event),
    /// It said yes.
    Granted {
        /// From the first try to the grant.
        waited: Duration,
        /// The largest quantity everybody agrees to.
        most: Option<Decimal>,
        /// What each reviewer allows, by its permit's name.
        terms: Vec<(Arc<str>, Terms)>,
    },
    /// A step of this name is executed.
    StepStarted(&'static str),
}

impl<'a> PendingEvents<'a> {
    pub(crate) fn of(plan: &'a Plan, permits: &'a PermitSet) -> Self {
        Self {
            plan,
            permits,
            pending: Mutex::default(),
            troubles: Mutex::default(),
        }
    }

    /// Keeps an event for the next [`PendingEvents::emit`], in this order.
    pub(crate) fn add(&self, event: PendingEvent) {
        self.lock().push(event);
    }

    /// Emits what is kept, oldest first. Call it before an event is emitted directly.
    pub(crate) fn emit<P: Ports>(&self, layer: &ApplyLayer<P>) {
        for event in mem::take(&mut *self.lock()) {
            self.emit_one(layer, event);
        }
    }

    /// Runs the work, and emits events when it rests: not in the poll in which they came, but in the
    /// next one. Tasks woken in that poll run first, such as the connection that sends the order.
    pub(crate) fn emit_beside<P: Ports, T>(
        &self,
        layer: &ApplyLayer<P>,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = T> {
        poll_fn(move |cx| {
            self.emit(layer);
            let polled = work.as_mut().poll(cx);
            match &polled {
                Poll::Ready(_) => self.emit(layer),
                Poll::Pending if !self.lock().is_empty() => cx.waker().wake_by_ref(),
                Poll::Pending => {}
            }
            polled
        })
    }

    fn emit_one<P: Ports>(&self, layer: &ApplyLayer<P>, event: PendingEvent) {
        let plan = self.plan;
        match event {
            PendingEvent::Published => layer.emit(Event::PlanPublished { plan }),
            PendingEvent::WaitStarted(max_wait) => layer.emit(Event::WaitStarted {
                plan,
                max_wait,
                permits: self.permits.iter().map(|p| p.label().into()).collect(),
            }),
            PendingEvent::Seen(permit_gate::Event::Found { permit, after, by }) => {
                if let Some(permit) = self.permits.iter().nth(permit) {
                    layer.emit(Event::PermitFound {
                        plan,
                        name: permit.name().into(),
                        label: permit.label().into(),
                        after,
                        by,
                    });
                }
            }
            PendingEvent::Seen(permit_gate::Event::StoreTrouble { error, .. }) => {
                let repeated = self.has_failed_like(&error);
                layer.emit(Event::StoreTrouble {
                    plan,
                    error,
                    repeated,
                });
            }
            PendingEvent::Granted {
                waited,
                most,
                terms,
            } => layer.emit(Event::Granted {
                plan,
                waited,
                most,
                terms: &terms,
            }),
            PendingEvent::StepStarted(step) => layer.emit(Event::StepStarted { plan, step }),
        }
    }

    /// Whether the permit store has failed this plan in the same way before. A store that fails at every look would else
    /// fill the log with lines of plans that wait.
    fn has_failed_like(&self, error: &str) -> bool {
        let way = error.split(':').next().unwrap_or_default();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let troubles = troubles.get_or_insert_default();
        if troubles.iter().any(|known| known == way) {
            return true;
        }
        troubles.push(way.to_owned());
        false
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PendingEvent>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
