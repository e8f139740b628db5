//! How each scenario goes. Every one ends with all machines running and everything settled.

use super::{
    case::{Full, Lost, Saved, Scenario, Switch, ToOne},
    neighbours::Seen,
    stops,
    world::{ABORTED, KILLED, PATIENCE, TOO_LARGE, World},
};
use crate::service::Ended;
use exchange_sim::{Delivery, Fault, FaultId, When};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Plays the case to its end.
pub(crate) async fn play(world: &mut World) {
    match world.case.scenario.clone() {
        Scenario::Calm => calm(world).await,
        Scenario::KilledAt { point, nth, again } => killed_at(world, point, nth, again).await,
        Scenario::KilledAnytime { lives } => killed_anytime(world, &lives).await,
        Scenario::KilledWhileAsking { after } => killed_while_asking(world, after).await,
        Scenario::BothDied { point, saved } => both_died(world, point, saved).await,
        Scenario::TermStorm { gaps } => term_storm(world, &gaps).await,
        Scenario::RestartedFromAof { away, .. } => restarted(world, None, away).await,
        Scenario::RestartedFromSnapshot { saved, away } => restarted(world, saved, away).await,
        Scenario::RolledBack { saved } => rolled_back(world, saved).await,
        Scenario::Flushed { when } => flushed(world, when).await,
        Scenario::Stopped { at, lasting } => stopped(world, at, lasting).await,
        Scenario::AnswerLost { .. } => answer_lost(world).await,
        Scenario::Venue {
            variant, faults, ..
        } => venue(world, &variant, faults).await,
        Scenario::ClockOff { millis, late } => clock_off(world, millis, late).await,
        Scenario::TwoMachines { to_one } => two_machines(world, to_one).await,
        Scenario::DiskFull { how } => disk_full(world, how).await,
        Scenario::Switched { how } => switched(world, how).await,
        Scenario::StopMoved { how } => stops::play(world, how).await,
    }
    world.settled().await;
    world.stop().await;
    world.neighbours.catch_up().await;
}

async fn calm(world: &mut World) {
    world.all_ready().await;
    world.propose(0).await;
    world.concluded().await;
    world.reach("nothing");
}

/// Waits until a process died where it was told to; where it never came there it is stopped.
async fn dies(world: &mut World, point: &str) -> bool {
    let ended = died_or_idle(world).await;
    let there = ended.is_some_and(|ended| ended.signal == Some(ABORTED));
    if there {
        world.reach(format!("killed {point}"));
    }
    there
}

/// The end of the first machine's process, if it comes before everything has its result without it
/// or soon after: the last steps come behind the result, and the second time of a step that only one
/// plan comes to does not come at all.
pub(crate) async fn died_or_idle(world: &mut World) -> Option<Ended> {
    let ids = world.ids();
    let told = |seen: &Seen, id: &String| seen.results.iter().any(|r| r.get("plan_id") == *id);
    let mut looks_left = 15;
    while looks_left > 0 {
        if !world.machine().is_running() {
            return world.machine().died().await;
        }
        let look = Duration::from_millis(20);
        let all = |seen: &Seen| ids.iter().all(|id| told(seen, id));
        if world.neighbours.until(look, all).await {
            sleep(look).await;
            looks_left -= 1;
        }
    }
    None
}

async fn killed_at(
    world: &mut World,
    point: &'static str,
    nth: usize,
    again: Option<&'static str>,
) {
    // There is no second time with one plan.
    let nth = nth.min(world.case.plans.len());
    let at = format!("{point}:{nth}");
    world.machine().start(&[("APPLY_FAULT_AT", &at)]);
    world.machine().ready().await;
    world.propose(0).await;
    let died = dies(world, point).await;
    if let (true, Some(again)) = (died, again) {
        world.machine().start(&[("APPLY_FAULT_AT", again)]);
        // It dies while it recovers, before it is ready, or comes to be ready and is left.
        if !world.machine().ready().await {
            let ended = world.machine().died().await;
            if ended.is_some_and(|ended| ended.signal == Some(ABORTED)) {
                world.reach(format!("killed {again} in recovery"));
            }
        }
    }
    restart(world).await;
}

