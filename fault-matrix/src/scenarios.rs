//! Plays a scene step by step. Every one ends with everything settled and all processes ended well.

use super::{
    environment::{ABORTED, Environment, KILLED, OPEN, PATIENCE, TOO_LARGE},
    fake_services::Seen,
    history::now,
    scene::{Disk, Kept, Step, Switch},
    stops,
};
use apply_tests::{Ended, Entry, PLANS, RESULTS, ServiceBuilder};
use exchange_sim::{Canned, Delivery, Fault, FaultId, OrderRecord, When};
use std::{
    future::Future,
    path::Path,
    pin::Pin,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

/// Plays the case to its end.
pub(crate) async fn play(environment: &mut Environment) {
    for step in environment.case.scene.steps.clone() {
        take(environment, step).await;
    }
    environment.settled().await;
    environment.stop().await;
    if !environment.fake_services.close(PATIENCE).await {
        environment.wrong("a permit that a reviewer began to write is not written");
    }
    environment.fake_services.catch_up().await;
}

async fn take(environment: &mut Environment, step: Step) {
    match step {
        Step::Ready => environment.all_ready().await,
        Step::Start(machine, env) => {
            let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (*n, v.as_str())).collect();
            environment.machines[machine].start(&env);
            environment.machines[machine].ready().await;
        }
        Step::Launch(machine) => environment.machines[machine].start(&[]),
        Step::Restart(machine) => restart(environment, machine).await,
        Step::Propose(round) => environment.propose(0, round).await,
        Step::ProposeNext => environment.propose(1, 0).await,
        Step::ProposeHold => environment.hold().await,
        Step::Claimed => environment.claimed().await,
        Step::Arrived(orders) => arrived(environment, orders).await,
        Step::Concluded => environment.concluded().await,
        Step::Settled => environment.settled().await,
        Step::Release => environment.fake_services.release(),
        Step::PermitsThere => permits_there(environment).await,
        Step::Sleep(time) => sleep(time).await,
        Step::Save => {
            let () = environment.fake_services.ask(&["SAVE"]).await;
            environment.history.saved = true;
        }
        Step::KillRedis(away) => kill_redis(environment, away).await,
        Step::Flush => {
            environment.fake_services.forget_everything().await;
            environment.history.forgets(false);
            environment.history.disturbed = true;
        }
        Step::StopRedis(lasting) => {
            environment.history.disturbed = true;
            environment.stage.redis.pause();
            sleep(lasting).await;
            environment.stage.redis.resume();
        }
        Step::Command(words) => {
            environment.history.disturbed = true;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let _: redis::Value = environment.fake_services.ask(&words).await;
        }
        Step::WrongType(key) => wrong_type(environment, key).await,
        Step::LoseKey(key) => {
            environment.history.forgets(false);
            environment.history.disturbed = true;
            let key = key.replace("{plan}", &environment.case.plans[0].id());
            let _: i64 = environment.fake_services.ask(&["DEL", &key]).await;
        }
        Step::TypesFixed => types_fixed(environment).await,
        Step::Lose(script, loss, times) => {
            environment.history.disturbed = true;
            if let Some(wire) = &environment.wire {
                wire.lose(script, loss, times);
            }
        }
        Step::Venue(faults) => {
            for fault in faults {
                let fault = environment.stage.venue().script(fault);
                environment.scripted.push(fault);
            }
        }
        Step::VenueClock(millis) => environment.stage.venue().set_clock_offset_ms(millis),
        Step::WallClock(seconds) => {
            environment
                .machines
                .iter()
                .for_each(|m| m.write_clock(seconds));
        }
        Step::Disk(disk) => {
            let word = match disk {
                Disk::Works => "works",
                Disk::Full => "full",
                Disk::FailsOnce => "fails once",
                Disk::Hangs => "hangs",
            };
            environment.machines.iter().for_each(|m| m.write_disk(word));
        }
        Step::Split(lag) => split(environment, lag).await,
        Step::Heal => heal(environment).await,
        Step::Signal(machine, name) => environment.machines[machine].signal(name).await,
        Step::Kill(machine) => {
            environment.history.killed = true;
            let ended = environment.machines[machine].kill().await;
            if ended.is_some_and(|ended| ended.signal == Some(KILLED)) {
                environment.reach("killed by kill -9");
            }
        }
        Step::Dies(machine, point) => {
            if dies(environment, machine).await {
                environment.reach(format!("killed {point}"));
            }
        }
        Step::DiesAgain(machine, point) => dies_again(environment, machine, point).await,
        Step::Turn(switch, on) => turn(environment, switch, on).await,
        Step::Expire => expire(environment).await,
        Step::Reach(what) => environment.reach(what),
        Step::ReachIfHit(what) => {
            let venue = environment.stage.venue();
            let hit = |fault: &FaultId| venue.fault_hits(*fault) > 0;
            if environment.scripted.iter().all(hit) {
                environment.reach(what);
            }
        }
        Step::ReachIfLost(what) => {
            if environment
                .wire
                .as_ref()
                .is_some_and(|wire| wire.lost() > 0)
            {
                environment.reach(what);
            }
        }
        Step::ReachIfPublished(error, what) => {
            if environment.some_result_says(error) {
                environment.reach(what);
            }
        }
        Step::Do(_, act) => act(environment).await,
    }
}

