//! The users of `deploy/redis.acl` and `deploy/redis-6.2.acl`, each at its work, on the server that is tested.
#![allow(clippy::unwrap_used)]

use apply_redis::{Keys, Right, rights};
use apply_tests::{Stage, users, within};
use redis_harness::RedisServer;
use std::{collections::HashSet, time::Duration};

#[tokio::test]
async fn the_redis_user_can_do_the_service_s_work_and_cannot_write_a_permit() {
    let stage = Stage::open().await;
    users::load(&mut stage.redis.connection().await).await;
    let url = stage.redis.url_as("apply-layer", "change-me-1");

    let service = stage.service().env("REDIS_URL", url).ready().await;
    stage.propose("BTCUSDT", "PARTIAL_50").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.006").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!((result.get("executed"), result.get("error")), ("True", ""));
    assert_eq!(
        stage.only_order().executed_qty.normalize().to_string(),
        "0.006"
    );
    let refused: Vec<String> = service
        .log()
        .into_iter()
        .filter(|line| line.contains("NOPERM"))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    service.stopped_well().await;

    let mut link = open(&stage.redis.url_as("apply-layer", "change-me-1")).await;
    let everywhere = [&["FLUSHALL"][..], &["SET", "other", "1"]];
    let with_selectors = [
        &["SET", "quantum:permit:x", "1"][..],
        &["DEL", "quantum:global:kill_switch"],
        &["SET", "quantum:harvest:proposal:BTCUSDT", "1"],
    ];
    let forbidden = match RedisServer::version() < (7, 0) {
        true => everywhere.to_vec(),
        false => [&everywhere[..], &with_selectors].concat(),
    };
    for forbidden in forbidden {
        assert_eq!(
            run(&mut link, forbidden).await,
            Some("NOPERM".into()),
            "{forbidden:?}"
        );
    }
}

