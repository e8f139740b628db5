//! One symbol, fifty, a thousand; narrow and wide, dark and light; many changes a second.

use crate::{
    address,
    browser::Browser,
    has,
    history::{DENIED, leave_as},
};
use apply_tests::{Service, Stage};

/// Follows this many symbols, of which the first forty have a plan that was denied.
async fn with_symbols(stage: &Stage, count: usize) -> Service {
    let names: Vec<String> = (0..count).map(|n| format!("S{n:04}USDT")).collect();
    for (number, name) in (1..=40).zip(names.iter().cycle()) {
        leave_as(stage, number, 40, name, DENIED).await;
    }
    let service = stage.service().env("SYMBOLS", names.join(","));
    service.env("APPLY_ALLOWLIST", &*names[0]).ready().await
}

#[tokio::test]
async fn however_many_symbols_there_are_plans_stay_near_and_nothing_is_wider_than_the_screen() {
    for count in [1, 50, 1_000] {
        let stage = Stage::open().await;
        let service = with_symbols(&stage, count).await;
        let url = format!("http://{}/", address(&service).await);
        let mut browser = Browser::open().await;
        for (width, most, cards, scheme) in [(1280, 900, 400, "light"), (390, 1_200, 330, "dark")] {
            browser.screen(width, 900, scheme).await;
            browser.visit(&url).await;
            browser
                .until(
                    "the past is there",
                    "document.querySelectorAll('.plan').length === 40",
                )
                .await;
            browser
                .until(
                    "the symbols are there",
                    &has("symbols-count", &count.to_string()),
                )
                .await;
            let plans = "Math.round(document.getElementById('plans').getBoundingClientRect().top + scrollY)";
            let top = browser.eval(plans).await.as_u64().unwrap();
            let height = "Math.round(document.querySelector('[aria-labelledby=symbols-title]').getBoundingClientRect().height)";
            let height = browser.eval(height).await.as_u64().unwrap();
            println!("{count} symbols at {width}: {height} of symbols, plans at {top}");
            assert!(top < most, "{count} symbols at {width}: plans at {top}");
            assert!(
                height < cards,
                "{count} symbols at {width}: {height} of them"
            );
            let wide = browser.eval("document.documentElement.scrollWidth").await;
            assert!(
                wide.as_u64().unwrap() <= width.into(),
                "{count} symbols at {width}: {wide}"
            );
        }
        // Every symbol is to be found, the quiet ones unfolded.
        browser
            .eval("document.getElementById('quiet').open = true")
            .await;
        let all = format!(
            "document.querySelectorAll('#symbols > li, #quiet-list > li').length === {count}"
        );
        browser.until("every symbol is shown", &all).await;
        assert_eq!(browser.complaints, [""; 0]);
        browser.close().await;
        service.stopped_well().await;
    }
}
