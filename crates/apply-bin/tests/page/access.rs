//! By keyboard alone, and for eyes that need contrast.

use crate::{address, browser::Browser, has};
use apply_tests::Stage;
use serde_json::Value;
use std::collections::HashSet;

/// What can be used, in the order in which it is read.
const USABLE: &str = "window.usable = [...document.querySelectorAll(\
    'a[href], button, input, select, textarea, summary, [tabindex=\"0\"]')].filter(e => e.checkVisibility());\
    usable.map(e => e.textContent.trim())";

/// Which of them has the focus, and whether an eye can see it: an outline of two pixels, and more
/// than a point of the element itself.
const FOCUSED: &str = "(() => { const e = document.activeElement; const style = getComputedStyle(e);\
    const box = e.getBoundingClientRect();\
    return [usable.indexOf(e), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2\
      && box.width > 4 && box.height > 4 && box.bottom > 0 && box.top < innerHeight]; })()";

/// Every text on the page and the ratio of its colour to what is behind it, by the formulas of
/// WCAG 2.1 (relative luminance, contrast ratio). Colours are read back from a canvas, so that every
/// notation is understood; backgrounds and opacities are laid over each other from the root on.
const CONTRASTS: &str = r#"(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const mix = (top, bottom, a) => [0, 1, 2].map((i) => top[i] * a + bottom[i] * (1 - a));
  const over = (top, bottom) => mix(top, bottom, top[3]);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const painted = ([element, ...inner], behind, words) => {
    const style = getComputedStyle(element);
    const ground = over(rgba(style.backgroundColor), behind);
    const [text, field] = inner.length ? painted(inner, ground, words) : [over(rgba(words), ground), ground];
    return [mix(text, behind, Number(style.opacity)), mix(field, behind, Number(style.opacity))];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    const box = element.getBoundingClientRect();
    if (!text || !element.checkVisibility() || box.width <= 1 || element.closest("noscript")) continue;
    const chain = []; for (let e = element; e; e = e.parentElement) chain.unshift(e);
    const style = getComputedStyle(element);
    const [front, back] = painted(chain, [255, 255, 255], element instanceof SVGElement ? style.fill : style.color);
    const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
    found.push([text, (light + 0.05) / (dark + 0.05)]);
  }
  return found; })()"#;

#[tokio::test]
async fn tab_goes_everywhere_in_order_in_sight_and_every_text_stands_out_from_its_ground() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let url = format!("http://{}/", address(&service).await);
    let mut browser = Browser::open().await;
    browser.screen(1280, 900, "light").await;
    browser.visit(&url).await;
    // One of each kind: executed, blocked, and one that waits.
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let done = stage.only_plan("BTCUSDT").await;
    stage.approve(&done, "0.009").await;
    let denied = crate::denied(&stage, &HashSet::new()).await;
    stage.propose("ETHUSDT", "FULL_CLOSE_PROPOSED").await;
    browser
        .until("a plan waits", &has("waits", "missing: Governor, P3.3"))
        .await;
    for (plan, word) in [(done.get("plan_id"), "executed"), (&*denied, "blocked")] {
        let row = format!("plan-{plan}");
        browser.until(word, &has(&row, word)).await;
    }
    let open = format!(
        "document.getElementById('plan-{}').open = true",
        done.get("plan_id")
    );
    browser.eval(&open).await;

    let usable = browser.eval(USABLE).await;
    let usable = usable.as_array().unwrap();
    assert!(usable.len() >= 12, "{usable:?}");
    assert_eq!(usable[0], "Skip to the waits");
    for (place, name) in usable.iter().enumerate() {
        browser.press("Tab", 9).await;
        let focused = browser.eval(FOCUSED).await;
        assert_eq!(
            focused,
            serde_json::json!([place, true]),
            "{name} of {usable:?}"
        );
    }

    for scheme in ["light", "dark"] {
        browser.screen(1280, 900, scheme).await;
        readable(&mut browser, scheme).await;
    }
    service.signal("KILL").await;
    service.ended().await;
    browser
        .until("the loss is shown", &has("link", "connection lost"))
        .await;
    for scheme in ["light", "dark"] {
        browser.screen(1280, 900, scheme).await;
        readable(&mut browser, &format!("{scheme}, connection lost")).await;
    }
    // The measure sees what an eye does not.
    let faint = "document.documentElement.style.setProperty('--quiet', 'var(--card)')";
    browser.eval(faint).await;
    assert!(!poor(&mut browser).await.is_empty());
    browser.close().await;
}

async fn readable(browser: &mut Browser, how: &str) {
    // A colour that is still on its way is not yet what is looked at.
    browser
        .until("nothing moves", "document.getAnimations().length === 0")
        .await;
    let poor = poor(browser).await;
    assert!(poor.is_empty(), "{how}: {poor:?}");
}

/// Texts below AA: a ratio of at least 4.5, large letters or not.
async fn poor(browser: &mut Browser) -> Vec<Value> {
    let found = browser.eval(CONTRASTS).await;
    let found = found.as_array().unwrap();
    assert!(found.len() >= 40, "{} texts", found.len());
    let poor = |pair: &&Value| pair[1].as_f64().is_none_or(|ratio| ratio < 4.5);
    found.iter().filter(poor).cloned().collect()
}