/// Whatever runs is killed, and the machine starts anew without any fault.
pub(crate) async fn restart(environment: &mut Environment, machine: usize) {
    if environment.machines[machine].kill().await.is_some() {
        environment.history.killed = true;
    }
    environment.machines[machine].start(&[]);
    if !environment.machines[machine].ready().await {
        environment.wrong("a restart did not come to be ready");
    }
}

/// Whether the process dies by itself before everything has its result without it or soon after: the
/// last steps come behind the result, and the second time of a step that only one plan comes to does
/// not come at all.
async fn dies(environment: &mut Environment, machine: usize) -> bool {
    let ended = died_or_idle(environment, machine).await;
    let there = ended.is_some_and(|ended| ended.signal == Some(ABORTED));
    environment.history.killed |= there;
    there
}

async fn died_or_idle(environment: &mut Environment, machine: usize) -> Option<Ended> {
    let ids = environment.ids();
    let published = |seen: &Seen, id: &String| seen.results.iter().any(|r| r.get("plan_id") == *id);
    let mut looks_left = 15;
    while looks_left > 0 {
        if !environment.machines[machine].is_running() {
            return environment.machines[machine].died().await;
        }
        let look = Duration::from_millis(20);
        let all = |seen: &Seen| ids.iter().all(|id| published(seen, id));
        if environment.fake_services.until(look, all).await {
            sleep(look).await;
            looks_left -= 1;
        }
    }
    None
}

/// It dies while it recovers, before it is ready, or comes to be ready and is left.
async fn dies_again(environment: &mut Environment, machine: usize, point: &'static str) {
    if environment.machines[machine].is_running() {
        return;
    }
    environment.machines[machine].start(&[("APPLY_FAULT_AT", point)]);
    if !environment.machines[machine].ready().await {
        let ended = environment.machines[machine].died().await;
        if ended.is_some_and(|ended| ended.signal == Some(ABORTED)) {
            environment.reach(format!("killed {point} in recovery"));
        }
    }
}

async fn ends_well(environment: &mut Environment, machine: usize) {
    if let Some(ended) = environment.machines[machine].stop().await
        && ended.code != Some(0)
    {
        let how = (ended.code, ended.signal);
        environment.wrong(format!("SIGTERM ended the service with {how:?}"));
    }
}

/// Until so many orders are there, or all plans have their results without them.
async fn arrived(environment: &mut Environment, orders: u64) {
    let venue = environment.stage.venue().clone();
    until(environment, || venue.order_count() >= orders).await;
}

/// Until something holds, or all plans have their results.
async fn until(environment: &Environment, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !holds() && !is_published(environment) {
        sleep(LOOK).await;
    }
}

/// Between two polls of what cannot be subscribed to.
const LOOK: Duration = Duration::from_millis(5);

/// Whether all plans have their results.
fn is_published(environment: &Environment) -> bool {
    let seen = environment.fake_services.seen();
    let published = |id: &String| seen.results.iter().any(|r| r.get("plan_id") == *id);
    environment.ids().iter().all(published)
}

async fn permits_there(environment: &mut Environment) {
    for id in environment.ids() {
        environment.permits_are_there(&id).await;
    }
}

