//! Whatever permits, position and step say: no order is larger than any of them allows.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{Reason, Share, Step, sizing::NoOrder};
use common::*;
use proptest::prelude::*;
use rust_decimal::Decimal;

/// Plays one plan of this share and returns what was sent, if anything.
fn sent(
    share: Share,
    governor_qty: &str,
    safe_qty: &str,
    live: Decimal,
    rules: StepRules,
) -> Option<Decimal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = Stage::new();
        stage.venue().script(|script| {
            script.position = Ok(live);
            script.rules = rules;
        });
        let seen = live.to_string();
        stage.answer((1, &governor(governor_qty)), (2, &p33(safe_qty, &seen)));
        let result = stage.play_as(share.action()).await;
        let sent = stage.venue().closed_quantity();
        assert_eq!(result.executed, sent.is_some());
        sent
    })
}

/// Plays one stop move and returns the quantity of the stop that was placed, if any.
fn stop_placed(
    governor_qty: &str,
    safe_qty: &str,
    (live, mark, trigger): (Decimal, Decimal, Decimal),
    rules: StepRules,
) -> Option<Decimal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = Stage::new();
        stage.venue().script(|script| {
            script.position = Ok(live);
            script.mark_price = Some(mark);
            script.rules = rules;
        });
        let seen = live.to_string();
        stage.answer((1, &governor(governor_qty)), (2, &p33(safe_qty, &seen)));
        stage.propose_with("UPDATE_SL", &[("new_sl_proposed", &trigger.to_string())]);
        stage.execute().await;
        let placed = stage.venue().asked_for(|a| matches!(a, Asked::Stop { .. }));
        placed.first().map(|asked| match asked {
            Asked::Stop { quantity, .. } => *quantity,
            _ => unreachable!(),
        })
    })
}

/// What a reviewer's binary float stands for.
fn meant(float: f64) -> Decimal {
    d(&format!("{float}")).round_sf(12).unwrap()
}

fn quantity() -> impl Strategy<Value = f64> {
    prop_oneof![
        // Multiples of a step as a float carries them: 9 × 0.001 is 0.009000000000000001.
        (
            1u32..50_000,
            prop::sample::select(vec![0.1, 0.01, 0.001, 0.0001])
        )
            .prop_map(|(n, step)| multiplied(n, step)),
        1e-7..100.0f64,
    ]
}

#[allow(clippy::float_arithmetic)] // the reviewers do it, and their tails are the point
fn multiplied(n: u32, step: f64) -> f64 {
    f64::from(n) * step
}

fn position() -> impl Strategy<Value = Decimal> {
    (1i64..1_000_000, 0u32..6, any::<bool>()).prop_map(|(mantissa, scale, long)| {
        Decimal::new(if long { mantissa } else { -mantissa }, scale)
    })
}

fn share() -> impl Strategy<Value = Share> {
    prop::sample::select(Share::ALL)
}

/// The share of a position as one computes it on paper.
fn part(share: Share, live: Decimal) -> Decimal {
    live.abs() * Decimal::from(share.percent()) / Decimal::ONE_HUNDRED
}

fn step() -> impl Strategy<Value = Decimal> {
    (prop::sample::select(vec![1i64, 2, 5, 25]), 0u32..6)
        .prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn an_order_is_the_largest_multiple_of_the_step_that_everyone_allows(
        share in share(),
        governor_qty in prop_oneof![Just(None), quantity().prop_map(Some)],
        safe_qty in quantity(),
        live in position(),
        step in step(),
    ) {
        let governor = governor_qty.map_or_else(|| "0.0".into(), |qty| format!("{qty}"));
        let sent = sent(share, &governor, &format!("{safe_qty}"), live, StepRules::step(&step.to_string()));
        let allowed = governor_qty
            .map(meant)
            .into_iter()
            .chain([meant(safe_qty), part(share, live)])
            .min()
            .unwrap();
        match sent {
            Some(quantity) => {
                prop_assert!(quantity > Decimal::ZERO && quantity <= allowed);
                prop_assert_eq!(quantity % step, Decimal::ZERO);
                prop_assert!(allowed - quantity < step, "not a step is lost");
            }
            None => prop_assert!(allowed < step, "{} was allowed", allowed),
        }
    }

    #[test]
    fn a_stop_is_the_largest_multiple_of_the_step_that_everyone_allows_on_its_side_of_the_market(
        governor_qty in prop_oneof![Just(None), quantity().prop_map(Some)],
        safe_qty in quantity(),
        live in position(),
        step in step(),
        mark in 1i64..1_000_000,
        per_mille in 700i64..1300,
    ) {
        let governor = governor_qty.map_or_else(|| "0.0".into(), |qty| format!("{qty}"));
        let mark = Decimal::new(mark, 1);
        let trigger = mark * Decimal::new(per_mille, 3);
        let rules = StepRules::step(&step.to_string());
        let stop = stop_placed(&governor, &format!("{safe_qty}"), (live, mark, trigger), rules);
        let allowed = governor_qty
            .map(meant)
            .into_iter()
            .chain([meant(safe_qty), live.abs()])
            .min()
            .unwrap();
        let guards = if live.is_sign_positive() { trigger < mark } else { trigger > mark };
        let near = (trigger - mark).abs() * Decimal::from(5) <= mark;
        match stop {
            Some(quantity) => {
                prop_assert!(guards && near, "a stop at {} in a market at {}", trigger, mark);
                prop_assert!(quantity > Decimal::ZERO && quantity <= allowed);
                prop_assert!(quantity % step == Decimal::ZERO && allowed - quantity < step);
            }
            None => prop_assert!(!guards || !near || allowed < step),
        }
    }

    #[test]
    fn rules_that_cut_wrongly_never_make_an_order_larger(
        share in share(),
        safe_qty in quantity(),
        live in position(),
        cut in (-1_000_000i64..1_000_000, 0u32..6).prop_map(|(m, scale)| Decimal::new(m, scale)),
    ) {
        let rules = StepRules::cutting(move |_| Ok(cut));
        let allowed = meant(safe_qty).min(part(share, live));
        let expected = Some(cut).filter(|cut| *cut > Decimal::ZERO && *cut <= allowed);
        prop_assert_eq!(sent(share, "0.0", &format!("{safe_qty}"), live, rules), expected);
    }
}

#[test]
fn reviewers_make_less_of_a_step_and_never_more() {
    let of = |percent: u8| {
        let mut all = Share::ALL.iter().copied();
        let share = all.find(|share| share.percent() == percent).unwrap();
        Step::Close { share }
    };
    let stop = Step::MoveStop {
        price: Decimal::ONE,
    };
    for (step, action, left) in [
        (of(100), "partial_50", Some(of(50))),
        (of(50), "PARTIAL_75", Some(of(50))),
        (of(75), "PARTIAL_25", Some(of(25))),
        (of(50), "FULL_CLOSE_PROPOSED", Some(of(50))),
        (of(100), "HOLD", None),
        (of(100), "UPDATE_SL", None),
        (stop.clone(), "UPDATE_SL", Some(stop.clone())),
        (stop.clone(), "PARTIAL_25", None),
    ] {
        let no = NoOrder::Downgraded { to: action.into() };
        assert_eq!(step.reduced_to(action), left.ok_or(no), "{step:?}");
    }
    for unknown in ["", "SELL_ALL", "PARTIAL_10"] {
        let no = of(100).reduced_to(unknown).unwrap_err();
        assert_eq!(no.reason(), Reason::PortfolioGateUnreadable, "{unknown}");
    }
}
