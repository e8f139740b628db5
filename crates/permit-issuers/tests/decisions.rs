//! Whatever the figures, a yes keeps to its limits and is read by the gate as the yes that was meant.
#![allow(clippy::unwrap_used)]

use permit_gate::{
    PlanId, Refusal, Subject,
    rule::Rule,
    trading::{GovernorRule, PositionRule},
};
use permit_issuers::{
    Book, Denial, LastFill, Ledger, Lot, Reviewed, Snapshot, Task, Timestamp, VenuePosition,
    governor::{self, Execution, GovernorVerdict, Limits, Usage},
    position_brain::{self, P33Verdict, Settings},
};
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_769_301_009_000);

fn plan(task: Task, kill_score: f64) -> Reviewed {
    Reviewed {
        id: PlanId::new("67e6da21fa9fe506").unwrap(),
        symbol: "BTCUSDT".parse().unwrap(),
        kill_score,
        task,
    }
}

fn subject() -> Subject {
    Subject::new(PlanId::new("67e6da21fa9fe506").unwrap(), "BTCUSDT")
}

fn tasks() -> impl Strategy<Value = Task> {
    prop_oneof![
        Just(Task::Close { percent: 100 }),
        Just(Task::Close { percent: 75 }),
        Just(Task::Close { percent: 50 }),
        Just(Task::MoveStop),
    ]
}

/// Amounts as venues have them, and amounts no venue has.
fn amounts() -> impl Strategy<Value = Decimal> {
    prop_oneof![
        8 => (-2_000_000_i64..2_000_000, 0_u32..6).prop_map(|(n, places)| Decimal::new(n, places)),
        1 => Just(Decimal::ZERO),
        1 => (any::<i128>(), 0_u32..28).prop_map(|(n, places)| Decimal::from_i128_with_scale(n >> 33, places)),
    ]
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let lot = (0_u32..9, 1_i64..30, proptest::option::of(1_i64..1_000_000));
    let price = proptest::option::of((1_i64..90_000_000, 0_u32..4));
    (amounts(), lot, price, 0_u64..20_000).prop_map(|(amount, (places, steps, max), price, age)| {
        let step = Decimal::new(if steps > 20 { 5 } else { 1 }, places);
        Snapshot {
            asked_at: NOW - Duration::from_millis(age),
            holding: VenuePosition {
                amount,
                mark_price: price.map(|(n, places)| Decimal::new(n, places)),
                lot: Lot {
                    step,
                    min: step * Decimal::from(steps),
                    max: max.map(Decimal::from),
                },
            },
        }
    })
}

fn ledgers(amount: Decimal) -> impl Strategy<Value = Ledger> {
    let near = (-300_i64..300).prop_map(move |off| {
        let shift = amount.checked_mul(Decimal::new(off, 4));
        Book::Holds(
            shift
                .and_then(|shift| amount.checked_add(shift))
                .unwrap_or(amount),
        )
    });
    let book = prop_oneof![
        4 => near,
        2 => amounts().prop_map(Book::Holds),
        1 => Just(Book::Blank),
        1 => Just(Book::Opening),
    ];
    (book, proptest::option::of(0_u64..30_000)).prop_map(|(book, ago)| Ledger {
        book,
        last_fill: ago.map(|ago| LastFill {
            at: NOW - Duration::from_millis(ago),
            order_id: "1".into(),
        }),
    })
}

fn cases() -> impl Strategy<Value = (Snapshot, Ledger)> {
    snapshots().prop_flat_map(|seen| ledgers(seen.holding.amount).prop_map(move |l| (seen, l)))
}

