//! The live model behind the page: what the observer hears, kept within bounds and passed on.

use super::view::{
    Leaving, OrderView, PlanView, ProposalView, ResultView, Shown, SymbolView, WaitEnd, WaitView,
    cut, millis, now,
};
use super::vitals::{Light, Vitals};
use apply_core::{
    ApplyResult, Decision, Event, Observer, Plan, Submission, Symbol, event::Abandoned,
};
use apply_wire::Reason;
use bytes::Bytes;
use permit_gate::PlanId;
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::broadcast;

/// Plans that are remembered. What is left over goes, those first that are over.
const PLANS: usize = 100;

/// Symbols that are sent to a browser at a time.
const PIECE: usize = 500;

/// Messages that a subscriber may lag behind before it is dropped and has to come again.
const LAG: usize = 256;

/// Upper bounds of the histogram of waits, in milliseconds; one more bucket holds the rest.
const BUCKETS: [u64; 9] = [10, 25, 50, 100, 200, 400, 800, 1200, 5000];

/// What the page shows. Clones share it.
#[derive(Debug, Clone)]
pub struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    model: Mutex<Model>,
    news: broadcast::Sender<Message>,
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
    vitals: Vitals,
    symbols: BTreeMap<Symbol, SymbolView>,
    /// The oldest first.
    plans: VecDeque<PlanView>,
    waits: Waits,
    /// Plans whose order has its timestamp and which have no result, by their ids, and since when: as many as
    /// may be under way at most. Apart from the plans that are shown, of which the oldest may go while it is
    /// under way.
    leaving: BTreeMap<String, (Leaving, Instant)>,
}

/// How long waits took, by how they ended. Counted since the process began.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Waits {
    buckets: Vec<Bucket>,
}

#[derive(Debug, Clone, Serialize)]
struct Bucket {
    /// Milliseconds; none for the last one.
    up_to: Option<u64>,
    granted: u64,
    blocked: u64,
}

impl Live {
    /// A model of these symbols, of which nothing is known yet.
    pub fn new(symbols: &[Symbol], vitals: Vitals) -> Self {
        let view = |symbol: &Symbol| (symbol.clone(), SymbolView::unknown(symbol));
        let model = Model {
            vitals,
            symbols: symbols.iter().map(view).collect(),
            plans: VecDeque::with_capacity(PLANS + 1),
            waits: Waits::empty(),
            leaving: BTreeMap::new(),
        };
        Self(Arc::new(Shared {
            model: Mutex::new(model),
            news: broadcast::Sender::new(LAG),
        }))
    }

    /// All there is now but the symbols, and everything that comes after it: nothing falls between the two.
    pub(super) fn subscribe(&self) -> (Message, broadcast::Receiver<Message>) {
        let model = self.lock();
        (model.snapshot(), self.0.news.subscribe())
    }

    /// The next symbols after this one, and the last of them. In pieces: whoever takes them slowly holds
    /// one piece, not ten thousand symbols. What changes meanwhile is told besides.
    pub(super) fn symbols_after(&self, symbol: Option<&Symbol>) -> Option<(Message, Symbol)> {
        let model = self.lock();
        let from = symbol.map_or(Bound::Unbounded, Bound::Excluded);
        let piece = model.symbols.range((from, Bound::Unbounded)).take(PIECE);
        let views: Vec<&SymbolView> = piece.clone().map(|(_, view)| view).collect();
        let (last, _) = piece.last()?;
        Some((Message::of("symbols", &views), last.clone()))
    }

    pub(super) fn vitals(&self) -> Vitals {
        self.lock().vitals.clone()
    }

    /// Changes the vitals, and tells the browsers even where nothing changed: they know a service that is silent
    /// from one that is lost by it.
    pub(super) fn update_vitals(&self, change: impl FnOnce(&mut Vitals)) {
        let mut model = self.lock();
        change(&mut model.vitals);
        self.tell("vitals", || &model.vitals);
    }

    /// Every plan that is remembered, the oldest first, as JSON.
    pub(super) fn plans(&self) -> String {
        json(&self.lock().plans)
    }

    pub(super) fn symbols(&self) -> String {
        json(&self.lock().symbols.values().collect::<Vec<_>>())
    }

