//! The reviewers' ports on a real server.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{Halt, Symbol};
use common::{Bench, btc, dec, holding};
use permit_gate::{
    Subject,
    rule::Rule,
    trading::{GovernorRule, PositionRule},
};
use permit_issuers::{
    Book, Governor, Outcome, PositionBrain, Reason, VenuePosition,
    governor::{Limits, Policy},
    ports::{Held, PlanFeed, PositionBook, Positions, UsageBook},
    position_brain::Settings,
};
use redis::AsyncCommands;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// A venue that answers what it is given, and counts the questions.
#[derive(Clone, Default)]
struct FixedVenue(Arc<Mutex<(Option<VenuePosition>, u32)>>);

impl FixedVenue {
    fn holds(&self, amount: &str) {
        self.0.lock().unwrap().0 = Some(holding(amount));
    }

    fn is_away(&self) {
        self.0.lock().unwrap().0 = None;
    }

    fn questions(&self) -> u32 {
        self.0.lock().unwrap().1
    }
}

impl Positions for FixedVenue {
    async fn fetch(&self, symbols: &[Symbol]) -> Result<Vec<Held>, apply_core::PortError> {
        let mut inner = self.0.lock().unwrap();
        inner.1 += 1;
        match inner.0 {
            Some(holding) => Ok(symbols.iter().map(|s| (s.clone(), Ok(holding))).collect()),
            None => Err(apply_core::PortError("the venue is away".into())),
        }
    }
}

fn brisk() -> Settings {
    Settings {
        cooldown: Duration::ZERO,
        ..Settings::default()
    }
}

