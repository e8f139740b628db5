//! The pictures of the docs, and how soon a page says what it has to say: `scripts/page` prints it.

use crate::{address, browser::Browser, has};
use apply_tests::{Stage, governor_permit, position_permit};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use std::{collections::HashSet, path::Path};

/// Where the pictures are written, where somebody wants them.
const FOLDER: &str = "PAGE_PICTURES";

/// Notes when the frame was drawn in which the page first says whether orders can flow, and the one in which the past
/// is there, in milliseconds since the address was opened.
const FIRST: &str = "window.seen = {}; requestAnimationFrame(function look() {\
    const note = (name, is) => { if (is && !(name in seen)) requestAnimationFrame(() => { seen[name] ??= performance.now(); }); };\
    const flow = document.getElementById('flow');\
    note('flow', flow && flow.dataset.state !== 'unknown');\
    note('past', document.querySelectorAll('.plan').length === 100);\
    if (!('past' in seen)) requestAnimationFrame(look);\
    })";

async fn picture(browser: &mut Browser, name: &str) {
    let taken = browser
        .call("Page.captureScreenshot", json!({"format": "png"}))
        .await;
    let taken = BASE64_STANDARD.decode(taken["data"].as_str().unwrap());
    let taken = taken.unwrap();
    assert!(taken.len() > 5_000, "{name} has {} bytes", taken.len());
    if let Some(folder) = std::env::var_os(FOLDER) {
        std::fs::write(Path::new(&folder).join(name), taken).unwrap();
    }
}

/// Has a plan of ETHUSDT wait for its second permit.
async fn wait_for_p33(stage: &Stage, known: &mut HashSet<String>) {
    stage.propose("ETHUSDT", "FULL_CLOSE_PROPOSED").await;
    let waits = stage.plan("ETHUSDT", known).await;
    let waits = waits.get("plan_id");
    stage.govern(waits, &governor_permit("ETHUSDT")).await;
    known.insert(waits.to_owned());
}

#[tokio::test]
async fn every_size_and_theme_has_its_picture() {
    let stage = Stage::open().await;
    let mut known = HashSet::new();
    for number in 1..=200 {
        known.insert(crate::history::leave(&stage, number, 200, "BTCUSDT").await);
    }
    let service = stage.service().env("APPLY_PERMIT_WAIT_MS", "60000");
    let service = service.ready().await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    browser.screen(1280, 900, "light").await;
    browser
        .call(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({"source": FIRST}),
        )
        .await;
    for visit in 1..=5 {
        browser.visit(&format!("http://{address}/")).await;
        browser
            .until(
                "it says whether orders can flow",
                "seen.past > 0 && seen.flow > 0",
            )
            .await;
        let seen = browser.eval("[seen.flow, seen.past].map(Math.round)").await;
        println!(
            "visit {visit}: orders can flow after {} ms, 100 plans after {} ms",
            seen[0], seen[1]
        );
    }

    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let done = stage.plan("BTCUSDT", &known).await;
    let id = done.get("plan_id").to_owned();
    stage.govern(&id, &governor_permit("BTCUSDT")).await;
    browser
        .until("one permit was seen", &has("waits", "missing: P3.3"))
        .await;
    stage.allow(&id, &position_permit("BTCUSDT", "0.009")).await;
    stage.result_of(&id).await;
    let denied = crate::denied(&stage, &known).await;
    known.insert(id.clone());
    wait_for_p33(&stage, &mut known).await;
    let shown = has("waits", "missing: P3.3");
    for (width, height, scheme, name) in [
        (1280, 1_250, "light", "page.png"),
        (1280, 1_250, "dark", "page-dark.png"),
        (390, 844, "light", "page-phone.png"),
        (390, 844, "dark", "page-phone-dark.png"),
    ] {
        browser.screen(width, height, scheme).await;
        browser.visit(&format!("http://{address}/")).await;
        // Where the machine is slow the plan before this one may have waited for long enough.
        let waits = "fetch('/api/plans.json?limit=1').then(a => a.json()).then(a => a.plans[0].result === null)";
        if browser.eval(waits).await != true {
            wait_for_p33(&stage, &mut known).await;
        }
        browser.until("a plan waits", &shown).await;
        browser
            .until(
                "the past is there",
                "document.querySelectorAll('.plan').length === 100",
            )
            .await;
        browser
            .until("nothing moves", "document.getAnimations().length === 0")
            .await;
        picture(&mut browser, name).await;
    }
    for (width, height, plan, name) in [
        (1280, 1_000, &id, "page-plan.png"),
        (390, 844, &denied, "page-plan-phone.png"),
    ] {
        browser.screen(width, height, "light").await;
        browser
            .visit(&format!("http://{address}/plan/{plan}"))
            .await;
        let drawn = "document.querySelectorAll('#one svg[role=img]').length === 1";
        browser.until("the wait is drawn", drawn).await;
        picture(&mut browser, name).await;
    }
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.signal("KILL").await;
}
