//! The past: what the streams and the journal keep, on the page of a process that did not see it.

use crate::{address, has, open, shown};
use apply_tests::{PLANS, RESULTS, Stage};
use serde_json::Value;
use std::{collections::HashSet, time::SystemTime};

/// A plan and its result on the streams, as another process has left them.
pub(crate) async fn leave(stage: &Stage, number: u64, of: u64, symbol: &str) -> String {
    leave_as(stage, number, of, symbol, ENDINGS[number as usize % 4]).await
}

/// Decision, whether it executed, and the error of a result.
pub(crate) type Ending = (&'static str, &'static str, &'static str);

const EXECUTED: Ending = ("EXECUTE", "True", "");
pub(crate) const DENIED: Ending = ("BLOCKED", "False", "p33_permit_denied");
const ENDINGS: [Ending; 4] = [
    EXECUTED,
    DENIED,
    ("BLOCKED", "False", "permit_timeout_or_missing:missing_p33"),
    ("ERROR", "False", "order_rejected:-2022"),
];

/// The same with an end of one's own. The plans lie over the last day in even steps.
pub(crate) async fn leave_as(
    stage: &Stage,
    number: u64,
    of: u64,
    symbol: &str,
    (decision, executed, error): Ending,
) -> String {
    let at = millis() - (of - number) * (80_000_000 / of) - 5_000;
    let (id, place) = (format!("{number:016x}"), format!("{at}-0"));
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
        r#"[{"step":"CLOSE_PARTIAL_75","status":"left","details":"as it was left"}]"#,
        "error",
        error,
        "profit_realized",
        if executed == "True" { "0.5" } else { "" },
    ];
    let _: String = stage.command(&result).await;
    id
}