/// Whatever runs is killed, and the machine starts anew without any fault.
pub(crate) async fn restart(world: &mut World) {
    world.machine().kill().await;
    world.machine().start(&[]);
    if !world.machine().ready().await {
        world.wrong("a restart did not come to be ready");
    }
}

async fn killed_anytime(world: &mut World, lives: &[Duration]) {
    world.propose(0).await;
    for life in lives {
        world.machine().start(&[]);
        sleep(*life).await;
        let ended = world.machine().kill().await;
        if ended.is_some_and(|ended| ended.signal == Some(KILLED)) {
            world.reach("killed by kill -9");
        }
    }
    restart(world).await;
}

async fn killed_while_asking(world: &mut World, after: Duration) {
    let fault = Fault::executed(When::order(), Delivery::Hang);
    let silent = world.stage.venue().script(fault);
    world.all_ready().await;
    world.propose(0).await;
    let arrived = timeout(PATIENCE, world.stage.venue().wait_for_orders(1)).await;
    sleep(after).await;
    world.machine().kill().await;
    if arrived.is_ok() && world.stage.venue().fault_hits(silent) > 0 {
        world.reach("killed while the venue is silent");
    }
    restart(world).await;
}

async fn both_died(world: &mut World, point: &'static str, saved: Saved) {
    world.machine().start(&[("APPLY_FAULT_AT", point)]);
    world.machine().ready().await;
    if saved == Saved::BeforeTheClaim {
        save(world).await;
    }
    world.propose(0).await;
    world.claimed().await;
    if saved == Saved::DuringTheWait {
        save(world).await;
    }
    world.neighbours.release();
    let died = dies(world, point).await;
    world.machine().kill().await;
    bring_redis_down_and_up(world, Duration::ZERO).await;
    if died {
        world.reach(format!("both died, {point}"));
    }
    restart(world).await;
}

async fn save(world: &mut World) {
    let () = world.neighbours.ask(&["SAVE"]).await;
}

/// kill -9, a while without a server, and back with what it kept.
async fn bring_redis_down_and_up(world: &mut World, away: Duration) {
    world.freeze().await;
    world.stage.redis.kill();
    sleep(away).await;
    world.stage.restart_redis().await;
}

async fn term_storm(world: &mut World, gaps: &[Duration]) {
    world.all_ready().await;
    world.propose(0).await;
    world.claimed().await;
    for gap in gaps {
        world.machine().signal("TERM").await;
        sleep(*gap).await;
    }
    // Where the wait was over before, there was nothing to carry on with.
    let waiting = world.neighbours.seen().results.is_empty();
    let still = world.machine().is_running();
    world.neighbours.release();
    let ended = world.machine().died().await;
    match ended.map(|ended| (ended.code, ended.signal)) {
        Some((Some(0), _)) if still => world.reach("carried on after SIGTERM"),
        Some((Some(0), _)) if waiting => {
            world.wrong("SIGTERM ended a process in the middle of a plan");
        }
        Some((Some(0), _)) => {}
        other => world.wrong(format!(
            "a storm of SIGTERM ended the service with {other:?}"
        )),
    }
    restart(world).await;
}

async fn restarted(world: &mut World, saved: Option<Saved>, away: Duration) {
    world.all_ready().await;
    if saved == Some(Saved::BeforeTheClaim) {
        save(world).await;
    }
    world.propose(0).await;
    world.claimed().await;
    if saved == Some(Saved::DuringTheWait) {
        save(world).await;
    }
    bring_redis_down_and_up(world, away).await;
    world.reach("Redis killed in the wait");
    world.neighbours.release();
    world.concluded().await;
    // The brain goes on, and says the same of a position that is still there.
    world.propose(1).await;
    world.settled().await;
    restart(world).await;
}

