//! What was already on its way when the switch on this machine was turned. Asked of the running service
//! once the switch is on, so that nothing that is asked here holds it up.
//!
//! A plan looks at the switch for the last time between its grant and its order. So the plans that are
//! granted and not over when the file has been laid are all whose orders may still leave.

use crate::{
    http::ask::{get, reachable},
    page::{LEAVING, Leaving},
};
use apply_journal::JournalReader;
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// How long is looked, at most. What a plan needs from its grant to the venue's answer is far less.
const LOOKING: Duration = Duration::from_secs(3);

/// How much longer the journal may take, for all of them.
const READING: Duration = Duration::from_secs(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Prints a line for each plan that had its permits when the switch was on, and whether any order of
/// the service can leave any more.
pub(crate) async fn tell(service: Option<SocketAddr>, state: &Path) {
    let Some(service) = service.map(reachable) else {
        println!("whether an order was just leaving is not known: no service to ask is configured");
        return;
    };
    let until = Instant::now() + LOOKING;
    let Some(mut left) = ask(service, until).await else {
        println!("nobody on http://{service} says whether an order was just leaving");
        return;
    };
    while !left.is_empty() && Instant::now() < until {
        sleep(PAUSE).await;
        let Some(now) = ask(service, until).await else {
            break;
        };
        let (still, over): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|plan| now.iter().any(|other| other.plan == plan.plan));
        for plan in over {
            let end = end_of(state, &plan.plan, until).await;
            told(&plan, end.as_deref().unwrap_or("over"));
        }
        // Those that came to their permits since have still to look at the switch.
        left = now;
        left.retain(|plan| still.iter().any(|known| known.plan == plan.plan));
    }
    let mut may_leave = false;
    for plan in &left {
        // A result that is written down and not published yet waits for Redis alone.
        match end_of(state, &plan.plan, until).await {
            Some(end) => told(plan, &end),
            None => {
                may_leave |= !plan.answered;
                let more = format!("no result yet, see apply-layer plan {}", plan.plan);
                told(plan, &more);
            }
        }
    }
    match may_leave {
        false => println!("no order of the service on http://{service} can leave any more"),
        true => println!("an order of the service on http://{service} may still leave"),
    }
}

fn told(Leaving { plan, symbol, .. }: &Leaving, end: &str) {
    println!("plan {plan} of {symbol} had its permits already: {end}");
}

async fn ask(service: SocketAddr, until: Instant) -> Option<Vec<Leaving>> {
    let answer = timeout_at(until, get(service, LEAVING)).await.ok()??;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    match head.split(' ').nth(1) {
        Some("200") => serde_json::from_str(body).ok(),
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
            (false, Some(error)) => error,
            (false, None) => "not executed".to_owned(),
        })
    };
    let looked = timeout_at(until + READING, tokio::task::spawn_blocking(look_up)).await;
    looked.ok()?.ok().flatten()
}
