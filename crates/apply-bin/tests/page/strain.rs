//! A slow network, and many changes a second without end: what is shown stays true and the page stays usable.

use crate::{address, browser::Browser, has};
use apply_tests::Stage;
use serde_json::json;

#[tokio::test]
async fn over_a_slow_network_the_first_answer_says_whether_orders_can_flow_and_changes_follow() {
    let stage = Stage::open().await;
    let mut newest = String::new();
    for number in 1..=100 {
        newest = crate::history::leave(&stage, number, 100, "BTCUSDT").await;
    }
    let service = stage.ready().await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    // A phone on a bad day: 400 ms there and back, 40 KiB/s.
    let bad = json!({"offline": false, "latency": 400,
        "downloadThroughput": 40 * 1024, "uploadThroughput": 40 * 1024});
    browser.call("Network.emulateNetworkConditions", bad).await;
    browser.visit(&format!("http://{address}/")).await;
    // By the document alone: whatever the stream has brought by then, the words need none of it.
    let sent = "JSON.parse(document.getElementById('now').textContent).value.flow.state";
    assert_eq!(browser.eval(sent).await, "open");
    browser
        .until("orders can flow", &has("flow", "Orders can flow"))
        .await;
    // The connection is slow and not lost.
    browser.until("it is live", &has("link", "live")).await;
    browser
        .until(
            "the past comes",
            &has(&format!("plan-{newest}"), "executed"),
        )
        .await;
    let halted = stage.program(&["halt", "--reason", "drill"]);
    assert_eq!(halted.ended().await.code, Some(0));
    browser
        .until("the halt is shown", &has("flow", "Halted"))
        .await;
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.signal("KILL").await;
}

/// Counts what holds the page up: tasks of more than 50 ms, and between frames.
const WATCH: &str = "window.tasks = []; new PerformanceObserver((list) => { for (const e of list.getEntries()) tasks.push(e.duration); })\
    .observe({ entryTypes: ['longtask'] });\
    window.frames_ = []; (function next(last) { requestAnimationFrame((now) => {\
    if (last) frames_.push(now - last); next(now); }); })()";

/// Sixty changes a second for a while; each reaches the page, and a key that is pressed meanwhile does, too.
#[tokio::test]
async fn sixty_changes_a_second_all_arrive_and_the_page_answers_meanwhile() {
    const SECONDS: usize = 10;
    let names: Vec<String> = (0..60).map(|n| format!("S{n:04}USDT")).collect();
    let stage = Stage::open().await;
    let service = stage.service().env("SYMBOLS", names.join(","));
    let service = service.env("APPLY_ALLOWLIST", "BTCUSDT").ready().await;
    let mut browser = Browser::open().await;
    browser
        .visit(&format!("http://{}/", address(&service).await))
        .await;
    browser
        .until("the symbols are there", &has("symbols-count", "60"))
        .await;
    browser.eval(WATCH).await;
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(1000 / 60));
    for change in 0..60 * SECONDS {
        ticks.tick().await;
        let at = format!(
            "2026-01-25T00:{:02}:{:02}.{:03}Z",
            change / 3600,
            change / 60 % 60,
            change % 60
        );
        let fields = [("computed_at_utc", &*at)];
        stage
            .propose_with(&names[change % 60], "PARTIAL_75", &fields)
            .await;
        if change == 30 * SECONDS {
            // In the middle of it somebody types.
            browser
                .eval("document.getElementById('by-symbol').focus()")
                .await;
            browser
                .call("Input.insertText", json!({"text": "S00"}))
                .await;
        }
    }
    let newest = "fetch('/api/plans.json?limit=1').then((a) => a.json())\
        .then((a) => document.getElementById('plan-' + a.plans[0].id) !== null)";
    browser.until("the newest plan is there", newest).await;
    let rows = "document.querySelectorAll('.plan').length === 100";
    browser.until("as many as are kept", rows).await;
    let typed = "document.getElementById('by-symbol').value + document.activeElement.id";
    assert_eq!(browser.eval(typed).await, "S00by-symbol");
    let figures = "[frames_.length, Math.round(frames_.reduce((a, b) => a + b, 0) / frames_.length),\
                   Math.round(Math.max(...frames_)), tasks.length, Math.round(Math.max(0, ...tasks))]";
    let figures = browser.eval(figures).await;
    println!(
        "60 changes a second for {SECONDS} s: [frames, mean ms, longest ms, tasks over 50 ms, longest ms] = {figures}"
    );
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.stopped_well().await;
}