/// kill -9, a while without a server, and back with what it kept.
async fn kill_redis(environment: &mut Environment, away: Duration) {
    environment.freeze().await;
    environment.stage.redis.kill();
    let restored = match environment.case.scene.redis {
        Kept::Log(_) => true,
        Kept::Snapshots => environment.history.saved,
    };
    environment.history.forgets(restored);
    environment.history.disturbed = true;
    sleep(away).await;
    environment.stage.restart_redis().await;
}

async fn split(environment: &mut Environment, lag: Duration) {
    // Both sides have lost what the other one acknowledges from here on.
    split_unnoticed(environment).await;
    sleep(lag).await;
    if let Some(split) = &environment.split {
        split.leave_in_the_dark();
    }
}

/// The replica is promoted, and every sentinel of the first machine goes on naming the former master.
pub(crate) fn split_unnoticed(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        environment.history.forgets(true);
        environment.history.disturbed = true;
        if let Some(split) = &environment.split {
            split.begin().await;
            environment.fake_services.are_on(split.promoted()).await;
        }
    })
}

async fn heal(environment: &mut Environment) {
    if let Some(split) = &environment.split {
        split.heal();
        environment.fake_services.leave_the_first().await;
        split.demote(&environment.stage.redis).await;
    }
}

const SWITCH: &str = apply_wire::key::KILL_SWITCH;

async fn turn(environment: &mut Environment, switch: Switch, on: bool) {
    let begun = now();
    match switch {
        Switch::Key => {
            let word = if on { "true" } else { "false" };
            let () = environment.fake_services.ask(&["SET", SWITCH, word]).await;
        }
        Switch::File => {
            let files = environment
                .machines
                .iter()
                .map(|machine| machine.halt_file());
            files.for_each(|file| write_halt(&file, on));
        }
    }
    environment.history.turned(switch, on, begun);
}

fn write_halt(file: &Path, on: bool) {
    let done = match on {
        true => std::fs::write(file, "drill\n"),
        false => match std::fs::remove_file(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        },
    };
    done.unwrap_or_else(|error| panic!("cannot turn {}: {error}", file.display()));
}

/// Six hours are over: what Redis remembers of these plans is gone by its age, claim and both marks.
async fn expire(environment: &mut Environment) {
    // The note that the result was published is on disk by then.
    sleep(Duration::from_millis(300)).await;
    environment
        .machines
        .iter()
        .for_each(|m| m.write_clock(LATER));
    for id in environment.ids() {
        let keys = ["dedupe", "stream_published", "result_published"];
        let [claim, plan, result] = keys.map(|key| format!("quantum:apply:{key}:{id}"));
        let _: i64 = environment
            .fake_services
            .ask(&["DEL", &claim, &plan, &result])
            .await;
        environment.history.ran_out(id);
    }
}

/// What the wall clock is stepped by when claims have run out, in seconds.
const LATER: i64 = 7 * 3600;

/// Where a key is kept while another type stands in its place.
const KEPT: &str = "kept:";

async fn wrong_type(environment: &mut Environment, key: &str) {
    environment.history.disturbed = true;
    let plan = environment.case.plans[0].clone();
    let key = key
        .replace("{plan}", &plan.id())
        .replace("{symbol}", plan.symbol);
    environment.fake_services.catch_up().await;
    let text = ["HSET", &key, "of", "another type"];
    let script = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end \
                  local kind = redis.call('TYPE', KEYS[2])['ok'] \
                  if kind == 'hash' or ARGV[1] == 'hash' then redis.call('SET', KEYS[1], 'of another type') \
                  else redis.call('HSET', KEYS[1], 'of', 'another type') end return 1";
    let hash = key == OPEN || key.contains(":proposal:");
    let kind = if hash { "hash" } else { "other" };
    let kept = format!("{KEPT}{key}");
    let _: i64 = environment
        .fake_services
        .ask(&["EVAL", script, "2", text[1], &kept, kind])
        .await;
    environment.reach(format!("another type: {}", key.replace(&plan.id(), "…")));
}

