//! What the venue says is what the operator reads: a run over every documented error code, for orders and for stops.

use apply_tests::{Entry, PLANS, Service, Stage, governor_permit, position_permit};
use exchange_sim::{
    Canned, CodeMeaning, Fault, Instead, OrderOutcome, VenueCode, When, venue_codes,
};
use redis_harness::RedisServer;
use std::collections::{HashMap, HashSet};

/// The codes that make the client stand still, so that nothing else can be asked beside them.
const STOPPING: [i32; 2] = [-1003, -1015];

fn rows() -> Vec<(String, &'static VenueCode)> {
    let rows = venue_codes()
        .iter()
        .filter(|row| !STOPPING.contains(&row.code));
    rows.map(|row| (format!("C{}USDT", row.code.unsigned_abs()), row))
        .collect()
}

/// One plan a symbol, all at once, each refused with its own code.
async fn run_all(when: When, action: &str) -> (Stage, Service, Vec<Entry>) {
    let rows = rows();
    let symbols: Vec<String> = rows.iter().map(|(symbol, _)| symbol.clone()).collect();
    let stage = Stage::open_for(RedisServer::start().await, &symbols).await;
    for (symbol, row) in &rows {
        let instead = Instead::Reply(Canned::code(row.code).unwrap());
        stage.venue().script(Fault::not_executed(
            when.clone().symbol(symbol.as_str()),
            instead,
        ));
    }
    let service = stage
        .service()
        // Until the last of two hundred has its permits.
        .env("APPLY_PERMIT_WAIT_MS", "60000")
        .env("SYMBOLS", symbols.join(","))
        .env("APPLY_ALLOWLIST", symbols.join(","))
        .ready()
        .await;
    for symbol in &symbols {
        let fields = [("new_sl_proposed", "61000")];
        stage.propose_with(symbol, action, &fields).await;
    }
    let (mut plans, mut published) = (Vec::new(), HashMap::new());
    for symbol in &symbols {
        if !published.contains_key(symbol) {
            stage.plan(symbol, &HashSet::new()).await;
            for plan in stage.entries(PLANS).await {
                let id = plan.get("plan_id").to_owned();
                published.insert(plan.get("symbol").to_owned(), id);
            }
        }
        let id = published[symbol].clone();
        let governor =
            governor_permit(symbol).replace("\"computed_qty\":0.0", "\"computed_qty\":5");
        stage.govern(&id, &governor).await;
        stage.allow(&id, &position_permit(symbol, "1")).await;
        plans.push(id);
    }
    let mut results = Vec::new();
    for plan in plans {
        results.push(stage.result_of(&plan).await);
    }
    (stage, service, results)
}

/// The kind of an error: refused with this code, or asked about and found not to be there.
fn expected(kind: &str, row: &VenueCode, meaning: CodeMeaning) -> String {
    match meaning {
        CodeMeaning::Unknown | CodeMeaning::CannotHappen => match kind {
            "order" => "order_not_executed".into(),
            _ => "stop_not_sent".into(),
        },
        CodeMeaning::Refused
        | CodeMeaning::RefusedUnlessTextSaysDuplicate
        | CodeMeaning::RefusedWithDocumentedText => format!("{kind}_rejected:{}", row.code),
    }
}

/// Rust's own way to print a value: a name of a type with its fields in brackets.
fn debug_text(text: &str) -> Option<&str> {
    let typed = |word: &str| {
        let mut letters = word.chars();
        letters.next().is_some_and(char::is_uppercase)
            && word.chars().any(char::is_lowercase)
            && word.chars().all(char::is_alphanumeric)
    };
    let names = ["(", " {", " { "];
    text.match_indices(names[0])
        .chain(text.match_indices(names[1]))
        .find_map(|(at, _)| {
            let word = text[..at].rsplit(|c: char| !c.is_alphanumeric()).next()?;
            typed(word).then(|| &text[at.saturating_sub(word.len())..])
        })
}

async fn assert_reported(
    kind: &str,
    meaning: fn(&VenueCode) -> CodeMeaning,
    run: (Stage, Service, Vec<Entry>),
) {
    let (stage, service, results) = run;
    for ((_, row), result) in rows().iter().zip(&results) {
        assert_eq!(result.get("executed"), "False", "{row:?}");
        assert_eq!(
            result.get("error"),
            expected(kind, row, meaning(row)),
            "{row:?}"
        );
        let step = result.last_step();
        let details = step["details"].as_str().unwrap();
        for words in [
            row.text,
            &format!("HTTP {}", row.status),
            &format!("code {}", row.code),
        ] {
            assert!(details.contains(words), "{words:?} is missing: {details}");
        }
        assert_eq!(debug_text(details), None, "{details}");
        service.line_with(&[row.text, result.get("plan_id")]).await;
        let series = format!(
            "quantum_apply_venue_refusals_total{{to=\"{kind}\",code=\"{}\"}}",
            row.code
        );
        service.metric_is(&series, "1").await;
    }
    for line in service.log() {
        assert_eq!(debug_text(&line), None, "{line}");
    }
    let orders = stage.venue().orders();
    assert!(
        orders
            .iter()
            .all(|order| order.outcome == OrderOutcome::NotExecuted)
    );
    service.stopped_well().await;
}

#[tokio::test]
async fn every_code_of_an_order_is_published_with_the_venues_words_and_nothing_of_rust() {
    let run = run_all(When::order(), "FULL_CLOSE_PROPOSED").await;
    assert_eq!(run.0.orders().len(), rows().len(), "one POST a plan");
    assert_reported("order", |row| row.order, run).await;
}

#[tokio::test]
async fn every_code_of_a_stop_is_published_with_the_venues_words_and_nothing_of_rust() {
    let run = run_all(When::request("POST", "/fapi/v1/algoOrder"), "UPDATE_SL").await;
    assert_reported("stop", |row| row.stop, run).await;
}

#[test]
fn the_search_for_rusts_own_text_finds_it() {
    for text in [
        "it never arrived: NeverArrived(Evidence { first_absent: 1 })",
        "Some(12)",
        "x: VenueTime(1)",
    ] {
        assert!(debug_text(text).is_some(), "{text}");
    }
    assert_eq!(
        debug_text("rejected by the venue (HTTP 400, code -1: No.)"),
        None
    );
}
