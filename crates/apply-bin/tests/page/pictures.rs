//! The pictures of the docs, and the figures that no clock of a busy machine can assert: `scripts/page` prints them.

use crate::{address, browser::Browser, has};
use apply_tests::{Stage, governor_permit, position_permit};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use std::{collections::HashSet, path::Path};

/// Where the pictures are written, where somebody wants them.
const FOLDER: &str = "PAGE_PICTURES";

/// Notes when the page first says whether orders can flow.
const FIRST: &str = "addEventListener('DOMContentLoaded', () => new MutationObserver((_, seen) => {\
    if (document.getElementById('flow').dataset.state === 'unknown') return;\
    window.first = performance.now(); seen.disconnect();\
    }).observe(document.getElementById('flow'), { attributes: true }))";

/// Notes how long each frame took.
const FRAMES: &str = "window.frames_ = []; (function next(last) { requestAnimationFrame((now) => {\
    if (last) frames_.push(now - last); next(now); }); })()";

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

#[tokio::test]
async fn every_size_and_theme_has_its_picture() {
    let stage = Stage::open().await;
    let mut known = HashSet::new();
    for number in 1..=200 {
        known.insert(crate::history::leave(&stage, number, 200, "BTCUSDT").await);
    }
    let service = stage.ready().await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    browser.screen(1280, 900, "light").await;
    browser
        .call(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({"source": FIRST}),
        )
        .await;
    browser.visit(&format!("http://{address}/")).await;
    browser
        .until("it says whether orders can flow", "window.first > 0")
        .await;
    let first = browser.eval("Math.round(first)").await;
    println!("first meaningful picture: {first} ms after the address was opened");

    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let done = stage.plan("BTCUSDT", &known).await;
    let id = done.get("plan_id").to_owned();
    stage.govern(&id, &governor_permit("BTCUSDT")).await;
    browser
        .until("one permit was seen", &has("waits", "missing: P3.3"))
        .await;
    stage.allow(&id, &position_permit("BTCUSDT", "0.009")).await;
    stage.result_of(&id).await;
    stage.propose("SOLUSDT", "PARTIAL_50").await;
    let denied = stage.plan("SOLUSDT", &known).await;
    let denied = denied.get("plan_id").to_owned();
    stage.govern(&denied, &governor_permit("SOLUSDT")).await;
    let no = r#"{"allow":false,"symbol":"SOLUSDT","reason":"reconcile_required_qty_mismatch","created_at":1769301008.9}"#;
    stage.allow(&denied, no).await;
    stage.result_of(&denied).await;
    stage.propose("ETHUSDT", "FULL_CLOSE_PROPOSED").await;
    let waits = stage.plan("ETHUSDT", &known).await;
    let waits = waits.get("plan_id");
    stage.govern(waits, &governor_permit("ETHUSDT")).await;
    let shown = has("waits", "missing: P3.3");
    for (width, height, scheme, name) in [
        (1280, 1_250, "light", "page.png"),
        (1280, 1_250, "dark", "page-dark.png"),
        (390, 844, "light", "page-phone.png"),
        (390, 844, "dark", "page-phone-dark.png"),
    ] {
        browser.screen(width, height, scheme).await;
        browser.visit(&format!("http://{address}/")).await;
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

#[tokio::test]
async fn many_changes_a_second_all_arrive() {
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
    browser.eval(FRAMES).await;
    for _ in 0..3 {
        for name in &names {
            stage.propose(name, "PARTIAL_75").await;
        }
    }
    browser
        .until(
            "the newest are there",
            "document.querySelectorAll('.plan').length >= 60",
        )
        .await;
    let frames = "[frames_.length, Math.round(frames_.reduce((a, b) => a + b, 0) / frames_.length),\
                  Math.round(Math.max(...frames_))]";
    let frames = browser.eval(frames).await;
    println!("180 proposals at once: [frames, mean ms, longest ms] = {frames}");
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.stopped_well().await;
}
