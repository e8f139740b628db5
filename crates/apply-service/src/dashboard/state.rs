//! The live model behind the page: what the observer hears, kept within bounds and passed on.

use super::{
    health_snapshot::{Attention, ComponentState, ComponentStatus, HealthSnapshot, TradingState},
    reviewers::{Reviewers, Trips},
    trends::Trends,
    view::{
        InFlightOrder, OrderView, PlanView, ProposalView, ResultView, Shown, SymbolView, WaitEnd,
        WaitView, cut, now,
    },
};
use crate::{
    history::{Fields, Outcome, outcome_of},
    reviewers::AllAnswers,
};
use apply_core::{
    ApplyResult, Decision, Event, Observer, Plan, Submission, Symbol,
    event::Abandoned,
    times::{micros, millis},
};
use apply_wire::{Reason, field};
use bytes::Bytes;
use permit_gate::PlanId;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::{broadcast, mpsc};

/// Plans that are remembered. What is left over goes, those first that are over.
const PLANS: usize = 100;

/// After so many plans in a row that came to no execution a symbol needs somebody to look.
const OFTEN: u32 = 3;

/// How the light of stops ends that guard no position: it stands in the next move once more.
const CANCEL_THEM: &str = ", cancel them at the venue";

/// Plans, reviewers and symbols of each kind that are named at most.
const NAMED: usize = 5;

/// Plans whose order is in doubt that are remembered after they have left the plans that are shown.
const IN_DOUBT: usize = 100;

/// Symbols that are sent to a browser at a time.
const PIECE: usize = 500;

/// Messages that a subscriber may lag behind before it is dropped and has to come again.
const LAG: usize = 256;

/// Upper bounds of the histogram of waits, in milliseconds; one more bucket holds the rest.
const BUCKETS: [u64; 9] = [10, 25, 50, 100, 200, 400, 800, 1200, 5000];

/// What the page shows. Clones share it.
#[derive(Debug, Clone)]
pub struct DashboardState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    model: Mutex<Model>,
    messages: broadcast::Sender<Message>,
    /// Set where results are counted as the stream has them; where they are not, each is counted as it comes.
    counts_stream: OnceLock<()>,
    /// Takes finished waits to their stream. Unset where everything lies in memory.
    waits: OnceLock<mpsc::Sender<FinishedWait>>,
}

/// A wait that is over, as it is written down.
#[derive(Debug)]
pub(super) struct FinishedWait {
    pub(super) plan: PlanId,
    pub(super) wait: WaitView,
}

/// One message to the browsers, as it is sent: all who listen share it.
#[derive(Debug, Clone)]
pub(super) struct Message(pub(super) Bytes);

impl Message {
    /// An event of this name with this value, as JSON without line breaks.
    fn of<T: Serialize>(event: &'static str, value: &T) -> Self {
        #[derive(Serialize)]
        struct Envelope<'a, T> {
            now: u64,
            value: &'a T,
        }
        let data = json(&Envelope { now: now(), value });
        Self(format!("event: {event}\ndata: {data}\n\n").into())
    }
}

#[derive(Debug)]
struct Model {
    health: HealthSnapshot,
    symbols: BTreeMap<Symbol, SymbolView>,
    /// The oldest first.
    plans: VecDeque<PlanView>,
    waits: Waits,
    trends: Trends,
    /// Of the results that are counted as the stream has them: plans whose order may stand at the venue, the oldest first.
    in_doubt: VecDeque<InDoubt>,
    /// Plans whose order has its timestamp and which have no result, by their ids, and since when: as many as
    /// may be under way at most. Apart from the plans that are shown, of which the oldest may go while it is
    /// under way.
    in_flight: BTreeMap<String, (InFlightOrder, Instant)>,
}

/// A plan whose order may stand at the venue without anybody knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct InDoubt {
    plan: String,
    symbol: String,
}

/// How long waits took, by how they ended, how the reviewers answer, and how long the venue took for orders: over the last
/// day, of every instance. How it answers questions for its time: since the process began.
#[derive(Debug, Default, Serialize)]
pub(super) struct Waits {
    buckets: Vec<Bucket>,
    reviewers: Reviewers,
    venue: Trips,
}