async fn rolled_back(world: &mut World, saved: Saved) {
    world.all_ready().await;
    if saved == Saved::BeforeTheClaim {
        save(world).await;
    }
    world.propose(0).await;
    world.claimed().await;
    if saved == Saved::DuringTheWait {
        // With the permits: the service sleeps while they come, so that they are not taken yet.
        world.machine().signal("STOP").await;
        world.neighbours.release();
        let written = 2 * world.case.plans.len();
        let ids = world.ids();
        world
            .neighbours
            .until(PATIENCE, |seen| seen.written.len() >= written)
            .await;
        for id in ids {
            world.permits_are_there(&id).await;
        }
        save(world).await;
        world.machine().signal("CONT").await;
    }
    world.neighbours.release();
    world.concluded().await;
    bring_redis_down_and_up(world, Duration::ZERO).await;
    world.reach("Redis rolled back");
    world.propose(1).await;
    // Claims that came back are not made again, and nobody looks after what is open again before
    // the next start; where they did not, there is a claim to be made and to be ended.
    if saved == Saved::BeforeTheClaim {
        world.settled().await;
    }
    restart(world).await;
}

async fn flushed(world: &mut World, when: Lost) {
    world.all_ready().await;
    world.propose(0).await;
    world.claimed().await;
    if when == Lost::AfterTheResult {
        world.neighbours.release();
        world.concluded().await;
    }
    world.neighbours.forget_everything().await;
    world.reach("everything lost");
    world.neighbours.release();
    world.propose(1).await;
    world.concluded().await;
    world.settled().await;
    restart(world).await;
}

async fn stopped(world: &mut World, at: Duration, lasting: Duration) {
    world.all_ready().await;
    world.propose(0).await;
    world.claimed().await;
    world.neighbours.release();
    sleep(at).await;
    world.stage.redis.pause();
    sleep(lasting).await;
    world.stage.redis.resume();
    world.reach("Redis stopped");
    world.concluded().await;
}

async fn answer_lost(world: &mut World) {
    let Scenario::AnswerLost {
        script,
        loss,
        times,
    } = world.case.scenario
    else {
        return;
    };
    world.all_ready().await;
    if let Some(wire) = &world.wire {
        wire.lose(script, loss, times);
    }
    world.propose(0).await;
    world.concluded().await;
    if world.wire.as_ref().is_some_and(|wire| wire.lost() > 0) {
        world.reach(format!("{script:?}: {loss:?}"));
    }
}

/// Plays faults of the venue.
pub(super) async fn venue(world: &mut World, variant: &str, faults: Vec<Fault>) {
    world.all_ready().await;
    let handle = world.stage.venue().clone();
    let scripted: Vec<FaultId> = faults
        .into_iter()
        .map(|fault| handle.script(fault))
        .collect();
    world.propose(0).await;
    world.concluded().await;
    if scripted.iter().all(|fault| handle.fault_hits(*fault) > 0) {
        world.reach(variant);
    }
}

async fn clock_off(world: &mut World, millis: i64, late: bool) {
    if !late {
        world.stage.venue().set_clock_offset_ms(millis);
    }
    world.all_ready().await;
    if late {
        world.stage.venue().set_clock_offset_ms(millis);
    }
    world.propose(0).await;
    world.concluded().await;
    world.reach(format!("clock off by {millis} ms"));
}

async fn two_machines(world: &mut World, to_one: ToOne) {
    match to_one {
        // The one that is to die has claimed before the other one comes.
        ToOne::DiesAt(point) => {
            world.machine().start(&[("APPLY_FAULT_AT", point)]);
            world.machine().ready().await;
            world.propose(0).await;
            let any = |seen: &Seen| !seen.claimed.is_empty();
            world.neighbours.until(PATIENCE, any).await;
            world.machines[1].start(&[]);
            world.machines[1].ready().await;
            dies(world, point).await;
        }
        ToOne::Nothing => {
            world.all_ready().await;
            world.propose(0).await;
            world.reach("two machines");
        }
        ToOne::KilledAfter(after) => {
            world.all_ready().await;
            world.propose(0).await;
            sleep(after).await;
            let ended = world.machine().kill().await;
            if ended.is_some_and(|ended| ended.signal == Some(KILLED)) {
                world.reach("one of two killed");
            }
        }
        ToOne::Paused(lasting) => {
            world.all_ready().await;
            world.propose(0).await;
            world.claimed().await;
            world.machine().signal("STOP").await;
            sleep(lasting).await;
            world.machine().signal("CONT").await;
            world.reach("one of two paused");
        }
        ToOne::Forgotten => {
            world.all_ready().await;
            world.propose(0).await;
            world.claimed().await;
            world.neighbours.release();
            world.concluded().await;
            world.neighbours.forget_everything().await;
            world.reach("two machines, everything lost");
            world.propose(1).await;
            world.settled().await;
        }
    }
    // Half of those that died are gone for good: the other one has to do it all.
    let comes_back = world.case.number.is_multiple_of(2);
    if comes_back && !world.machine().is_running() {
        restart(world).await;
    }
    world.concluded().await;
}