    pub(super) fn waits(&self) -> String {
        json(&self.lock().waits)
    }

    /// Every plan whose order may be on its way, as JSON. A plan that is not among them has yet to look at the
    /// kill switch on this machine, or is over.
    pub(super) fn leaving(&self) -> String {
        let now = |(leaving, stamped): &(Leaving, Instant)| Leaving {
            stamped_ago_ms: millis(stamped.elapsed()),
            ..leaving.clone()
        };
        json(&self.lock().leaving.values().map(now).collect::<Vec<_>>())
    }

    /// The lights, a line each.
    pub fn parts(&self) -> String {
        let vitals = self.vitals();
        vitals.lights.iter().map(Light::line).collect()
    }

    /// Plans whose order may stand at the venue without anybody knowing.
    pub(super) fn unresolved(&self) -> usize {
        let model = self.lock();
        model.plans.iter().filter(|p| p.is_unresolved()).count()
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        // Every change is whole before anything in it could panic.
        let lock = self.0.model.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the subscribers; while the model is locked, so that they hear things in order.
    fn tell<'a, T: Serialize + 'a>(&self, event: &'static str, what: impl FnOnce() -> &'a T) {
        if self.0.news.receiver_count() == 0 {
            return;
        }
        // The last one may have left meanwhile.
        let _ = self.0.news.send(Message::of(event, what()));
    }

    fn plan(&self, plan: &Plan, change: impl FnOnce(&mut PlanView)) {
        let mut model = self.lock();
        let view = model.plan_or(&plan.id, |at| PlanView::of(plan, at));
        change(view);
        self.tell("plan", || &*view);
    }

    /// A plan that is shown already; others are shown once their result is there.
    fn known_plan(&self, plan: &PlanId, change: impl FnOnce(&mut PlanView)) {
        let mut model = self.lock();
        if let Some(view) = model.plans.iter_mut().find(|view| view.id == plan.as_str()) {
            change(view);
            self.tell("plan", || &*view);
        }
    }

    fn plan_of_result(&self, result: &ApplyResult, note: Option<&'static str>) {
        let mut model = self.lock();
        let view = model.plan_or(&result.plan, |at| PlanView::of_result(result, at));
        view.result = Some(ResultView::of(result, now()));
        view.note = note.or(view.note);
        self.tell("plan", || &*view);
    }

    /// It is known what came of the plan's order.
    fn answered(&self, plan: &Plan) {
        if let Some((leaving, _)) = self.lock().leaving.get_mut(plan.id.as_str()) {
            leaving.answered = true;
        }
    }

    fn wait(&self, waited: Duration, granted: bool) {
        let mut model = self.lock();
        model.waits.count(millis(waited), granted);
        self.tell("waits", || &model.waits);
    }

    fn symbol(&self, symbol: &Symbol, change: impl FnOnce(&mut SymbolView)) {
        let mut model = self.lock();
        if let Some(view) = model.symbols.get_mut(symbol) {
            change(view);
            view.at = Some(now());
            self.tell("symbol", || &*view);
        }
    }
}

impl Observer for Live {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::ProposalRefused { error } => self.symbol(error.symbol(), |view| {
                view.refused = Some(cut(&error.to_string()).into());
            }),
            Event::PlanPublished { plan } | Event::Duplicate { plan } => {
                self.symbol(plan.symbol(), |view| {
                    view.proposal = Some(Box::new(ProposalView::of(plan)));
                    view.plan = Some(Shown(plan.id.clone()));
                    view.refused = None;
                });
                self.plan(plan, |view| {
                    // One that was dealt with here is told by its own life.
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
                label,
                after,
                by,
                ..
            } => self.plan(plan, |view| {
                if let Some(wait) = &mut view.wait {
                    wait.found(label, *after, *by);
                }
            }),
            Event::Granted { plan, waited, most } => {
                self.end_wait(plan, WaitEnd::granted(*waited, *most));
                self.wait(*waited, true);
            }
            Event::Leaving { plan } => {
                let leaving = Leaving {
                    plan: plan.id.to_string(),
                    symbol: plan.symbol().to_string(),
                    answered: false,
                    stamped_ago_ms: 0,
                };
                let stamped = (leaving, Instant::now());
                self.lock().leaving.insert(plan.id.to_string(), stamped);
            }
            Event::Blocked {
                plan,
                block,
                reason,
                said,
            } => {
                self.end_wait(plan, WaitEnd::blocked(block, reason, *said));
                self.wait(block.waited(), false);
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
                view.note = Some("dealt with before; the store had lost its claim");
            }),
            Event::Recovered { from, result } => {
                let note = match from {
                    Abandoned::Claimed => "recovered: its process had claimed it",
                    Abandoned::Intending => "recovered: its process was about to place an order",
                    Abandoned::Concluded => "recovered: its result was perhaps not published",
                    Abandoned::Owed => "settled after the store had forgotten its claim",
                };
                self.plan_of_result(result, Some(note));
            }
            // Nothing of it can leave any more.
            Event::Owed { plan, .. } | Event::ToldByAnother { plan, .. } => {
                self.lock().leaving.remove(plan.as_str());
            }
            Event::ResultPublished { result } => {
                self.plan_of_result(result, None);
                self.lock().leaving.remove(result.plan.as_str());
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

impl Live {
    fn end_wait(&self, plan: &Plan, end: WaitEnd) {
        self.plan(plan, |view| {
            if let Some(wait) = &mut view.wait {
                wait.end = Some(end);
            }
        });
    }
}

impl Model {
    /// The plan of this id, made where it is new; the oldest that is over makes room for it.
    fn plan_or(&mut self, id: &PlanId, new: impl FnOnce(u64) -> PlanView) -> &mut PlanView {
        let known = self.plans.iter().rposition(|p| p.id == id.as_str());
        let index = known.unwrap_or_else(|| {
            if self.plans.len() >= PLANS {
                let over = self.plans.iter().position(PlanView::is_over);
                self.plans.remove(over.unwrap_or(0));
            }
            self.plans.push_back(new(now()));
            self.plans.len() - 1
        });
        &mut self.plans[index]
    }

    fn snapshot(&self) -> Message {
        #[derive(Serialize)]
        struct Snapshot<'a> {
            keep: usize,
            vitals: &'a Vitals,
            plans: &'a VecDeque<PlanView>,
            waits: &'a Waits,
        }
        Message::of(
            "snapshot",
            &Snapshot {
                keep: PLANS,
                vitals: &self.vitals,
                plans: &self.plans,
                waits: &self.waits,
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
    use apply_core::{GateSettings, Halt, Proposal};

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

    fn live() -> Live {
        Live::new(&["BTCUSDT".parse().unwrap()], Vitals::default())
    }

    fn finish(live: &Live, plan: &Plan) {
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
        let plans: Vec<serde_json::Value> = serde_json::from_str(&live.plans()).unwrap();
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
        let (snapshot, mut news) = live.subscribe();
        let snapshot = text(&snapshot);
        assert!(
            snapshot.starts_with("event: snapshot\ndata: {"),
            "{snapshot}"
        );
        assert!(snapshot.contains(first.id.as_str()) && snapshot.ends_with("}\n\n"));
        finish(&live, &first);
        let next = news.try_recv().unwrap();
        let next = text(&next);
        assert!(next.starts_with("event: plan\n"), "{next}");
        assert!(next.contains(r#""error":"why""#), "{next}");
        assert!(news.try_recv().is_err(), "one change, one message");
    }

    fn text(message: &Message) -> &str {
        std::str::from_utf8(&message.0).unwrap()
    }

    #[test]
    fn every_symbol_is_in_one_of_the_pieces() {
        let names = (0..2 * PIECE + 1).map(|n| format!("S{n}USDT").parse().unwrap());
        let names: Vec<Symbol> = names.collect();
        let live = Live::new(&names, Vitals::default());
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
        let (_, mut news) = live.subscribe();
        for number in 0..=LAG {
            live.observe(&Event::PlanPublished {
                plan: &plan(number),
            });
        }
        assert!(matches!(
            news.try_recv(),
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
        assert!(live.plans().len() < 2_000, "{}", live.plans().len());
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
