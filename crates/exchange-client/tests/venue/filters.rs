//! Sizes and prices that our rounding gives are the ones the venue takes.

use crate::{Setup, btc, client_of, d, judge, settings};
use exchange_client::{
    Client, Grid, NotSentReason, Position, PositionMode, RuleError, Submission, SymbolRules,
};
use exchange_sim::{Lot, OrderOutcome, Sim, SimConfig, SymbolSpec};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rust_decimal::Decimal;
use std::{cell::Cell, sync::Arc, time::Duration};

/// A symbol with a step, bounds and precision of its own, and a wish.
fn cases() -> impl Strategy<Value = (SymbolSpec, Decimal)> {
    let numbers = (1i64..500, 0u32..6, 0i64..20, 1i64..5_000, 0u32..7);
    (numbers, 1i64..10_000_000, 0u32..9).prop_map(
        |((step, scale, min, more, places), wanted, wanted_scale)| {
            let step = Decimal::new(step, scale);
            let lot = Lot {
                min: step * Decimal::from(min),
                max: step * Decimal::from(min + more),
                step,
            };
            let spec = SymbolSpec {
                lot: lot.clone(),
                market_lot: lot,
                quantity_precision: places,
                ..SymbolSpec::btcusdt()
            };
            (spec, Decimal::new(wanted, wanted_scale))
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_quantity_our_rounding_gives_is_accepted_and_the_next_larger_one_is_not() {
    let sim = Sim::start(judge(SimConfig::default())).await.unwrap();
    sim.handle()
        .set_position("BTCUSDT", Decimal::new(1_000_000_000, 0));
    let mut forgetful = settings();
    forgetful.rules_max_age = Duration::ZERO;
    let client = client_of(&sim, forgetful);
    client.warm_up().await.unwrap();
    let position = client
        .fetch_positions(Some(&btc()))
        .await
        .unwrap()
        .remove(0);
    let runtime = tokio::runtime::Handle::current();
    let number = Cell::new(0);
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config {
            // One case is two orders at most, and the venue counts 300 in ten seconds.
            cases: Config::default().cases.min(140),
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&cases(), |(spec, wanted)| {
                number.set(number.get() + 1);
                let id = format!("q-{}", number.get());
                runtime.block_on(try_quantity(&sim, &client, &position, spec, wanted, &id))
            })
            .unwrap();
    });
    let accepted = sim
        .handle()
        .orders()
        .iter()
        .filter(|order| order.outcome == OrderOutcome::Filled)
        .count();
    assert!(
        accepted > 20,
        "only {accepted} of {} cases led to an order",
        number.get()
    );
}

async fn try_quantity(
    sim: &Sim,
    client: &Client,
    position: &Position,
    spec: SymbolSpec,
    wanted: Decimal,
    id: &str,
) -> Result<(), TestCaseError> {
    let step = spec.market_lot.step;
    sim.handle().set_symbol(spec);
    sim.handle().set_position("BTCUSDT", position.amount);
    let rules = client.fetch_rules(&btc()).await.unwrap();
    let Ok(quantity) = rules.cut_quantity(wanted) else {
        return Ok(());
    };
    prop_assert!(quantity.get() <= wanted);
    let order = client
        .prepare_close(position, PositionMode::OneWay, &rules, id.parse().unwrap())
        .unwrap();
    let ending = client.submit(order, quantity).await;
    prop_assert!(
        ending.accepted().is_some(),
        "{} was refused: {}",
        quantity,
        ending
    );
    let larger = quantity.get() + step;
    if larger > wanted {
        return Ok(());
    }
    // One step more is still not above the wish: let the venue itself say that it is too much, by way of rules that
    // know nothing but the step.
    let mut careless = SymbolRules::clone(&rules);
    careless.quantity_precision = None;
    let any = Grid {
        min: None,
        max: None,
        step: Some(step),
    };
    (careless.lot, careless.market_lot) = (any, any);
    let careless = Arc::new(careless);
    let id = format!("{id}-larger").parse().unwrap();
    let order = client
        .prepare_close(position, PositionMode::OneWay, &careless, id)
        .unwrap();
    let ending = client
        .submit(order, careless.cut_quantity(larger).unwrap())
        .await;
    prop_assert!(
        matches!(ending, Submission::Rejected(_)),
        "{} was taken, {} was cut",
        larger,
        quantity
    );
    Ok(())
}

#[tokio::test]
async fn a_refusal_for_a_filter_makes_the_rules_be_fetched_again() {
    let setup = Setup::open().await;
    let info = "/fapi/v1/exchangeInfo";
    let coarse = Lot {
        min: d("0.005"),
        max: d("10"),
        step: d("0.005"),
    };
    setup.sim.handle().set_symbol(SymbolSpec {
        market_lot: coarse,
        ..SymbolSpec::btcusdt()
    });
    assert_eq!(
        *setup.client.fetch_rules(&btc()).await.unwrap(),
        *setup.rules,
        "cached until something is refused"
    );
    let (_, ending) = setup.close("filter-1").await;
    assert!(matches!(ending, Submission::Rejected(no) if no.code == -4023));
    assert_eq!(setup.sim.handle().request_count("GET", info), 0);
    let renewed = setup.client.fetch_rules(&btc()).await.unwrap();
    assert_eq!(setup.sim.handle().request_count("GET", info), 1);
    assert_eq!(renewed.cut_quantity(d("0.008")).unwrap().get(), d("0.005"));
}

#[tokio::test]
async fn a_close_below_the_least_notional_is_accepted_because_it_only_reduces() {
    let setup = Setup::open().await;
    let order = setup.prepare("small-1").await;
    let quantity = setup.rules.cut_quantity(d("0.0001")).unwrap();
    assert!(quantity.get() * d("64000") < setup.rules.min_notional.unwrap());
    assert!(
        setup
            .client
            .submit(order, quantity)
            .await
            .accepted()
            .is_some()
    );
}

#[tokio::test]
async fn a_quantity_of_another_symbol_or_above_the_position_is_not_sent() {
    let setup = Setup::open().await;
    let sol = setup
        .client
        .fetch_rules(&"SOLUSDT".parse().unwrap())
        .await
        .unwrap();
    let eth = setup
        .client
        .fetch_rules(&"ETHUSDT".parse().unwrap())
        .await
        .unwrap();
    let foreign = sol.cut_quantity(d("3000")).unwrap();
    let ending = setup
        .client
        .submit(setup.prepare("foreign-1").await, foreign)
        .await;
    assert!(
        matches!(ending, Submission::NotSent(not) if matches!(not.reason, NotSentReason::ForeignQuantity(_)))
    );
    let large = eth.cut_quantity(d("0.013")).unwrap();
    let ending = setup
        .client
        .submit(setup.prepare("large-1").await, large)
        .await;
    assert!(
        matches!(ending, Submission::NotSent(not) if matches!(not.reason, NotSentReason::LargerThanPosition { .. }))
    );
    assert_eq!(setup.posts(), 0);
}

#[tokio::test]
async fn a_halted_symbol_takes_no_quantity() {
    let halted = SymbolSpec {
        status: "SETTLING".to_owned(),
        ..SymbolSpec::btcusdt()
    };
    let setup = Setup::with(SimConfig::default().symbol(halted)).await;
    let cut = setup.rules.cut_quantity(d("1"));
    assert!(matches!(cut, Err(RuleError::NotTrading { status, .. }) if status == "SETTLING"));
}
