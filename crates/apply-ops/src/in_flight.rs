//! Which orders had passed the switch on this machine when it was turned, and until when they may land. Asked
//! of the running service once the switch is on, so that nothing that is asked here holds it up.
//!
//! An order gets its timestamp first and looks at the switch afterwards. So an order that had not yet got its
//! timestamp when the file was laid does not leave, and one that had may land until its receive window is over.

use crate::ask::{get, reachable};
use apply_core::times::{LANDING, millis};
use apply_journal::JournalReader;
use apply_service::dashboard::{IN_FLIGHT, InFlightOrder};
use serde_json::json;
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// How long is looked, at most: by then no order that had its timestamp before can land any more.
const LOOKING: Duration = Duration::from_secs(3);

const _: () = assert!(LOOKING.as_millis() > LANDING.as_millis());

/// How much longer the journal may take, for all of them.
const READING: Duration = Duration::from_secs(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// The orders that had their timestamp when the switch was turned.
#[derive(Default)]
pub(crate) struct InFlight {
    /// Whether the service was there to say it.
    known: bool,
    plans: Vec<Ended>,
    /// How long an order of the service may still be executed.
    lands_for: Duration,
}

/// A plan with such an order.
struct Ended {
    plan: String,
    symbol: String,
    /// How it ended, in a word or two; `None` while that is not known.
    end: Option<String>,
}

impl InFlight {
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let plans = self.plans.iter().map(
            |Ended { plan, symbol, end }| json!({"plan_id": plan, "symbol": symbol, "end": end}),
        );
        json!({
            "known": self.known,
            "plans": plans.collect::<Vec<_>>(),
            "may_be_executed_for_ms": millis(self.lands_for),
        })
    }

    fn add(
        &mut self,
        InFlightOrder { plan, symbol, .. }: &InFlightOrder,
        end: Option<String>,
        say: fn(&str),
    ) {
        let (plan, symbol) = (plan.clone(), symbol.clone());
        let says = match &end {
            Some(end) => end.clone(),
            None => format!("no result yet, see apply-layer plan {plan}"),
        };
        say(&format!(
            "plan {plan} of {symbol} had its timestamp already: {says}"
        ));
        self.plans.push(Ended { plan, symbol, end });
    }
}

/// Says a line for each plan whose order had its timestamp when the switch was on, and whether any order of
/// the service can land any more.
pub(crate) async fn report(service: Option<SocketAddr>, state: &Path, say: fn(&str)) -> InFlight {
    let mut found = InFlight::default();
    let Some(service) = service.map(reachable) else {
        say("orders in flight are unknown: no service is configured to be asked");
        return found;
    };
    let until = Instant::now() + LOOKING;
    let Some(mut left) = ask(service, until).await else {
        say(&format!(
            "cannot reach the service at http://{service}: orders in flight are unknown"
        ));
        return found;
    };
    found.known = true;
    let mut asked = Instant::now();
    while !left.is_empty() && Instant::now() < until {
        sleep(PAUSE).await;
        let Some(now) = ask(service, until).await else {
            break;
        };
        asked = Instant::now();
        let (still, over): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|plan| now.iter().any(|other| other.plan == plan.plan));
        for plan in over {
            let end = end_of(state, &plan.plan, until).await;
            found.add(&plan, Some(end.unwrap_or_else(|| "over".into())), say);
        }
        // An order that got its timestamp since was stopped by the switch.
        left = now;
        left.retain(|plan| still.iter().any(|known| known.plan == plan.plan));
    }
    for plan in &left {
        // A result that is written down and not published yet waits for Redis alone.
        let end = end_of(state, &plan.plan, until).await;
        if end.is_none() {
            found.lands_for = found.lands_for.max(may_land_for(plan, asked));
        }
        found.add(plan, end, say);
    }
    let lands_for = found.lands_for;
    match lands_for.is_zero() {
        true => say(&format!(
            "no order of the service on http://{service} can be executed any more"
        )),
        false => say(&format!(
            "an order of the service on http://{service} may still be executed, for {lands_for:.1?}"
        )),
    }
    found
}

/// For how long the order of a plan that was reported at `asked` may still land.
fn may_land_for(plan: &InFlightOrder, asked: Instant) -> Duration {
    match plan.answered {
        true => Duration::ZERO,
        false => LANDING
            .saturating_sub(Duration::from_millis(plan.stamped_ago_ms))
            .saturating_sub(asked.elapsed()),
    }
}

async fn ask(service: SocketAddr, until: Instant) -> Option<Vec<InFlightOrder>> {
    let answer = timeout_at(until, get(service, IN_FLIGHT)).await.ok()??;
    match answer.status {
        200 => serde_json::from_str(&answer.body).ok(),
        _ => None,
    }
}

/// How a plan ended, in a word or two, where the journal says so in time.
async fn end_of(state: &Path, plan: &str, until: Instant) -> Option<String> {
    let (state, plan) = (state.to_owned(), plan.to_owned());
    let look_up = move || {
        let reader = JournalReader::open(&state).ok()?;
        let entry = reader.look_up(&plan.parse().ok()?).ok()??;
        let result = entry.result?;
        Some(match (result.executed, result.error) {
            (true, _) => "executed".to_owned(),
            (false, Some(error)) => error.to_string(),
            (false, None) => "not executed".to_owned(),
        })
    };
    let looked = timeout_at(until + READING, tokio::task::spawn_blocking(look_up)).await;
    looked.ok()?.ok().flatten()
}