#[derive(Debug, Clone, Serialize)]
struct Bucket {
    /// Milliseconds; none for the last one.
    up_to: Option<u64>,
    granted: u64,
    blocked: u64,
}

impl DashboardState {
    /// A model of these symbols, of which nothing is known yet.
    pub fn new(symbols: &[Symbol], health: HealthSnapshot) -> Self {
        let view = |symbol: &Symbol| (symbol.clone(), SymbolView::unknown(symbol));
        let model = Model {
            health,
            symbols: symbols.iter().map(view).collect(),
            plans: VecDeque::with_capacity(PLANS + 1),
            waits: Waits::empty(),
            trends: Trends::default(),
            in_doubt: VecDeque::new(),
            in_flight: BTreeMap::new(),
        };
        Self(Arc::new(Shared {
            model: Mutex::new(model),
            messages: broadcast::Sender::new(LAG),
            counts_stream: OnceLock::new(),
            waits: OnceLock::new(),
        }))
    }

    /// All there is now but the symbols, and everything that comes after it: nothing falls between the two.
    pub(super) fn subscribe(&self) -> (Message, broadcast::Receiver<Message>) {
        let model = self.lock();
        (model.snapshot(), self.0.messages.subscribe())
    }

    /// The next symbols after this one, and the last of them. In pieces: a slow reader holds
    /// one piece, not ten thousand symbols. What changes meanwhile is sent besides.
    pub(super) fn symbols_after(&self, symbol: Option<&Symbol>) -> Option<(Message, Symbol)> {
        let model = self.lock();
        let from = symbol.map_or(Bound::Unbounded, Bound::Excluded);
        let piece = model.symbols.range((from, Bound::Unbounded)).take(PIECE);
        let views: Vec<&SymbolView> = piece.clone().map(|(_, view)| view).collect();
        let (last, _) = piece.last()?;
        Some((Message::of("symbols", &views), last.clone()))
    }

    pub(super) fn health(&self) -> HealthSnapshot {
        self.lock().health.clone()
    }

    /// Changes the health, and sends it to the browsers even where nothing changed: they know a service that is silent
    /// from one that is lost by it.
    pub(super) fn update_health(&self, change: impl FnOnce(&mut HealthSnapshot)) {
        let mut model = self.lock();
        change(&mut model.health);
        model.health.attention = model.attention();
        self.update("vitals", || &model.health);
    }

    /// Every plan that is remembered, the oldest first.
    pub(super) fn plans(&self) -> Vec<PlanView> {
        self.lock().plans.iter().cloned().collect()
    }

    /// One of them.
    pub(super) fn find(&self, id: &PlanId) -> Option<PlanView> {
        let model = self.lock();
        let mut plans = model.plans.iter();
        plans.find(|plan| plan.id == id.as_str()).cloned()
    }

    /// Takes in plans from the streams, the newest first, where there is room and nothing newer is known of them.
    pub(super) fn fill(&self, past: Vec<PlanView>) {
        let mut model = self.lock();
        for plan in past {
            let known = model.plans.iter().position(|known| known.id == plan.id);
            match known {
                // It was met again after the start, as a duplicate: what became of it is on the streams.
                Some(place) if model.plans[place].is_only_met() => {
                    model.plans.remove(place);
                }
                Some(_) => continue,
                None if model.plans.len() >= PLANS => break,
                None => {}
            }
            let symbol = plan.symbol.parse::<Symbol>();
            let view = symbol
                .ok()
                .and_then(|symbol| model.symbols.get_mut(&symbol));
            if let (Some(view), Ok(id)) = (view, PlanId::new(&plan.id)) {
                view.remember(&plan, id);
            }
            let place = model.plans.partition_point(|known| known.at <= plan.at);
            model.plans.insert(place, plan);
        }
        self.send(|| model.snapshot());
        let views: Vec<&SymbolView> = model.symbols.values().filter(|v| v.at.is_some()).collect();
        for piece in views.chunks(PIECE) {
            self.update("symbols", || &piece);
        }
    }

    /// Has results counted by [`DashboardState::count_results`] from now on.
    pub(super) fn follow_results(&self) {
        // It may be said again.
        let _ = self.0.counts_stream.set(());
    }

