//! The reviewers of this repository in place of the neighbours': real processes, real Redis, the
//! simulated venue.
#![allow(clippy::unwrap_used)]

use apply_tests::{PLANS, RESULTS, Service, ServiceBuilder, Stage, governor_permit, within};
use exchange_sim::SymbolSpec;
use rust_decimal::Decimal;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};
use tokio::sync::{mpsc, mpsc::UnboundedReceiver, mpsc::UnboundedSender};

const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];

/// How long a symbol rests after a fill in these tests.
const COOLDOWN: Duration = Duration::from_millis(300);

/// A governor with limits that only the kill score reaches, and a brisk position brain.
fn reviewer(stage: &Stage, name: &str) -> ServiceBuilder {
    stage
        .program(&["review", name])
        .env("REVIEW_METRICS_PORT", "0")
        .env("REVIEW_GOVERNOR_LIMITS", "on")
        .env("REVIEW_KILL_SCORE_CRITICAL", "0.55")
        .env("REVIEW_MAX_PER_HOUR", "1000")
        .env("REVIEW_MAX_PER_5MIN", "1000")
        .env("REVIEW_MAX_NOTIONAL_PER_DAY", "1000000000")
        .env("REVIEW_MAX_QTY_PER_DAY", "1000000000")
        .env("REVIEW_COOLDOWN_SEC", "0.3")
}

