//! `status`.

use super::{
    ReadConfig,
    elsewhere::{Here, beside, difference},
    link::OpsContext,
    output::{Done, print, print_json, tame},
    snapshot::Snapshot,
    switches::Switches,
};
use crate::ask::{get, reachable};
use apply_service::Failure;
use apply_wire::Exit;
use permit_gate::foreign::printable;
use std::{net::SocketAddr, time::Duration};
use tokio::time::timeout;

/// How long the service may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn status(read: ReadConfig, as_json: bool) -> Done {
    let mut desk = OpsContext::open(read).await?;
    let snapshot = Snapshot::take(&mut desk).await?;
    // Side by side: one that stands still is lost after a second.
    let here = Here::of(&desk.config);
    let ((service, stops), elsewhere) = tokio::join!(
        Service::ask(desk.config.http),
        difference(desk.config.http, &here)
    );
    let ends = ends(&service, snapshot.switches(), desk.config.http);
    let beside = beside(&desk.config, &desk.keys, &mut desk.link).await;
    let beside = match beside {
        Ok(other) => other.map(|other| other.to_string()),
        Err(error) => Some(format!("unknown: {error}")),
    };
    if as_json {
        let mut object = snapshot.to_json(&desk);
        object["service"] = service.word().into();
        let state = ends.as_ref().err().map_or(Exit::Good, Failure::exit);
        object["state"] = state.name().into();
        if let Some(stops) = stops {
            object["stops"] = stops.into();
        }
        object["elsewhere"] = elsewhere.into();
        object["environment"] = beside.into();
        print_json(&object.to_string())?;
    } else {
        let page = snapshot.to_text(&desk);
        let stops = stops.map_or_else(String::new, |stops| format!("stops        {stops}\n"));
        let line = |name: &str, text: Option<String>| {
            text.map_or_else(String::new, |text| {
                format!("{name:<13}{}\n", printable(&text))
            })
        };
        print(&format!(
            "service      {}\n{}{}{stops}{page}",
            service.sentence(desk.config.http),
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
        )),
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
                    .lines()
                    .find_map(|line| line.split_once("] Stops: "))
                    .map(|(_, stops)| tame(stops));
                (Self::read(&answer), stops)
            }
            Ok(None) | Err(_) => (Self::Away, None),
        }
    }

    fn read(answer: &str) -> Self {
        let status = answer.split(' ').nth(1).unwrap_or_default();
        if status == "200" {
            return Self::Ready;
        }
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
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
            Self::Away => format!("nobody answers on http://{at}"),
        }
    }
}