async fn types_fixed(environment: &mut Environment) {
    let script = "for _, kept in ipairs(redis.call('KEYS', 'kept:*')) do \
                  redis.call('RENAME', kept, string.sub(kept, 6)) end return 1";
    // A key that was not there before is not there afterwards.
    let wrong = "for _, key in ipairs(redis.call('KEYS', '*')) do \
                 local kind = redis.call('TYPE', key)['ok'] \
                 if (kind == 'hash' and redis.call('HGET', key, 'of') == 'another type') \
                 or (kind == 'string' and redis.call('GET', key) == 'of another type') then redis.call('DEL', key) end \
                 end return 1";
    for script in [wrong, script] {
        let _: i64 = environment.fake_services.ask(&["EVAL", script, "0"]).await;
    }
}

pub(crate) type Done<'w> = Pin<Box<dyn Future<Output = ()> + Send + 'w>>;

/// All permits lie on the master and on its replica before the plans are known.
pub(crate) fn permits_on_both(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        environment.fake_services.approve_all().await;
        let have: i64 = environment.fake_services.ask(&["WAIT", "1", "10000"]).await;
        if have == 0 {
            environment.wrong("the replica never had the permits");
        }
    })
}

/// All permits lie there before the plans are known.
pub(crate) fn permits_first(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move { environment.fake_services.approve_all().await })
}

/// Until both reviewers have written what they have to say of every plan.
pub(crate) fn permits_written(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let all = 2 * environment.ids().len();
        let written = |seen: &Seen| {
            let done = seen.written.iter().filter(|written| written.done.is_some());
            done.count() >= all
        };
        if !environment.fake_services.until(PATIENCE, written).await {
            environment.wrong("a reviewer never wrote its permit");
        }
    })
}

/// What the machines do is on the replica as well.
pub(crate) fn replica_has_it(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        // Replicas take writes in their order: one that has this has all before it.
        let () = environment
            .fake_services
            .ask(&["SET", "fence-of-the-test", "1"])
            .await;
        let _: i64 = environment.fake_services.ask(&["WAIT", "1", "10000"]).await;
    })
}

/// Until some plan is claimed.
pub(crate) fn any_claimed(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let any = |seen: &Seen| !seen.published.is_empty();
        environment.fake_services.until(PATIENCE, any).await;
    })
}

/// Until what is claimed by now has its result.
pub(crate) fn claimed_have_results(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let claimed: Vec<String> = environment
            .fake_services
            .seen()
            .claimed()
            .cloned()
            .collect();
        let published = |seen: &Seen| {
            let of_it = |id: &String| seen.results.iter().any(|r| r.get("plan_id") == *id);
            claimed.iter().all(of_it)
        };
        if !environment.fake_services.until(PATIENCE, published).await {
            environment.wrong("a claimed plan never got its result");
        }
    })
}

/// No order has arrived up to now.
pub(crate) fn nothing_left(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        if !environment.stage.orders().is_empty() {
            environment.wrong("an order left without a journal");
        }
    })
}

/// Machines without a process start again.
pub(crate) fn restart_the_dead(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        for machine in 0..environment.machines.len() {
            if !environment.machines[machine].is_running() {
                restart(environment, machine).await;
            }
        }
    })
}

/// Until the permits of a plan are taken, or everything has its result.
pub(crate) fn permits_taken(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let receipts: Vec<String> = environment
            .ids()
            .iter()
            .map(|id| format!("quantum:apply:inflight:{id}"))
            .collect();
        let mut exists = vec!["EXISTS"];
        exists.extend(receipts.iter().map(String::as_str));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !is_published(environment) {
            if environment.fake_services.ask::<i64>(&exists).await > 0 {
                return;
            }
            sleep(LOOK).await;
        }
    })
}

/// Old stops stand under all positions.
pub(crate) fn place_old_stops(environment: &mut Environment) -> Done<'_> {
    Box::pin(stops::guard(environment))
}

/// Until a stop has arrived that a plan sent, or everything has its result.
pub(crate) fn a_stop_arrived(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let venue = environment.stage.venue().clone();
        let of_a_plan = |stop: &OrderRecord| {
            let id = stop.client_order_id.as_deref().unwrap_or_default();
            !stops::was_there_before(id)
        };
        until(environment, || venue.stops().iter().any(of_a_plan)).await;
    })
}

