//! Starting: what is wrong is said at once, and with which code the program ends.

use apply_tests::{PLANS, RESULTS, ServiceBuilder, Stage};
use exchange_sim::SimConfig;
use redis_harness::ServerStub;
use std::net::TcpListener;

/// A loopback address that does not answer while the listener is held.
fn silent_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn all_mistakes_in_the_configuration_are_reported_at_once_and_no_secret_with_them() {
    const SECRETS: [&str; 3] = ["hunter2password", "hunter2key", "hunter2secret"];
    let wrong = [
        ("APPLY_MODE", "live"),
        ("SYMBOLS", "btc-usdt"),
        ("APPLY_PERMIT_WAIT_MS", "-5"),
        ("APPLY_PERMIT_STEP_MS", "soon"),
        ("APPLY_POLL_SEC", "nan"),
        ("K_BLOCK_CRITICAL", "inf"),
        ("APPLY_KILL_SWITCH", "maybe"),
        ("APPLY_METRICS_PORT", "99999"),
        ("APPLY_LOG_LEVEL", "loud"),
        ("APPLY_PERMITS", "governor,governor"),
        ("BINANCE_TESTNET_URL", "https://fapi.binance.com"),
    ];
    let mut service = ServiceBuilder::bare()
        .env(
            "REDIS_URL",
            format!("http://me:{}@127.0.0.1:6379", SECRETS[0]),
        )
        .env("BINANCE_TESTNET_API_KEY", format!("bad key {}", SECRETS[1]))
        .env("BINANCE_TESTNET_API_SECRET", SECRETS[2]);
    for (name, value) in wrong {
        service = service.env(name, value);
    }
    let ended = service.ended().await;
    let output = ended.output();
    assert_eq!(ended.code, Some(78), "{output}");
    for (name, value) in wrong {
        let expected = format!("\n  {name}={value}\n      ");
        assert!(output.contains(&expected), "{name} in {output}");
    }
    assert!(output.contains("\n  REDIS_URL=(hidden)\n"), "{output}");
    for secret in SECRETS {
        assert!(!output.contains(secret), "{output}");
    }
}

#[tokio::test]
async fn testnet_without_credentials_is_a_mistake_before_anything_is_touched() {
    let stage = Stage::open().await;
    for missing in ["BINANCE_TESTNET_API_KEY", "BINANCE_TESTNET_API_SECRET"] {
        let ended = stage.service().without(missing).ended().await;
        let output = ended.output();
        assert_eq!(ended.code, Some(78), "{output}");
        assert!(output.contains(&format!("{missing}=(not set)")), "{output}");
        for secret in [SimConfig::API_KEY, SimConfig::API_SECRET] {
            assert!(!output.contains(secret), "{output}");
        }
    }
    assert_eq!(stage.venue().requests(), []);
}

#[tokio::test]
async fn no_log_line_of_a_whole_life_holds_a_key_or_a_signature() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_LOG_LEVEL", "DEBUG")
        .ready()
        .await;
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        if symbol == "ETHUSDT" {
            let lost = exchange_sim::Fault::executed(
                exchange_sim::When::order(),
                exchange_sim::Delivery::Reset,
            );
            stage.venue().script(lost);
        }
        stage.propose(symbol, "PARTIAL_75").await;
        let plan = stage.only_plan(symbol).await;
        stage.approve(&plan, "0.05").await;
        assert_eq!(
            stage.result_of(plan.get("plan_id")).await.get("executed"),
            "True"
        );
    }
    let page = service.metrics().await;
    let ended = service.stopped_well().await;
    let output = format!("{}{page}", ended.output());
    for secret in [SimConfig::API_KEY, SimConfig::API_SECRET, "signature="] {
        assert!(!output.contains(secret), "{secret} in {output}");
    }
}

#[tokio::test]
async fn a_dry_run_needs_no_credentials_asks_the_venue_nothing_and_says_what_it_would_do() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_MODE", "dry_run")
        .without("BINANCE_TESTNET_API_KEY")
        .without("BINANCE_TESTNET_API_SECRET")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(
        (
            result.get("executed"),
            result.get("would_execute"),
            result.get("error")
        ),
        ("False", "True", "")
    );
    service.stopped_well().await;
    assert_eq!(stage.venue().requests(), []);
}