#[tokio::test]
async fn the_page_shows_with_the_shipped_rights_what_other_programs_halted_and_why() {
    let stage = Stage::open().await;
    users::load(&mut stage.redis.connection().await).await;
    let url = stage.redis.url_as("apply-layer", "change-me-1");
    let service = stage.service().env("REDIS_URL", url).ready().await;
    let says = async |what: &str, text: &str| {
        within(what, async {
            while !service.page("/api/status.json").await.contains(text) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    };
    let set = async |key: &str, word: &str| {
        let () = stage.command(&["SET", key, word]).await;
    };
    says("orders can flow", r#""state":"open""#).await;
    let page = service.page("/api/status.json").await;
    assert!(!page.contains("quantum:kill"), "{page}");
    set("quantum:kill", "1").await;
    says("the neighbours' own switch", "quantum:kill is set (1)").await;
    let page = service.page("/api/status.json").await;
    assert!(page.contains(r#""flow":{"state":"open"}"#), "{page}");
    // A watchdog's switch, with the reason that it left beside it.
    set("quantum:global:kill_switch:reason", "drawdown 12 %").await;
    set("quantum:global:kill_switch", "1").await;
    says("a watchdog's reason", r#""why":"drawdown 12 %""#).await;
    let () = stage.command(&["DEL", "quantum:kill"]).await;
    within("the neighbours' own switch is off", async {
        while service
            .page("/api/status.json")
            .await
            .contains("quantum:kill")
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    service.stopped_well().await;
}

/// Permits, snapshots, ledgers, usage and the kill switch: everything that reviewers write.
#[tokio::test]
async fn the_reviewers_of_this_project_review_with_their_own_user() {
    let stage = Stage::open().await;
    users::load(&mut stage.redis.connection().await).await;
    let review = |name: &str| {
        let user = stage.redis.url_as("apply-review", "change-me-3");
        stage
            .program(&["review", name])
            .env("REDIS_URL", user)
            .env("REVIEW_METRICS_PORT", "0")
            .env("REVIEW_GOVERNOR_LIMITS", "on")
            .env("REVIEW_MAX_PER_5MIN", "1")
            .env("REVIEW_MAX_NOTIONAL_PER_DAY", "1000000000")
            .env("REVIEW_MAX_QTY_PER_DAY", "1000000000")
            .env("REVIEW_COOLDOWN_SEC", "0")
    };
    let governor = review("governor").start().await;
    let brain = review("p33").start().await;
    let user = stage.redis.url_as("apply-layer", "change-me-1");
    let service = stage.service().env("REDIS_URL", user).ready().await;
    // The governor can only measure a reduction once the venue was asked.
    within("BTCUSDT has a snapshot", async {
        let kept = ["EXISTS", "quantum:position:snapshot:BTCUSDT"];
        while stage.command::<i64>(&kept).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // One execution in five minutes is allowed: a second proposal is a burst.
    let mut known = HashSet::new();
    for expected in [("True", ""), ("False", "kill_switch_active")] {
        stage.propose("BTCUSDT", "PARTIAL_75").await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let id = plan.get("plan_id").to_owned();
        let result = stage.result_of(&id).await;
        assert_eq!((result.get("executed"), result.get("error")), expected);
        known.insert(id);
    }
    assert_eq!(
        stage.only_order().executed_qty.normalize().to_string(),
        "9.3"
    );
    for at_work in [governor, brain, service] {
        let output = at_work.stopped_well().await.output();
        let refused = output.contains("NOPERM") || output.contains("lacks a right");
        assert!(!refused, "{output}");
    }
}

#[tokio::test]
async fn check_names_each_right_that_is_missing_from_the_redis_user() {
    let stage = Stage::open().await;
    let rule = users::rule_of("apply-layer");
    let url = stage.redis.url_as("apply-layer", "change-me-1");
    let mut connection = stage.redis.connection().await;
    let rights = rights(&Keys::default());
    let names: Vec<&str> = rights.iter().map(|right| right.name).collect();
    for missing in [None].into_iter().chain(names.iter().copied().map(Some)) {
        let padded = format!("{rule} ");
        let less = match missing {
            Some(right) => padded.replace(&format!("{right} "), ""),
            None => padded.clone(),
        };
        assert!(missing.is_none() || less != padded, "{missing:?}");
        users::set(&mut connection, "apply-layer", less.trim_end()).await;
        let mut user = redis::Client::open(&*url)
            .unwrap()
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let mut found = Vec::new();
        for right in &rights {
            let answer: Result<redis::Value, _> = right.probe.query_async(&mut user).await;
            match answer {
                Err(error) if Right::is_missing(&error) => found.push(right.name),
                answer => drop(answer.unwrap()),
            }
        }
        assert_eq!(found, Vec::from_iter(missing));
    }
    let less = rule.replace(" +pttl", "").replace(" +hstrlen", "");
    users::set(&mut connection, "apply-layer", &less).await;
    let output = stage
        .program(&["check"])
        .env("REDIS_URL", url)
        .ended()
        .await;
    let output = output.output();
    assert!(output.contains("allow it +hstrlen +pttl, as"), "{output}");
}

async fn open(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// The code of the refusal; `None` where it is none.
async fn run(link: &mut redis::aio::MultiplexedConnection, words: &[&str]) -> Option<String> {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let error = command.exec_async(link).await.err()?;
    Some(error.code().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_acl_file_loads_as_it_is_and_lets_nobody_in_without_a_name() {
    let dir = std::env::temp_dir().join(format!("apply-acl-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("users.acl");
    std::fs::write(&file, users::rules()).unwrap();
    let server = RedisServer::builder()
        .config(&format!("aclfile {}", file.display()))
        .start()
        .await;
    let nobody = redis::Client::open(server.url()).unwrap();
    let mut nobody = nobody.get_multiplexed_async_connection().await.unwrap();
    assert_eq!(run(&mut nobody, &["PING"]).await, Some("NOAUTH".into()));
    let (plans, permit) = ("quantum:stream:apply.plan", "quantum:permit:x");
    let switch = "quantum:global:kill_switch";
    let refused = Some("NOPERM".to_owned());
    for (user, password, may, may_not) in [
        (
            "apply-layer",
            "change-me-1",
            &["XADD", plans, "*", "a", "b"][..],
            &["ACL", "SETUSER", "me", "on", "allkeys"][..],
        ),
        (
            "reviewer",
            "change-me-2",
            &["XREAD", "COUNT", "1", "STREAMS", plans, "0"],
            &["XADD", plans, "*", "a", "b"],
        ),
        (
            "apply-review",
            "change-me-3",
            &["XGROUP", "CREATE", plans, "governor", "0"],
            &["SET", "quantum:apply:dedupe:x", "1"],
        ),
        (
            "shadow",
            "change-me-5",
            &["XRANGE", plans, "-", "+"],
            &["EVAL", "return 1", "0"],
        ),
        (
            "operator",
            "change-me-4",
            &["SET", switch, "true"],
            &["FLUSHALL"],
        ),
    ] {
        let mut link = open(&server.url_as(user, password)).await;
        assert_eq!(run(&mut link, may).await, None, "{user}: {may:?}");
        assert_eq!(
            run(&mut link, may_not).await,
            refused,
            "{user}: {may_not:?}"
        );
    }
    for (user, password) in [("reviewer", "change-me-2"), ("apply-review", "change-me-3")] {
        let mut link = open(&server.url_as(user, password)).await;
        assert_eq!(
            run(&mut link, &["SETEX", permit, "60", "{}"]).await,
            None,
            "{user}"
        );
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn every_command_works_with_the_operators_rights() {
    let stage = Stage::open().await;
    users::load(&mut stage.redis.connection().await).await;
    let how = stage.service();
    let service = how
        .clone()
        .env(
            "REDIS_URL",
            stage.redis.url_as("apply-layer", "change-me-1"),
        )
        .ready()
        .await;
    let port = service.address().await.port().to_string();
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id").to_owned();
    stage.approve(&plan, "0.009").await;
    stage.result_of(&id).await;
    let operator = stage.redis.url_as("operator", "change-me-4");
    let mut ran = 0;
    for (words, codes) in [
        ("check".to_owned(), &[0, 78][..]),
        ("status".into(), &[0]),
        ("watch --once".into(), &[0]),
        ("permits ls".into(), &[0]),
        (format!("permits grant {id} governor --yes"), &[0]),
        (format!("permits show {id}"), &[0]),
        (format!("permits revoke {id} --yes"), &[0]),
        ("plans tail".into(), &[0]),
        ("results tail".into(), &[0]),
        ("stats".into(), &[0]),
        ("cycles".into(), &[0, 1]),
        ("propose BTCUSDT HOLD".into(), &[0]),
        (format!("plan {id}"), &[0]),
        // It was executed: refused, and for no other reason.
        (format!("forget {id} --yes"), &[1]),
        ("new-journal --yes".into(), &[0]),
        ("halt --reason drill".into(), &[0]),
        ("resume --reason drill".into(), &[0]),
    ] {
        let arguments: Vec<&str> = words.split(' ').collect();
        let ended = how
            .clone()
            .instead(&arguments)
            .env("REDIS_URL", &operator)
            .env("APPLY_METRICS_PORT", &port)
            .ended()
            .await;
        let output = ended.output();
        assert!(
            ended.code.is_some_and(|code| codes.contains(&code)),
            "{words}: {:?}: {output}",
            ended.code
        );
        // `check` looks with the operator's rights at what the service's user has to be allowed.
        if words != "check" {
            let refused = output.contains("NOPERM") || output.contains("no permissions");
            assert!(!refused, "{words}: {output}");
            let unrecorded =
                output.contains("keeps no record") || output.contains("cannot read whether");
            assert!(!unrecorded, "{words}: {output}");
        }
        ran += 1;
    }
    assert_eq!(ran, 17);
    service.stopped_well().await;
}
