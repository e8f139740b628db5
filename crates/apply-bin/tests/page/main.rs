//! The operator's page in a real Chromium, on the real binary, a real `redis-server` and the
//! simulated venue.
#![allow(clippy::unwrap_used)]

mod access;
mod browser;
mod former;
mod history;
mod pictures;
mod sizes;
mod speech;
mod strain;

use apply_tests::{Service, Stage, governor_permit, position_permit, within};
use browser::Browser;
use exchange_sim::{Fault, Instead, When};
use std::collections::HashSet;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Where the service says that its page is.
async fn address(service: &Service) -> String {
    let line = service.line("Metrics on http://").await;
    let (_, url) = line.split_once("http://").unwrap();
    url.strip_suffix("/metrics").unwrap().to_owned()
}

/// A browser that looks at the page of this service, and the page's address.
async fn open(service: &Service) -> (Browser, String) {
    let address = address(service).await;
    let mut browser = Browser::open().await;
    browser.visit(&format!("http://{address}/")).await;
    (browser, address)
}

/// What the page shows in the place of this id.
async fn shown(browser: &mut Browser, id: &str) -> String {
    let text = browser
        .eval(&format!("document.getElementById({id:?}).innerText"))
        .await;
    text.as_str().unwrap().to_owned()
}

/// A plan of SOLUSDT that is none of these, and that the position brain denies; its id, once its result is there.
async fn denied(stage: &Stage, known: &HashSet<String>) -> String {
    stage.propose("SOLUSDT", "PARTIAL_50").await;
    let denied = stage.plan("SOLUSDT", known).await;
    let denied = denied.get("plan_id").to_owned();
    stage.govern(&denied, &governor_permit("SOLUSDT")).await;
    let no = r#"{"allow":false,"symbol":"SOLUSDT","reason":"reconcile_required_qty_mismatch","created_at":1769301008.9}"#;
    stage.allow(&denied, no).await;
    stage.result_of(&denied).await;
    denied
}

pub(crate) fn has(id: &str, text: &str) -> String {
    format!("document.getElementById({id:?})?.innerText.includes({text:?})")
}

