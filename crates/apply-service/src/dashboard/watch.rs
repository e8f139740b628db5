//! Asks the parts how they are, once a second; nothing is guessed.

use super::{
    health_snapshot::{ComponentState, ComponentStatus, SwitchView, SwitchWord, TradingState},
    state::DashboardState,
    view::{cut, in_words},
};
use crate::{
    health::{Fence, StoreWrites},
    neighbours::{ForeignView, Neighbours},
    reviewers::{AllAnswers, Judged, JudgedView, ReviewerHealth, judge},
    switches::{Switch, SwitchesHere},
};
use apply_core::{
    ApplyLayer, Halt, Journal, Mode, PortError, Ports, ProposalSource, Symbol, times::millis,
};
use apply_exchange::StopsInPlace;
use apply_redis::{Keys, SwitchState, Turned};
use exchange_client::Client;
use futures_util::future::join;
use permit_gate::{PermitSet, PermitStore};
use permit_redis::{RedisPermitStore, WatchMode};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// A store that takes longer is away. The browsers hear of every look, and take a service for lost of which they
/// hear nothing for three seconds: a look and the pause before it have to take less.
const PATIENCE: Duration = Duration::from_secs(1);

/// A clock that is further off than this is worth a look: requests carry the venue's time, so
/// nothing fails by it, but log lines no longer match the venue's.
const CLOCK_OFF: Duration = Duration::from_millis(500);

/// The venue is asked for its time every [`KEEP_WARM`](crate::KEEP_WARM), whatever else goes on; with an answer
/// older than this it is away. One question may fail.
const VENUE_SILENT: Duration = Duration::from_secs(5);
const _: () = assert!(VENUE_SILENT.as_millis() > 2 * crate::KEEP_WARM.as_millis());

/// What is asked.
pub struct Parts<P: Ports> {
    /// The core, for its switch, its journal and what it owes.
    pub layer: Arc<ApplyLayer<P>>,
    /// Whose proposal key is the way to the kill switch; any of them is.
    pub symbol: Symbol,
    /// None where permits, and everything else, lie in memory.
    pub permits: Option<RedisPermitStore>,
    /// Whether Redis takes writes; nothing is noted there where everything lies in memory.
    pub writes: StoreWrites,
    /// Whether this is a dry run beside a live instance.
    pub fence: Fence,
    /// None in a dry run.
    pub venue: Option<Client>,
    /// None where everything lies in memory.
    pub neighbours: Option<Neighbours>,
    /// The kill switches of this machine, to say which of them are on.
    pub switches: SwitchesHere,
}

/// Looks once a second until `stop`, and updates `live`.
pub async fn watch<P: Ports>(parts: Parts<P>, live: DashboardState, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    // After a long look the next one waits its turn: a slow store is not asked more often.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stops = Arc::new(Mutex::new(None));
    if let Some(client) = parts.venue.clone() {
        tokio::spawn(watch_stops(client, Arc::clone(&stops), stop.clone()));
    }
    let mut known = Halt::Off;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(looked) = stop.run_until_cancelled(look(&parts)).await else {
            return;
        };
        let (halt, flow, mut lights, owed) = looked;
        if let Ok(halt) = &halt {
            record_halt_change(&mut known, halt.clone());
        }
        let switches = match &halt {
            Ok(Halt::Off) => Vec::new(),
            Ok(Halt::On { by }) => switches(&parts, Ok(by)).await,
            Err(error) => switches(&parts, Err(&error.0)).await,
        };
        // The service places nothing then; whether somebody has halted it is another question.
        let flow = match switches.iter().all(|one| one.state == SwitchWord::Unknown) {
            true if matches!(flow, TradingState::Halted(_)) => unknown(&switches),
            _ => flow,
        };
        lights.push(match &parts.venue {
            Some(_) => stops_in_place(&stops),
            None => off("Stops", "dry run"),
        });
        let (light, reviewers) = match (&parts.neighbours, &parts.permits) {
            (Some(neighbours), Some(permits)) => {
                reviewers(neighbours, permits.permits(), &live.answers())
            }
            _ => (off("Reviewers", "all in memory"), Vec::new()),
        };
        lights.push(light);
        let foreign = parts.neighbours.as_ref();
        let foreign = foreign.map(Neighbours::foreign).unwrap_or_default();
        lights.extend(others(&foreign));
        let neighbours = parts.neighbours.as_ref();
        lights.extend(neighbours.and_then(neighbours_switch));
        live.update_health(|health| {
            (health.reviewers, health.foreign) = (reviewers, foreign);
            (health.flow, health.lights, health.owed) = (flow, lights, owed);
            health.switches = switches;
        });
        if let Some(reading) = parts.venue.as_ref().and_then(Client::clock) {
            live.venue_answered(reading.age, reading.round_trip);
        }
    }
}

