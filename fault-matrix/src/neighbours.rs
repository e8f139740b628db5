//! The neighbours of the end-to-end tests that misbehave as the real ones do, on the stage of a case.

use super::{
    environment::{Environment, PATIENCE},
    fake_services::Seen,
    scenarios::Done,
};
use apply_tests::{
    DisarmingGovernor, Entry, Habits, RESULTS, RebookingBrain, SecondExecutor, disarm_of_today,
    reconcile,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Those that live in a case.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    brain: Option<RebookingBrain>,
    governor: Option<DisarmingGovernor>,
    executor: Option<SecondExecutor>,
}

/// A third of the real one's times. Permits come from the case's own reviewers.
const HABITS: Habits = Habits {
    poll: Duration::from_millis(1500),
    cooldown: Duration::ZERO,
    reviews: false,
};

/// How many of the newest results the brain looks at.
const SIGHT: &str = "10";

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A position brain that books the newest executed result of each symbol at each of its polls.
pub(crate) fn rebooking_brain(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let symbols: Vec<&str> = symbols(environment).collect();
        let brain = RebookingBrain::start(&environment.stage, &symbols, HABITS).await;
        environment.neighbours.brain = Some(brain);
    })
}

/// Until it has booked something.
pub(crate) fn something_is_booked(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let mut looks = Looks::begin();
        while !symbols(environment).any(|symbol| bookings(environment, symbol) > 0) {
            if !looks.again().await {
                return environment.wrong("no result was ever booked");
            }
        }
    })
}

/// Until every executed result is booked and none is within the brain's sight. Where nothing died and the machine kept
/// up, the brain has booked each once, and its ledger is the venue's position.
pub(crate) fn out_of_sight(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let mut looks = Looks::begin();
        // A process that died may have kept another plan's order from leaving: that has nothing to book.
        let executed = executed_symbols(environment).await;
        while is_in_sight(environment).await
            || executed
                .iter()
                .any(|symbol| bookings(environment, symbol) == 0)
        {
            if !looks.again().await {
                return environment.wrong("a booked result stays within the brain's sight");
            }
        }
        environment.reach("booked results are out of sight");
        if environment.history.killed || !environment.kept_up() {
            return;
        }
        for symbol in &executed {
            let times = bookings(environment, symbol);
            let ledger = format!("quantum:position:ledger:{symbol}");
            let field = ["HGET", &ledger, "last_known_amt"];
            let amount: String = environment.fake_services.ask(&field).await;
            let held = environment.stage.venue().position(symbol).normalize();
            if times != 1 || amount != held.to_string() {
                environment.wrong(format!(
                    "{symbol}: one result was booked {times} times, the ledger says {amount}, the venue {held}"
                ));
            }
        }
    })
}

/// The symbols of which a result says that an order was executed.
async fn executed_symbols(environment: &Environment) -> BTreeSet<String> {
    let range = ["XRANGE", RESULTS, "-", "+"];
    let results = Entry::of_range(environment.fake_services.ask(&range).await);
    let executed = results
        .iter()
        .filter(|result| result.get("executed") == "True");
    executed
        .map(|result| result.get("symbol").to_owned())
        .collect()
}

/// Whether an executed result is among those that the brain looks at.
async fn is_in_sight(environment: &Environment) -> bool {
    let range = ["XREVRANGE", RESULTS, "+", "-", "COUNT", SIGHT];
    let newest = Entry::of_range(environment.fake_services.ask(&range).await);
    let mut newest = newest.iter();
    newest.any(|result| result.get("executed") == "True")
}

/// The symbols that the case has plans of.
fn symbols(environment: &Environment) -> impl Iterator<Item = &'static str> {
    environment.held.keys().copied()
}

fn bookings(environment: &Environment, symbol: &str) -> usize {
    let brain = environment.neighbours.brain.as_ref();
    brain.map_or(0, |brain| brain.bookings(symbol))
}

/// A governor that approves nothing and disarms at the first plan it reads.
pub(crate) fn disarming_governor(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let governor = DisarmingGovernor::start(&environment.stage, 0).await;
        environment.neighbours.governor = Some(governor);
    })
}

/// Until it has disarmed.
pub(crate) fn disarmed(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        if !there(environment, &disarm_of_today()).await {
            environment.wrong("the governor never disarmed");
        }
    })
}

/// The governor is gone, and its key ends once the service has marked it.
pub(crate) fn disarm_ends(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        environment.neighbours.governor = None;
        if !there(environment, apply_wire::key::DISARMED).await {
            return environment.wrong("the service never marked the disarm");
        }
        let _: i64 = environment
            .fake_services
            .ask(&["DEL", &disarm_of_today()])
            .await;
    })
}

/// Another executor, which answers each plan among the results.
pub(crate) fn second_executor(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let executor = SecondExecutor::start(&environment.stage).await;
        environment.neighbours.executor = Some(executor);
    })
}

/// Until it has answered every claimed plan; it would have placed an order for none.
pub(crate) fn only_answered(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let answered = |seen: &Seen| {
            let of = |plan: &String| seen.others.iter().any(|e| e.get("plan_id") == *plan);
            seen.claimed().all(of)
        };
        match environment.fake_services.until(PATIENCE, answered).await {
            true => environment.reach("answered by another executor"),
            false => environment.wrong("the other executor never answered a plan"),
        }
        let executor = environment.neighbours.executor.as_ref();
        let placed = executor.map(SecondExecutor::would_place);
        if let Some(plan) = placed.unwrap_or_default().first() {
            environment.wrong(format!(
                "the other executor would place an order for {plan}"
            ));
        }
    })
}

/// A reconcile engine asks for a close of each symbol, without a plan.
pub(crate) fn reconcile_asks(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        for symbol in symbols(environment).collect::<Vec<_>>() {
            reconcile(&environment.stage, symbol).await;
        }
    })
}

/// Until a key is there; no where it does not come in time.
async fn there(environment: &Environment, key: &str) -> bool {
    let mut looks = Looks::begin();
    while environment.fake_services.ask::<i64>(&["EXISTS", key]).await == 0 {
        if !looks.again().await {
            return false;
        }
    }
    true
}

/// Polls what cannot be subscribed to.
struct Looks(Instant);

impl Looks {
    fn begin() -> Self {
        Self(Instant::now() + PATIENCE)
    }

    /// Waits a moment; no where it was waited for long enough.
    async fn again(&mut self) -> bool {
        sleep(LOOK).await;
        Instant::now() < self.0
    }
}
