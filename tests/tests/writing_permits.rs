//! docs/writing-permits.md, row by row: what it says a text gets is what the gate says.
#![allow(clippy::unwrap_used)]

use permit_gate::{
    PlanId, Refusal, Rule, Subject, Terms,
    trading::{GovernorRule, PositionRule},
};

const PAGE: &str = include_str!("../../docs/writing-permits.md");

fn judge(name: &str, permit: &[u8]) -> Result<Terms, Refusal> {
    let subject = Subject::new(PlanId::new("67e6da21fa9fe506").unwrap(), "BTCUSDT");
    match name {
        "governor" => GovernorRule.judge(permit, &subject),
        "p33" => PositionRule.judge(permit, &subject),
        other => panic!("{other} has no rule here"),
    }
}

/// The cells of each row of the table that begins with this head.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let (_, after) = PAGE.split_once(&format!("| {head} |")).unwrap();
    let rows = after.lines().skip(2);
    rows.take_while(|row| row.starts_with('|'))
        .map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Holds a judgement to the cell that states it: `yes 0.009`, or a code and words of the sentence.
fn holds(expected: &str, judged: Result<Terms, Refusal>, text: &str) {
    if let Some(quantity) = expected.strip_prefix("yes ") {
        let limit = judged.unwrap().limit.unwrap();
        assert_eq!(limit.to_string(), quantity, "{text}");
        return;
    }
    let refusal = judged.expect_err(text);
    let said = format!("{} ({})", refusal, refusal.code("p33"));
    let named = expected.contains("invalid_");
    assert!(
        named || said.contains("(invalid_p33_permit_format)"),
        "{text}: {said}"
    );
    for words in quoted(expected) {
        assert!(said.contains(words), "{text}: {words:?} is not in: {said}");
    }
}

#[test]
fn the_examples_in_full_are_what_they_are_called() {
    let mut seen = 0;
    for (head, _) in PAGE.match_indices("```json ") {
        let (info, rest) = PAGE[head + "```json ".len()..].split_once('\n').unwrap();
        let (name, verdict) = info.split_once(' ').unwrap();
        let permit = rest.split_once("\n```").unwrap().0;
        let judged = judge(name, permit.as_bytes());
        match verdict {
            "yes" => drop(judged.unwrap()),
            _ => assert!(matches!(judged, Err(Refusal::Denied(Some(_)))), "{permit}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn what_a_writer_puts_in_place_of_a_value_is_reported_as_the_page_says() {
    let mut rows = 0;
    for (i, (head, _)) in PAGE.match_indices("| writer | writes |").enumerate() {
        let mut table = PAGE[head..]
            .lines()
            .skip(2)
            .take_while(|row| row.starts_with('|'));
        for row in table.by_ref() {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [_, writes, expected, _] = cells[..] else {
                panic!("four cells: {row}")
            };
            let value = quoted(writes)[0];
            let (allow, quantity) = match i {
                0 => ("true", value),
                _ => (value, "0.009"),
            };
            let text = format!(
                r#"{{"allow":{allow},"symbol":"BTCUSDT","safe_close_qty":{quantity},"created_at":1}}"#
            );
            holds(expected, judge("p33", text.as_bytes()), &text);
            rows += 1;
        }
    }
    assert!(rows > 20, "{rows} rows");
}

#[test]
fn a_text_that_is_no_permit_is_reported_as_the_page_says() {
    let rows = table("what happened | it begins | reported | do this");
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let [_, begins, expected, _] = row[..] else {
            panic!("four cells: {row:?}")
        };
        let text = begins.trim_matches('`').replace("\\0", "\0");
        holds(expected, judge("p33", text.as_bytes()), &text);
    }
}