/// Until every fault of the venue was met, or everything has its result.
pub(crate) fn hit_or_idle(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let venue = environment.stage.venue().clone();
        let hit = |fault: &FaultId| venue.fault_hits(*fault) > 0;
        until(environment, || environment.scripted.iter().all(hit)).await;
    })
}

/// Keeps the open plans as they stand at this moment.
pub(crate) fn remember_open_plans(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let open: Vec<String> = environment.fake_services.ask(&["HGETALL", OPEN]).await;
        let pairs = open.chunks_exact(2);
        environment.remembered = pairs.map(|p| (p[0].clone(), p[1].clone())).collect();
        if environment
            .remembered
            .iter()
            .any(|(_, entry)| entry.contains("\"intent\""))
        {
            environment.remembered.clear(); // too late to see it as it was before its note
        }
    })
}

/// Open plans stand there as they were remembered: what was noted since is lost.
pub(crate) fn forget_notes(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        environment.history.forgets(false);
        for (plan, entry) in environment.remembered.clone() {
            let there: i64 = environment
                .fake_services
                .ask(&["HEXISTS", OPEN, &plan])
                .await;
            if there == 1 {
                let _: i64 = environment
                    .fake_services
                    .ask(&["HSET", OPEN, &plan, &entry])
                    .await;
            }
        }
    })
}

/// The reviewers write although the server has no room: what it had is freed for them.
pub(crate) fn permits_in_spite_of_it(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        // Half of the cases have their permits in time to be taken while there is no room.
        if environment.case.number.is_multiple_of(2) {
            let _: () = environment
                .fake_services
                .ask(&["CONFIG", "SET", "maxmemory", "0"])
                .await;
            environment.fake_services.release();
            sleep(Duration::from_millis(30)).await;
            let _: () = environment
                .fake_services
                .ask(&["CONFIG", "SET", "maxmemory", "1"])
                .await;
        } else {
            environment.fake_services.release();
        }
    })
}

/// How large a field of a huge proposal is, in bytes, and how much of the process's memory may come
/// of it, in KiB.
const HUGE: usize = 24 * 1024 * 1024;
const MAY_GROW: u64 = 16 * 1024;

/// A symbol that no plan of the case has gets a proposal of many megabytes.
pub(crate) fn huge_proposal(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let used: Vec<&str> = environment
            .case
            .plans
            .iter()
            .map(|plan| plan.symbol)
            .collect();
        let all = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];
        let Some(free) = all.iter().find(|symbol| !used.contains(symbol)) else {
            return; // none is left; the other cases have one
        };
        let before = environment.machines[0]
            .holds()
            .map_or(0, |(memory, _)| memory);
        environment
            .remembered
            .push(("memory".into(), before.to_string()));
        let key = format!("quantum:harvest:proposal:{free}");
        let text = "7".repeat(HUGE);
        let _: i64 = environment
            .fake_services
            .ask(&[
                "HSET",
                &key,
                "harvest_action",
                "PARTIAL_75",
                "kill_score",
                "0.5",
                "computed_at_utc",
                &text,
            ])
            .await;
        environment.reach("a huge proposal");
    })
}

/// The streams have nothing of it, and the process holds little more than before.
pub(crate) fn is_small(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let Some((_, before)) = environment.remembered.pop() else {
            return;
        };
        let before: u64 = before.parse().unwrap_or(0);
        sleep(Duration::from_millis(300)).await;
        if let Some(peak) = environment.machines[0].peak()
            && peak > before + MAY_GROW
        {
            environment.wrong(format!("memory grew from {before} to {peak} KiB"));
        }
        for stream in [PLANS, RESULTS] {
            let entries: redis::Value = environment
                .fake_services
                .ask(&["XRANGE", stream, "-", "+"])
                .await;
            let large = |entry: &Entry| entry.fields.iter().any(|(_, text)| text.len() > 64 * 1024);
            if Entry::of_range(entries).iter().any(large) {
                environment.wrong(format!("a huge field was copied to {stream}"));
            }
        }
        // The brain comes to its senses, or nothing would ever settle.
        let keys: Vec<String> = environment
            .fake_services
            .ask(&["KEYS", "quantum:harvest:proposal:*"])
            .await;
        for key in keys {
            let length: i64 = environment
                .fake_services
                .ask(&["HSTRLEN", &key, "computed_at_utc"])
                .await;
            if length > 64 * 1024 {
                let _: i64 = environment.fake_services.ask(&["DEL", &key]).await;
            }
        }
    })
}