/// A governor can only measure a reduction once the venue was asked.
async fn snapshots_are_kept(stage: &Stage) {
    within("every symbol has a snapshot", async {
        for symbol in SYMBOLS {
            let key = format!("quantum:position:snapshot:{symbol}");
            while stage.command::<i64>(&["EXISTS", &key]).await == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    })
    .await;
}

/// Proposes one after the other, each once the one before has its result.
async fn propose(stage: &Stage, symbol: &str, count: usize, done: UnboundedSender<()>) {
    let mut known = HashSet::new();
    for index in 0..count {
        let action = ["PARTIAL_50", "PARTIAL_75", "FULL_CLOSE_PROPOSED"][index % 3];
        // SOL decays to dust: closing all of it at once would end its story early.
        let action = if symbol == "SOLUSDT" {
            "PARTIAL_50"
        } else {
            action
        };
        let score = if index % 7 == 6 { "0.56" } else { "0.5" };
        stage
            .propose_with(symbol, action, &[("kill_score", score)])
            .await;
        let plan = stage.plan(symbol, &known).await;
        let id = plan.get("plan_id").to_owned();
        let result = stage.result_of(&id).await;
        known.insert(id);
        done.send(()).unwrap();
        // Every third one comes while the symbol still rests.
        if result.get("executed") == "True" && index % 3 != 0 {
            tokio::time::sleep(COOLDOWN).await;
        }
    }
}

/// Kills both reviewers without warning, each once, and starts them again.
async fn kill_and_restart(
    stage: &Stage,
    mut governor: Service,
    mut brain: Service,
    mut done: UnboundedReceiver<()>,
) -> [Service; 2] {
    let mut results = 0;
    while done.recv().await.is_some() {
        results += 1;
        if results == 60 {
            governor.signal("KILL").await;
            governor = reviewer(stage, "governor").start().await;
        }
        if results == 120 {
            brain.signal("KILL").await;
            brain = reviewer(stage, "p33").start().await;
        }
    }
    [governor, brain]
}

#[tokio::test]
async fn two_hundred_proposals_through_three_processes_end_in_one_result_each_and_the_books_agree()
{
    let stage = Stage::open().await;
    // Larger than any order, so that closing goes on; SOL keeps its 1240 and decays.
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        stage.venue().set_position(symbol, Decimal::from(1_000_000));
    }
    let governor = reviewer(&stage, "governor").start().await;
    let brain = reviewer(&stage, "p33").start().await;
    let service = stage.ready().await;
    snapshots_are_kept(&stage).await;

    let (sender, done) = mpsc::unbounded_channel();
    let proposals = async {
        tokio::join!(
            propose(&stage, "BTCUSDT", 67, sender.clone()),
            propose(&stage, "ETHUSDT", 67, sender.clone()),
            propose(&stage, "SOLUSDT", 66, sender.clone()),
        );
        drop(sender);
    };
    let (_, reviewers) = tokio::join!(proposals, kill_and_restart(&stage, governor, brain, done));

    let plans = stage.entries(PLANS).await;
    let plans: BTreeSet<&str> = plans
        .iter()
        .filter(|plan| plan.get("decision") == "EXECUTE")
        .map(|plan| plan.get("plan_id"))
        .collect();
    assert_eq!(plans.len(), 200);
    let results = stage.entries(RESULTS).await;
    let mut ends: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for result in results.iter().filter(|r| plans.contains(r.get("plan_id"))) {
        let end = match result.get("executed") {
            "True" => "executed",
            _ => result.get("error"),
        };
        ends.entry(result.get("plan_id")).or_default().push(end);
    }
    assert_eq!(ends.keys().copied().collect::<BTreeSet<_>>(), plans);
    assert!(ends.values().all(|ends| ends.len() == 1), "{ends:?}");

    let of = |wanted: &str| {
        let plans = ends.iter().filter(|(_, ends)| ends[0] == wanted);
        plans
            .map(|(plan, _)| (*plan).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let granted = of("executed");
    let refused = [of("governor_permit_denied"), of("p33_permit_denied")];
    assert!(!granted.is_empty() && refused.iter().all(|plans| !plans.is_empty()));
    assert_eq!(
        granted.len() + refused[0].len() + refused[1].len(),
        200,
        "{ends:?}"
    );
    let orders: Vec<String> = stage
        .orders()
        .into_iter()
        .map(|order| order.client_order_id.unwrap().replace("apply-", ""))
        .collect();
    assert_eq!(orders.len(), granted.len());
    assert_eq!(orders.into_iter().collect::<BTreeSet<_>>(), granted);

    for symbol in SYMBOLS {
        let key = format!("quantum:position:ledger:{symbol}");
        within(
            &format!("the ledger of {symbol} holds what the venue holds"),
            async {
                loop {
                    let ledger: Option<String> = stage.command(&["HGET", &key, "ledger_amt"]).await;
                    let ledger = ledger.and_then(|text| text.parse::<Decimal>().ok());
                    if ledger == Some(stage.venue().position(symbol)) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        )
        .await;
    }
    for reviewer in reviewers {
        reviewer.stopped_well().await;
    }
    service.stopped_well().await;
}

#[tokio::test]
async fn each_reviewer_stands_in_alone_beside_a_neighbour() {
    for name in ["governor", "p33"] {
        let stage = Stage::open().await;
        let ours = stage
            .program(&["review", name])
            .env("REVIEW_METRICS_PORT", "0")
            .start()
            .await;
        let neighbour = match name {
            "governor" => stage.position_brain(Duration::ZERO, "0.009").await,
            _ => stage.governor(Duration::ZERO).await,
        };
        let service = stage.ready().await;
        stage.propose("BTCUSDT", "PARTIAL_75").await;
        let result = stage.result_for("BTCUSDT").await;
        assert_eq!(result.get("executed"), "True", "{name}: {result:?}");
        let quantity = match name {
            "governor" => "0.009",
            _ => "9.3", // three quarters of 12.4
        };
        assert_eq!(result.last_step()["executed_qty"], quantity);
        drop(neighbour);
        ours.stopped_well().await;
        service.stopped_well().await;
    }
}

#[tokio::test]
async fn the_chain_reviews_and_executes_in_one_process_and_stops_in_order() {
    let stage = Stage::open().await;
    let chain = stage
        .program(&["chain"])
        .env("REVIEW_METRICS_PORT", "0")
        .ready()
        .await;
    stage.propose("ETHUSDT", "PARTIAL_50").await;
    let result = stage.result_for("ETHUSDT").await;
    assert_eq!(result.get("executed"), "True", "{result:?}");
    assert_eq!(stage.only_order().symbol.as_deref(), Some("ETHUSDT"));
    let granted = chain.line_with(&["[REVIEW] p33 granted", "qty=62"]).await;
    assert!(granted.contains(result.get("plan_id")));
    let ended = chain.stopped_well().await;
    assert!(ended.output().contains("Stopped"));
}

#[tokio::test]
async fn a_burst_halts_the_service_and_the_reason_is_left_for_the_operator() {
    let stage = Stage::open().await;
    let governor = stage
        .program(&["review", "governor"])
        .env("REVIEW_METRICS_PORT", "0")
        .env("REVIEW_GOVERNOR_LIMITS", "on")
        .env("REVIEW_MAX_NOTIONAL_PER_DAY", "1000000000")
        .env("REVIEW_MAX_QTY_PER_DAY", "1000000")
        .start()
        .await;
    let brain = stage.position_brain(Duration::ZERO, "0.001").await;
    let service = stage.ready().await;
    snapshots_are_kept(&stage).await;
    let mut known = HashSet::new();
    // The switch is on with the third one's denial, in the same moment.
    for expected in ["", "", "kill_switch_active"] {
        stage.propose("BTCUSDT", "PARTIAL_50").await;
        let plan = stage
            .plan("BTCUSDT", &known)
            .await
            .get("plan_id")
            .to_owned();
        assert_eq!(stage.result_of(&plan).await.get("error"), expected);
        known.insert(plan);
    }
    let why: String = stage
        .command(&["GET", "quantum:global:kill_switch:reason"])
        .await;
    assert!(why.contains("BTCUSDT within 5 minutes"), "{why}");
    drop(brain);
    governor.stopped_well().await;
    service.stopped_well().await;
}

/// The venue lists contracts with such names since 2025-10; no symbol list here has this one.
#[tokio::test]
async fn a_position_whose_name_is_not_ascii_stops_no_position_brain() {
    let stage = Stage::open().await;
    let cjk = "币安人生USDT";
    stage.venue().set_symbol(SymbolSpec::btcusdt().named(cjk));
    stage.venue().set_position(cjk, Decimal::from(12));
    let brain = reviewer(&stage, "p33").start().await;
    let service = stage.ready().await;
    snapshots_are_kept(&stage).await;
    stage.propose("BTCUSDT", "PARTIAL_50").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id");
    stage.govern(id, &governor_permit("BTCUSDT")).await;
    assert_eq!(stage.result_of(id).await.get("executed"), "True");
    let log = brain.log().join("\n");
    assert!(!log.contains("cannot be asked"), "{log}");
    assert_eq!(stage.venue().position(cjk), Decimal::from(12));
    brain.stopped_well().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_position_brain_without_a_key_says_what_to_set() {
    let stage = Stage::open().await;
    let ended = stage
        .program(&["review", "p33"])
        .env("APPLY_MODE", "dry_run")
        .env("REVIEW_METRICS_PORT", "0")
        .without("BINANCE_TESTNET_API_KEY")
        .ended()
        .await;
    assert_eq!(ended.code, Some(78), "{}", ended.output());
    assert!(ended.output().contains("BINANCE_TESTNET_API_KEY"));
}
