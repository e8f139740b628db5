//! How much of a position may be closed for a plan: `cargo run --example how_much`.

use permit_issuers::{
    Ledger, Lot, Reviewed, Snapshot, Timestamp, VenuePosition, position_brain, raw,
};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One entry of the plan stream, and what the venue said a moment ago.
    let (id, what) = (("plan_id", "67e6da21fa9fe506"), ("action", "PARTIAL_75"));
    let (symbol, score) = (("symbol", "BTCUSDT"), ("kill_score", "0.539"));
    let fields = raw([id, symbol, ("decision", "EXECUTE"), what, score]);
    let plan = Reviewed::read(&fields)?.ok_or("it is not to be executed")?;
    let seen = Snapshot {
        asked_at: Timestamp::from_millis(1_769_301_008_000),
        holding: VenuePosition::new("0.0124".parse()?, Lot::of_step("0.001".parse()?)),
    };

    // Pure: time is an argument. The permit is ready to be written; the second one is a no.
    let settings = position_brain::Settings::default();
    for millis in [400, 600_000] {
        let (now, ledger) = (
            seen.asked_at + Duration::from_millis(millis),
            Ledger::default(),
        );
        let verdict = position_brain::decide(&plan, Some(&seen), &ledger, &settings, now);
        println!("{}", verdict.to_permit(&plan.symbol, now));
    }
    Ok(())
}