fn denied(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Denied { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[tokio::test]
async fn the_auto_approver_answers_an_execute_plan_with_a_permit_the_gate_accepts() {
    let mut bench = Bench::start().await;
    let feed = bench.governor_plans().await;
    let governor = Governor::new(bench.usage_book().await, Policy::ApproveAll);
    bench.plan("a1", "PARTIAL_75", "0.5").await;
    let ruled = governor
        .review(&feed.next().await.unwrap()[0])
        .await
        .unwrap();
    assert!(matches!(ruled.outcome, Outcome::Granted { quantity, .. } if quantity.is_zero()));
    let permit = bench.text("quantum:permit:00000000000000a1").await.unwrap();
    let subject = Subject::new("a1".parse().unwrap(), "BTCUSDT");
    assert!(
        GovernorRule.judge(permit.as_bytes(), &subject).is_ok(),
        "{permit}"
    );
    let ttl: i64 = bench
        .redis
        .ttl("quantum:permit:00000000000000a1")
        .await
        .unwrap();
    assert!((59..=60).contains(&ttl));
    assert_eq!(bench.pending("governor").await, 0);
}

#[tokio::test]
async fn entries_that_are_no_plan_or_not_to_be_executed_are_acknowledged_without_a_permit() {
    let mut bench = Bench::start().await;
    let feed = bench.governor_plans().await;
    let governor = Governor::new(bench.usage_book().await, Policy::ApproveAll);
    bench
        .entry(&[("plan_id", "a1"), ("decision", "EXECUTE")])
        .await;
    bench
        .entry(&[("plan_id", "a2"), ("decision", "SKIP")])
        .await;
    bench.entry(&[("decision", "\u{0}")]).await;
    let old = [
        ("plan_id", "a3"),
        ("symbol", "BTCUSDT"),
        ("action", "PARTIAL_50"),
        ("kill_score", "0.1"),
        ("decision", "EXECUTE"),
    ];
    let mut outcomes = Vec::new();
    for delivery in feed.next().await.unwrap() {
        outcomes.push(governor.review(&delivery).await.unwrap().outcome);
    }
    // Written long ago, by its id.
    let mut bench2 = Bench::start().await;
    let feed = bench2.governor_plans().await;
    let governor2 = Governor::new(bench2.usage_book().await, Policy::ApproveAll);
    let () = redis::cmd("XADD")
        .arg("quantum:stream:apply.plan")
        .arg("1-1")
        .arg(&old)
        .query_async(&mut bench2.redis)
        .await
        .unwrap();
    outcomes.push(
        governor2
            .review(&feed.next().await.unwrap()[0])
            .await
            .unwrap()
            .outcome,
    );
    assert!(
        matches!(
            outcomes.as_slice(),
            [
                Outcome::Unreadable(_),
                Outcome::NotForReview,
                Outcome::Unreadable(_),
                Outcome::TooOld(_)
            ]
        ),
        "{outcomes:?}"
    );
    for bench in [&mut bench, &mut bench2] {
        assert_eq!(bench.pending("governor").await, 0);
        let permits: Vec<String> = bench.redis.keys("quantum:permit:*").await.unwrap();
        assert!(permits.is_empty(), "{permits:?}");
    }
}

#[tokio::test]
async fn what_is_too_long_does_not_travel_and_hides_nothing_else() {
    let mut bench = Bench::start().await;
    let feed = bench.governor_plans().await;
    let long = "x".repeat(8 << 20);
    let before = bench.server.bytes_sent().await;
    for text in [long.as_str(), "short"] {
        bench.entry(&[("symbol", text)]).await;
    }
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(feed.next().await.unwrap());
    }
    assert!(found[0].fields.is_empty(), "{:?}", found[0].fields.len());
    assert_eq!(found[1].fields["symbol"], "short");

    let usage = bench.usage_book().await;
    let key = format!("quantum:governor:usage:{}", btc());
    let () = bench.redis.hset(&key, "plan:a", &long).await.unwrap();
    let error = usage.open(&btc()).await.unwrap_err().to_string();
    for part in [key.as_str(), "8388614", "1048576", "delete it"] {
        assert!(error.contains(part), "{error}");
    }
    let travelled = bench.server.bytes_sent().await - before;
    assert!(travelled < 64 * 1024, "{travelled} bytes");
}

#[tokio::test]
async fn what_a_dead_reviewer_was_handed_is_finished_by_another_and_only_once() {
    let mut bench = Bench::start().await;
    let first = bench.governor_plans().await;
    bench.plan("a1", "PARTIAL_75", "0.5").await;
    let lost = first.next().await.unwrap().remove(0);
    // The first one is never heard of again.
    let second = bench.governor_plans().await;
    let claimed = loop {
        if let Some(delivery) = second.next().await.unwrap().pop() {
            break delivery;
        }
    };
    assert_eq!(claimed.id, lost.id);
    let governor = Governor::new(bench.usage_book().await, Policy::ApproveAll);
    let ruled = governor.review(&claimed).await.unwrap();
    assert!(matches!(ruled.outcome, Outcome::Granted { .. }));
    let () = bench
        .redis
        .del("quantum:permit:00000000000000a1")
        .await
        .unwrap();
    // It was not dead after all, only slow: the permit is not written a second time.
    let late = governor.review(&lost).await.unwrap();
    assert_eq!(late.outcome, Outcome::DoneByOther);
    assert_eq!(bench.text("quantum:permit:00000000000000a1").await, None);
}

#[tokio::test]
async fn a_group_that_the_server_lost_is_made_again() {
    let mut bench = Bench::start().await;
    let feed = bench.governor_plans().await;
    assert!(feed.next().await.unwrap().is_empty());
    let () = redis::cmd("FLUSHALL")
        .query_async(&mut bench.redis)
        .await
        .unwrap();
    bench.plan("a1", "PARTIAL_75", "0.5").await;
    let delivery = loop {
        if let Some(delivery) = feed.next().await.unwrap().pop() {
            break delivery;
        }
    };
    assert_eq!(delivery.fields["plan_id"], "00000000000000a1");
}

fn roomy() -> Limits {
    Limits {
        quantity_per_day: dec("1000"),
        notional_per_day: dec("100000000"),
        ..Limits::default()
    }
}

#[tokio::test]
async fn limits_hold_across_instances_that_decide_at_the_same_time_and_across_restarts() {
    let mut bench = Bench::start().await;
    bench.snapshot("0.0124").await;
    let limits = Limits {
        per_hour: 5,
        per_five_minutes: 5,
        ..roomy()
    };
    for index in 0..24 {
        bench.plan(&format!("a{index}"), "PARTIAL_50", "0.5").await;
    }
    let feed = bench.governor_plans().await;
    let deliveries = feed.next().await.unwrap();
    assert_eq!(deliveries.len(), 24);
    // Every plan by an instance of its own, each connected before the first one begins.
    let mut governors = Vec::new();
    for _ in &deliveries {
        let policy = Policy::Limited(limits.clone());
        governors.push(Governor::new(bench.usage_book().await, policy));
    }
    let mut reviews = tokio::task::JoinSet::new();
    for (governor, delivery) in governors.into_iter().zip(deliveries) {
        reviews.spawn(async move {
            loop {
                // Contention is an error here; the feed would deliver again.
                if let Ok(ruled) = governor.review(&delivery).await {
                    return ruled.outcome;
                }
            }
        });
    }
    let outcomes = reviews.join_all().await;
    let granted = outcomes
        .iter()
        .filter(|o| matches!(o, Outcome::Granted { .. }));
    assert_eq!(granted.count(), 5);
    let restarted = Governor::new(bench.usage_book().await, Policy::Limited(limits));
    bench.plan("b", "PARTIAL_50", "0.5").await;
    let ruled = restarted
        .review(&feed.next().await.unwrap()[0])
        .await
        .unwrap();
    assert_eq!(denied(&ruled.outcome), Some(Reason::BurstLimit));
}

#[tokio::test]
async fn a_burst_trips_the_kill_switch_with_a_reason_and_in_words_that_halt() {
    let mut bench = Bench::start().await;
    bench.snapshot("0.0124").await;
    let feed = bench.governor_plans().await;
    let governor = Governor::new(bench.usage_book().await, Policy::Limited(roomy()));
    let mut last = None;
    for plan in ["a1", "a2", "a3"] {
        assert_eq!(bench.text("quantum:global:kill_switch").await, None);
        bench.plan(plan, "PARTIAL_50", "0.5").await;
        last = Some(
            governor
                .review(&feed.next().await.unwrap()[0])
                .await
                .unwrap(),
        );
    }
    assert_eq!(denied(&last.unwrap().outcome), Some(Reason::BurstLimit));
    let word = bench.text("quantum:global:kill_switch").await.unwrap();
    let halt = Halt::from_switch("switch", word.as_bytes());
    assert_eq!(
        halt,
        Halt::On {
            by: "switch".into()
        },
        "{word} is understood"
    );
    let why = bench
        .text("quantum:global:kill_switch:reason")
        .await
        .unwrap();
    assert!(why.contains("a3") && why.contains("BTCUSDT"), "{why}");
}

#[tokio::test]
async fn a_trip_replaces_whatever_lies_under_the_switch_and_no_trip_ends_half_done() {
    for occupy in [
        ["SET", "quantum:global:kill_switch", "1"].as_slice(),
        &["HSET", "quantum:global:kill_switch", "a", "b"],
    ] {
        let mut bench = Bench::start().await;
        bench.snapshot("0.0124").await;
        let feed = bench.governor_plans().await;
        let governor = Governor::new(bench.usage_book().await, Policy::Limited(roomy()));
        for plan in ["a1", "a2", "a3"] {
            bench.plan(plan, "PARTIAL_50", "0.5").await;
            if plan == "a3" {
                let () = redis::cmd(occupy[0])
                    .arg(&occupy[1..])
                    .exec_async(&mut bench.redis)
                    .await
                    .unwrap();
            }
            let entries = feed.next().await.unwrap();
            governor.review(&entries[0]).await.unwrap();
        }
        let word = bench.text("quantum:global:kill_switch").await;
        assert_eq!(word.as_deref(), Some("true"), "{occupy:?}");
    }
}

#[tokio::test]
async fn a_plan_that_came_to_nothing_is_no_longer_counted_and_one_that_filled_still_is() {
    let mut bench = Bench::start().await;
    bench.snapshot("0.0124").await;
    let feed = bench.governor_plans().await;
    let results = bench.governor_results().await;
    let governor = Governor::new(bench.usage_book().await, Policy::Limited(roomy()));
    for (plan, executed, decision) in [
        ("a1", "False", "BLOCKED"),
        ("a2", "True", "EXECUTE"),
        ("a3", "False", "ERROR"),
        ("a4", "True", "EXECUTE"),
    ] {
        bench.plan(plan, "PARTIAL_50", "0.5").await;
        let ruled = governor
            .review(&feed.next().await.unwrap()[0])
            .await
            .unwrap();
        assert!(
            matches!(ruled.outcome, Outcome::Granted { .. }),
            "{plan}: {ruled:?}"
        );
        bench.result(plan, executed, decision, "").await;
        for result in results.next().await.unwrap() {
            governor.hear(&result).await.unwrap();
        }
    }
    bench.plan("a5", "PARTIAL_50", "0.5").await;
    let ruled = governor
        .review(&feed.next().await.unwrap()[0])
        .await
        .unwrap();
    assert_eq!(denied(&ruled.outcome), Some(Reason::BurstLimit));
}

#[tokio::test]
async fn usage_that_cannot_be_read_is_no_permit() {
    let mut bench = Bench::start().await;
    bench.snapshot("0.0124").await;
    let () = bench
        .redis
        .hset("quantum:governor:usage:BTCUSDT", "plan:x", "many")
        .await
        .unwrap();
    let feed = bench.governor_plans().await;
    let governor = Governor::new(bench.usage_book().await, Policy::Limited(roomy()));
    bench.plan("a1", "PARTIAL_50", "0.5").await;
    let error = governor
        .review(&feed.next().await.unwrap()[0])
        .await
        .unwrap_err();
    assert!(
        error.0.contains("quantum:governor:usage:BTCUSDT"),
        "{error}"
    );
    assert_eq!(bench.text("quantum:permit:00000000000000a1").await, None);
    assert_eq!(bench.pending("governor").await, 1);
}

#[tokio::test]
async fn the_position_brain_asks_the_venue_at_once_and_allows_the_share() {
    let mut bench = Bench::start().await;
    let venue = FixedVenue::default();
    venue.holds("0.0124");
    let feed = bench.brain_plans().await;
    let brain = PositionBrain::new(
        bench.position_book().await,
        venue.clone(),
        vec![btc()],
        brisk(),
    );
    bench.plan("a1", "PARTIAL_75", "0.5").await;
    let ruled = brain.review(&feed.next().await.unwrap()[0]).await.unwrap();
    assert!(
        matches!(ruled.outcome, Outcome::Granted { quantity, .. } if quantity == dec("0.0093"))
    );
    let permit = bench
        .text("quantum:permit:p33:00000000000000a1")
        .await
        .unwrap();
    let subject = Subject::new("a1".parse().unwrap(), "BTCUSDT");
    let terms = PositionRule.judge(permit.as_bytes(), &subject).unwrap();
    assert_eq!(terms.seen, Some(dec("0.0124")));
    bench.plan("a2", "PARTIAL_50", "0.5").await;
    brain.review(&feed.next().await.unwrap()[0]).await.unwrap();
    assert_eq!(
        venue.questions(),
        1,
        "a fresh snapshot is not asked for again"
    );
}

#[tokio::test]
async fn a_venue_that_is_away_is_a_denial_and_needs_no_restart_to_come_back() {
    let mut bench = Bench::start().await;
    let venue = FixedVenue::default();
    let feed = bench.brain_plans().await;
    let brain = PositionBrain::new(
        bench.position_book().await,
        venue.clone(),
        vec![btc()],
        brisk(),
    );
    for (plan, expected) in [("a1", Some(Reason::StaleExchangeState)), ("a2", None)] {
        bench.plan(plan, "PARTIAL_50", "0.5").await;
        let ruled = brain.review(&feed.next().await.unwrap()[0]).await.unwrap();
        assert_eq!(denied(&ruled.outcome), expected, "{plan}");
        venue.holds("0.0124");
    }
}

#[tokio::test]
async fn a_fill_that_lies_unread_is_counted_before_the_next_plan_is_decided() {
    let mut bench = Bench::start().await;
    let venue = FixedVenue::default();
    venue.holds("0.0124");
    let feed = bench.brain_plans().await;
    let settings = Settings::default();
    let brain = PositionBrain::new(
        bench.position_book().await,
        venue.clone(),
        vec![btc()],
        settings,
    );
    brain.snapshots().refresh(&[btc()]).await.unwrap();
    bench.result("a0", "True", "EXECUTE", "0.009").await;
    bench.plan("a1", "PARTIAL_50", "0.5").await;
    let ruled = brain.review(&feed.next().await.unwrap()[0]).await.unwrap();
    assert_eq!(denied(&ruled.outcome), Some(Reason::CooldownInFlight));
}

#[tokio::test]
async fn the_first_fill_seeds_the_ledger_and_later_ones_move_it_once_each() {
    let mut bench = Bench::start().await;
    let venue = FixedVenue::default();
    venue.holds("0.0124");
    let books = [bench.position_book().await, bench.position_book().await];
    let brains = books.clone().map(|book| {
        Arc::new(PositionBrain::new(
            book,
            venue.clone(),
            vec![btc()],
            brisk(),
        ))
    });
    bench.result("a1", "True", "EXECUTE", "0.009").await;
    venue.holds("0.0124");
    brains[0].ledgers().catch_up().await.unwrap();
    brains[0].snapshots().refresh(&[btc()]).await.unwrap();
    let page = books[0].open(&btc()).await.unwrap();
    assert_eq!(
        page.ledger.book,
        Book::Holds(dec("0.0124")),
        "what the venue says after the fill"
    );
    for index in 0..40 {
        bench
            .result(&format!("b{index}"), "True", "EXECUTE", "0.0001")
            .await;
        bench
            .result(&format!("c{index}"), "False", "BLOCKED", "")
            .await;
    }
    // Both instances count at the same time.
    let counting = brains
        .clone()
        .map(|brain| tokio::spawn(async move { brain.ledgers().catch_up().await.unwrap() }));
    for counted in counting {
        counted.await.unwrap();
    }
    let page = books[1].open(&btc()).await.unwrap();
    assert_eq!(page.ledger.book, Book::Holds(dec("0.0084")));
    assert!(!page.unread);
}

#[tokio::test]
async fn a_ledger_that_disagrees_with_the_venue_denies_until_it_is_deleted() {
    let mut bench = Bench::start().await;
    let venue = FixedVenue::default();
    let feed = bench.brain_plans().await;
    let brain = PositionBrain::new(
        bench.position_book().await,
        venue.clone(),
        vec![btc()],
        brisk(),
    );
    bench.result("a0", "True", "EXECUTE", "0.009").await;
    venue.holds("0.0124");
    brain.ledgers().catch_up().await.unwrap();
    brain.snapshots().refresh(&[btc()]).await.unwrap();
    let mut reasons = Vec::new();
    for (plan, amount) in [
        ("a1", "0.0124"),
        ("a2", "0.02"),
        ("a3", "-0.0124"),
        ("a4", "0.02"),
    ] {
        venue.holds(amount);
        brain.snapshots().refresh(&[btc()]).await.unwrap();
        if plan == "a4" {
            let () = bench
                .redis
                .del("quantum:position:ledger:BTCUSDT")
                .await
                .unwrap();
        }
        bench.plan(plan, "PARTIAL_50", "0.5").await;
        let ruled = brain.review(&feed.next().await.unwrap()[0]).await.unwrap();
        reasons.push(denied(&ruled.outcome));
    }
    assert_eq!(
        reasons,
        [
            None,
            Some(Reason::QtyMismatch),
            Some(Reason::SideMismatch),
            None
        ]
    );
}

#[tokio::test]
async fn a_ledger_of_somebody_elses_is_no_permit_and_says_the_fix() {
    let mut bench = Bench::start().await;
    let venue = FixedVenue::default();
    venue.holds("0.0124");
    let () = bench
        .redis
        .hset(
            "quantum:position:ledger:BTCUSDT",
            "last_known_amt",
            "0.0124",
        )
        .await
        .unwrap();
    let feed = bench.brain_plans().await;
    let brain = PositionBrain::new(bench.position_book().await, venue, vec![btc()], brisk());
    bench.plan("a1", "PARTIAL_50", "0.5").await;
    let error = brain
        .review(&feed.next().await.unwrap()[0])
        .await
        .unwrap_err();
    assert!(error.0.contains("delete it"), "{error}");
    assert_eq!(
        bench.text("quantum:permit:p33:00000000000000a1").await,
        None
    );
}

#[tokio::test]
async fn results_that_were_trimmed_away_unread_start_the_ledgers_anew() {
    let mut bench = Bench::start().await;
    let venue = FixedVenue::default();
    let book = bench.position_book().await;
    let brain = PositionBrain::new(book.clone(), venue.clone(), vec![btc()], brisk());
    bench.result("a0", "True", "EXECUTE", "0.009").await;
    brain.ledgers().catch_up().await.unwrap();
    venue.holds("0.0124");
    brain.snapshots().refresh(&[btc()]).await.unwrap();
    for plan in ["a1", "a2", "a3"] {
        bench.result(plan, "True", "EXECUTE", "0.001").await;
    }
    let () = redis::cmd("XTRIM")
        .arg("quantum:stream:apply.result")
        .arg("MAXLEN")
        .arg(1)
        .query_async(&mut bench.redis)
        .await
        .unwrap();
    let caught = brain.ledgers().catch_up().await.unwrap();
    assert!(caught.gap);
    venue.is_away();
    assert_eq!(
        book.open(&btc()).await.unwrap().ledger.book,
        Book::Opening,
        "0.0114 would be a guess"
    );
    venue.holds("0.0094");
    brain.snapshots().refresh(&[btc()]).await.unwrap();
    assert_eq!(
        book.open(&btc()).await.unwrap().ledger.book,
        Book::Holds(dec("0.0094"))
    );
}

#[tokio::test]
async fn a_server_that_was_away_is_used_again_without_a_restart() {
    let mut bench = Bench::start().await;
    let feed = bench.governor_plans().await;
    let governor = Governor::new(bench.usage_book().await, Policy::ApproveAll);
    bench.server.kill();
    assert!(feed.next().await.is_err());
    bench.server.restart().await;
    bench.redis = bench.server.connection().await;
    bench.plan("a1", "PARTIAL_75", "0.5").await;
    let mut reviewed = None;
    while reviewed.is_none() {
        // Nothing waits here: a read that fails or brings nothing is simply done again.
        for delivery in feed.next().await.unwrap_or_default() {
            reviewed = governor.review(&delivery).await.ok();
        }
    }
    assert!(
        bench
            .text("quantum:permit:00000000000000a1")
            .await
            .is_some()
    );
}

/// The rules in the documentation, without the user's name and password.
fn documented_rights() -> String {
    let text = include_str!("../../../docs/permits-issuing.md");
    let (_, rest) = text.split_once("user reviewer on >… ").unwrap();
    let (rights, _) = rest.split_once("```").unwrap();
    rights.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_rights_in_the_documentation_are_enough_for_everything_reviewers_do() {
    let mut bench = Bench::with_rights(&documented_rights()).await;
    let venue = FixedVenue::default();
    venue.holds("0.0124");
    let brain = PositionBrain::new(bench.position_book().await, venue, vec![btc()], brisk());
    bench.result("a0", "True", "EXECUTE", "0.009").await;
    brain.ledgers().catch_up().await.unwrap();
    brain.snapshots().refresh(&[btc()]).await.unwrap();
    let () = redis::cmd("XTRIM")
        .arg("quantum:stream:apply.result")
        .arg("MAXLEN")
        .arg(0)
        .query_async(&mut bench.redis)
        .await
        .unwrap();
    bench.result("a1", "True", "EXECUTE", "0.001").await;
    assert!(brain.ledgers().catch_up().await.unwrap().gap);
    let governor = Governor::new(bench.usage_book().await, Policy::Limited(roomy()));
    let (plans, results) = (bench.governor_plans().await, bench.governor_results().await);
    let for_brain = bench.brain_plans().await;
    for plan in ["a1", "a2", "a3"] {
        bench.plan(plan, "PARTIAL_50", "0.5").await;
        let ruled = brain
            .review(&for_brain.next().await.unwrap()[0])
            .await
            .unwrap();
        assert!(
            matches!(ruled.outcome, Outcome::Granted { .. }),
            "{ruled:?}"
        );
        governor
            .review(&plans.next().await.unwrap()[0])
            .await
            .unwrap();
    }
    assert!(
        bench
            .text("quantum:global:kill_switch:reason")
            .await
            .is_some()
    );
    bench.result("a2", "False", "BLOCKED", "").await;
    for result in results.next().await.unwrap() {
        governor.hear(&result).await.unwrap();
    }
    assert_eq!(
        bench.pending("governor").await + bench.pending("p33").await,
        0
    );
}
