//! Words of others reach no terminal and no log as they are.

use apply_tests::{RESULTS, Stage};

/// Turns the direction, breaks the line, hides, clears the screen.
const WORDS: &str = "A\u{202e}B\u{2028}C\u{2066}D\u{200b}E\x1b[2J\u{85}F\u{61c}";

fn is_clean(what: &str, text: &str) {
    let bad = |c: &char| match c {
        '\n' => false,
        c => c.is_control() || WORDS.contains(*c) && !c.is_ascii(),
    };
    let found = text.chars().find(bad);
    assert_eq!(found, None, "{what} prints {text:?}");
}

#[tokio::test]
async fn what_turns_breaks_or_hides_is_shown_as_its_number_wherever_it_is_printed() {
    for format in ["text", "json"] {
        let stage = Stage::open().await;
        let service = stage
            .service()
            .env("APPLY_LOG_FORMAT", format)
            .env("APPLY_LOG_LEVEL", "DEBUG")
            .ready()
            .await;
        // An unknown action, then a proposal that cannot be read.
        stage.propose("BTCUSDT", WORDS).await;
        stage.result_for("BTCUSDT").await;
        stage
            .propose_with("ETHUSDT", "PARTIAL_75", &[("kill_score", WORDS)])
            .await;
        service.line_with(&["kill_score", "202e"]).await;
        // Another writer of the results, as there are.
        let id = format!("ab{WORDS}");
        for (stream, field) in [(RESULTS, "error"), (apply_tests::PLANS, "reason_codes")] {
            let () = stage
                .command(&[
                    "XADD", stream, "*", "plan_id", &id, "symbol", WORDS, "decision", WORDS, field,
                    WORDS,
                ])
                .await;
        }
        is_clean("the log", &service.log().join("\n"));

        let commands: [&[&str]; 10] = [
            &["plans", "tail"],
            &["plans", "tail", "--json"],
            &["results", "tail"],
            &["results", "tail", "--json"],
            &["status"],
            &["status", "--json"],
            &["watch", "--once"],
            &["stats"],
            &["stats", "--json"],
            &["check"],
        ];
        for words in commands {
            let ended = stage.program(words).ended().await;
            is_clean(&words.join(" "), &ended.output());
            if words.contains(&"--json") {
                for line in &ended.log {
                    let read: Result<serde_json::Value, _> = serde_json::from_str(line);
                    assert!(read.is_ok(), "{words:?}: {line}");
                }
            }
        }
        for path in ["plans", "symbols", "status"] {
            let path = format!("/api/{path}.json");
            is_clean(&path, &service.page(&path).await);
        }
        service.stopped_well().await;
    }
}

#[tokio::test]
async fn an_entry_of_any_size_is_shown_by_its_size() {
    let stage = Stage::open().await;
    let script = "return redis.call('XADD', KEYS[1], '*', 'plan_id', string.rep('x', 20971520))";
    for stream in [apply_tests::PLANS, RESULTS] {
        let _: String = stage.command(&["EVAL", script, "1", stream]).await;
        let _: String = stage
            .command(&["XADD", stream, "*", "plan_id", "67e6da21fa9fe506"])
            .await;
    }
    for words in [["plans", "tail"], ["results", "tail"]] {
        let ended = stage.program(&words).ended().await;
        assert_eq!(ended.log.len(), 2, "{}", ended.output().len());
        assert!(
            ended.log[0].contains("an entry of 20971527 bytes"),
            "{:?}",
            ended.log
        );
        assert!(ended.log[1].contains("67e6da21fa9fe506"), "{:?}", ended.log);
    }
    let commands: [&[&str]; 4] = [
        &["watch", "--once"],
        &["stats"],
        &["plans", "tail", "--json"],
        &["permits", "show", "67e6da21fa9fe506", "--symbol", "BTCUSDT"],
    ];
    for words in commands {
        let ended = stage.program(words).ended().await;
        assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.output().len());
        assert!(
            ended.output().len() < 8192,
            "{words:?}: {}",
            ended.output().len()
        );
    }
}
