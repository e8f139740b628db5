//! `check`.

use crate::{Ended, StateDir, apply_layer, ops, redis as redis_words};
use apply_tests::Stage;
use exchange_client::{Client, Credentials, PositionMode, StopIntent};
use exchange_sim::{Sim, SimConfig, SymbolSpec};
use redis_harness::RedisServer;
use serde_json::Value;
use std::time::Duration;
use tokio::process::Command;

fn testnet(redis: &str, venue: &str, secret: &str) -> Command {
    let mut command = apply_layer(redis, &["check", "--json"]);
    command
        .env("APPLY_MODE", "testnet")
        .env("SYMBOLS", "BTCUSDT");
    command.env("BINANCE_TESTNET_URL", venue);
    command.env("BINANCE_TESTNET_API_KEY", SimConfig::API_KEY);
    command.env("BINANCE_TESTNET_API_SECRET", secret);
    command
}

async fn report(mut command: Command) -> (i32, Value) {
    let ended: Ended = command.output().await.unwrap().into();
    (ended.code, ended.json())
}

/// The mark and the text of one check.
fn of(report: &Value, name: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap();
    let line = checks.iter().find(|line| line["check"] == name);
    let line = line.unwrap_or_else(|| panic!("no {name} in {report}"));
    let text = |field: &str| line[field].as_str().unwrap().to_owned();
    (text("result"), text("text"))
}

#[tokio::test]
async fn with_everything_up_every_line_is_ok() {
    let redis = RedisServer::builder().aof("everysec").start().await;
    let c = &mut redis.connection().await;
    for group in ["governor", "p33"] {
        let create = format!("XGROUP CREATE quantum:stream:apply.plan {group} 0 MKSTREAM");
        let () = redis_words(c, &create).await;
        let read = format!("XGROUP CREATECONSUMER quantum:stream:apply.plan {group} one");
        let _: i64 = redis_words(c, &read).await;
    }
    let sim = Sim::start(SimConfig::default().strict()).await.unwrap();
    let state = StateDir::new();
    let mut command = testnet(&redis.url(), &sim.url(), SimConfig::API_SECRET);
    command.env("APPLY_STATE_DIR", state.path());
    let (code, report) = report(command).await;
    assert_eq!((code, &report["ok"]), (0, &Value::Bool(true)), "{report}");
    for line in report["checks"].as_array().unwrap() {
        assert_eq!(line["result"], "ok", "{line}");
    }
    assert_eq!(of(&report, "position mode").1, "one-way");
    assert!(
        of(&report, "persistence").1.contains("a second of claims"),
        "{report}"
    );
}

#[tokio::test]
async fn with_everything_away_it_says_what_to_start() {
    let (mut redis, sim) = (
        RedisServer::start().await,
        Sim::start(SimConfig::default().strict()).await.unwrap(),
    );
    let (redis_url, venue) = (redis.url(), sim.url());
    redis.kill();
    sim.shutdown().await.unwrap();
    let (code, report) = report(testnet(&redis_url, &venue, SimConfig::API_SECRET)).await;
    assert_eq!(code, 69, "{report}");
    let (mark, text) = of(&report, "redis");
    assert!(
        mark == "FAIL" && text.contains("start it, or correct REDIS_URL"),
        "{text}"
    );
    let (mark, text) = of(&report, "venue");
    assert!(
        mark == "FAIL" && text.contains("BINANCE_TESTNET_URL"),
        "{text}"
    );
}

