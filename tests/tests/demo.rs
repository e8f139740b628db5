//! `apply-layer demo`: needs nothing installed and says what it saw.
#![allow(clippy::unwrap_used)]

use apply_tests::ServiceBuilder;

#[tokio::test]
async fn the_demo_comes_out_as_expected_and_closes_with_a_table() {
    let ended = ServiceBuilder::command(&["demo"]).ended().await;
    let output = ended.output();
    assert_eq!(ended.code, Some(0), "{output}");
    let heading = ended
        .log
        .iter()
        .position(|line| line.starts_with("scenario") && line.contains("expected"))
        .unwrap_or_else(|| panic!("no table: {output}"));
    let no_p33 = "no order, permit_timeout_or_missing:missing_p33";
    let rows = [
        ("both permits in time", "SELL 0.009"),
        ("position permit late", "SELL 0.006"),
        ("position permit never", no_p33),
        ("position brain denies", "no order, p33_permit_denied"),
    ]
    // Expected, then seen, then the verdict.
    .map(|(scenario, outcome)| format!("{scenario:<24}{outcome:<48}{outcome:<48}ok"));
    assert_eq!(ended.log[heading + 1..], rows, "{output}");
    // What happened was told as it happened.
    for line in [
        "[PERMIT_WAIT] Polling for permits (max_wait=1200ms)",
        "Executing step CLOSE_PARTIAL_75",
        "executed successfully on testnet",
        "Result: executed=False, error=p33_permit_denied",
    ] {
        assert!(output.contains(line), "{line} in {output}");
    }
}