/// Now, in milliseconds since 1970.
fn millis() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(now.unwrap().as_millis()).unwrap()
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
    for words in [
        "yes, at most 0.009",
        "SELL 0.009 at ",
        "answered after ",
        "intent",
        "published",
    ] {
        browser.until(words, &has("one", words)).await;
    }
    let took = "document.querySelector('#one svg[role=img]').getAttribute('aria-label').match(/order answered after [^;]*/)[0]";
    let took = browser.eval(took).await;
    let took = took.as_str().unwrap();
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
    // So is the time that its order took, which only the result knows, and the price.
    let drawn = format!(
        "document.querySelector('#one svg[role=img]')?.getAttribute('aria-label').includes({took:?})"
    );
    browser.until(took, &drawn).await;
    for words in [
        "yes, at most 0.009",
        "SELL 0.009 at ",
        "answered after ",
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
    // And the order's round trip; of the questions for its time the page says since when they count.
    for words in [
        "Orders of the last day: median",
        "asked by this process since",
    ] {
        browser.until(words, &has("venue", words)).await;
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
            .starts_with("Redis does not give it: in place of a stream there is something else"),
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

#[tokio::test]
async fn what_needs_attention_outlasts_a_restart_however_much_came_after_it() {
    const PLANS: u64 = 250;
    let stage = Stage::open().await;
    // Six orders in doubt, then far more plans than are kept, of which the last four of ETHUSDT came to nothing.
    let unresolved = ("ERROR", "False", "order_unresolved");
    let mut in_doubt = String::new();
    for number in 1..=PLANS {
        let (symbol, ending) = match number {
            1..=6 => ("SOLUSDT", unresolved),
            number if number > PLANS - 4 => ("ETHUSDT", DENIED),
            _ => ("BTCUSDT", EXECUTED),
        };
        let id = leave_as(&stage, number, PLANS, symbol, ending).await;
        if number == 6 {
            in_doubt = id;
        }
    }
    let how = stage.service();
    for _ in 0..2 {
        let service = how.clone().ready().await;
        let mut browser = open(&service).await.0;
        for words in [
            "SOLUSDT: an order may stand at the venue",
            &in_doubt,
            "1 more order may stand at the venue",
            "nothing was executed for ETHUSDT (4 plans)",
        ] {
            browser.until(words, &has("attention", words)).await;
        }
        let chip =
            "document.querySelector('[data-symbol=ETHUSDT]')?.innerText.includes('4 times no')";
        browser.until("its symbol says so", chip).await;
        browser.close().await;
        service.stopped_well().await;
    }
    // An execution ends it, and what is found out about an order, too.
    let service = how.ready().await;
    let mut browser = open(&service).await.0;
    let refused = "nothing was executed for ETHUSDT";
    browser.until(refused, &has("attention", refused)).await;
    leave_as(&stage, PLANS + 1, PLANS + 1, "ETHUSDT", EXECUTED).await;
    let gone = format!("!{}", has("attention", refused));
    browser.until("it is executed again", &gone).await;
    let corrected = [
        "XADD",
        RESULTS,
        "*",
        "plan_id",
        &in_doubt,
        "symbol",
        "SOLUSDT",
        "decision",
        "EXECUTE",
        "executed",
        "True",
        "steps_results",
        "[]",
        "error",
        "",
    ];
    let _: String = stage.command(&corrected).await;
    let gone = format!("!{}", has("attention", "1 more order"));
    browser.until("one fewer is in doubt", &gone).await;
    browser.close().await;
    service.stopped_well().await;
}

#[tokio::test]
async fn from_and_until_choose_by_the_times_that_are_shown_as_the_api_and_the_commands_do() {
    const PLANS: u64 = 300;
    let stage = Stage::open().await;
    for number in 1..=PLANS {
        leave(&stage, number, PLANS, "BTCUSDT").await;
    }
    let service = stage.ready().await;
    let address = address(&service).await;
    let mut browser = crate::browser::Browser::open().await;
    // Far from UTC, and not by whole hours.
    let zone = serde_json::json!({"timezoneId": "Asia/Kolkata"});
    browser.call("Emulation.setTimezoneOverride", zone).await;
    browser.visit(&format!("http://{address}/")).await;
    let past = "document.querySelectorAll('.plan').length === 100";
    browser.until("the past is there", past).await;
    // By the keyboard: the span is unfolded, filled in and asked for.
    browser
        .eval("document.querySelector('#span summary').focus()")
        .await;
    browser.press("Enter", 13).await;
    let open = "document.getElementById('span').open";
    browser.until("the span is unfolded", open).await;
    // From the 101st plan on until the 200th: that one's second belongs to it.
    let row = |number: u64| {
        format!(
            "fetch('/api/plans.json?limit=500').then(a => a.json()).then(a => a.plans.find(p => p.id === '{number:016x}').at)"
        )
    };
    let from = browser.eval(&row(101)).await.as_u64().unwrap();
    let until = browser.eval(&row(200)).await.as_u64().unwrap();
    let fill = |name: &str, at: u64| {
        format!(
            "(() => {{ const at = new Date({at}); const shown = new Date(at - at.getTimezoneOffset() * 6e4).toISOString().slice(0, 19);\
             document.getElementById('by-{name}').value = shown; document.getElementById('by-{name}').focus(); return shown; }})()"
        )
    };
    browser.eval(&fill("since", from)).await;
    let shown_until = browser.eval(&fill("until", until)).await;
    browser.press("Enter", 13).await;
    let ids = "[...document.querySelectorAll('.plan')].map(row => row.id.slice(5))";
    let all = "document.querySelectorAll('.plan').length === 100 && !document.getElementById('older').disabled";
    let end = has("older-why", "Nothing older in this time");
    browser.until("a hundred of them", all).await;
    browser
        .eval("document.getElementById('older').click()")
        .await;
    browser.until("that is all", &end).await;
    let expected: Vec<String> = (101..=200).rev().map(|n| format!("{n:016x}")).collect();
    assert_eq!(browser.eval(ids).await, serde_json::json!(expected));
    // The address says the same to another browser, to the API and to the commands.
    let asked = browser.eval("location.search.slice(1)").await;
    let asked = asked.as_str().unwrap();
    let (_, page) = fetched(&mut browser, &format!("/api/plans.json?limit=500&{asked}")).await;
    let api = page["plans"].as_array().unwrap().iter();
    let api: Vec<&str> = api.map(|plan| plan["id"].as_str().unwrap()).collect();
    assert_eq!(api, expected);
    let span = "['since', 'until'].map((name) => new URLSearchParams(location.search).get(name))";
    let span = browser.eval(span).await;
    let (since, until) = (span[0].as_str().unwrap(), span[1].as_str().unwrap());
    let printed = stage.program(&[
        "plans", "tail", "-n", "500", "--json", "--since", since, "--until", until,
    ]);
    let printed = printed.ended().await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let ids_printed = printed.log.iter().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["plan_id"].as_str().unwrap().to_owned()
    });
    let ids_printed: Vec<String> = ids_printed.collect();
    assert!(
        ids_printed.iter().rev().eq(expected.iter()),
        "{ids_printed:?}"
    );
    browser.visit(&format!("http://{address}/?{asked}")).await;
    browser.until("the same once more", all).await;
    browser
        .eval("document.getElementById('older').click()")
        .await;
    browser.until("that is all", &end).await;
    assert_eq!(browser.eval(ids).await, serde_json::json!(expected));
    let field = browser
        .eval("document.getElementById('by-until').value")
        .await;
    assert_eq!(field, shown_until);
    browser.until("the span is seen", open).await;
    // A span that ends before it begins is refused as that, and is no trouble of the history.
    browser
        .visit(&format!(
            "http://{address}/?since=2026-01-26&until=2026-01-25"
        ))
        .await;
    let why = "document.getElementById('older-why').innerText === 'until is before since'";
    browser.until("it is refused", why).await;
    let wrong = browser.complaints.iter();
    let wrong = wrong.filter(|complaint| !complaint.contains("400"));
    assert_eq!(wrong.count(), 0, "{:?}", browser.complaints);
    browser.close().await;
    service.stopped_well().await;
}