    /// Counts results as the stream has them.
    pub(super) fn count_results<'a>(&self, results: impl Iterator<Item = &'a (u64, Fields)>) {
        let mut model = self.lock();
        let (mut counted, mut answered, mut changed) = (false, false, BTreeSet::new());
        for (millis, fields) in results {
            model.trends.count(*millis, fields);
            model.doubt(fields);
            changed.extend(model.count_no(fields));
            if let Ok(took) = fields.text(field::ORDER_TOOK_US).parse() {
                model.waits.venue.order(*millis, took);
                answered = true;
            }
            counted = true;
        }
        if counted {
            self.update("trends", || &model.trends);
        }
        if answered {
            self.update("waits", || &model.waits);
        }
        let views = changed.iter().filter_map(|name| model.symbols.get(name));
        let views: Vec<&SymbolView> = views.collect();
        for piece in views.chunks(PIECE) {
            self.update("symbols", || &piece);
        }
    }

    /// Whether results are counted as the stream has them, and not as they come.
    fn counts_stream(&self) -> bool {
        self.0.counts_stream.get().is_some()
    }

    /// Has every wait that ends from now on sent to this one, who may lose some where it does not keep up.
    pub(super) fn send_waits_to(&self, to: mpsc::Sender<FinishedWait>) {
        // It is asked for once.
        let _ = self.0.waits.set(to);
    }

    /// Counts waits as their stream has them: those that another process saw.
    pub(super) fn count_waits<'a>(&self, waits: impl Iterator<Item = &'a WaitView>) {
        let mut model = self.lock();
        let mut counted = false;
        for wait in waits {
            model.waits.add(wait);
            counted = true;
        }
        if counted {
            self.update("waits", || &model.waits);
        }
    }

    /// Which plans the reviewers gave their permits for.
    pub(crate) fn answers(&self) -> AllAnswers {
        self.lock().waits.reviewers.answers()
    }

    /// Says why the past cannot be read; `None` where it can.
    pub(super) fn past_is(&self, trouble: Option<String>) {
        self.lock().health.past = trouble;
    }

    pub(super) fn trends(&self) -> String {
        json(&self.lock().trends)
    }

    /// A question to the venue that was answered so long ago, and took so long.
    pub(super) fn venue_answered(&self, age: Duration, took: Duration) {
        self.lock().waits.venue.asked(now(), age, took);
    }

    pub(super) fn symbols(&self) -> String {
        json(&self.lock().symbols.values().collect::<Vec<_>>())
    }

    pub(super) fn waits(&self) -> String {
        json(&self.lock().waits)
    }

    /// Every plan whose order may be on its way, as JSON. A plan that is not among them has yet to look at the
    /// kill switch on this machine, or is over.
    pub(super) fn in_flight(&self) -> String {
        let now = |(in_flight, stamped): &(InFlightOrder, Instant)| InFlightOrder {
            stamped_ago_ms: millis(stamped.elapsed()),
            ..in_flight.clone()
        };
        json(&self.lock().in_flight.values().map(now).collect::<Vec<_>>())
    }

    /// The lights, a line each.
    pub fn parts(&self) -> String {
        let health = self.health();
        health.lights.iter().map(ComponentStatus::line).collect()
    }

    /// Whether Redis is of no use: unreachable, or taking no writes.
    pub(crate) fn is_redis_bad(&self) -> bool {
        let health = self.health();
        let mut lights = health.lights.iter();
        lights.any(|light| light.name == "Redis" && light.state == ComponentState::Bad)
    }

    /// Plans whose order may stand at the venue without anybody knowing.
    pub(super) fn unresolved(&self) -> usize {
        let model = self.lock();
        let ours = model.plans.iter().filter(|plan| !plan.past);
        ours.filter(|plan| plan.is_unresolved()).count()
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        // Every change is whole before anything in it could panic.
        let lock = self.0.model.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends to the subscribers; while the model is locked, so that they hear things in order.
    fn update<'a, T: Serialize + 'a>(&self, event: &'static str, what: impl FnOnce() -> &'a T) {
        self.send(|| Message::of(event, what()));
    }

    fn send(&self, message: impl FnOnce() -> Message) {
        if self.0.messages.receiver_count() > 0 {
            // The last one may have left meanwhile.
            let _ = self.0.messages.send(message());
        }
    }

    fn plan(&self, plan: &Plan, change: impl FnOnce(&mut PlanView)) {
        let mut model = self.lock();
        let view = model.plan_or(&plan.id, |at| PlanView::of(plan, at));
        change(view);
        self.update("plan", || &*view);
    }

    /// A plan that is shown already; others are shown once their result is there.
    fn known_plan(&self, plan: &PlanId, change: impl FnOnce(&mut PlanView)) {
        let mut model = self.lock();
        if let Some(view) = model.plans.iter_mut().find(|view| view.id == plan.as_str()) {
            change(view);
            self.update("plan", || &*view);
        }
    }

    fn plan_of_result(&self, result: &ApplyResult, note: Option<&'static str>) {
        let mut model = self.lock();
        let view = model.plan_or(&result.plan, |at| PlanView::of_result(result, at));
        view.result = Some(ResultView::of(result, now()));
        if let Some(order) = &mut view.order {
            order.priced(&result.steps);
        }
        view.note = note.or(view.note);
        self.update("plan", || &*view);
        if result.is_final && !self.counts_stream() {
            let fields = Fields::of_result(result);
            model.trends.count(now(), &fields);
            self.update("trends", || &model.trends);
            let changed = model.count_no(&fields);
            if let Some(symbol) = changed.and_then(|name| model.symbols.get(&name)) {
                self.update("symbol", || symbol);
            }
        }
    }

    /// It is known what came of the plan's order.
    fn answered(&self, plan: &Plan) {
        if let Some((in_flight, _)) = self.lock().in_flight.get_mut(plan.id.as_str()) {
            in_flight.answered = true;
        }
    }

    fn symbol(&self, symbol: &Symbol, change: impl FnOnce(&mut SymbolView)) {
        let mut model = self.lock();
        if let Some(view) = model.symbols.get_mut(symbol) {
            change(view);
            view.at = Some(now());
            self.update("symbol", || &*view);
        }
    }
}