proptest! {
    #[test]
    fn a_yes_of_the_position_brain_never_exceeds_the_share_and_the_gate_reads_it_exactly(
        task in tasks(), (seen, ledger) in cases(),
    ) {
        let settings = Settings::default();
        let plan = plan(task, 0.5);
        let verdict = position_brain::decide(&plan, Some(&seen), &ledger, &settings, NOW);
        let permit = verdict.to_permit(&plan.symbol, NOW);
        let judged = PositionRule.judge(permit.as_bytes(), &subject());
        let P33Verdict::Allow { safe_close_qty, position, .. } = verdict else {
            prop_assert!(matches!(judged, Err(Refusal::Denied(Some(_)))), "{permit}: {judged:?}");
            return Ok(());
        };
        // Figures that no venue has may be more than the wire carries: then the gate says no.
        if let Ok(terms) = &judged {
            prop_assert_eq!(terms.limit, Some(safe_close_qty));
        } else {
            prop_assert!(position.abs() > Decimal::from(1_000_000_000_000_u64), "{}: {:?}", permit, judged);
        }
        let holding = seen.holding;
        // The whole is not multiplied first: 28 digits have no room for a hundred times themselves.
        let whole = holding.amount.abs();
        let share = match task.percent() {
            100 => Some(whole),
            percent => whole.checked_mul(Decimal::from(percent)).map(|n| n / Decimal::ONE_HUNDRED),
        };
        prop_assert!(share.is_some_and(|share| safe_close_qty > Decimal::ZERO && safe_close_qty <= share));
        prop_assert!(safe_close_qty >= holding.lot.min);
        prop_assert!(holding.lot.max.is_none_or(|max| safe_close_qty <= max));
        prop_assert!((safe_close_qty % holding.lot.step).is_zero());
        // What has to hold for any yes.
        prop_assert!(NOW.since(seen.asked_at) <= settings.snapshot_max_age);
        prop_assert!(ledger.book != Book::Opening);
        if let Some(fill) = &ledger.last_fill {
            prop_assert!(NOW.since(fill.at) >= settings.cooldown && fill.at < seen.asked_at);
        }
        if let Some(held) = ledger.amount() {
            prop_assert_eq!(held.is_sign_negative(), position.is_sign_negative());
            let slack = (position.abs() / Decimal::ONE_HUNDRED).max(holding.lot.step);
            prop_assert!((held - position).abs() <= slack);
        }
    }

    #[test]
    fn grants_of_a_governor_in_a_row_never_exceed_a_limit(
        steps in proptest::collection::vec((tasks(), snapshots(), 0_u64..7_200, 0.0_f64..1.0), 1..60),
    ) {
        let limits = Limits { quantity_per_day: Decimal::from(500), notional_per_day: Decimal::from(9_000_000), ..Limits::default() };
        let mut now = NOW;
        let mut usage = Usage::default();
        for (index, (task, mut seen, pause, score)) in steps.into_iter().enumerate() {
            now = now + Duration::from_secs(pause);
            seen.asked_at = now;
            let mut plan = plan(task, score);
            plan.id = PlanId::new(&format!("p{index}")).unwrap();
            let verdict = governor::decide(&plan, &limits, Some(&seen), &usage, now);
            let permit = verdict.to_permit(&plan.symbol, now);
            let subject = Subject::new(plan.id.clone(), "BTCUSDT");
            let judged = GovernorRule.judge(permit.as_bytes(), &subject);
            let GovernorVerdict::Grant { computed_qty, computed_notional } = verdict else {
                prop_assert!(matches!(judged, Err(Refusal::Denied(Some(_)))), "{permit}: {judged:?}");
                continue;
            };
            prop_assert!(score < limits.critical_kill_score);
            let cap = judged.map_err(|refusal| TestCaseError::fail(format!("{permit}: {refusal}")))?;
            prop_assert_eq!(cap.limit, (!computed_qty.is_zero()).then_some(computed_qty));
            usage.0.push(Execution { plan: plan.id, at: now, quantity: computed_qty, notional: computed_notional });
            let within = |window: u64| {
                usage.0.iter().filter(move |e| now.since(e.at) < Duration::from_secs(window)).collect::<Vec<_>>()
            };
            prop_assert!(within(300).len() <= 2 && within(3600).len() <= 3);
            let day = within(24 * 3600);
            prop_assert!(day.iter().map(|e| e.quantity).sum::<Decimal>() <= limits.quantity_per_day);
            prop_assert!(day.iter().map(|e| e.notional).sum::<Decimal>() <= limits.notional_per_day);
        }
    }

    #[test]
    fn no_fields_of_a_plan_or_a_result_make_a_reader_panic(
        fields in proptest::collection::hash_map("plan_id|symbol|action|kill_score|decision|executed|steps_results", "EXECUTE|True|BTCUSDT|PARTIAL_75|.{0,40}|-?[0-9]{0,40}(\\.[0-9]{0,40})?", 0..7),
    ) {
        if let Ok(Some(plan)) = Reviewed::read(&fields) {
            prop_assert!(plan.kill_score.is_finite() && plan.kill_score >= 0.0);
        }
        let _ = permit_issuers::ResultReport::read(&fields);
    }
}

#[test]
fn every_denial_is_read_by_the_gate_as_a_denial_with_its_reason() {
    for reason in permit_issuers::Reason::ALL {
        let denial = Denial {
            reason,
            context: Vec::new(),
        };
        let symbol = "BTCUSDT".parse().unwrap();
        let expected = Err(Refusal::Denied(Some(reason.as_str().into())));
        let governor = GovernorVerdict::Deny(denial.clone()).to_permit(&symbol, NOW);
        assert_eq!(
            GovernorRule.judge(governor.as_bytes(), &subject()),
            expected
        );
        let brain = P33Verdict::Deny(denial).to_permit(&symbol, NOW);
        assert_eq!(PositionRule.judge(brain.as_bytes(), &subject()), expected);
    }
}
