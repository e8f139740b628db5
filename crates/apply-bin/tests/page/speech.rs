//! What a screen reader is given: roles, names, headings, live regions, as Chromium's own accessibility tree has them.

use crate::{address, browser::Browser, has};
use apply_tests::Stage;
use serde_json::{Value, json};
use std::collections::HashSet;

/// One node that is spoken.
#[derive(Debug)]
struct Node {
    role: String,
    name: String,
    properties: Value,
}

impl Node {
    fn property(&self, name: &str) -> &Value {
        let all = self.properties.as_array();
        let found = all.and_then(|all| all.iter().find(|one| one["name"] == name));
        found.map_or(&Value::Null, |found| &found["value"]["value"])
    }
}

/// Everything that is spoken, in the order in which it is read.
async fn spoken_nodes(browser: &mut Browser) -> Vec<Node> {
    let tree = browser.call("Accessibility.getFullAXTree", json!({})).await;
    let nodes = tree["nodes"].as_array().unwrap().iter();
    let spoken = nodes.filter(|node| node["ignored"] != true);
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    spoken
        .map(|node| Node {
            role: text(&node["role"]),
            name: text(&node["name"]),
            properties: node["properties"].clone(),
        })
        .collect()
}

/// The names of those with a role.
fn named<'a>(nodes: &'a [Node], role: &str) -> Vec<&'a str> {
    let of_role = nodes.iter().filter(|node| node.role == role);
    of_role.map(|node| &*node.name).collect()
}

/// Headings step down one at a time, and nothing that can be used or looked at is without a name.
fn sound(nodes: &[Node]) {
    let mut level = 0;
    for node in nodes {
        match &*node.role {
            "heading" => {
                let next = node.property("level").as_u64().unwrap();
                assert!(next <= level + 1, "{next} after {level}: {node:?}");
                assert!(!node.name.is_empty(), "{node:?}");
                level = next;
            }
            "link" | "button" | "textbox" | "combobox" | "image" | "DisclosureTriangle"
            | "progressbar" | "progress" | "DateTime" | "InputTime" | "form" | "region" => {
                assert!(!node.name.is_empty(), "{node:?}");
            }
            _ => {}
        }
        // Marks are for eyes: the words beside them say the same.
        let marks = ["!", "✓", "✗", "●", "…", "–"];
        assert!(!marks.contains(&&*node.name), "{node:?}");
    }
}

#[tokio::test]
async fn a_screen_reader_speaks_what_an_eye_sees() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let address = address(&service).await;
    let mut browser = Browser::open().await;
    browser.visit(&format!("http://{address}/")).await;
    let denied = crate::denied(&stage, &HashSet::new()).await;
    stage.propose("ETHUSDT", "FULL_CLOSE_PROPOSED").await;
    let row = format!("plan-{denied}");
    browser
        .until("it is blocked", &has(&row, "p33_permit_denied"))
        .await;
    browser
        .eval(&format!("document.getElementById({row:?}).open = true"))
        .await;
    let opened = format!("document.getElementById('permits-{denied}') !== null");
    browser.until("the permits are shown", &opened).await;
    browser
        .until("one waits", &has("waits", "missing: Governor, P3.3"))
        .await;
    browser
        .until("it is drawn", &has("hour", "1 blocked"))
        .await;

    let nodes = spoken_nodes(&mut browser).await;
    sound(&nodes);
    for role in ["banner", "main", "contentinfo"] {
        assert_eq!(named(&nodes, role).len(), 1, "{role}");
    }
    let headings = named(&nodes, "heading");
    for heading in [
        "apply-layer",
        "Waiting for permits 1",
        "Plans and results",
        "Plans, last hour",
        "Wait by reviewer",
    ] {
        assert!(headings.contains(&heading), "{heading}: {headings:?}");
    }
    // The state is spoken at once when it changes, and so is what a plan came to.
    let live = |node: &&Node| node.property("live") == "polite";
    let live = nodes.iter().filter(live).count();
    assert!(live >= 3, "flow, connection and announcement: {live}");
    let texts: String = nodes
        .iter()
        .map(|node| format!("{}\n", node.name))
        .collect();
    for words in [
        "Orders can flow",
        "SOLUSDT",
        "said no:",
        "reconcile_required_qty_mismatch",
        "Time until the deadline",
        "Results in the last hour: 1 blocked",
    ] {
        assert!(texts.contains(words), "{words} in {texts}");
    }
    // A lamp's colour is a word, too.
    assert!(
        texts.contains("good:") || texts.contains("look at it:"),
        "{texts}"
    );
    let filters = named(&nodes, "textbox");
    for label in ["Symbol", "Reason", "Plan id"] {
        assert!(filters.contains(&label), "{label}: {filters:?}");
    }

    browser
        .visit(&format!("http://{address}/plan/{denied}"))
        .await;
    let drawn = "document.querySelectorAll('#one svg[role=img]').length === 1";
    browser.until("the wait is drawn", drawn).await;
    let nodes = spoken_nodes(&mut browser).await;
    sound(&nodes);
    let pictures = named(&nodes, "image");
    let wait = "The wait: Governor";
    assert!(
        pictures.iter().any(|name| name.starts_with(wait)
            && name.contains("P3.3")
            && name.contains("said no")),
        "{pictures:?}"
    );
    assert_eq!(named(&nodes, "main").len(), 1, "the overview is not there");
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.signal("KILL").await;
}