/// Records what is being settled as it stands now. To be called before a service says that it is ready: the last look was
/// before the journal was read.
pub fn record_settling<P: Ports>(layer: &ApplyLayer<P>, live: &DashboardState) {
    let owed = layer.owed();
    let light = settling(owed, &layer.in_doubt());
    live.update_health(|health| {
        health.owed = owed;
        match health.lights.iter_mut().find(|one| one.name == light.name) {
            Some(stale) => *stale = light,
            None => health.lights.push(light),
        }
    });
}

/// Records when a switch begins to halt, and which with its reason, and when none does any more. A halt goes on whatever
/// else is said of its switch.
fn record_halt_change(known: &mut Halt, halt: Halt) {
    let name = |halt: &Halt| match halt {
        Halt::On { by } => by.split(" (").next().map(str::to_owned),
        Halt::Off => None,
    };
    match &halt {
        Halt::On { by } if name(known) != name(&halt) => warn!("Halted by {by}"),
        Halt::Off if known.is_on() => info!("Resumed: nothing halts any more"),
        Halt::On { .. } | Halt::Off => {}
    }
    *known = halt;
}

/// How those are whose permits are required. One that does nothing holds up plans, and nothing else.
fn reviewers(
    neighbours: &Neighbours,
    permits: &PermitSet,
    answers: &AllAnswers,
) -> (ComponentStatus, Vec<JudgedView>) {
    let found = neighbours.reviewers();
    let readings = match &found {
        Some(Ok(readings)) => readings.as_slice(),
        Some(Err(_)) | None => &[],
    };
    let judged = judge(permits, readings, answers);
    let each: Vec<String> = judged.iter().map(ToString::to_string).collect();
    let good = judged.iter().all(|of| of.health() == ReviewerHealth::Good);
    let (state, text) = match found {
        None => (ComponentState::Fair, "not asked for yet".to_owned()),
        Some(Err(why)) => (
            ComponentState::Fair,
            format!("not known: {}", in_words(&why)),
        ),
        Some(Ok(_)) if judged.is_empty() => (ComponentState::Off, "none has a group".to_owned()),
        Some(Ok(_)) if good => (ComponentState::Good, cut(&each.join("; "))),
        Some(Ok(_)) => (ComponentState::Fair, cut(&each.join("; "))),
    };
    let light = ComponentStatus {
        name: "Reviewers",
        state,
        text,
    };
    (light, judged.iter().map(Judged::view).collect())
}

/// Other programs that write onto the stream of results, where there are any.
fn others(foreign: &[ForeignView]) -> Option<ComponentStatus> {
    let each: Vec<String> = foreign.iter().map(ToString::to_string).collect();
    (!each.is_empty()).then(|| ComponentStatus {
        name: "Other results",
        state: ComponentState::Fair,
        text: cut(&each.join("; ")),
    })
}

/// The neighbours' own switch, where it is set or unknown.
fn neighbours_switch(neighbours: &Neighbours) -> Option<ComponentStatus> {
    neighbours.switch().map(|text| ComponentStatus {
        name: "Neighbours",
        state: ComponentState::Fair,
        text: cut(&text),
    })
}

/// The stops in place, as the venue last showed them, or why they are not known.
type Stops = Arc<Mutex<Option<Result<StopsInPlace, String>>>>;

/// Asks for them again and again: they change with every close, and by hand.
async fn watch_stops(client: Client, stops: Stops, stop: CancellationToken) {
    let mut ticks = interval(EVERY_STOP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(found) = stop.run_until_cancelled(StopsInPlace::fetch(&client)).await else {
            return;
        };
        let found = found.map_err(|error| error.to_string());
        *stops.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }
}

/// How often the venue is asked for all stops: weight 45 of 2400 a minute each time.
const EVERY_STOP: Duration = Duration::from_secs(30);

fn stops_in_place(stops: &Stops) -> ComponentStatus {
    let (state, text) = match &*stops.lock().unwrap_or_else(PoisonError::into_inner) {
        None => (ComponentState::Fair, "not asked for yet".to_owned()),
        Some(Err(why)) => (
            ComponentState::Fair,
            format!("not known: {}", in_words(why)),
        ),
        Some(Ok(stops)) if stops.without_position.is_empty() => {
            (ComponentState::Good, stops.to_string())
        }
        Some(Ok(stops)) => (ComponentState::Fair, cut(&stops.to_string())),
    };
    ComponentStatus {
        name: "Stops",
        state,
        text,
    }
}