#[tokio::test]
async fn a_redis_that_refuses_us_is_reported_with_its_own_fix() {
    let server = RedisServer::start().await;
    let numbered = format!("{}/99", server.url());
    let locked = RedisServer::start().await;
    let c = &mut locked.connection().await;
    let _: String = redis_words(c, "ACL SETUSER default resetpass >secret").await;
    for (url, fix) in [
        (numbered, "correct the number at the end of REDIS_URL"),
        (
            locked.url(),
            "user or password in REDIS_URL are wrong, or missing",
        ),
    ] {
        let (code, report) = report(apply_layer(&url, &["check", "--json"])).await;
        let (mark, text) = of(&report, "redis");
        // It answers: a setting has to change.
        assert_eq!((code, mark.as_str()), (78, "FAIL"), "{report}");
        let status = apply_layer(&url, &["status"]).output().await.unwrap();
        assert_eq!(Ended::from(status).code, 78);
        assert!(text.contains(fix), "{text}");
        for another in ["start it", "see apply-layer check"] {
            assert!(!text.contains(another), "{text}");
        }
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let redis = RedisServer::start().await;
    redis.pause();
    let ended = ops(&redis, &["check"]).await;
    assert_eq!(ended.code, 69, "{}", ended.out);
}

#[tokio::test]
async fn keys_the_venue_does_not_know_are_a_matter_of_configuration() {
    let redis = RedisServer::builder().aof("everysec").start().await;
    let sim = Sim::start(SimConfig::default().strict()).await.unwrap();
    let again = report;
    let (code, report) = report(testnet(&redis.url(), &sim.url(), "another-secret")).await;
    let (mark, text) = of(&report, "keys");
    assert_eq!((code, mark.as_str()), (78, "FAIL"), "{report}");
    assert!(
        text.contains("BINANCE_TESTNET_API_SECRET does not belong to")
            && !text.contains("another-secret"),
        "{text}"
    );
    // One that cannot be a secret is reported under its own name.
    let (code, shown) = again(testnet(&redis.url(), &sim.url(), "a “smart” one")).await;
    let (_, text) = of(&shown, "configuration");
    assert_eq!(code, 78, "{shown}");
    assert!(
        text.contains("BINANCE_TESTNET_API_SECRET")
            && !text.contains("BINANCE_TESTNET_API_KEY")
            && !text.contains("smart"),
        "{text}"
    );
}

#[tokio::test]
async fn a_clock_that_is_off_is_reported_with_the_fix() {
    let redis = RedisServer::builder().aof("always").start().await;
    let sim = Sim::start(SimConfig::default().strict().clock_offset_ms(60_000))
        .await
        .unwrap();
    let (code, report) = report(testnet(&redis.url(), &sim.url(), SimConfig::API_SECRET)).await;
    let (mark, text) = of(&report, "clock");
    assert_eq!((code, mark.as_str()), (78, "FAIL"), "{report}");
    assert!(text.contains("NTP"), "{text}");
}

#[tokio::test]
async fn a_server_that_takes_no_writes_fails_with_the_reason() {
    let redis = RedisServer::builder().aof("always").start().await;
    let sim = Sim::start(SimConfig::default().strict()).await.unwrap();
    for (setting, broken, sound, fix) in [
        ("maxmemory", "1", "0", "raise maxmemory"),
        ("min-replicas-to-write", "1", "0", "min-replicas-to-write"),
    ] {
        let set = async |value: &str| {
            let mut connection = redis.connection().await;
            let () = redis::cmd("CONFIG")
                .arg(&["SET", setting, value])
                .query_async(&mut connection)
                .await
                .unwrap();
        };
        set(broken).await;
        let (code, found) = report(testnet(&redis.url(), &sim.url(), SimConfig::API_SECRET)).await;
        let (mark, text) = of(&found, "writes");
        assert_eq!((code, mark.as_str()), (69, "FAIL"), "{found}");
        assert!(text.contains(fix), "{text}");
        set(sound).await;
        let (_, found) = report(testnet(&redis.url(), &sim.url(), SimConfig::API_SECRET)).await;
        assert_eq!(of(&found, "writes").0, "ok", "{found}");
    }
}

#[tokio::test]
async fn claims_that_a_restart_forgets_fail_where_orders_leave_and_a_note_in_a_dry_run() {
    let redis = RedisServer::start().await;
    let sim = Sim::start(SimConfig::default().strict()).await.unwrap();
    let (code, report) = report(testnet(&redis.url(), &sim.url(), SimConfig::API_SECRET)).await;
    let (mark, text) = of(&report, "persistence");
    assert_eq!((code, mark.as_str()), (78, "FAIL"), "{report}");
    assert!(text.contains("appendonly yes"), "{text}");
    let dry = ops(&redis, &["check", "--json"]).await;
    assert_eq!(
        (dry.code, of(&dry.json(), "persistence").0.as_str()),
        (0, "note")
    );
    assert_eq!(of(&dry.json(), "keys").0, "skipped");
}

#[tokio::test]
async fn of_a_server_that_loads_its_data_nothing_else_is_blamed() {
    let master = RedisServer::builder()
        .config("repl-diskless-sync-delay 0")
        .start()
        .await;
    let fill = "for i = 1, 3000 do redis.call('SET', ARGV[1] .. i, i) end";
    let mut connection = master.connection().await;
    for part in ["a", "b", "c", "d", "e"] {
        let fill = redis::cmd("EVAL").arg(fill).arg(0).arg(part).to_owned();
        fill.exec_async(&mut connection).await.unwrap();
    }
    // A replica that gets its first copy loads, half a minute long here, and answers meanwhile.
    let replica = RedisServer::start().await;
    let c = &mut replica.connection().await;
    for setting in [
        "key-load-delay 2000",
        "loading-process-events-interval-bytes 1024",
    ] {
        let _: String = redis_words(c, &format!("CONFIG SET {setting}")).await;
    }
    let _: String = redis_words(c, &format!("REPLICAOF 127.0.0.1 {}", master.port())).await;
    let loads = async {
        loop {
            let info: String = redis_words(c, "INFO persistence").await;
            if info.contains("\nloading:1") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), loads).await;
    waited.expect("it loads");
    let (code, report) = report(apply_layer(&replica.url(), &["check", "--json"])).await;
    let (mark, text) = of(&report, "redis");
    assert_eq!((code, mark.as_str()), (69, "FAIL"), "{report}");
    assert!(
        text.contains("loading its data: wait until it has"),
        "{text}"
    );
    let (mark, text) = of(&report, "kill switch");
    assert!(mark == "note" && text.starts_with("unknown: "), "{text}");
    for other in ["allow the user", "EVALSHA", "start it"] {
        assert!(!report.to_string().contains(other), "{report}");
    }
}

#[tokio::test]
async fn a_user_who_may_not_run_scripts_is_reported_what_to_allow() {
    let redis = RedisServer::builder()
        .acl("narrow on >secret ~* +@all -@scripting")
        .start()
        .await;
    let url = redis.url_as("narrow", "secret");
    let ended: Ended = apply_layer(&url, &["check", "--json"])
        .output()
        .await
        .unwrap()
        .into();
    let (mark, text) = of(&ended.json(), "scripting");
    assert_eq!((ended.code, mark.as_str()), (78, "FAIL"), "{}", ended.out);
    assert!(
        text.contains("EVALSHA") && !ended.out.contains("secret"),
        "{text}"
    );
}

#[tokio::test]
async fn a_journal_that_cannot_be_kept_is_reported_with_the_fix() {
    let redis = RedisServer::start().await;
    let mut command = apply_layer(&redis.url(), &["check", "--json"]);
    command.env("APPLY_STATE_DIR", env!("CARGO_BIN_EXE_apply-layer"));
    let (code, report) = report(command).await;
    let (mark, text) = of(&report, "journal");
    assert_eq!((code, mark.as_str()), (78, "FAIL"), "{report}");
    assert!(text.contains("APPLY_STATE_DIR"), "{text}");
}

#[tokio::test]
async fn every_mistake_in_the_configuration_is_on_the_page() {
    let redis = RedisServer::start().await;
    let mut command = apply_layer(&redis.url(), &["check"]);
    command
        .env("APPLY_MODE", "live")
        .env("APPLY_POLL_SEC", "never");
    let ended: Ended = command.output().await.unwrap().into();
    assert_eq!(ended.code, 78);
    assert!(ended.out.contains("APPLY_MODE=live") && ended.out.contains("APPLY_POLL_SEC=never"));
}

#[tokio::test]
async fn a_journal_that_the_service_holds_is_read_beside_it_and_one_it_left_behind_is_reported() {
    let stage = Stage::open().await;
    let how = stage.service();
    let state = how.state_directory().display().to_string();
    let service = how.clone().ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    stage.result_of(plan.get("plan_id")).await;
    let check = || {
        let mut command = apply_layer(&stage.redis.url(), &["check", "--json"]);
        command.env("APPLY_STATE_DIR", &state);
        command
    };
    let (_, report) = self::report(check()).await;
    let (mark, text) = of(&report, "journal");
    assert_eq!(mark, "ok", "{report}");
    assert!(text.contains("1 plan, each with its result"), "{text}");

    service.signal("KILL").await;
    service.ended().await;
    let (_, report) = self::report(check()).await;
    let (mark, text) = of(&report, "journal");
    assert_eq!(mark, "note", "{report}");
    assert!(text.contains("start the service"), "{text}");
}

#[tokio::test]
async fn a_node_of_a_cluster_is_refused_with_the_slots_of_the_keys() {
    let redis = RedisServer::builder().cluster_enabled().start().await;
    let ended = ops(&redis, &["check", "--json"]).await;
    let (mark, text) = of(&ended.json(), "permit keys");
    assert_eq!((ended.code, mark.as_str()), (78, "FAIL"), "{}", ended.out);
    let connection = &mut redis.connection().await;
    for (name, key) in [
        ("governor", "quantum:permit:"),
        ("p33", "quantum:permit:p33:"),
    ] {
        let words = format!("CLUSTER KEYSLOT {key}0123456789abcdef");
        let slot: u16 = crate::redis(connection, &words).await;
        assert!(text.contains(&format!("{name} {slot}")), "{slot} in {text}");
    }
}

#[tokio::test]
async fn symbols_that_the_host_does_not_trade_and_stops_without_a_position_are_reported() {
    let redis = RedisServer::builder().aof("everysec").start().await;
    let mut settling = SymbolSpec::ethusdt();
    settling.status = "SETTLING".into();
    let config = SimConfig::default().strict().symbol(settling);
    let sim = Sim::start(config.position("BTCUSDT", "0.5".parse().unwrap()))
        .await
        .unwrap();
    // A stop of this program, and one of somebody else.
    let client = Client::new(
        sim.url().parse().unwrap(),
        Credentials::hmac(SimConfig::API_KEY, SimConfig::API_SECRET).unwrap(),
        exchange_client::Settings::default(),
    )
    .unwrap();
    client.warm_up().await.unwrap();
    let btc = "BTCUSDT".parse().unwrap();
    let rules = client.fetch_rules(&btc).await.unwrap();
    let held = client.fetch_positions(Some(&btc)).await.unwrap().remove(0);
    for id in ["apply-0123456789abcdef", "by-hand-1"] {
        let stop = StopIntent::for_position(
            &held,
            PositionMode::OneWay,
            &rules,
            "60000".parse().unwrap(),
            id.parse().unwrap(),
        );
        let placed = client.submit_stop(&stop.unwrap()).await;
        assert!(placed.accepted().is_some());
    }
    let ask = |symbols: &str| {
        let mut command = testnet(&redis.url(), &sim.url(), SimConfig::API_SECRET);
        command.env("SYMBOLS", symbols);
        report(command)
    };
    let (_, shown) = ask("BTCUSDT,ETHUSDT").await;
    let (mark, text) = of(&shown, "symbols");
    assert!(
        mark == "note" && text.contains("ETHUSDT is SETTLING"),
        "{text}"
    );
    assert_eq!(
        of(&shown, "stops"),
        ("ok".to_owned(), "1 guards a position".to_owned())
    );
    // The venue takes stops away with the position only where it is asked to.
    sim.handle().set_position("BTCUSDT", "0".parse().unwrap());
    let (code, shown) = ask("BTCUSDT,GONEUSDT").await;
    let (mark, text) = of(&shown, "symbols");
    assert!(
        mark == "FAIL" && text.contains("does not list GONEUSDT"),
        "{text}"
    );
    assert_eq!(code, 78, "{shown}");
    let (mark, text) = of(&shown, "stops");
    assert!(
        mark == "note" && text.contains("without a position: ") && text.contains(" of BTCUSDT"),
        "{text}"
    );
}