/// Texts that a page, a terminal or an eye could take for something else, and one without a place to break it.
const HOSTILE: [&str; 6] = [
    "<script>document.title=1</script>",
    "\"><img src=x onerror=document.title=1>",
    "abc\u{202e}txt.exe\u{2066}\u{200b}\u{7}\n\t<b>",
    "';--&lt;%00%ff{{7*7}}",
    "\u{1f600}\u{301}\u{301}\u{301}",
    "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
];

#[tokio::test]
async fn whatever_stands_in_the_streams_stays_words_and_within_the_screen() {
    let stage = Stage::open().await;
    for (number, text) in (1..).zip(HOSTILE) {
        let id = format!("{number:016x}");
        let steps = serde_json::json!([{"step": text, "status": "success", "details": text, "order_id": text,
            "side": text, "quantity": text, "executed_qty": text, "avg_price": text}]);
        let steps = steps.to_string();
        let plan = [
            "XADD",
            PLANS,
            "*",
            "plan_id",
            &id,
            "symbol",
            text,
            "action",
            text,
            "kill_score",
            text,
            "decision",
            "EXECUTE",
            "reason_codes",
            text,
            "steps",
            &steps,
            text,
            text,
        ];
        let _: String = stage.command(&plan).await;
        let result = [
            "XADD",
            RESULTS,
            "*",
            "plan_id",
            &id,
            "symbol",
            text,
            "decision",
            text,
            "executed",
            "False",
            "would_execute",
            "False",
            "steps_results",
            &steps,
            "error",
            text,
            "profit_realized",
            text,
            "commission",
            text,
            "order_took_us",
            text,
        ];
        let _: String = stage.command(&result).await;
        let foreign = [
            "XADD", RESULTS, "*", "plan_id", &id, "executed", text, "source", text, "error", text,
        ];
        let _: String = stage.command(&foreign).await;
        let permit = serde_json::json!({"name": text, "label": text, "after": 1, "by": "push", "yes": false, "said": text});
        let end = serde_json::json!({"granted": false, "waited": 5, "code": text, "detail": text, "ttls": [text]});
        let wait = serde_json::json!({"since": 1, "until": 2, "permits": [permit], "end": end});
        let wait = wait.to_string();
        let wait = [
            "XADD",
            "quantum:stream:apply.wait",
            "*",
            "plan_id",
            &id,
            "instance",
            text,
            "wait",
            &wait,
        ];
        let _: String = stage.command(&wait).await;
    }
    let service = stage.ready().await;
    let (mut browser, address) = open(&service).await;
    let count = HOSTILE.len();
    let there = format!(
        "document.querySelectorAll('.plan').length === {count} && document.getElementById('reviewers').children.length > {count}"
    );
    let shown = "[document.documentElement.scrollWidth <= innerWidth, document.images.length, document.scripts.length,\
                 /[\u{202e}\u{2066}\u{200b}\u{7}]/.test(document.body.innerText)]";
    // Its data and its script are the only two.
    let expected = serde_json::json!([true, 0, 2, false]);
    for width in [1280, 390] {
        browser.screen(width, 900, "light").await;
        browser.visit(&format!("http://{address}/")).await;
        browser.until("every plan is there", &there).await;
        let open = "document.querySelectorAll('.plan').forEach((row) => { row.open = true; })";
        browser.eval(open).await;
        let opened = format!("document.querySelectorAll('.plan dl').length === {count}");
        browser.until("every plan is open", &opened).await;
        assert_eq!(browser.eval(shown).await, expected, "{width}");
        for number in 1..=count {
            let plan = format!("http://{address}/plan/{number:016x}");
            browser.visit(&plan).await;
            let drawn = "document.querySelectorAll('#one svg[role=img]').length === 1";
            browser.until("the wait is drawn", drawn).await;
            assert_eq!(browser.eval(shown).await, expected, "{plan} at {width}");
        }
    }
    assert_eq!(browser.complaints, [""; 0]);
    browser.close().await;
    service.stopped_well().await;
}