async fn disk_full(world: &mut World, how: Full) {
    match how {
        Full::FromTheStart(blocks) => {
            world.machine().start_limited(Some(blocks), true);
            world.propose(0).await;
            match world.machine().ready().await {
                // It found room enough to begin; how far it comes is what is seen.
                true => {
                    world.concluded().await;
                    let spoken = world
                        .neighbours
                        .seen()
                        .results
                        .iter()
                        .any(|result| result.find("error") == Some("journal_unavailable"));
                    if spoken {
                        world.reach("no order without a journal");
                    }
                }
                false => {
                    let ended = world.machine().died().await;
                    match ended.and_then(|ended| ended.code) {
                        Some(69 | 78) => world.reach("refused to start"),
                        other => world.wrong(format!("a full disk ended the start with {other:?}")),
                    }
                }
            }
        }
        Full::WriteFails => {
            world.machine().start_limited(None, true);
            world.machine().ready().await;
            world.machine().limit_files(true).await;
            world.propose(0).await;
            world.claimed().await;
            world.neighbours.release();
            world.concluded().await;
            if world.every_result_says("journal_unavailable") {
                world.reach("no order without a journal");
            }
            if !world.stage.orders().is_empty() {
                world.wrong("an order left without a journal");
            }
        }
        Full::WriteKills => {
            world.machine().start_limited(None, false);
            world.machine().ready().await;
            world.machine().limit_files(true).await;
            world.propose(0).await;
            let ended = died_or_idle(world).await;
            if ended.is_some_and(|ended| ended.signal == Some(TOO_LARGE)) {
                world.reach("killed by SIGXFSZ");
            }
        }
    }
    restart(world).await;
}

const SWITCH: &str = "quantum:global:kill_switch";

async fn switched(world: &mut World, how: Switch) {
    world.all_ready().await;
    world.propose(0).await;
    world.claimed().await;
    let file = world.machine().halt_file();
    match how {
        Switch::RedisOn => {
            let () = world.neighbours.ask(&["SET", SWITCH, "true"]).await;
            halted(world).await;
            let _: i64 = world.neighbours.ask(&["DEL", SWITCH]).await;
        }
        Switch::FileOn => {
            write_halt(&file, true);
            halted(world).await;
            write_halt(&file, false);
        }
        Switch::Flickers { turns, pause } => {
            world.neighbours.release();
            for turn in 0..turns {
                let on = turn % 2 == 0;
                write_halt(&file, on);
                let word = if on { "1" } else { "false" };
                let () = world.neighbours.ask(&["SET", SWITCH, word]).await;
                sleep(pause).await;
            }
            write_halt(&file, false);
            let _: i64 = world.neighbours.ask(&["DEL", SWITCH]).await;
            world.reach("switch flickered");
            world.concluded().await;
        }
    }
}

/// The switch is on and known to be; the permits come only now.
async fn halted(world: &mut World) {
    world.neighbours.release();
    world.concluded().await;
    if world.every_result_says("kill_switch_active") {
        world.reach("halted");
    }
    if !world.stage.orders().is_empty() {
        world.wrong("an order left while halted");
    }
}

fn write_halt(file: &std::path::Path, on: bool) {
    let done = match on {
        true => std::fs::write(file, "drill\n"),
        false => match std::fs::remove_file(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        },
    };
    done.unwrap_or_else(|error| panic!("cannot turn {}: {error}", file.display()));
}
