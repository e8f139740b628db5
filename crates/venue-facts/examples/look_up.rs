//! Looks an error code of the venue up, and a recorded answer.

use venue_facts::{CodeMeaning, recorded_answer, venue_code};

fn main() {
    let Some(row) = venue_code(-2022) else {
        return println!("no such code");
    };
    assert_eq!(row.order, CodeMeaning::Refused);
    println!("{} {}: {}", row.code, row.name, row.text);

    // A conditional order is not known by the same words.
    let unknown = venue_code(-1007).map(|row| row.order);
    assert_eq!(unknown, Some(CodeMeaning::Unknown));

    let answer = recorded_answer("pr_v3_doc").map_or("", |answer| answer.json);
    assert!(answer.contains("positionAmt"));
}