#[tokio::test]
async fn dry_run_is_what_an_unset_mode_means() {
    let stage = Stage::open().await;
    let service = stage.service().without("APPLY_MODE").ready().await;
    service.line("mode=dry_run").await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_redis_that_stays_away_is_reported_and_ends_the_start_with_69() {
    let (listener, port) = silent_port();
    drop(listener);
    let ended = ServiceBuilder::bare()
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", port.to_string())
        .env("APPLY_METRICS_PORT", "0")
        .env("APPLY_START_WAIT_SEC", "0.7")
        .ended()
        .await;
    let output = ended.output();
    assert_eq!(ended.code, Some(69), "{output}");
    let address = format!("redis://127.0.0.1:{port}");
    let away =
        |line: &&String| line.contains(&address) && line.contains("is unreachable, trying again");
    assert!(ended.log.iter().any(|line| away(&line)), "{output}");
    let last = ended.errors.last().unwrap();
    assert!(
        last.contains(&address)
            && last.contains("was unreachable for")
            && last.contains("start it"),
        "{output}"
    );
}

/// For as long as it is not replaced: no step waits for that.
#[tokio::test]
async fn a_redis_that_is_too_old_is_reported_and_ends_each_start_with_78() {
    let old = ServerStub::of_version("6.0.20").await;
    let stage = Stage::open().await;
    for words in [
        &["run"][..],
        &["review", "governor"],
        &["review", "p33"],
        &["chain"],
    ] {
        let ended = stage
            .program(words)
            .env("REDIS_URL", old.url())
            .env("REVIEW_METRICS_PORT", "0")
            .env("APPLY_START_WAIT_SEC", "600")
            .ended()
            .await;
        let output = ended.output();
        assert_eq!(ended.code, Some(78), "{words:?}: {output}");
        let expected = "Redis 6.0.20 is too old: use Redis 6.2 or later, or Valkey";
        assert!(output.contains(expected), "{words:?}: {output}");
    }
}

#[tokio::test]
async fn a_redis_that_comes_up_late_is_waited_for() {
    let mut stage = Stage::open().await;
    stage.redis.kill();
    let service = stage.service().start().await;
    service.line("is unreachable, trying again").await;
    stage.restart_redis().await;
    service.line("Ready: following 3 symbols").await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    assert_eq!(
        stage.result_of(plan.get("plan_id")).await.get("executed"),
        "True"
    );
    service.stopped_well().await;
}

#[tokio::test]
async fn a_start_that_waits_for_redis_can_be_called_off() {
    let mut stage = Stage::open().await;
    stage.redis.kill();
    let service = stage.service().start().await;
    service.line("is unreachable, trying again").await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_redis_that_refuses_the_password_is_reported_without_it() {
    let stage = Stage::open().await;
    let url = format!("redis://me:hunter2@127.0.0.1:{}", stage.redis.port());
    let ended = stage
        .service()
        .env("REDIS_URL", url)
        .env("APPLY_START_WAIT_SEC", "0")
        .ended()
        .await;
    let output = ended.output();
    assert_eq!(ended.code, Some(69), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}

#[tokio::test]
async fn a_metrics_port_in_use_is_reported_with_the_fix() {
    let stage = Stage::open().await;
    let (_held, port) = silent_port();
    let ended = stage
        .service()
        .env("APPLY_METRICS_PORT", port.to_string())
        .ended()
        .await;
    let output = ended.output();
    assert_eq!(ended.code, Some(69), "{output}");
    let error = ended.errors.last().unwrap();
    assert!(
        error.contains(&format!("127.0.0.1:{port}")) && error.contains("APPLY_METRICS_PORT"),
        "{output}"
    );
    assert_eq!(stage.entries(RESULTS).await, []);
}

#[tokio::test]
async fn a_venue_that_is_away_at_the_start_is_a_warning_and_plans_end_as_unavailable() {
    let stage = Stage::open().await;
    let (listener, port) = silent_port();
    drop(listener);
    let service = stage
        .service()
        .env("BINANCE_TESTNET_URL", format!("http://127.0.0.1:{port}"))
        .ready()
        .await;
    service.line_with(&["WARN", "is not ready"]).await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    // Nothing but the venue is missing.
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(result.get("error"), "venue_unavailable");
    assert_eq!(result.get("executed"), "False");
    service.stopped_well().await;
    assert_eq!(stage.venue().requests(), []);
}

#[tokio::test]
async fn a_variable_that_is_probably_misspelt_is_named() {
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("APPLY_ALOWLIST", "BTCUSDT")
        .ready()
        .await;
    service.line("is APPLY_ALLOWLIST meant?").await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_wrong_command_line_is_a_usage_error() {
    let ended = ServiceBuilder::command(&["fly"]).ended().await;
    assert_eq!(ended.code, Some(2), "{}", ended.output());
    assert!(
        ended.output().contains("Usage: apply-layer"),
        "{}",
        ended.output()
    );
}

/// An empty Redis may have been another one a moment ago.
#[tokio::test]
async fn on_a_redis_that_is_new_no_plan_is_claimed_for_a_while_and_that_is_said() {
    let stage = Stage::open().await;
    let () = stage.command(&["FLUSHALL"]).await;
    let service = stage.ready().await;
    service.line("Redis is new to this service").await;
    service.readiness("200", "[-] Claims: ").await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    service.line("reason=store_may_have_forgotten").await;
    assert_eq!(
        stage.entries(PLANS).await.len(),
        0,
        "no reviewer is asked yet"
    );
    // By itself, once it is clean.
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    service.readiness("200", "[+] Claims: ").await;
    service
        .metric_is(
            r#"quantum_apply_plans_refused_total{reason="store_may_have_forgotten"}"#,
            "1",
        )
        .await;
    service.stopped_well().await;
}
