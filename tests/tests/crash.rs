//! Killed, started again, taken over, halted: what the venue's order log and the result stream say.
#![allow(clippy::unwrap_used)]

use apply_core::{ApplyResult, Decision, Journal, Proposal, plan_id::plan_id};
use apply_journal::{JournalSettings, RedbJournal};
use apply_tests::{Entry, PLANS, RESULTS, Service, ServiceBuilder, Stage, within};
use exchange_sim::{Canned, Delivery, Fault, When};
use permit_gate::PlanId;
use redis_harness::RedisServer;
use std::{
    collections::HashSet,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram as StdDatagram},
    },
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::UnixDatagram, time::sleep};

/// Quick enough to be waited for: an intent's window closes a few seconds after its wait.
fn quick(stage: &Stage) -> ServiceBuilder {
    stage
        .service()
        .env("APPLY_PERMIT_WAIT_MS", "800")
        .env("APPLY_LEASE_SEC", "1")
}

async fn killed(service: Service) {
    service.signal("KILL").await;
    assert_eq!(service.ended().await.code, None);
}

/// The journal knows of an intent: `apply-layer plan` reads it beside the running service.
async fn intent_is_written(how: &ServiceBuilder, stage: &Stage, plan: &Entry) {
    let state = how.state_directory().display().to_string();
    within("the intent is in the journal", async {
        loop {
            let printed = stage
                .program(&["plan", plan.get("plan_id"), "--json"])
                .env("APPLY_STATE_DIR", state.clone())
                .ended()
                .await;
            if printed.code == Some(0) {
                assert!(
                    printed.output().contains("\"signed_until\""),
                    "{}",
                    printed.output()
                );
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_order_that_left_before_the_kill_is_found_and_published_once() {
    let stage = Stage::open().await;
    let how = quick(&stage);
    let service = how.clone().ready().await;
    // The venue executes it and never answers.
    stage
        .venue()
        .script(Fault::executed(When::order(), Delivery::Hang));
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    within("the order arrives", async {
        while stage.orders().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    killed(service).await;
    assert_eq!(stage.entries(RESULTS).await.len(), 0);

    let service = how.ready().await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    assert!(
        result
            .get("steps_results")
            .contains(r#""executed_qty":"0.009""#)
    );
    service
        .metric_is(
            r#"quantum_apply_plans_recovered_total{found="intending"}"#,
            "1",
        )
        .await;
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
    assert_eq!(stage.entries(RESULTS).await.len(), 1);
}

#[tokio::test]
async fn a_plan_whose_process_died_in_its_wait_ends_without_an_order() {
    let stage = Stage::open().await;
    let how = quick(&stage);
    let service = how.clone().ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    intent_is_written(&how, &stage, &plan).await;
    killed(service).await;
    stage.approve(&plan, "0.009").await;
    let service = how.ready().await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(
        (result.get("executed"), result.get("error")),
        ("False", "order_not_executed")
    );
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn a_server_that_lost_everything_gets_no_second_order() {
    let stage = Stage::open().await;
    let how = quick(&stage);
    let service = how.clone().ready().await;
    let at = [("computed_at_utc", "2026-01-25T00:30:08Z")];
    stage.propose_with("BTCUSDT", "PARTIAL_75", &at).await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    stage.result_of(plan.get("plan_id")).await;
    service.stopped_well().await;
    let () = stage.command(&["FLUSHALL"]).await;
    stage.propose_with("BTCUSDT", "PARTIAL_75", &at).await;
    stage.approve(&plan, "0.009").await;
    let service = how.ready().await;
    let again = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(
        again.get("executed"),
        "True",
        "the one that was written down"
    );
    service.metric_is(REPUBLISHED_WITHIN, "1").await;
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}

/// How many results were published again that Redis had lost.
const REPUBLISHED_WITHIN: &str = r#"quantum_apply_plans_recovered_total{found="lost"}"#;

/// The journal says that the result is published.
async fn publication_is_noted(how: &ServiceBuilder, stage: &Stage, plan: &Entry) {
    let state = how.state_directory().display().to_string();
    within("the publication is in the journal", async {
        loop {
            let program = stage.program(&["plan", plan.get("plan_id"), "--json"]);
            let published = program.env("APPLY_STATE_DIR", state.clone()).ended().await;
            let published = published.output();
            if published.contains("\"published_at\"")
                && !published.contains("\"published_at\": null")
            {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// No append-only file, and the brain has changed its mind by then: the plan is not proposed again.
#[tokio::test]
async fn a_result_that_a_killed_server_has_lost_is_published_again() {
    for killed_with_it in [false, true] {
        for approved in [true, false] {
            let mut stage = Stage::open().await;
            let how = quick(&stage);
            let mut service = how.clone().ready().await;
            stage.propose("BTCUSDT", "PARTIAL_75").await;
            let plan = stage.only_plan("BTCUSDT").await;
            if approved {
                stage.approve(&plan, "0.009").await;
            }
            let published = stage.result_of(plan.get("plan_id")).await;
            publication_is_noted(&how, &stage, &plan).await;
            stage.redis.kill();
            if killed_with_it {
                killed(service).await;
                stage.restart_redis().await;
                service = how.ready().await;
            } else {
                stage.restart_redis().await;
            }
            let again = stage.result_of(plan.get("plan_id")).await;
            for field in ["executed", "error", "steps_results", "timestamp"] {
                assert_eq!(again.get(field), published.get(field), "{field}");
            }
            service.metric_is(REPUBLISHED_WITHIN, "1").await;
            service.stopped_well().await;
            assert_eq!(stage.entries(RESULTS).await.len(), 1);
            assert_eq!(stage.orders().len(), usize::from(approved));
        }
    }
}

/// A result that is too old to be published again by itself.
#[tokio::test]
async fn a_plan_that_was_published_hours_before_the_server_forgot_gets_no_second_order() {
    let stage = Stage::open().await;
    let how = quick(&stage);
    let plan = published_before(how.state_directory(), &PARTIAL_75, 4 * 3600).await;
    let service = how.ready().await;
    assert_eq!(stage.entries(RESULTS).await, []);
    stage
        .propose_with("BTCUSDT", "PARTIAL_75", &PARTIAL_75)
        .await;
    let again = stage.result_of(plan.as_str()).await;
    assert_eq!(again.get("executed"), "True");
    service
        .metric_is("quantum_apply_plans_known_before_total", "1")
        .await;
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

/// A proposal that says when it was made, so that its plan has the same id in every run.
const PARTIAL_75: [(&str, &str); 3] = [
    ("harvest_action", "PARTIAL_75"),
    ("kill_score", "0.539"),
    ("computed_at_utc", "2026-01-25T00:30:08Z"),
];

/// A journal in which a plan of this proposal has been executed and published so long ago.
async fn published_before(state: &Path, fields: &[(&str, &str)], ago: u64) -> PlanId {
    let raw = fields
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let symbol = "BTCUSDT".parse().unwrap();
    let proposal = Proposal::parse(&symbol, &raw.collect()).unwrap();
    let plan = plan_id(&proposal);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = now.as_secs() - ago;
    let result = ApplyResult {
        executed: true,
        is_final: true,
        ..ApplyResult::nothing_happened(&plan, &symbol, Decision::Execute, None, at)
    };
    let settings = JournalSettings::for_claims_of(Duration::from_secs(21_600));
    let journal = RedbJournal::open(state, settings).unwrap();
    journal.record_result(&result, None).await.unwrap();
    journal.record_published(&plan, at).await.unwrap();
    plan
}

#[tokio::test]
async fn a_quiet_proposal_has_no_second_result_once_its_claim_has_run_out() {
    let stage = Stage::open().await;
    let how = quick(&stage);
    let plan = published_before(how.state_directory(), &PARTIAL_75, 7 * 3600).await;
    stage
        .propose_with("BTCUSDT", "PARTIAL_75", &PARTIAL_75)
        .await;
    let service = how.ready().await;
    service
        .line(&format!(
            "Plan {plan} skipped (decision=SKIP, symbol=BTCUSDT)"
        ))
        .await;
    // A switch that is on and off again between two looks at the proposal makes it no other proposal: it is
    // thrown until one of them was seen.
    let hits = "quantum_apply_dedupe_hits_total";
    let first = service.metric(hits).await;
    within("the proposal is looked at again", async {
        while service.metric(hits).await == first {
            for (value, halted) in [("true", "1"), ("false", "0")] {
                let () = stage
                    .command(&["SET", "quantum:global:kill_switch", value])
                    .await;
                service.metric_is("quantum_apply_halted", halted).await;
            }
        }
    })
    .await;
    service.stopped_well().await;
    for stream in [PLANS, RESULTS] {
        assert_eq!(stage.entries(stream).await, [], "{stream}");
    }
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn a_server_that_lost_everything_gets_no_second_order_from_another_machine_either() {
    let stage = Stage::open().await;
    let at = [("computed_at_utc", "2026-01-25T00:30:08Z")];
    let here = quick(&stage).ready().await;
    stage.propose_with("BTCUSDT", "PARTIAL_75", &at).await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    let first = stage.result_of(plan.get("plan_id")).await;
    here.stopped_well().await;
    let () = stage.command(&["FLUSHALL"]).await;
    let there = quick(&stage)
        .env("APPLY_PERMIT_WAIT_MS", "20000")
        .ready()
        .await;
    stage.propose_with("BTCUSDT", "PARTIAL_75", &at).await;
    stage.approve(&plan, "0.009").await;
    let again = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(again.get("executed"), "True");
    // The answer to a question has a price, that to the order itself has none.
    for fact in ["order_id", "side", "quantity", "executed_qty"] {
        assert_eq!(again.last_step()[fact], first.last_step()[fact], "{fact}");
    }
    there
        .metric_is("quantum_apply_plans_known_before_total", "1")
        .await;
    there.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}

#[tokio::test]
async fn a_venue_that_does_not_say_whether_it_has_an_order_of_the_plan_gets_none() {
    let stage = Stage::open().await;
    let service = quick(&stage).ready().await;
    let unsure = Fault::reply(When::query(), false, Canned::internal_503()).always();
    stage.venue().script(unsure);
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("error"), "venue_unavailable");
    let steps = result.get("steps_results");
    assert!(
        steps.contains("whether it has an order of the plan"),
        "{steps}"
    );
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn an_instance_that_is_gone_for_good_is_taken_over() {
    let stage = Stage::open().await;
    let (first, second) = (quick(&stage), quick(&stage));
    let gone = first.clone().ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    intent_is_written(&first, &stage, &plan).await;
    killed(gone).await;
    let other = second.ready().await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("error"), "order_not_executed");
    other.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

#[tokio::test]
async fn a_second_process_on_a_state_directory_is_refused() {
    let stage = Stage::open().await;
    let how = quick(&stage);
    let service = how.clone().ready().await;
    let ended = how.ended().await;
    assert_eq!(ended.code, Some(69), "{}", ended.output());
    assert!(ended.output().contains("in use by another process"));
    service.stopped_well().await;
}

#[tokio::test]
async fn halt_blocks_a_plan_in_its_wait_and_resume_lets_the_next_one_pass() {
    let mut stage = Stage::open().await;
    let how = quick(&stage).env("APPLY_PERMIT_WAIT_MS", "20000");
    let state = how.state_directory().display().to_string();
    let service = how.ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let turn = |arguments: &[&str]| stage.program(arguments).env("APPLY_STATE_DIR", &*state);
    let halted = turn(&["halt", "--reason", "drill", "--file-only"])
        .ended()
        .await;
    assert_eq!(halted.code, Some(0), "{}", halted.output());
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("error"), "kill_switch_active");
    service.metric_is("quantum_apply_halted", "1").await;
    let resumed = turn(&["resume"]).ended().await;
    assert_eq!(resumed.code, Some(0), "{}", resumed.output());
    service.metric_is("quantum_apply_halted", "0").await;
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("ETHUSDT").await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
    // Without Redis the file still turns, and the command says what could not.
    stage.redis.kill();
    let half = stage
        .program(&["halt", "--reason", "no redis"])
        .env("APPLY_STATE_DIR", &*state)
        .ended()
        .await;
    assert_eq!(half.code, Some(69), "{}", half.output());
    assert!(std::fs::exists(format!("{state}/HALT")).unwrap());
}

#[tokio::test]
async fn a_halt_reports_an_order_that_has_left_and_is_still_asked_about() {
    let stage = Stage::open().await;
    let how = quick(&stage).env("APPLY_PERMIT_WAIT_MS", "20000");
    let state = how.state_directory().display().to_string();
    let service = how.ready().await;
    let page = service.address().await;
    let venue = stage.venue();
    venue.script(Fault::executed(When::order(), Delivery::Reset));
    // The first question comes before the order.
    let silent = Fault::reply(When::query().skip(1), false, Canned::gateway_html(502));
    venue.script(silent.always());
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    venue.wait_for_orders(1).await;
    let halt = || {
        stage
            .program(&["halt", "--reason", "drill", "--file-only"])
            .env("APPLY_STATE_DIR", &*state)
            .env("APPLY_METRICS_PORT", page.port().to_string())
            .ended()
    };
    let id = plan.get("plan_id");
    let halted = halt().await;
    assert_eq!(halted.code, Some(0), "{}", halted.output());
    let expected = format!("plan {id} of BTCUSDT had its timestamp already: no result yet");
    assert!(halted.output().contains(&expected), "{}", halted.output());
    let end = format!("no order of the service on http://{page} can be executed any more");
    assert!(halted.output().contains(&end), "{}", halted.output());
    venue.clear_faults();
    let result = stage.result_of(id).await;
    assert_eq!(result.get("executed"), "True");
    let again = halt().await;
    assert!(again.output().contains(&end), "{}", again.output());
    service.stopped_well().await;
    assert_eq!(stage.orders().len(), 1);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_means_no_order_and_not_ready() {
    let stage = Stage::open().await;
    let service = quick(&stage).whose_disk_may_fill().ready().await;
    service.readiness("200", "[+] Journal: readable").await;
    service.fill_disk().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("error"), "journal_unavailable");
    let state = service.readiness("503", "[-] Journal: ").await;
    assert!(state.contains("fix the disk and start again"), "{state}");
    service.line("Not ready: ").await;
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
}

/// Something empties the file beside the running service.
#[tokio::test]
async fn a_journal_that_is_cut_short_means_no_order_and_not_ready() {
    let stage = Stage::open().await;
    let how = quick(&stage);
    let service = how.clone().ready().await;
    service.readiness("200", "[+] Journal: readable").await;
    std::fs::write(how.state_directory().join("journal.redb"), "").unwrap();
    let state = service.readiness("503", "[-] Journal: ").await;
    assert!(state.contains("was cut short, to 0 of its"), "{state}");
    service.line_with(&["Not ready: ", "was cut short"]).await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    service.stopped_well().await;
    assert_eq!(stage.orders(), []);
    assert_eq!(stage.entries(RESULTS).await, []);
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_means_not_ready_and_is_no_flood_in_the_log() {
    let stage = Stage::open().await;
    let service = quick(&stage).ready().await;
    let port = service.address().await.port().to_string();
    let ends = async |code: i32| {
        let status = stage.program(&["status"]);
        let ended = status.env("APPLY_METRICS_PORT", &*port).ended().await;
        assert_eq!(ended.code, Some(code), "{}", ended.output());
        ended.output()
    };
    service.readiness("200", "[+] Redis: ").await;
    ends(0).await;
    let replicas = ["CONFIG", "SET", "min-replicas-to-write"];
    let () = stage.command(&[&replicas[..], &["1"]].concat()).await;
    service.readiness("503", "[-] Redis: takes no writes").await;
    let finals = ends(4).await;
    assert!(finals.contains("takes no writes"), "{finals}");
    let () = stage.command(&[&replicas[..], &["0"]].concat()).await;
    service.readiness("200", "[+] Redis: ").await;

    // A server that became a replica ends every connection that writes.
    let reconnects = async || -> usize {
        let count = service.metric("quantum_apply_permit_reconnects_total");
        count.await.unwrap().parse().unwrap()
    };
    let before = reconnects().await;
    let () = stage.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    service.readiness("503", "[-] Redis: takes no writes").await;
    within("it connects again and again", async {
        while reconnects().await < before + 8 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let again = reconnects().await - before;
    let lost = |line: &&String| line.contains("lost the connection to Redis");
    let lost = service.log().iter().filter(lost).count();
    assert!(lost >= 1 && lost * 2 <= again, "{lost} lines for {again}");
    let () = stage.command(&["REPLICAOF", "NO", "ONE"]).await;
    service.readiness("200", "[+] Redis: ").await;
    ends(0).await;
    service.stopped_well().await;
}

#[tokio::test]
async fn the_service_manager_hears_of_readiness_of_life_and_of_the_end() {
    let stage = Stage::open().await;
    let name = format!("apply-watchdog-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let socket = StdDatagram::bind_addr(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = UnixDatagram::from_std(socket).unwrap();
    let heard = async || {
        let mut word = [0; 64];
        let length = within("the service reports to its manager", socket.recv(&mut word))
            .await
            .unwrap();
        String::from_utf8_lossy(&word[..length]).into_owned()
    };
    let service = quick(&stage)
        .env("NOTIFY_SOCKET", format!("@{name}"))
        .env("WATCHDOG_USEC", "200000")
        .ready()
        .await;
    let mut words = Vec::new();
    while words.iter().filter(|word| *word == "WATCHDOG=1").count() < 3 {
        words.push(heard().await);
    }
    assert_eq!(words.iter().filter(|word| *word == "READY=1").count(), 1);
    service.stopped_well().await;
    let mut last = heard().await;
    while last == "WATCHDOG=1" {
        last = heard().await;
    }
    assert_eq!(last, "STOPPING=1");
}

#[tokio::test]
async fn strict_durability_does_not_run_on_snapshots_alone() {
    let stage = Stage::open().await;
    let ended = quick(&stage)
        .env("APPLY_DURABILITY", "strict")
        .ended()
        .await;
    assert_eq!(ended.code, Some(78), "{}", ended.output());
    assert!(
        ended.output().contains("appendonly yes"),
        "{}",
        ended.output()
    );
    let service = quick(&stage).ready().await;
    service.line("permits that were taken come back").await;
    service.stopped_well().await;
}

#[tokio::test]
async fn strict_durability_does_not_run_where_redis_may_throw_keys_away() {
    let stage = Stage::open_on(RedisServer::builder().aof("always").start().await).await;
    for (name, value) in [("maxmemory", "1gb"), ("maxmemory-policy", "allkeys-random")] {
        let () = stage.command(&["CONFIG", "SET", name, value]).await;
    }
    let strict = || quick(&stage).env("APPLY_DURABILITY", "strict");
    let ended = strict().ended().await;
    assert_eq!(ended.code, Some(78), "{}", ended.output());
    let output = ended.output();
    assert!(output.contains("maxmemory-policy noeviction"), "{output}");
    let policy = ["CONFIG", "SET", "maxmemory-policy", "noeviction"];
    let () = stage.command(&policy).await;
    strict().ready().await.stopped_well().await;
}

#[tokio::test]
async fn in_strict_mode_no_order_follows_a_claim_that_no_replica_has() {
    let master = RedisServer::builder()
        .aof("always")
        .config("repl-diskless-sync-delay 0")
        .start()
        .await;
    let mut replica = RedisServer::builder()
        .replica_of(master.port())
        .start()
        .await;
    let stage = Stage::open_on(master).await;
    within("the replica follows", async {
        loop {
            let info: String = stage.command(&["INFO", "replication"]).await;
            if info.contains("state=online") {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let service = quick(&stage)
        .env("APPLY_DURABILITY", "strict")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_50").await;
    let first = stage.only_plan("BTCUSDT").await;
    stage.approve(&first, "0.009").await;
    let result = stage.result_of(first.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True", "{result:?}");

    replica.kill();
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let known = HashSet::from([first.get("plan_id").to_owned()]);
    let second = stage.plan("BTCUSDT", &known).await;
    stage.approve(&second, "0.009").await;
    let result = stage.result_of(second.get("plan_id")).await;
    assert_eq!(result.get("executed"), "False", "{result:?}");
    stage.only_order();
    service.stopped_well().await;
}

/// The server forgets everything while a plan waits; its permits come afterwards.
#[tokio::test]
async fn a_server_that_forgets_in_the_wait_gets_no_order_and_one_result_from_two_machines() {
    let stage = Stage::open().await;
    let patient = || quick(&stage).env("APPLY_PERMIT_WAIT_MS", "20000");
    let (one, other) = (patient().ready().await, patient().ready().await);
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let () = stage.command(&["FLUSHALL"]).await;
    stage.approve(&plan, "0.009").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(
        (result.get("executed"), result.get("error")),
        ("False", "claim_lost")
    );
    one.stopped_well().await;
    other.stopped_well().await;
    assert_eq!(stage.orders(), []);
    assert_eq!(stage.entries(RESULTS).await.len(), 1);
}

/// What a failover loses that missed the last write: the note of an intent. Its order is out, and its machine
/// is gone.
#[tokio::test]
async fn an_order_whose_note_was_lost_is_found_by_the_machine_that_takes_the_plan_over() {
    let stage = Stage::open().await;
    let (first, second) = (quick(&stage), quick(&stage));
    let gone = first.clone().ready().await;
    stage
        .venue()
        .script(Fault::executed(When::order(), Delivery::Hang));
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    stage.approve(&plan, "0.009").await;
    stage.venue().wait_for_orders(1).await;
    killed(gone).await;
    let id = plan.get("plan_id");
    let open = "quantum:apply:open";
    let noted: String = stage.command(&["HGET", open, id]).await;
    let (before, _) = noted.split_once(",\"intent\"").unwrap();
    let claimed = before.replacen(" noted ", " claimed ", 1) + "}";
    assert_ne!(claimed, noted);
    let _: i64 = stage.command(&["HSET", open, id, &claimed]).await;
    let other = second.ready().await;
    let result = stage.result_of(id).await;
    assert_eq!(result.get("executed"), "True");
    other.stopped_well().await;
    stage.only_order();
    assert_eq!(stage.entries(RESULTS).await.len(), 1);
}

/// The server stands still as a plan is to be claimed, and carries out what it was sent when it goes on. The brain
/// thinks again meanwhile.
#[tokio::test]
async fn a_proposal_rewritten_while_the_server_stands_still_leaves_no_plan_without_a_result() {
    let stage = Stage::open().await;
    let service = quick(&stage).env("APPLY_POLL_SEC", "0.1").ready().await;
    // So that the server knows the scripts.
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    stage.only_plan("ETHUSDT").await;
    stage.redis.pause();
    let proposing = stage.propose("BTCUSDT", "PARTIAL_75");
    let goes_on = async {
        sleep(Duration::from_millis(700)).await;
        stage.redis.resume();
    };
    tokio::join!(proposing, goes_on);
    stage.propose("BTCUSDT", "HOLD").await;
    let ended = service.stopped_well().await;
    let claimed: i64 = stage.command(&["HLEN", "quantum:apply:open"]).await;
    assert_eq!(claimed, 0, "{}", ended.output());
    let plans = stage.entries(PLANS).await;
    let executes = plans
        .iter()
        .filter(|plan| plan.get("decision") == "EXECUTE")
        .count();
    let finals = stage.entries(RESULTS).await;
    let executed = finals
        .iter()
        .filter(|result| result.get("decision") != "SKIP")
        .count();
    assert_eq!(executed, executes, "{}", ended.output());
}