#[tokio::test]
async fn it_loads_in_silence_is_small_and_asks_nobody_else_for_anything() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let (mut browser, address) = open(&service).await;
    browser
        .until("orders can flow", &has("flow", "Orders can flow"))
        .await;
    assert_eq!(shown(&mut browser, "mode").await, "testnet");
    assert_eq!(shown(&mut browser, "link").await, "live");
    for part in ["Redis", "Venue", "Clock", "Journal"] {
        browser.until(part, &has("lights", part)).await;
    }

    let sizes = browser.sizes().await;
    let total: u64 = sizes.values().sum();
    assert!(
        sizes.len() <= 3,
        "one document, its icon, one stream: {sizes:?}"
    );
    assert!((10_000..80 * 1024).contains(&total), "{total}: {sizes:?}");
    let ours = format!("http://{address}/");
    assert!(browser.requests.len() >= 2, "{:?}", browser.requests);
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
    let mut browser = open(&service).await.0;

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
    let announced = shown(&mut browser, "announcement").await;
    assert!(
        announced.starts_with("BTCUSDT executed: SELL 0.009"),
        "{announced}"
    );

    // Its order, shown on the page as the venue has it, leads to the plan and to its permits.
    let order = shown(&mut browser, &format!("order-{id}")).await;
    let result = stage.result_of(&id).await;
    let steps: serde_json::Value = serde_json::from_str(result.get("steps_results")).unwrap();
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
    let mut browser = open(&service).await.0;
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

    let halted = stage.program(&["halt", "--reason", "fire in the hall"]);
    assert_eq!(halted.ended().await.code, Some(0));
    browser
        .until("the halt is shown", &has("flow", "Halted"))
        .await;
    for words in ["“fire in the hall”", ", since ", "apply-layer resume"] {
        browser
            .until(
                "with why, since when and how it ends",
                &has("switches", words),
            )
            .await;
    }
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
    let (mut browser, address) = open(&service).await;
    browser.until("it is live", &has("link", "live")).await;

    service.stopped_well().await;
    browser
        .until("the loss is shown", &has("link", "connection lost"))
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
        .until("the restart is shown", &has("announcement", "restarted"))
        .await;
    stage.propose("ETHUSDT", "FULL_CLOSE_PROPOSED").await;
    let plan = stage.plan("ETHUSDT", &HashSet::new()).await;
    browser
        .until("changes arrive again", &has("waits", plan.get("plan_id")))
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
async fn a_redis_that_takes_no_writes_gives_no_green_light() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut browser = open(&service).await.0;
    browser
        .until("orders can flow", &has("flow", "Orders can flow"))
        .await;
    // Full, and without the replicas that it is to have: reads are answered all the while.
    for (setting, broken, sound, said) in [
        ("maxmemory", "1", "0", "maxmemory"),
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
    ] {
        let () = stage.command(&["CONFIG", "SET", setting, broken]).await;
        browser
            .until("it is shown", &has("flow", "Redis takes no writes"))
            .await;
        browser
            .until("with what Redis says", &has("flow", said))
            .await;
        service
            .metric_is("quantum_apply_orders_can_flow", "0")
            .await;
        service.metric_is("quantum_apply_redis_up", "0").await;
        let () = stage.command(&["CONFIG", "SET", setting, sound]).await;
        browser
            .until("orders can flow again", &has("flow", "Orders can flow"))
            .await;
        service.metric_is("quantum_apply_redis_up", "1").await;
    }
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_switch_that_cannot_be_looked_at_is_unknown_and_neither_on_nor_off() {
    let stage = Stage::open().await;
    let how = stage.service();
    let place = how.state_directory().join("switch");
    let file = place.join("HALT").display().to_string();
    let service = how.env("APPLY_KILL_SWITCH_FILE", &file).ready().await;
    let mut browser = open(&service).await.0;
    let flows = has("flow", "Orders can flow");
    browser.until("orders can flow", &flows).await;
    // Below a plain file no user can look.
    std::fs::write(&place, "").unwrap();
    let unknown = format!("kill switch unknown: {file}");
    browser.until("it is shown", &has("flow", &unknown)).await;
    for words in [format!("{file} is unknown: "), "ask as root".to_owned()] {
        browser
            .until("with whom to ask", &has("switches", &words))
            .await;
    }
    let said = api(&service).await;
    assert_eq!(said["flow"]["state"], "stuck", "{said}");
    assert_eq!(said["switches"][0]["state"], "unknown", "{said}");
    gauges(&service, "0", "1").await;
    std::fs::remove_file(&place).unwrap();
    browser.until("orders can flow again", &flows).await;
    assert_eq!(api(&service).await["switches"], serde_json::json!([]));
    gauges(&service, "0", "0").await;

    // A store that does not answer says nothing of its switch; the file's is known.
    std::fs::create_dir(&place).unwrap();
    std::fs::write(&file, "1769301008 by me: drill\n").unwrap();
    browser.until("it halts", &has("flow", "Halted")).await;
    stage.redis.pause();
    let unknown = "quantum:global:kill_switch is unknown: ";
    for words in [unknown, "ask where Redis answers", "“drill”, by me"] {
        browser
            .until("each as it is", &has("switches", words))
            .await;
    }
    let said = api(&service).await;
    assert_eq!(said["flow"]["state"], "stuck", "{said}");
    let states = said["switches"].as_array().unwrap().iter();
    let states: Vec<_> = states.map(|one| (&one["name"], &one["state"])).collect();
    let key = serde_json::Value::from("quantum:global:kill_switch");
    assert_eq!(
        states,
        [
            (&file.as_str().into(), &"on".into()),
            (&key, &"unknown".into())
        ]
    );
    gauges(&service, "1", "1").await;
    std::fs::remove_file(&file).unwrap();
    gauges(&service, "0", "1").await;
    std::fs::write(&file, "").unwrap();
    stage.redis.resume();
    browser
        .until("it halts again", &has("flow", "Halted"))
        .await;
    gauges(&service, "1", "0").await;
    browser.close().await;
    service.stopped_well().await;
}

/// What the metrics come to say: whether a switch is known to be on, and whether one is unknown.
async fn gauges(service: &Service, halted: &str, unknown: &str) {
    service.metric_is("quantum_apply_halted", halted).await;
    service
        .metric_is("quantum_apply_kill_switch_unknown", unknown)
        .await;
}