/// Every kill switch that is on or unknown, with what is written down of it. `seen` is the one that was seen on, or why
/// Redis did not say how its switch stands.
async fn switches<P: Ports>(parts: &Parts<P>, seen: Result<&str, &str>) -> Vec<SwitchView> {
    let mut all = parts.switches.look();
    let here_is_off = all.iter().all(|one| one.state == SwitchState::Off);
    if let Err(why) = seen {
        all.push(Switch::unknown(in_words(why)));
    } else if let Some(permits) = &parts.permits {
        let link = permits.link();
        let keys = match link.is_cluster() {
            true => Keys::default().on_a_cluster(),
            false => Keys::default(),
        };
        let mut at = link.at(&keys.kill_switch);
        let found = timeout(SWITCHES_PATIENCE, apply_redis::switches(&mut at, &keys)).await;
        match found {
            Ok(found) => all.extend(Switch::in_redis(found)),
            Err(_) => all.push(Switch::unknown("no answer")),
        }
    }
    let shown = all.into_iter().filter_map(|switch| {
        let (state, turned) = match switch.state {
            SwitchState::Off => return None,
            SwitchState::On(turned) => (SwitchWord::On, turned),
            SwitchState::Unknown(why) => (SwitchWord::Unknown, Turned::because(why)),
        };
        Some(SwitchView {
            name: cut(&switch.name),
            state,
            since: turned.at,
            who: turned.who.as_deref().map(cut),
            why: turned.why.as_deref().map(cut),
            resume: switch.resume.into(),
        })
    });
    let mut shown: Vec<SwitchView> = shown.collect();
    let none_on = shown.iter().all(|one| one.state == SwitchWord::Unknown);
    // One in Redis was seen on a moment ago, whatever came of asking who turned it.
    if let (true, true, Ok(by)) = (here_is_off, none_on, seen) {
        shown.retain(|one| one.name != by);
        shown.push(SwitchView {
            name: by.to_owned(),
            state: SwitchWord::On,
            since: None,
            who: None,
            why: None,
            resume: "apply-layer resume".into(),
        });
    }
    shown
}

/// While a switch cannot be read no order is placed, even if the switch is off.
fn unknown(switches: &[SwitchView]) -> TradingState {
    let named: Vec<String> = switches
        .iter()
        .map(|one| match &one.why {
            Some(why) => format!("{} ({why})", one.name),
            None => one.name.clone(),
        })
        .collect();
    TradingState::Stuck(cut(&format!(
        "kill switch unknown: {}; no order leaves until it can be looked at",
        named.join(" and ")
    )))
}

/// Who turned a switch is worth so long a wait beside the look itself.
const SWITCHES_PATIENCE: Duration = Duration::from_millis(500);

/// What one look found: the kill switch, and what follows from it and from everything else.
type Looked = (
    Result<Halt, PortError>,
    TradingState,
    Vec<ComponentStatus>,
    usize,
);

async fn look<P: Ports>(parts: &Parts<P>) -> Looked {
    let asked = Instant::now();
    let halt = async {
        let halt = parts.layer.ports().proposals().fetch_halt(&parts.symbol);
        let halt = timeout(PATIENCE, halt).await;
        let silent = || PortError(format!("no answer for {} s", PATIENCE.as_secs()));
        (halt.unwrap_or_else(|_| Err(silent())), asked.elapsed())
    };
    let journal = journal(parts.layer.ports().journal());
    let ((halt, took), journal) = join(halt, journal).await;
    let refused = parts.writes.trouble();
    let redis = match &parts.permits {
        Some(permits) => redis(&halt, refused.as_deref(), took, permits.watch_mode()),
        None => off("Redis", "all in memory"),
    };
    let (venue, clock) = match &parts.venue {
        Some(client) => (venue(client), clock(client)),
        None => (off("Venue", "dry run"), off("Clock", "dry run")),
    };
    let flow = match (&halt, refused) {
        (Err(error), _) => {
            TradingState::Stuck(format!("Redis is unreachable: {}", in_words(&error.0)))
        }
        (Ok(Halt::On { by }), _) => TradingState::Halted(cut(by)),
        (Ok(Halt::Off), Some(why)) => {
            TradingState::Stuck(format!("Redis takes no writes: {}", in_words(&why)))
        }
        (Ok(Halt::Off), None) => match parts.layer.settings().mode {
            Mode::DryRun => match parts.fence.closed() {
                Some(why) => TradingState::Stuck(cut(&why)),
                None => TradingState::DryRun,
            },
            Mode::Testnet if venue.state == ComponentState::Bad => {
                TradingState::Stuck(format!("the venue: {}", venue.text))
            }
            Mode::Testnet if journal.state == ComponentState::Bad => {
                TradingState::Stuck(format!("the journal: {}", journal.text))
            }
            Mode::Testnet => TradingState::Open,
        },
    };
    let owed = parts.layer.owed();
    let settling = settling(owed, &parts.layer.in_doubt());
    let lights = vec![redis, venue, clock, journal, settling];
    (halt, flow, lights, owed)
}