/// How long after its last plan a process may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Connections that send half a request, and one that reads no answer.
pub(crate) fn half_a_request(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let Some(service) = environment.machines[0].service() else {
            return;
        };
        let address = service.address().await;
        for text in [
            "GET /metrics HT",
            "GET /metrics HTTP/1.1\r\nHost: x",
            "",
            "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        ] {
            if let Ok(mut socket) = TcpStream::connect(address).await {
                let _ = socket.write_all(text.as_bytes()).await;
                environment.sockets.push(socket);
            }
        }
        environment.reach("half a request");
    })
}

/// The process that was asked to end does so in time, now that its plans are done.
pub(crate) fn ends_in_time(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let begun = Instant::now();
        let ended = timeout(PATIENCE / 2, async {
            while environment.machines[0].is_running() {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        if ended.is_err() || begun.elapsed() > ENDS_WITHIN {
            let took = begun.elapsed();
            environment.wrong(format!("the process ended {took:?} after its last plan"));
        }
        environment.sockets.clear();
        ends_well(environment, 0).await;
    })
}

/// SIGTERM now; what the process has claimed has its result when it ends.
pub(crate) fn ends_with_nothing_open(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        ends_well(environment, 0).await;
        let open: i64 = environment.fake_services.ask(&["HLEN", OPEN]).await;
        if open > 0 {
            environment.wrong(format!("SIGTERM ended the process with {open} plans open"));
        }
    })
}

/// An answer that contradicts the order it is for.
pub(crate) fn contradict(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let plan = environment.case.plans[0].clone();
        let (side, id) = ("SELL", format!("apply-{}", plan.id()));
        let quantity = plan.quantity.to_string();
        let answer = |change: (&str, &str)| {
            let mut fields = vec![
                ("orderId", "4711".to_owned()),
                ("symbol", format!("\"{}\"", plan.symbol)),
                ("status", "\"FILLED\"".to_owned()),
                ("clientOrderId", format!("\"{id}\"")),
                ("price", "\"0\"".to_owned()),
                ("avgPrice", "\"100.0\"".to_owned()),
                ("origQty", format!("\"{quantity}\"")),
                ("executedQty", format!("\"{quantity}\"")),
                ("cumQuote", "\"100.0\"".to_owned()),
                ("timeInForce", "\"GTC\"".to_owned()),
                ("type", "\"MARKET\"".to_owned()),
                ("reduceOnly", "true".to_owned()),
                ("closePosition", "false".to_owned()),
                ("side", format!("\"{side}\"")),
                ("positionSide", "\"BOTH\"".to_owned()),
                ("stopPrice", "\"0\"".to_owned()),
                ("workingType", "\"CONTRACT_PRICE\"".to_owned()),
                ("origType", "\"MARKET\"".to_owned()),
                ("updateTime", now().to_string()),
            ];
            for (name, value) in &mut fields {
                if *name == change.0 {
                    change.1.clone_into(value);
                }
            }
            let pairs: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            format!("{{{}}}", pairs.join(","))
        };
        const CHANGES: [(&str, &str); 6] = [
            ("executedQty", "\"9999\""),
            ("side", "\"BUY\""),
            ("reduceOnly", "false"),
            ("type", "\"LIMIT\""),
            ("symbol", "\"XRPUSDT\""),
            ("clientOrderId", "\"apply-0000000000000000\""),
        ];
        // Cases of one row follow each other by the number of rows.
        let turn = environment.case.number / super::case::Case::ROWS;
        let change = CHANGES[usize::try_from(turn).unwrap_or(0) % CHANGES.len()];
        let canned = Canned::raw(200, &answer(change));
        let fault = Fault::executed(When::order(), Delivery::Reply(canned));
        let fault = environment.stage.venue().script(fault);
        environment.scripted.push(fault);
        environment.reach(format!("contradiction in {}", change.0));
    })
}