/// What `/api/status.json` says.
async fn api(service: &Service) -> serde_json::Value {
    serde_json::from_str(&service.page("/api/status.json").await).unwrap()
}

#[tokio::test]
async fn a_service_that_stands_still_is_lost() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut browser = open(&service).await.0;
    browser.until("it is live", &has("link", "live")).await;
    service.signal("STOP").await;
    // Three seconds, and what a busy machine adds.
    browser
        .until("the loss is shown", &has("link", "connection lost"))
        .await;
    service.signal("CONT").await;
    browser
        .until("it is live again", &has("link", "live"))
        .await;
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn an_idle_service_notices_that_the_venue_is_gone_and_back() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    service.metric_is("quantum_apply_venue_up", "1").await;
    stage
        .venue()
        .script(Fault::not_executed(When::request("GET", "/fapi/v1/time"), Instead::Hang).always());
    service.metric_is("quantum_apply_venue_up", "0").await;
    service
        .metric_is("quantum_apply_orders_can_flow", "0")
        .await;
    stage.venue().clear_faults();
    service.metric_is("quantum_apply_venue_up", "1").await;
    service.stopped_well().await;
}

#[tokio::test]
async fn words_from_outside_stay_words() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let mut browser = open(&service).await.0;
    let attack = "<img src=x onerror=document.title=1>";
    stage.propose("BTCUSDT", attack).await;
    browser
        .until("the action is shown", &has("symbols", attack))
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
        .eval("document.querySelector('details.plan').open = true")
        .await;
    let width = browser.eval("document.documentElement.scrollWidth").await;
    assert_eq!(width, 360);
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn it_only_reads_and_lets_no_foreign_script_in() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let (mut browser, address) = open(&service).await;
    browser
        .until("the parts were looked at", &has("lights", "Journal"))
        .await;
    for path in [
        "/",
        "/plan/67e6da21fa9fe506",
        "/api/plans.json",
        "/api/trends.json",
        "/api/status.json",
        "/healthz",
    ] {
        for (method, expected) in [("GET", 200), ("POST", 405), ("DELETE", 405), ("PUT", 405)] {
            let ask = format!("fetch({path:?}, {{method: {method:?}}}).then(r => r.status)");
            assert_eq!(browser.eval(&ask).await, expected, "{method} {path}");
        }
    }
    let ready = "fetch('/readyz?verbose').then(r => r.text())";
    let ready = browser.eval(ready).await;
    let ready = ready.as_str().unwrap();
    // Up, or up and slow, as busy as this machine is.
    for part in ["[+] Redis: ", "[+] Venue: up", "[+] Journal: readable"] {
        assert!(ready.contains(part), "{ready}");
    }
    assert!(ready.ends_with("\nready\n"), "{ready}");
    let inline = "(() => { const s = document.createElement('script'); s.textContent = 'window.got = 1';\
                  document.head.append(s); return window.got === undefined; })()";
    assert_eq!(browser.eval(inline).await, true);
    browser.close().await;
    for (host, expected) in [
        (address.as_str(), "HTTP/1.1 200"),
        ("localhost", "HTTP/1.1 200"),
        ("rebound.example", "HTTP/1.1 421"),
    ] {
        for path in ["/", "/events", "/metrics", "/api/plans.json"] {
            let (head, _) = get(&address, host, path).await;
            assert_eq!(head, expected, "{path} as {host}");
        }
    }
    service.stopped_well().await;
}

#[tokio::test]
async fn a_crowd_of_listeners_is_turned_away_and_a_place_that_is_left_is_free_again() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let address = address(&service).await;
    let mut seated = Vec::new();
    for _ in 0..32 {
        let (head, socket) = listen(&address).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        seated.push(socket);
    }
    let (head, _) = listen(&address).await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    seated.pop();
    within("a place is free", async {
        while !listen(&address).await.0.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Open streams do not hold up the end.
    service.stopped_well().await;
}

/// Asks for the stream; the first words of the answer, and the connection they came on.
async fn listen(address: &str) -> (String, TcpStream) {
    get(address, address, "/events").await
}

async fn get(address: &str, host: &str, path: &str) -> (String, TcpStream) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.unwrap();
    (String::from_utf8_lossy(&head).into_owned(), socket)
}
