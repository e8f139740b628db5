//! The operator's page in a real Chromium, on the real binary, a real `redis-server` and the
//! simulated venue.
#![allow(clippy::unwrap_used)]

mod browser;

use apply_tests::{Service, Stage, governor_permit, position_permit};
use browser::Browser;
use std::collections::HashSet;

/// Where the service says that its page is.
async fn address(service: &Service) -> String {
    let line = service.line("Metrics on http://").await;
    let (_, url) = line.split_once("http://").unwrap();
    url.strip_suffix("/metrics").unwrap().to_owned()
}

/// What the page shows in the place of this id.
async fn shown(browser: &mut Browser, id: &str) -> String {
    let text = browser
        .eval(&format!("document.getElementById({id:?}).innerText"))
        .await;
    text.as_str().unwrap().to_owned()
}

fn has(id: &str, text: &str) -> String {
    format!("document.getElementById({id:?})?.innerText.includes({text:?})")
}

#[tokio::test]
async fn it_loads_in_silence_is_small_and_asks_nobody_else_for_anything() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    browser.visit(&format!("http://{address}/")).await;
    browser
        .until("orders can flow", &has("flow", "Orders can flow"))
        .await;
    assert_eq!(shown(&mut browser, "mode").await, "testnet");
    assert_eq!(shown(&mut browser, "link").await, "live");
    for part in ["Redis", "Venue", "Clock"] {
        browser.until(part, &has("lights", part)).await;
    }

    let sizes = browser.sizes().await;
    let total: u64 = sizes.values().sum();
    assert!(sizes.len() >= 3, "page, script, style: {sizes:?}");
    assert!((10_000..50 * 1024).contains(&total), "{total}: {sizes:?}");
    let ours = format!("http://{address}/");
    assert!(browser.requests.len() >= 4, "{:?}", browser.requests);
    for url in &browser.requests {
        assert!(url.starts_with(&ours), "{url}");
    }
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_plan_is_seen_to_wait_then_to_be_executed_and_its_order_leads_back_to_it() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    browser.visit(&format!("http://{address}/")).await;

    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id").to_owned();
    browser
        .until("the plan waits", &has("waits", "missing: Governor, P3.3"))
        .await;
    let before = browser
        .eval("document.querySelector('.card progress').value")
        .await;
    let later = format!("document.querySelector('.card progress').value > {before}");
    browser.until("the deadline comes nearer", &later).await;
    stage.govern(&id, &governor_permit("BTCUSDT")).await;
    browser
        .until("one permit is missing", &has("waits", "missing: P3.3"))
        .await;
    stage.allow(&id, &position_permit("BTCUSDT", "0.009")).await;
    let row = format!("plan-{id}");
    browser
        .until("it is executed", &has(&row, "executed"))
        .await;
    browser
        .until("nothing waits", &has("waiting-count", "0"))
        .await;
    assert!(shown(&mut browser, &row).await.contains("SELL 0.009"));
    let news = shown(&mut browser, "news").await;
    assert!(news.starts_with("BTCUSDT executed: SELL 0.009"), "{news}");

    // Its order, told on the page as the venue has it, leads to the plan and to its permits.
    let order = shown(&mut browser, &format!("order-{id}")).await;
    let told = stage.result_of(&id).await;
    let steps: serde_json::Value = serde_json::from_str(told.get("steps_results")).unwrap();
    let venue_id = steps[0]["order_id"].as_str().unwrap();
    assert!(order.contains(venue_id), "{order} names {venue_id}");
    let link = format!("document.querySelector('#order-{id} a[href=\"#permits-{id}\"]').focus()");
    browser.eval(&link).await;
    browser.press("Enter", 13).await;
    browser
        .until(
            "the plan is open",
            &format!("document.getElementById({row:?}).open"),
        )
        .await;
    let permits = shown(&mut browser, &format!("permits-{id}")).await;
    assert!(
        permits.contains("Governor") && permits.contains("P3.3"),
        "{permits}"
    );
    assert!(
        !permits.contains("awaited") && !permits.contains("never"),
        "{permits}"
    );
    browser
        .until("the wait is counted", &has("histogram", "1 granted"))
        .await;
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_block_is_shown_with_its_reason_and_a_halt_above_everything() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "300")
        .ready()
        .await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    browser.visit(&format!("http://{address}/")).await;
    stage.propose("BTCUSDT", "PARTIAL_50").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let row = format!("plan-{}", plan.get("plan_id"));
    browser.until("it is blocked", &has(&row, "blocked")).await;
    browser
        .until(
            "the reason is there",
            &has(&row, "permit_timeout_or_missing:missing_both"),
        )
        .await;
    browser
        .until("the symbol says so too", &has("symbols", "blocked"))
        .await;
    browser
        .until("the wait is counted", &has("histogram", "1 blocked"))
        .await;

    let () = stage
        .command(&["SET", "quantum:global:kill_switch", "true"])
        .await;
    browser
        .until("the halt is told", &has("flow", "Halted"))
        .await;
    let flow = shown(&mut browser, "flow").await;
    assert!(flow.contains("by quantum:global:kill_switch"), "{flow}");
    service
        .metric_is("quantum_apply_orders_can_flow", "0")
        .await;
    let () = stage.command(&["DEL", "quantum:global:kill_switch"]).await;
    browser
        .until("orders can flow again", &has("flow", "Orders can flow"))
        .await;
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn after_a_restart_of_the_service_the_page_comes_back_by_itself() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    browser.visit(&format!("http://{address}/")).await;
    browser.until("it is live", &has("link", "live")).await;

    service.stopped_well().await;
    browser
        .until("the loss is told", &has("link", "connection lost"))
        .await;
    let port = address.rsplit_once(':').unwrap().1;
    let service = stage
        .service()
        .env("APPLY_METRICS_PORT", port)
        .ready()
        .await;
    browser
        .until("it is live again", &has("link", "live"))
        .await;
    browser
        .until("the restart is told", &has("news", "restarted"))
        .await;
    stage.propose("ETHUSDT", "FULL_CLOSE_PROPOSED").await;
    let plan = stage.plan("ETHUSDT", &HashSet::new()).await;
    browser
        .until("news arrive again", &has("waits", plan.get("plan_id")))
        .await;
    stage.approve(&plan, "1").await;
    let row = format!("plan-{}", plan.get("plan_id"));
    browser
        .until("it is executed", &has(&row, "executed"))
        .await;
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn words_from_outside_stay_words() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    browser.visit(&format!("http://{address}/")).await;
    let attack = "<img src=x onerror=document.title=1>";
    stage.propose("BTCUSDT", attack).await;
    browser
        .until("the action is told", &has("symbols", attack))
        .await;
    let images = browser.eval("document.images.length").await;
    assert_eq!(images, 0);
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn on_a_phone_nothing_is_wider_than_the_screen() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "100")
        .ready()
        .await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    browser.screen(360, 740, "dark").await;
    browser.visit(&format!("http://{address}/")).await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    browser
        .until("a plan is blocked", &has("plans", "blocked"))
        .await;
    browser
        .eval("document.querySelector('details').open = true")
        .await;
    let width = browser.eval("document.documentElement.scrollWidth").await;
    assert_eq!(width, 360);
    browser.close().await;
    service.stopped_well().await;
}