impl Observer for DashboardState {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::ProposalRefused { error } => self.symbol(error.symbol(), |view| {
                view.refused = Some(cut(&error.to_string()).into());
            }),
            Event::PlanPublished { plan } | Event::Duplicate { plan } => {
                self.symbol(plan.symbol(), |view| {
                    view.proposal = Some(ProposalView::of(plan));
                    view.plan = Some(Shown(plan.id.clone()));
                    view.refused = None;
                });
                self.plan(plan, |view| {
                    // One that was dealt with here is shown by its own events.
                    if matches!(event, Event::Duplicate { .. }) && view.result.is_none() {
                        view.decision = Decision::Skip.to_string();
                        view.reasons = vec![Reason::DuplicatePlan.to_string()];
                    }
                });
            }
            Event::WaitStarted {
                plan,
                max_wait,
                permits,
            } => self.plan(plan, |view| {
                view.wait = Some(WaitView::begun(now(), *max_wait, permits));
            }),
            Event::PermitFound {
                plan,
                name,
                label,
                after,
                by,
            } => self.plan(plan, |view| {
                if let Some(wait) = &mut view.wait {
                    wait.found((name, label), *after, *by);
                }
            }),
            Event::Granted {
                plan,
                waited,
                most,
                terms,
            } => {
                self.end_wait(plan, |wait| {
                    wait.granted(WaitEnd::granted(*waited, *most), terms);
                });
            }
            Event::InFlight { plan } => {
                let in_flight = InFlightOrder {
                    plan: plan.id.to_string(),
                    symbol: plan.symbol().to_string(),
                    answered: false,
                    stamped_ago_ms: 0,
                };
                let stamped = (in_flight, Instant::now());
                self.lock().in_flight.insert(plan.id.to_string(), stamped);
            }
            Event::Blocked {
                plan,
                block,
                reason,
                said,
            } => {
                self.end_wait(plan, |wait| {
                    wait.blocked(block, WaitEnd::blocked(block, reason, *said));
                });
            }
            Event::Submitted {
                plan,
                step,
                sizing,
                submission,
                took,
            } => {
                if !matches!(submission, Submission::Unknown { .. }) {
                    self.answered(plan);
                }
                if submission.is_answered() && !self.counts_stream() {
                    self.lock().waits.venue.order(now(), micros(*took));
                }
                self.plan(plan, |view| {
                    let sent = (*submission, *sizing);
                    view.order = Some(OrderView::submitted(step, sent, *took, now()));
                });
            }
            Event::Settled {
                plan, settlement, ..
            } => self.known_plan(plan, |view| {
                let step = view.step.clone().unwrap_or_default();
                let took = view.order.as_ref().and_then(|order| order.took);
                let mut order = OrderView::settled(&step, settlement, now());
                order.took = took;
                view.order = Some(order);
            }),
            Event::StopReplaced { plan, replacement } => {
                self.answered(plan);
                self.plan(plan, |view| {
                    let step = view.step.clone().unwrap_or_default();
                    view.order = Some(OrderView::stop(&step, replacement, now()));
                });
            }
            Event::StopSettled {
                plan, replacement, ..
            } => self.known_plan(plan, |view| {
                let step = view.step.clone().unwrap_or_default();
                view.order = Some(OrderView::stop(&step, replacement, now()));
            }),
            Event::KnownBefore { plan, .. } => self.plan(plan, |view| {
                view.note = Some("handled before; the store had lost its claim");
            }),
            Event::Recovered { from, result } => {
                let note = match from {
                    Abandoned::Claimed => "recovered: its process had claimed it",
                    Abandoned::Intending => "recovered: its process was about to place an order",
                    Abandoned::Concluded => "recovered: its result was perhaps not published",
                    Abandoned::Lost => "published again; the store had lost its result",
                    Abandoned::Owed => "settled after the store had forgotten its claim",
                };
                self.plan_of_result(result, Some(note));
            }
            // Nothing of it can leave any more.
            Event::Owed { plan, .. } | Event::PublishedByAnother { plan, .. } => {
                self.lock().in_flight.remove(plan.as_str());
            }
            Event::ResultPublished { result } => {
                self.plan_of_result(result, None);
                self.lock().in_flight.remove(result.plan.as_str());
            }
            // The page shows them once a plan comes of the proposal, or a result of the plan.
            Event::ProposalFound { .. }
            | Event::NoRoom { .. }
            | Event::TooYoung { .. }
            | Event::Corrected { .. }
            | Event::Contradicted { .. }
            | Event::StoreTrouble { .. }
            | Event::StepStarted { .. }
            | Event::Limited { .. }
            | Event::StopsAccounted { .. }
            | Event::AnswerIncomplete { .. }
            | Event::PortFailed { .. } => {}
        }
    }
}