/// Plans of former processes, and such as the store forgot, that have no result yet. They hold up the symbols of which
/// it is not known what became of an order, and no others.
fn settling(owed: usize, in_doubt: &[Symbol]) -> ComponentStatus {
    let plans = match owed {
        0 => "every plan has its result".to_owned(),
        1 => "1 plan has no result yet".to_owned(),
        owed => format!("{owed} plans have no result yet"),
    };
    let named: Vec<&str> = in_doubt.iter().take(NAMED).map(Symbol::as_str).collect();
    let more = in_doubt.len() - named.len();
    let wait = match (named.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!("; new plans of {} wait", named.join(", ")),
        (false, more) => format!("; new plans of {} and {more} more wait", named.join(", ")),
    };
    ComponentStatus {
        name: "Settling",
        state: match owed {
            0 => ComponentState::Good,
            _ => ComponentState::Fair,
        },
        text: plans + &wait,
    }
}

/// How many symbols that wait are named.
const NAMED: usize = 3;

fn redis(
    halt: &Result<Halt, PortError>,
    refused: Option<&str>,
    took: Duration,
    mode: WatchMode,
) -> ComponentStatus {
    let (state, text) = match (halt, refused, mode) {
        (Err(error), ..) => (ComponentState::Bad, in_words(&error.0)),
        (Ok(_), Some(why), _) => (
            ComponentState::Bad,
            format!("takes no writes: {}", in_words(why)),
        ),
        (Ok(_), None, _) if took > Duration::from_millis(100) => {
            (ComponentState::Fair, format!("slow: {} ms", millis(took)))
        }
        (Ok(_), None, WatchMode::Polling) => {
            (ComponentState::Fair, "up, permits by polling".into())
        }
        (Ok(_), None, WatchMode::KeyspaceNotifications) => {
            (ComponentState::Good, "up, permits by notification".into())
        }
        (Ok(_), None, WatchMode::Tracking) => (ComponentState::Good, "up, permits by push".into()),
    };
    ComponentStatus {
        name: "Redis",
        state,
        text,
    }
}

fn venue(client: &Client) -> ComponentStatus {
    let usage = client.usage();
    let (state, text) = match client.clock() {
        _ if !usage.stopped_for.is_zero() => (
            ComponentState::Bad,
            format!("no traffic allowed for {} s", usage.stopped_for.as_secs()),
        ),
        None => (ComponentState::Bad, "never answered".into()),
        Some(reading) if reading.age > VENUE_SILENT => {
            (ComponentState::Bad, silent_for(reading.age))
        }
        Some(reading) => {
            let micros = reading.round_trip.as_micros();
            (
                ComponentState::Good,
                format!("up, {}.{} ms away", micros / 1000, micros % 1000 / 100),
            )
        }
    };
    ComponentStatus {
        name: "Venue",
        state,
        text,
    }
}

/// In steps, so that the page is not sent each second.
fn silent_for(age: Duration) -> String {
    let step = VENUE_SILENT.as_secs();
    format!("silent for {} s or more", age.as_secs() / step * step)
}

fn clock(client: &Client) -> ComponentStatus {
    let (state, text) = match client.clock() {
        None => (ComponentState::Fair, "not measured".into()),
        Some(reading) if reading.offset.size() > CLOCK_OFF => {
            (ComponentState::Fair, format!("{} off", reading.offset))
        }
        Some(reading) => (
            ComponentState::Good,
            format!("{} to the venue's", reading.offset),
        ),
    };
    ComponentStatus {
        name: "Clock",
        state,
        text,
    }
}

async fn journal(journal: &impl Journal) -> ComponentStatus {
    let (state, text) = match timeout(PATIENCE, journal.probe()).await {
        Ok(Ok(())) => (ComponentState::Good, "readable".to_owned()),
        Ok(Err(error)) => (ComponentState::Bad, in_words(&error.0)),
        Err(_) => (ComponentState::Bad, "does not answer".to_owned()),
    };
    ComponentStatus {
        name: "Journal",
        state,
        text,
    }
}

fn off(name: &'static str, text: &str) -> ComponentStatus {
    ComponentStatus {
        name,
        state: ComponentState::Off,
        text: text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_venue_that_is_silent_is_so_for_some_time() {
        let said = |millis| silent_for(Duration::from_millis(millis));
        assert_eq!(said(5001), "silent for 5 s or more");
        assert_eq!(said(9999), "silent for 5 s or more");
        assert_eq!(said(12_000), "silent for 10 s or more");
    }
}