/// Starts the machine where no file may grow beyond a size; proposes; and sees how far it comes.
pub(crate) fn full_from_the_start(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let blocks = environment.case.number / super::case::Case::ROWS * 7 % 161;
        environment.machine().start_limited(Some(blocks), true);
        environment.propose(0, 0).await;
        match environment.machine().ready().await {
            // It found room enough to begin; how far it comes is what is seen.
            true => {
                environment.concluded().await;
                if environment.some_result_says("journal_unavailable") {
                    environment.reach("no order without a journal");
                }
            }
            false => {
                let ended = environment.machine().died().await;
                match ended.and_then(|ended| ended.code) {
                    Some(69 | 78) => environment.reach("refused to start"),
                    other => {
                        environment.wrong(format!("a full disk ended the start with {other:?}"))
                    }
                }
            }
        }
    })
}

pub(crate) fn start_and_limit_files(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        environment.machine().start_limited(None, true);
        environment.machine().ready().await;
        environment.machine().limit_files(true).await;
    })
}

pub(crate) fn start_where_writes_kill(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        environment.machine().start_limited(None, false);
        environment.machine().ready().await;
        environment.machine().limit_files(true).await;
    })
}

pub(crate) fn dies_of_a_write(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let ended = died_or_idle(environment, 0).await;
        if ended.is_some_and(|ended| ended.signal == Some(TOO_LARGE)) {
            environment.history.killed = true;
            environment.reach("killed by SIGXFSZ");
        }
    })
}

/// The journal's file is gone; what is open stays open.
pub(crate) fn unlink_journal(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let file = environment.machines[0]
            .state_directory()
            .join("journal.redb");
        match std::fs::remove_file(&file) {
            Ok(()) => environment.reach("journal removed"),
            Err(error) => environment.wrong(format!("cannot remove {}: {error}", file.display())),
        }
    })
}

/// The next start refuses and says why; with the operator's consent it begins a new one.
pub(crate) fn start_without_journal(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        // It may end in any way: it cannot keep what it is asked to keep.
        environment.history.killed = true;
        environment.machines[0].kill().await;
        environment.machines[0].start(&[]);
        if environment.machines[0].ready().await {
            environment.wrong("a start without its journal began a new one and said nothing");
            return;
        }
        let ended = environment.machines[0].died().await;
        if ended.as_ref().and_then(|ended| ended.code) != Some(78) {
            let how = ended.map(|ended| (ended.code, ended.signal));
            environment.wrong(format!("a start without its journal ended with {how:?}"));
        }
        // The operator knows of it, and says so.
        let _ = std::fs::remove_file(environment.machines[0].state_directory().join("journal.id"));
        let how = environment.machines[0]
            .how()
            .instead(&["new-journal", "--yes"]);
        let accepted = how.ended().await;
        if accepted.code != Some(0) {
            let output = accepted.output();
            environment.wrong(format!(
                "new-journal ended with {:?}: {output}",
                accepted.code
            ));
        }
        restart(environment, 0).await;
    })
}

/// `apply-layer forget` of the plan, beside the running service.
pub(crate) fn forget(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let plan = environment.case.plans[0].id();
        let how: ServiceBuilder = environment.machines[0].how();
        let ended = how.instead(&["forget", &plan, "--yes"]).ended().await;
        match ended.code {
            Some(0) => {
                environment.history.frees(plan.clone());
                environment.history.ran_out(plan);
                environment.reach("forgotten");
            }
            Some(1) if ended.output().contains("not forgotten: ") => {
                environment.reach("refused to forget");
            }
            other => environment.wrong(format!("forget ended with {other:?}: {}", ended.output())),
        }
    })
}

/// What was forgotten is planned and executed; what was not stays as it was.
pub(crate) fn as_forgotten(environment: &mut Environment) -> Done<'_> {
    Box::pin(async move {
        let plan = environment.case.plans[0].id();
        if !environment.history.is_freed(&plan) {
            return;
        }
        let executed = |seen: &Seen| {
            let of_it = |r: &&Entry| r.get("plan_id") == plan && r.get("executed") == "True";
            seen.results.iter().any(|result| of_it(&result))
        };
        if !environment
            .fake_services
            .until(Duration::from_secs(10), executed)
            .await
        {
            environment.wrong(format!("plan {plan} was forgotten and not executed again"));
        }
    })
}