impl DashboardState {
    fn end_wait(&self, plan: &Plan, end: impl FnOnce(&mut WaitView)) {
        let mut over = None;
        self.plan(plan, |view| {
            if let Some(wait) = &mut view.wait {
                end(wait);
                over = Some(wait.clone());
            }
        });
        let Some(wait) = over else {
            return;
        };
        let mut model = self.lock();
        model.waits.add(&wait);
        self.update("waits", || &model.waits);
        drop(model);
        if let Some(keeper) = self.0.waits.get() {
            let plan = plan.id.clone();
            // One that does not keep up loses it; what is counted here stays.
            let _ = keeper.try_send(FinishedWait { plan, wait });
        }
    }
}

impl Model {
    /// The plan of this id, made where it is new; the oldest that is over makes room for it.
    fn plan_or(&mut self, id: &PlanId, new: impl FnOnce(u64) -> PlanView) -> &mut PlanView {
        let known = self.plans.iter().rposition(|p| p.id == id.as_str());
        let index = known.unwrap_or_else(|| {
            if self.plans.len() >= PLANS {
                let quiet = |plan: &PlanView| plan.is_over() && !plan.is_unresolved();
                let over = self.plans.iter().position(quiet);
                let over = over.or_else(|| self.plans.iter().position(PlanView::is_over));
                self.plans.remove(over.unwrap_or(0));
            }
            self.plans.push_back(new(now()));
            self.plans.len() - 1
        });
        &mut self.plans[index]
    }

    /// Takes in whether the order of a plan with this result is in doubt; a result that was corrected may end that.
    fn doubt(&mut self, result: &Fields) {
        let plan = result.text(field::PLAN_ID);
        self.in_doubt.retain(|known| known.plan != plan);
        if outcome_of(result) != Outcome::Unresolved || PlanId::new(&plan).is_err() {
            return;
        }
        let symbol = cut(&result.text(field::SYMBOL));
        self.in_doubt.push_back(InDoubt { plan, symbol });
        if self.in_doubt.len() > IN_DOUBT {
            self.in_doubt.pop_front();
        }
    }

