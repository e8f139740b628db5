//! The past: what the streams and the journal keep, on the page of a process that did not see it.

use crate::{address, has, open, shown};
use apply_tests::{PLANS, RESULTS, Stage};
use serde_json::Value;
use std::{collections::HashSet, time::SystemTime};

/// A plan and its result on the streams, as another process has left them.
pub(crate) async fn leave(stage: &Stage, number: u64, of: u64, symbol: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = u64::try_from(now.unwrap().as_millis()).unwrap();
    // Over the last day, in even steps.
    let at = now - (of - number) * (80_000_000 / of) - 5_000;
    let (id, place) = (format!("{number:016x}"), format!("{at}-0"));
    let (decision, executed, error) = match number % 4 {
        0 => ("EXECUTE", "True", ""),
        1 => ("BLOCKED", "False", "p33_permit_denied"),
        2 => ("BLOCKED", "False", "permit_timeout_or_missing:missing_p33"),
        _ => ("ERROR", "False", "order_rejected:-2022"),
    };
    let plan = [
        "XADD",
        PLANS,
        &place,
        "plan_id",
        &id,
        "symbol",
        symbol,
        "action",
        "PARTIAL_75",
        "kill_score",
        "0.539",
        "decision",
        "EXECUTE",
        "reason_codes",
        "",
        "steps",
        r#"[{"step":"CLOSE_PARTIAL_75"}]"#,
    ];
    let _: String = stage.command(&plan).await;
    let place = format!("{}-{number}", at + 40);
    let result = [
        "XADD",
        RESULTS,
        &place,
        "plan_id",
        &id,
        "symbol",
        symbol,
        "decision",
        decision,
        "executed",
        executed,
        "would_execute",
        "False",
        "steps_results",
        "[]",
        "error",
        error,
        "profit_realized",
        if number.is_multiple_of(4) { "0.5" } else { "" },
    ];
    let _: String = stage.command(&result).await;
    id
}

/// What an address answers, with its code.
async fn fetched(browser: &mut crate::browser::Browser, path: &str) -> (u64, Value) {
    let ask = format!("fetch({path:?}).then(async a => [a.status, await a.json()])");
    let mut answer = browser.eval(&ask).await;
    (answer[0].as_u64().unwrap(), answer[1].take())
}

