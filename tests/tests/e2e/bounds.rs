//! What others write has a bound wherever it is read.

use apply_tests::{PLANS, Service, Stage};

const MIB: usize = 1024 * 1024;

/// KiB that one value of any size may add to the service's memory.
const ALLOWED: u64 = 4 * 1024;

/// Has the server itself make a text of this size: it need not be carried there.
const FILL: &str = "
local text = string.rep(ARGV[1], tonumber(ARGV[2]))
if ARGV[3] then
  redis.call('HSET', KEYS[1], ARGV[3], text)
else
  redis.call('SET', KEYS[1], text)
end
return #text";

async fn fill(stage: &Stage, key: &str, size: usize, field: Option<&str>) {
    let size_text = size.to_string();
    let mut words = vec!["EVAL", FILL, "1", key, "x", &size_text];
    words.extend(field);
    let written: usize = stage.command(&words).await;
    assert_eq!(written, size);
}

/// One order of another symbol, from its proposal to its result.
async fn others_go_on(stage: &Stage, orders: usize) {
    let known = stage.entries(PLANS).await;
    let known = known.iter().map(|plan| plan.get("plan_id").to_owned());
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    let plan = stage.plan("ETHUSDT", &known.collect()).await;
    stage.approve(&plan, "0.01").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    assert_eq!(stage.orders().len(), orders);
}

fn grew(what: &str, service: &Service, before: u64) {
    let grown = service.peak_memory() - before;
    println!("{what}: {before} KiB before, {grown} KiB more at the peak");
    assert!(grown < ALLOWED, "{what}: {grown} KiB");
}

#[tokio::test]
async fn a_proposal_of_any_size_is_refused_in_little_memory_and_the_other_symbols_go_on() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    others_go_on(&stage, 1).await;
    let mut orders = 1;
    for (size, field) in [
        (50 * MIB, "harvest_action"),
        (50 * MIB, "computed_at_utc"),
        (200 * MIB, "harvest_action"),
    ] {
        let before = service.peak_memory();
        stage.propose("BTCUSDT", "PARTIAL_75").await;
        let key = "quantum:harvest:proposal:BTCUSDT";
        fill(&stage, key, size, Some(field)).await;
        let text = service
            .line_with(&["BTCUSDT", field, &size.to_string(), "256"])
            .await;
        assert!(text.len() < 400, "{} bytes", text.len());
        orders += 1;
        others_go_on(&stage, orders).await;
        grew(&format!("{field} of {size} bytes"), &service, before);
        for plan in stage.entries(PLANS).await {
            let written = format!("{plan:?}").len();
            assert!(written < 4096, "{written} bytes");
        }
    }
    service.stopped_well().await;
}

#[tokio::test]
async fn a_permit_of_any_size_is_a_no_in_little_memory() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    others_go_on(&stage, 1).await;
    let before = service.peak_memory();
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    let id = plan.get("plan_id");
    stage
        .govern(id, &apply_tests::governor_permit("BTCUSDT"))
        .await;
    fill(&stage, &format!("quantum:permit:p33:{id}"), 50 * MIB, None).await;
    let result = stage.result_of(id).await;
    assert_eq!(result.get("error"), "invalid_p33_permit_format");
    grew("a permit of 50 MiB", &service, before);
    others_go_on(&stage, 2).await;
    service.stopped_well().await;
}

#[tokio::test]
async fn a_kill_switch_of_any_size_halts_in_little_memory() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let before = service.peak_memory();
    fill(&stage, "quantum:global:kill_switch", 50 * MIB, None).await;
    service.metric_is("quantum_apply_halted", "1").await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let result = stage.result_for("BTCUSDT").await;
    assert_eq!(result.get("error"), "kill_switch_active");
    grew("a kill switch of 50 MiB", &service, before);
    service.stopped_well().await;
}

#[tokio::test]
async fn an_open_plan_of_any_size_hides_no_other_and_costs_little_memory() {
    let stage = Stage::open().await;
    fill(&stage, "quantum:apply:open", 20 * MIB, Some("strange")).await;
    let service = stage.service().ready().await;
    service
        .line_with(&["quantum:apply:open", "strange", "20971520"])
        .await;
    others_go_on(&stage, 1).await;
    let peak = service.peak_memory();
    println!("an open plan of 20 MiB: {peak} KiB at the peak");
    assert!(peak < 40 * 1024, "{peak} KiB");
    service.stopped_well().await;
}