    /// Counts a result of a plan that was to be executed, with its symbol; `None` where it is of no such plan, or changes
    /// nothing.
    fn count_no(&mut self, result: &Fields) -> Option<Symbol> {
        if !result.was_claimed() {
            return None;
        }
        let symbol = result.text(field::SYMBOL).parse().ok()?;
        let view = self.symbols.get_mut(&symbol)?;
        let noes = match outcome_of(result) {
            Outcome::Executed | Outcome::WouldExecute => 0,
            _ => view.noes.saturating_add(1),
        };
        (std::mem::replace(&mut view.noes, noes) != noes).then_some(symbol)
    }

    /// Every plan whose order may stand at the venue, the oldest first.
    fn all_in_doubt(&self) -> Vec<InDoubt> {
        let mut all: Vec<InDoubt> = self.in_doubt.iter().cloned().collect();
        for plan in self.plans.iter().filter(|plan| plan.is_unresolved()) {
            if all.iter().all(|known| known.plan != plan.id) {
                let (plan, symbol) = (plan.id.clone(), plan.symbol.clone());
                all.push(InDoubt { plan, symbol });
            }
        }
        all
    }

    /// What an operator has to look at, the most urgent first.
    fn attention(&self) -> Vec<Attention> {
        let mut all = Vec::new();
        let health = &self.health;
        let in_doubt = self.all_in_doubt();
        for InDoubt { plan, symbol } in in_doubt.iter().rev().take(NAMED) {
            all.push(Attention {
                kind: "in_doubt",
                what: format!("{symbol}: an order may stand at the venue"),
                next: "look for it there; the plan says what is known of it".into(),
                plan: Some(plan.clone()),
            });
        }
        if let Some(more @ 1..) = in_doubt.len().checked_sub(NAMED) {
            all.push(Attention {
                kind: "in_doubt",
                what: match more {
                    1 => "1 more order may stand at the venue".to_owned(),
                    more => format!("{more} more orders may stand at the venue"),
                },
                next: "choose the outcome unresolved among the plans".into(),
                plan: None,
            });
        }
        if let TradingState::Stuck(why) = &health.flow {
            all.push(Attention {
                kind: "stuck",
                what: format!("orders cannot flow: {why}"),
                next: "apply-layer check names what is wrong and how to fix it".into(),
                plan: None,
            });
        }
        for reviewer in self.waits.reviewers.silent().take(NAMED) {
            all.push(Attention {
                kind: "reviewer_silent",
                what: format!(
                    "{} did not answer the last {} plans",
                    reviewer.label,
                    reviewer.answers.unanswered()
                ),
                next: "see whether it runs and reads the stream of plans: apply-layer permits show"
                    .into(),
                plan: None,
            });
        }
        let stops = health.lights.iter().find(|light| light.name == "Stops");
        if let Some(stops) = stops
            .filter(|light| light.state == ComponentState::Fair && light.text.contains("without"))
        {
            all.push(Attention {
                kind: "stop_without_position",
                what: format!("stops: {}", stops.text.trim_end_matches(CANCEL_THEM)),
                next: "cancel them at the venue".into(),
                plan: None,
            });
        }
        let refused = self.symbols.values().filter(|symbol| symbol.noes >= OFTEN);
        let (mut named, mut count) = (Vec::new(), 0_usize);
        for symbol in refused {
            count += 1;
            if named.len() < NAMED {
                named.push(format!("{} ({} plans)", symbol.symbol.0, symbol.noes));
            }
        }
        if count > 0 {
            let more = match count - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            all.push(Attention {
                kind: "refused_often",
                what: format!("nothing was executed for {}{more}", named.join(", ")),
                next: "open their last plans: each says why".into(),
                plan: None,
            });
        }
        all
    }

    fn snapshot(&self) -> Message {
        #[derive(Serialize)]
        struct Snapshot<'a> {
            keep: usize,
            // The name in the stream of events, which pages of other versions read.
            #[serde(rename = "vitals")]
            health: &'a HealthSnapshot,
            plans: &'a VecDeque<PlanView>,
            waits: &'a Waits,
            trends: &'a Trends,
        }
        Message::of(
            "snapshot",
            &Snapshot {
                keep: PLANS,
                health: &self.health,
                plans: &self.plans,
                waits: &self.waits,
                trends: &self.trends,
            },
        )
    }
}

