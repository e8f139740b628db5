//! The two commands that turn the kill switch: the file on this machine together with the one in Redis.

use crate::{
    ask::reachable,
    elsewhere::{Elsewhere, Here},
    in_flight::{self, InFlight},
    say,
};
use apply_redis::{Lifted, PlanStoreConfig, Recorded, RedisPlanStore, Turn};
use apply_service::{Failure, HaltFile, complain, config::RedisUrl};
use permit_gate::foreign::printable_json;
use serde_json::json;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// What `halt` and `resume` need; nothing else may keep them from halting. Where one of the two switches cannot be
/// found the other one is turned all the same.
#[derive(Debug, Clone)]
pub struct HaltConfig {
    /// The switch on this machine, or what is wrong with the settings that say where it is.
    pub place: Result<Place, Failure>,
    /// Where the service is asked; none where the setting cannot be read. `halt` works without it.
    pub service: Option<SocketAddr>,
    /// Where the switch of all machines is, or what is wrong with the settings that say so.
    pub redis: Result<RedisUrl, Failure>,
    /// As the system knows the operator: who called `sudo`, or else whose session it is, or else the number of the
    /// user; and from where, where the session came over the network.
    pub who: String,
}

/// Where this machine's switch is, and what is kept beside it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The switch on this machine.
    pub file: PathBuf,
    /// Where turns are recorded, a JSON object a line.
    pub log: PathBuf,
    /// Where the journal lies.
    pub state: PathBuf,
}

/// What became of the parts of a turn.
#[derive(Default)]
struct Outcome {
    done: Vec<String>,
    /// Whether this machine's file was turned.
    file: bool,
    /// Whether the switch in Redis was turned; `None` where that was not asked for.
    redis: Option<bool>,
    /// The keys of a disarm that were deleted.
    lifted: Vec<String>,
    remarks: Vec<String>,
    failed: Vec<String>,
    unrecorded: Vec<String>,
    /// Whether this user may not turn this machine's file.
    denied: bool,
    /// Whether a setting has to change before it can be done whole.
    misset: bool,
}

/// `apply-layer halt` and `resume`: the file first, because it needs no other program; then Redis; both turns
/// recorded. Nothing is printed before all of this is done, and what cannot be printed changes nothing. Fails
/// where one of the two could not be turned, or not be recorded on this machine, and says which. Once the file
/// halts, it lists the orders that had their timestamp before. As JSON all of it is one object.
pub async fn turn(
    config: HaltConfig,
    on: bool,
    reason: String,
    file_only: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let turn = Turn {
        on,
        reason,
        who: config.who.clone(),
        at: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    };
    let word = if on { "halted" } else { "resumed" };
    let mut outcome = Outcome::default();
    match &config.place {
        Ok(place) => by_file(place, &turn, word, &mut outcome),
        Err(mistakes) => {
            outcome.misset = true;
            outcome
                .failed
                .push(format!("this machine's file: {mistakes}"));
        }
    }
    match &config.redis {
        _ if file_only => {}
        Ok(redis) => by_redis(&config, redis, &turn, word, &mut outcome).await,
        Err(mistakes) => {
            outcome.misset = true;
            outcome.redis = Some(false);
            outcome.failed.push(format!("Redis: {mistakes}"));
        }
    }
    if let Ok(place) = &config.place
        && let Err(error) = note(&place.log, &turn)
    {
        let text = format!("{}: {error}", place.log.display());
        outcome.unrecorded.push(text);
    }
    if !as_json {
        outcome.done.iter().for_each(|line| say(line));
        outcome.remarks.iter().for_each(|line| complain("", line));
    }
    let mut in_flight = None;
    if let Ok(place) = &config.place {
        match other_file(&config, place).await {
            Some(text) => {
                outcome.misset = true;
                outcome.failed.push(text);
            }
            None if on && HaltFile::at(place.file.clone()).look().is_on() => {
                let said: fn(&str) = if as_json { |_| {} } else { say };
                in_flight = Some(in_flight::report(config.service, &place.state, said).await);
            }
            None => {}
        }
    }
    if as_json {
        let object = outcome.to_json(&turn, in_flight.as_ref());
        // Escaped already: what `say` would escape besides would be no JSON any more.
        say(&printable_json(&object.to_string()));
    }
    outcome.ended(word)
}

