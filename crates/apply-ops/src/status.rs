//! `status`.

use super::{
    ReadConfig, VenueKeys,
    elsewhere::{Here, beside, difference},
    link::OpsContext,
    output::{Done, print, print_json, tame},
    snapshot::{Snapshot, head, head_json},
    switches::Switches,
};
use crate::ask::{Answer, get, reachable};
use apply_service::{Config, Failure};
use apply_wire::Exit;
use permit_gate::foreign::printable;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long the service may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was looked at in Redis.
struct InRedis {
    ops: OpsContext,
    snapshot: Snapshot,
    /// The instance of the other mode, or why that is not known.
    beside: Option<String>,
}

impl InRedis {
    async fn look(config: &Arc<Config>) -> Result<Self, Failure> {
        let mut ops = OpsContext::connect(Arc::clone(config)).await?;
        let snapshot = Snapshot::take(&mut ops).await?;
        let beside = match beside(&ops.config, &ops.keys, &mut ops.link).await {
            Ok(other) => other.map(|other| other.to_string()),
            Err(error) => Some(format!("unknown: {error}")),
        };
        Ok(Self {
            ops,
            snapshot,
            beside,
        })
    }
}

pub(super) async fn status(read: ReadConfig, as_json: bool) -> Done {
    let config = Arc::new(read(VenueKeys::Unused)?);
    let here = Here::of(&config);
    // Side by side: one that stands still is lost after a second.
    let (seen, (service, stops), elsewhere) = tokio::join!(
        InRedis::look(&config),
        Service::ask(config.http),
        difference(config.http, &here)
    );
    // What needs no Redis is printed without it.
    let switches = match &seen {
        Ok(seen) => seen.snapshot.switches().clone(),
        Err(failure) => Switches::without_redis(&config, &failure.to_string()).await,
    };
    let unknown = seen
        .as_ref()
        .err()
        .map(|failure| format!("unknown: {failure}"));
    let beside = match &seen {
        Ok(seen) => seen.beside.clone(),
        Err(_) => unknown.clone(),
    };
    let (mut object, page) = match &seen {
        Ok(seen) => (
            seen.snapshot.to_json(&seen.ops),
            seen.snapshot.to_text(&seen.ops),
        ),
        Err(_) => (head_json(&config, &switches), head(&config, &switches)),
    };
    let ends = match seen {
        Ok(_) => ends(&service, &switches, config.http),
        Err(failure) => Err(failure),
    };
    if as_json {
        object["service"] = service.word().into();
        let state = ends.as_ref().err().map_or(Exit::Good, Failure::exit);
        object["state"] = state.name().into();
        object["redis"] = unknown.into();
        if let Some(stops) = stops {
            object["stops"] = stops.into();
        }
        object["elsewhere"] = elsewhere.into();
        object["environment"] = beside.into();
        print_json(&object.to_string())?;
    } else {
        let stops = stops.map_or_else(String::new, |stops| format!("stops        {stops}\n"));
        let line = |name: &str, text: Option<String>| {
            text.map_or_else(String::new, |text| {
                format!("{name:<13}{}\n", printable(&text))
            })
        };
        let redis = line("redis", unknown);
        // Said once.
        let beside = beside.filter(|_| redis.is_empty());
        print(&format!(
            "service      {}\n{redis}{}{}{stops}{page}",
            service.sentence(config.http),
            line("elsewhere", elsewhere),
            line("environment", beside),
        ))?;
    }
    Ok(ends?)
}

/// Whether all is well; else the first that is not, in the order of what keeps orders from flowing longest.
fn ends(service: &Service, switches: &Switches, at: SocketAddr) -> Result<(), Failure> {
    match (service, switches.is_on()) {
        (Service::Away, _) => Err(Failure::new(
            Exit::Down,
            format!("the service does not answer on http://{at}"),
        )
        .fix("start it, or correct APPLY_METRICS_PORT")),
        (Service::NotReady(why), _) => Err(Failure::new(
            Exit::NotReady,
            format!("the service is not ready: {why}"),
        )
        .fix("wait where it starts; else see its log and apply-layer check")),
        (Service::Ready, Some(true)) => Err(Failure::new(
            Exit::Halted,
            format!("halted by {}", switches.named()),
        )
        .fix("to end it: apply-layer resume")),
        (Service::Ready, None) => Err(Failure::new(
            Exit::Unknown,
            format!("kill switch {}", switches.line()),
        )
        .fix_within("ask as a user who may look at it")),
        (Service::Ready, Some(false)) => Ok(()),
    }
}

/// What the running service says of itself.
pub(super) enum Service {
    Ready,
    /// It runs and says that it cannot work, or says it in words we do not know.
    NotReady(String),
    Away,
}

impl Service {
    /// Asks `/readyz` on the metrics port. Beside the service's state: what it says of stops in place, where it does.
    pub(super) async fn ask(at: SocketAddr) -> (Self, Option<String>) {
        match timeout(PATIENCE, get(reachable(at), "/readyz?verbose")).await {
            Ok(Some(answer)) => {
                let stops = answer
                    .body
                    .lines()
                    .find_map(|line| line.split_once("] Stops: "))
                    .map(|(_, stops)| tame(stops));
                (Self::read(&answer), stops)
            }
            Ok(None) | Err(_) => (Self::Away, None),
        }
    }

    fn read(Answer { status, body }: &Answer) -> Self {
        if *status == 200 {
            return Self::Ready;
        }
        // The part that is bad; a process that begins has none to show yet.
        let bad = body.lines().find_map(|line| line.strip_prefix("[-] "));
        let why = bad.or_else(|| body.lines().next()).unwrap_or_default();
        Self::NotReady(tame(&format!("{status} {why}")))
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady(_) => "not_ready",
            Self::Away => "away",
        }
    }

    pub(super) fn sentence(&self, at: SocketAddr) -> String {
        match self {
            Self::Ready => format!("ready on http://{at}"),
            Self::NotReady(why) => format!("runs on http://{at} and is not ready: {why}"),
            Self::Away => format!("no answer on http://{at}"),
        }
    }
}