impl Waits {
    fn empty() -> Self {
        let bounds = BUCKETS.into_iter().map(Some).chain([None]);
        let bucket = |up_to| Bucket {
            up_to,
            granted: 0,
            blocked: 0,
        };
        Self {
            buckets: bounds.map(bucket).collect(),
            ..Self::default()
        }
    }

    /// Takes in a wait that is over.
    fn add(&mut self, wait: &WaitView) {
        if let Some(end) = &wait.end {
            self.count(end.waited, end.granted);
            self.reviewers.count(wait);
        }
    }

    fn count(&mut self, waited: u64, granted: bool) {
        let fits = |bucket: &&mut Bucket| bucket.up_to.is_none_or(|bound| waited <= bound);
        if let Some(bucket) = self.buckets.iter_mut().find(fits) {
            match granted {
                true => bucket.granted += 1,
                false => bucket.blocked += 1,
            }
        }
    }
}

/// Text, numbers and lists only: nothing in the views can fail to become JSON.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use apply_core::{GateSettings, Halt, Proposal, StepResult};

    fn plan(number: usize) -> Plan {
        let at = number.to_string();
        let fields = [
            ("harvest_action", "PARTIAL_75"),
            ("kill_score", "0.1"),
            ("computed_at_utc", &at),
        ];
        let raw = fields
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into_iter()
            .collect();
        let symbol: Symbol = "BTCUSDT".parse().unwrap();
        let gates = GateSettings {
            allowlist: [symbol.clone()].into(),
            critical: 0.8,
            warning: 0.6,
            close: None,
            stops: true,
        };
        Plan::decide(Proposal::parse(&symbol, &raw).unwrap(), &gates, &Halt::Off)
    }

    fn live() -> DashboardState {
        DashboardState::new(&["BTCUSDT".parse().unwrap()], HealthSnapshot::default())
    }

    fn finish(live: &DashboardState, plan: &Plan) {
        let result = ApplyResult::not_executed(plan, plan.decision, Some("why".into()), 0);
        live.observe(&Event::ResultPublished { result: &result });
    }

    #[test]
    fn however_many_plans_there_were_the_model_keeps_its_size_and_the_ones_under_way() {
        let live = live();
        let under_way = plan(0);
        live.observe(&Event::PlanPublished { plan: &under_way });
        for number in 1..=3 * PLANS {
            let plan = plan(number);
            live.observe(&Event::PlanPublished { plan: &plan });
            finish(&live, &plan);
        }
        let plans: Vec<serde_json::Value> = serde_json::from_str(&json(&live.plans())).unwrap();
        assert_eq!(plans.len(), PLANS);
        assert_eq!(plans[0]["id"], under_way.id.as_str());
        assert_eq!(
            plans[PLANS - 1]["id"],
            plan(3 * PLANS).id.as_str(),
            "the newest is last"
        );
    }

    #[test]
    fn a_subscriber_gets_the_whole_first_and_every_change_after_it() {
        let live = live();
        let first = plan(1);
        live.observe(&Event::PlanPublished { plan: &first });
        let (snapshot, mut messages) = live.subscribe();
        let snapshot = text(&snapshot);
        assert!(
            snapshot.starts_with("event: snapshot\ndata: {"),
            "{snapshot}"
        );
        assert!(snapshot.contains(first.id.as_str()) && snapshot.ends_with("}\n\n"));
        finish(&live, &first);
        let next = messages.try_recv().unwrap();
        let next = text(&next);
        assert!(next.starts_with("event: plan\n"), "{next}");
        assert!(next.contains(r#""error":"why""#), "{next}");
        assert!(messages.try_recv().is_err(), "one change, one message");
    }

    fn text(message: &Message) -> &str {
        std::str::from_utf8(&message.0).unwrap()
    }

    #[test]
    fn every_symbol_is_in_one_of_the_pieces() {
        let names = (0..2 * PIECE + 1).map(|n| format!("S{n}USDT").parse().unwrap());
        let names: Vec<Symbol> = names.collect();
        let live = DashboardState::new(&names, HealthSnapshot::default());
        let (mut seen, mut last) = (0, None);
        while let Some((piece, to)) = live.symbols_after(last.as_ref()) {
            seen += text(&piece).matches(r#""symbol":"#).count();
            last = Some(to);
        }
        assert_eq!(seen, names.len());
    }

    #[test]
    fn a_subscriber_that_does_not_listen_loses_its_place_and_nobody_waits_for_it() {
        let live = live();
        let (_, mut messages) = live.subscribe();
        for number in 0..=LAG {
            live.observe(&Event::PlanPublished {
                plan: &plan(number),
            });
        }
        assert!(matches!(
            messages.try_recv(),
            Err(broadcast::error::TryRecvError::Lagged(_))
        ));
    }

    #[test]
    fn words_from_outside_are_cut_before_they_are_kept() {
        let live = live();
        let plan = plan(1);
        let long = "é".repeat(100_000);
        let result = ApplyResult::not_executed(&plan, plan.decision, Some((&*long).into()), 0);
        live.observe(&Event::ResultPublished { result: &result });
        let plans = json(&live.plans());
        assert!(plans.len() < 2_000, "{plans}");
    }

    #[test]
    fn results_on_the_stream_show_what_is_refused_in_doubt_and_how_long_orders_took() {
        let live = live();
        live.follow_results();
        let result = |number: usize, error: Option<&str>, steps: usize| {
            let plan = plan(number);
            let step = StepResult::without_order("CLOSE_PARTIAL_75", "error", "why");
            let result = ApplyResult {
                executed: error.is_none(),
                steps: vec![step; steps],
                order_took_us: Some(7_000),
                ..ApplyResult::not_executed(&plan, plan.decision, error.map(Into::into), 0)
            };
            // What this process sees itself is on the stream as well, and counts once.
            live.observe(&Event::ResultPublished { result: &result });
            (number as u64, Fields::of_result(&result))
        };
        let count = |results: &[(u64, Fields)]| live.count_results(results.iter());
        let symbol: Symbol = "BTCUSDT".parse().unwrap();
        let noes = || live.lock().symbols[&symbol].noes;
        count(&[
            result(1, Some("order_unresolved"), 1),
            // Declined, not refused: it was never to be executed.
            result(2, Some("not_in_allowlist"), 0),
            result(3, Some("p33_permit_denied"), 1),
        ]);
        assert_eq!(noes(), 2);
        assert_eq!(live.lock().all_in_doubt().len(), 1);
        let waits: serde_json::Value = serde_json::from_str(&live.waits()).unwrap();
        assert_eq!(waits["venue"]["orders"]["count"], 3);
        for number in 4..3 * PLANS {
            count(&[result(number, Some("p33_permit_denied"), 1)]);
        }
        assert_eq!(live.lock().all_in_doubt()[0].plan, plan(1).id.as_str());
        count(&[result(1, None, 1)]);
        assert_eq!(noes(), 0);
        assert_eq!(live.lock().all_in_doubt(), []);
    }

    #[test]
    fn stops_without_a_position_are_shown_once_with_the_next_move() {
        let live = live();
        live.update_health(|health| {
            health.lights = vec![ComponentStatus {
                name: "Stops",
                state: ComponentState::Fair,
                text: format!(
                    "none guards a position; without a position: 7 of SOLUSDT{CANCEL_THEM}"
                ),
            }];
        });
        let attention = live.health().attention;
        assert_eq!(attention[0].kind, "stop_without_position");
        assert!(attention[0].what.ends_with("7 of SOLUSDT"), "{attention:?}");
        assert_eq!(attention[0].next, "cancel them at the venue");
    }

    #[test]
    fn a_wait_is_counted_in_the_first_bucket_that_holds_it() {
        let mut waits = Waits::empty();
        for (waited, granted) in [(0, true), (10, true), (11, false), (60_000, false)] {
            waits.count(waited, granted);
        }
        let counts: Vec<(u64, u64)> = waits
            .buckets
            .iter()
            .map(|b| (b.granted, b.blocked))
            .collect();
        assert_eq!(counts[..2], [(2, 0), (0, 1)]);
        assert_eq!(counts[BUCKETS.len()], (0, 1));
    }
}