#[tokio::test]
async fn after_a_restart_the_past_is_there_a_denial_looks_like_one_and_each_plan_has_its_page() {
    let stage = Stage::open().await;
    let how = stage.service();
    let service = how.clone().ready().await;
    let (mut browser, before) = open(&service).await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let done = stage.only_plan("BTCUSDT").await;
    stage.approve(&done, "0.009").await;
    let done = done.get("plan_id").to_owned();
    stage.result_of(&done).await;
    let denied = crate::denied(&stage, &HashSet::new()).await;

    // A no has no green tick, and says what it said.
    browser
        .until("it is blocked", &has(&format!("plan-{denied}"), "blocked"))
        .await;
    let open = format!("document.getElementById('plan-{denied}').open = true");
    browser.eval(&open).await;
    let answer = format!(
        "document.querySelector('#permits-{denied} [data-answer=no]')?.textContent.includes('reconcile_required_qty_mismatch')"
    );
    browser.until("the denial is one", &answer).await;
    browser.visit(&format!("http://{before}/plan/{done}")).await;
    browser
        .until("the wait is drawn", "document.querySelector('#one svg[role=img]')?.getAttribute('aria-label').includes('Governor')")
        .await;
    for words in ["yes, at most 0.009", "SELL 0.009", "intent", "published"] {
        browser.until(words, &has("one", words)).await;
    }
    // Another program answers the plan as well.
    let foreign = [
        "XADD",
        RESULTS,
        "*",
        "plan_id",
        &done,
        "symbol",
        "BTCUSDT",
        "executed",
        "true",
        "source",
        "intent_executor",
        "details",
        "{}",
    ];
    let _: String = stage.command(&foreign).await;
    service.stopped_well().await;

    let service = how.ready().await;
    let address = address(&service).await;
    browser.visit(&format!("http://{address}/")).await;
    for (plan, word) in [(&done, "executed"), (&denied, "p33_permit_denied")] {
        browser
            .until(word, &has(&format!("plan-{plan}"), word))
            .await;
    }
    // The newest first, by the times that are shown.
    let order = "[...document.querySelectorAll('.plan')].map(row => row.id)";
    let order = browser.eval(order).await;
    assert_eq!(
        order,
        serde_json::json!([format!("plan-{denied}"), format!("plan-{done}")])
    );
    browser.until("it is counted", "document.querySelector('#hour svg')?.getAttribute('aria-label').includes('1 executed, 1 blocked')").await;
    browser
        .visit(&format!("http://{address}/plan/{done}"))
        .await;
    // The wait that the process before this one saw is drawn as that one drew it.
    browser
        .until("the wait is drawn", "document.querySelector('#one svg[role=img]')?.getAttribute('aria-label').includes('Governor')")
        .await;
    for words in [
        "yes, at most 0.009",
        "SELL 0.009",
        "intent",
        "intent_executor, another program",
    ] {
        browser.until(words, &has("one", words)).await;
    }
    // So do the pictures: both waits, and each reviewer's.
    browser.visit(&format!("http://{address}/")).await;
    browser
        .until(
            "the waits are counted",
            &has("histogram", "1 granted, 1 blocked"),
        )
        .await;
    for words in ["Governor", "P3.3"] {
        browser.until(words, &has("reviewers", words)).await;
    }
    // By its id, from the search.
    browser.visit(&format!("http://{address}/")).await;
    browser.until("it is live", &has("link", "live")).await;
    let search = format!(
        "document.getElementById('by-id').value = {denied:?}; document.getElementById('by-id').focus()"
    );
    browser.eval(&search).await;
    browser.press("Enter", 13).await;
    browser.until("its page", &has("one-title", &denied)).await;
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_long_history_is_read_in_parts_by_filters_and_to_its_end() {
    const PLANS: u64 = 2_500;
    let stage = Stage::open().await;
    for number in 1..=PLANS {
        let symbol = if number % 100 == 0 {
            "ETHUSDT"
        } else {
            "BTCUSDT"
        };
        leave(&stage, number, PLANS, symbol).await;
    }
    let service = stage.ready().await;
    let (mut browser, address) = open(&service).await;
    let newest = format!("plan-{PLANS:016x}");
    browser
        .until("the newest is there", &has(&newest, "executed"))
        .await;
    let rows = browser
        .eval("document.querySelectorAll('.plan').length")
        .await;
    assert_eq!(rows, 100, "a part of it");
    browser.until("the day is drawn", "document.querySelector('#day svg')?.getAttribute('aria-label').includes('625 executed')").await;
    assert!(shown(&mut browser, "profit").await.contains("Total 312.5"));

    // To the end, each once, the newest first.
    let (mut seen, mut path) = (Vec::new(), "/api/plans.json?limit=500".to_owned());
    loop {
        let (code, page) = fetched(&mut browser, &path).await;
        assert_eq!(code, 200, "{page}");
        let plans = page["plans"].as_array().unwrap();
        assert!(plans.len() <= 500);
        seen.extend(
            plans
                .iter()
                .map(|plan| plan["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/api/plans.json?limit=500&before={next}"),
            None => break,
        }
    }
    let all = (1..=PLANS).rev().map(|number| format!("{number:016x}"));
    assert!(seen.into_iter().eq(all), "each once, the newest first");

    // By filters, alike in the API and on the page.
    let (_, page) = fetched(
        &mut browser,
        "/api/plans.json?symbol=ETHUSDT&decision=executed&limit=500",
    )
    .await;
    let plans = page["plans"].as_array().unwrap();
    assert_eq!(
        plans.len(),
        20,
        "of those that were looked through: {}",
        page["next"]
    );
    browser
        .visit(&format!(
            "http://{address}/?symbol=ETHUSDT&decision=blocked"
        ))
        .await;
    browser
        .until("to the end", &has("older-why", "Nothing older is kept"))
        .await;
    assert_eq!(
        browser
            .eval("document.querySelectorAll('.plan').length")
            .await,
        0
    );
    browser
        .visit(&format!("http://{address}/?symbol=ETHUSDT"))
        .await;
    browser
        .until(
            "all of ETHUSDT",
            "document.querySelectorAll('.plan').length === 25",
        )
        .await;

    for (path, said) in [
        ("/api/plans.json?limit=501", "limit"),
        ("/api/plans.json?before=yesterday", "before"),
        ("/api/plans.json?colour=red", "colour is not known"),
        ("/api/plan/<script>", "16 hexadecimal digits"),
    ] {
        let (code, answer) = fetched(&mut browser, path).await;
        assert_eq!(code, 400, "{path}");
        assert!(answer["error"].as_str().unwrap().contains(said), "{answer}");
    }
    let (code, _) = fetched(&mut browser, "/api/plan/ffffffffffffffff").await;
    assert_eq!(code, 404);
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_history_that_cannot_be_read_says_so_and_the_present_goes_on() {
    let stage = Stage::open().await;
    // The results' stream cannot be read: a plan that is skipped still goes to review and is shown.
    let _: String = stage.command(&["SET", RESULTS, "no stream"]).await;
    let service = stage.ready().await;
    let (mut browser, _) = open(&service).await;
    browser
        .until("it says so", &has("past", "The history cannot be read"))
        .await;
    browser
        .until("orders can flow", &has("flow", "Orders can flow"))
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    browser
        .until("the present is shown", &has("waits", plan.get("plan_id")))
        .await;
    let (code, answer) = fetched(&mut browser, "/api/plans.json").await;
    assert_eq!(code, 503);
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .starts_with("Redis does not answer"),
        "{answer}"
    );
    let _: u64 = stage.command(&["DEL", RESULTS]).await;
    browser
        .until(
            "it is there again",
            "document.getElementById('past').hidden",
        )
        .await;
    browser.close().await;
    service.signal("KILL").await;
}