impl Outcome {
    fn to_json(&self, turn: &Turn, in_flight: Option<&InFlight>) -> serde_json::Value {
        let word = |turned| if turned { "turned" } else { "failed" };
        json!({
            "on": turn.on,
            "reason": turn.reason,
            "who": turn.who,
            "at": turn.at,
            "file": word(self.file),
            "redis": self.redis.map_or("not_asked", word),
            "lifted": self.lifted,
            "remarks": self.remarks,
            "failed": self.failed,
            "not_recorded": self.unrecorded,
            "in_flight": in_flight.map(InFlight::to_json),
        })
    }

    fn ended(self, word: &str) -> Result<(), Failure> {
        let Self {
            mut failed,
            unrecorded,
            misset,
            denied,
            ..
        } = self;
        match (failed.is_empty(), unrecorded.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Failure::unavailable(format!(
                "{word}, but not recorded: {}",
                unrecorded.join("; ")
            ))
            .fix("make room on the disk")),
            (false, _) => {
                failed.extend(unrecorded);
                let failed = failed.join("; ");
                match misset {
                    true => Err(Failure::configuration(format!(
                        "not everything was {word}: {failed}"
                    ))
                    .fix("correct the settings and do it again")),
                    false => Err(Failure::unavailable(format!(
                        "not everything was {word}: {failed}"
                    ))
                    .fix(match denied {
                        true => "do it again as root or as the service's user",
                        false => "do it again, or use --file-only where Redis is unreachable",
                    })),
                }
            }
        }
    }
}

/// What the service that runs on this machine says, where another file halts it than the one that was turned.
async fn other_file(config: &HaltConfig, place: &Place) -> Option<String> {
    let service = config.service?;
    let there = Elsewhere::ask(service).await?;
    let here = Here {
        state_directory: &place.state,
        halt_file: &place.file,
        redis: None,
        mode: None,
    };
    if !there.has_other_halt_file(&here) {
        return None;
    }
    there.difference(reachable(service), &here)
}

fn by_file(place: &Place, turn: &Turn, word: &str, outcome: &mut Outcome) {
    let file = place.file.display();
    match HaltFile::at(place.file.clone()).turn(turn) {
        Ok(words) => {
            outcome.file = true;
            outcome.done.push(format!("{word} by {file}"));
            if let Err(error) = words {
                outcome.unrecorded.push(format!("{file}: {error}"));
            }
        }
        Err(error) => {
            outcome.denied = error.kind() == io::ErrorKind::PermissionDenied;
            outcome.failed.push(format!("{file}: {error}"));
        }
    }
}

async fn by_redis(
    config: &HaltConfig,
    redis: &RedisUrl,
    turn: &Turn,
    word: &str,
    outcome: &mut Outcome,
) {
    let turned = in_redis(redis, turn).await;
    outcome.redis = Some(turned.is_ok());
    let (recorded, lifted) = match turned {
        Ok(turned) => turned,
        Err(error) => return outcome.failed.push(error),
    };
    match lifted {
        Lifted::Keys(keys) => {
            let lifted = keys.iter();
            let lifted = lifted.map(|key| format!("disarm lifted: {key} is deleted"));
            outcome.done.extend(lifted);
            outcome.lifted = keys;
        }
        Lifted::NotSeen { why } => outcome.remarks.push(format!(
            "cannot read whether the governor has disarmed ({why}); see apply-layer status"
        )),
    }
    outcome.done.push(format!("{word} in Redis at {redis}"));
    if let Recorded::No { why } = recorded {
        let counts = match &config.place {
            Ok(place) => format!("the one in {} counts", place.log.display()),
            Err(_) => "there is none on this machine either".to_owned(),
        };
        outcome
            .remarks
            .push(format!("Redis keeps no record of it ({why}); {counts}"));
    }
}

async fn in_redis(redis: &RedisUrl, turn: &Turn) -> Result<(Recorded, Lifted), String> {
    let message = |error: apply_core::PortError| error.to_string();
    let plan_store = RedisPlanStore::connect(PlanStoreConfig::new(redis.reveal()))
        .await
        .map_err(message)?;
    // The switch last: what it says counts from then on.
    let lifted = match turn.on {
        true => Lifted::Keys(Vec::new()),
        false => plan_store.lift_disarm().await.map_err(message)?,
    };
    Ok((plan_store.turn_switch(turn).await.map_err(message)?, lifted))
}

/// One JSON object a line, beside the journal.
fn note(log: &Path, turn: &Turn) -> io::Result<()> {
    log.parent().map_or(Ok(()), fs::create_dir_all)?;
    let line = json!({
        "halted": turn.on,
        "reason": turn.reason,
        "who": turn.who,
        "timestamp": turn.at,
    });
    let mut file = OpenOptions::new().create(true).append(true).open(log)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}
