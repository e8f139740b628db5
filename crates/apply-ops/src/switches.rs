//! The kill switches as the commands see them: each one, whether it is on, and what is known of who turned it.

use super::{
    elsewhere::{Elsewhere, Here},
    link::Link,
    output::tame,
    time::utc,
};
use apply_core::{Halt, MAX_SWITCH_BYTES};
use apply_redis::Keys;
use apply_service::{Config, HaltFile};
use redis::{RedisError, Value, cmd};
use serde_json::json;
use std::{fs::File, io::Read, path::Path, time::SystemTime};

/// Most bytes of a reason that are read.
const MOST_OF_A_REASON: usize = 160;

/// One kill switch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Switch {
    /// The variable, the file or the key.
    name: String,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Off,
    /// On, with who turned it, when and why, as far as that is written down.
    On(Option<String>),
    /// It cannot be looked at from here; why, and what to do.
    Unknown(String),
}

/// All that halt the service of this machine.
#[derive(Debug, Clone)]
pub(super) struct Switches(Vec<Switch>);

impl Switches {
    /// Those of this machine, in the order in which the service looks at them.
    pub(super) fn here(config: &Config) -> Self {
        let mut found = Vec::new();
        if config.kill_switch {
            found.push(Switch {
                name: "APPLY_KILL_SWITCH".into(),
                state: State::On(None),
            });
        }
        found.push(by_file(&config.state.halt_file));
        Self(found)
    }

    /// Those of this machine, the file that the service itself names included, and those in Redis. What Redis does not answer is unknown.
    pub(super) async fn read(config: &Config, keys: &Keys, link: &mut Link) -> Self {
        let mut all = Self::here(config);
        let elsewhere = Elsewhere::ask(config.http).await;
        if let Some(other) = elsewhere.filter(|it| it.has_other_halt_file(&Here::of(config))) {
            all.0.push(by_file(&other.halt_file));
        }
        let state = in_redis(keys, link).await;
        all.0.push(Switch {
            name: keys.kill_switch.clone(),
            state: state.unwrap_or_else(|error| State::Unknown(error.to_string())),
        });
        for name in keys.halting(SystemTime::now()) {
            match disarmed(&name, link).await {
                Ok(State::Off) => {}
                Ok(state) => all.0.push(Switch { name, state }),
                Err(error) => all.0.push(Switch {
                    name,
                    state: State::Unknown(error.to_string()),
                }),
            }
        }
        all
    }

    fn on(&self) -> impl Iterator<Item = (&Switch, Option<&str>)> {
        self.0.iter().filter_map(|switch| match &switch.state {
            State::On(words) => Some((switch, words.as_deref())),
            State::Off | State::Unknown(_) => None,
        })
    }

    fn unknown(&self) -> impl Iterator<Item = (&Switch, &str)> {
        self.0.iter().filter_map(|switch| match &switch.state {
            State::Unknown(why) => Some((switch, why.as_str())),
            State::Off | State::On(_) => None,
        })
    }

    /// Whether one is on; `None` where none that can be looked at is, and not all can be.
    pub(super) fn is_on(&self) -> Option<bool> {
        match (self.on().next(), self.unknown().next()) {
            (Some(_), _) => Some(true),
            (None, Some(_)) => None,
            (None, None) => Some(false),
        }
    }

    /// What the core is to decide by in a forecast: the first that is known to be on.
    pub(super) fn halt(&self) -> Halt {
        match self.on().next() {
            Some((switch, _)) => Halt::On {
                by: switch.name.clone(),
            },
            None => Halt::Off,
        }
    }

    /// One line: `off`, `ON, by …`, or `unknown: …`.
    pub(super) fn line(&self) -> String {
        let unknown: Vec<String> = self
            .unknown()
            .map(|(switch, why)| format!("{} ({})", tame(&switch.name), tame(why)))
            .collect();
        let unknown = unknown.join(" and ");
        match (self.is_on(), unknown.is_empty()) {
            (Some(true), all_known) => {
                let also = match all_known {
                    true => String::new(),
                    false => format!("; unknown: {unknown}"),
                };
                format!(
                    "ON, by {}: nothing is executed; to end it: apply-layer resume{also}",
                    self.named()
                )
            }
            (None, _) => format!("unknown: {unknown}; no other one is on"),
            (Some(false), _) => "off".into(),
        }
    }

    /// Those that are on, each with what is known of it.
    pub(super) fn named(&self) -> String {
        let on: Vec<String> = self
            .on()
            .map(|(switch, words)| match words {
                Some(words) => format!("{} ({})", tame(&switch.name), tame(words)),
                None => tame(&switch.name),
            })
            .collect();
        on.join(" and ")
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let each = self.0.iter().map(|switch| {
            let (state, words) = match &switch.state {
                State::Off => ("off", None),
                State::On(words) => ("on", words.as_deref()),
                State::Unknown(why) => ("unknown", Some(why.as_str())),
            };
            json!({"switch": switch.name, "state": state, "text": words})
        });
        each.collect()
    }
}

fn by_file(path: &Path) -> Switch {
    let state = match HaltFile::at(path.to_owned()).is_there() {
        Ok(false) => State::Off,
        Ok(true) => State::On(words_in(path)),
        Err(error) => State::Unknown(format!("{error}; ask as root or as the service's user")),
    };
    Switch {
        name: path.display().to_string(),
        state,
    }
}

/// Who, when and why, as `halt` writes it into the file: seconds, then words. What somebody else wrote is told as it
/// is, an empty file as nothing.
fn words_in(path: &Path) -> Option<String> {
    let mut text = String::new();
    let most = u64::try_from(MOST_OF_A_REASON).unwrap_or(u64::MAX);
    File::open(path)
        .and_then(|file| file.take(most).read_to_string(&mut text))
        .ok()?;
    let line = text.lines().next()?.trim();
    let dated = line.split_once(' ').and_then(|(seconds, rest)| {
        let seconds: u64 = seconds.parse().ok()?;
        Some(format!("{} {rest}", utc(seconds.checked_mul(1000)?)))
    });
    (!line.is_empty()).then(|| dated.unwrap_or_else(|| line.to_owned()))
}

async fn in_redis(keys: &Keys, link: &mut Link) -> Result<State, RedisError> {
    let mut read = cmd("GETRANGE");
    read.arg(&keys.kill_switch).arg(0).arg(MAX_SWITCH_BYTES);
    let halt = match link.try_ask::<Value>(&read).await {
        Ok(Value::BulkString(word)) => Halt::from_switch(&keys.kill_switch, &word),
        Ok(_) => Halt::unreadable(&keys.kill_switch),
        // A key of another type halts as well.
        Err(error) if error.code() == Some("WRONGTYPE") => Halt::unreadable(&keys.kill_switch),
        Err(error) => return Err(error),
    };
    match halt {
        Halt::Off => Ok(State::Off),
        Halt::On { .. } => Ok(State::On(last_turn(keys, link).await)),
    }
}

/// An entry's id and its fields.
type StreamEntry = (String, Vec<(String, String)>);

/// The newest turn, where it is one that halted; else the reason that another program has left.
async fn last_turn(keys: &Keys, link: &mut Link) -> Option<String> {
    let mut newest = cmd("XREVRANGE");
    newest
        .arg(&keys.halt_log)
        .arg("+")
        .arg("-")
        .arg("COUNT")
        .arg(1);
    let turns: Option<Vec<StreamEntry>> = link.try_ask(&newest).await.ok();
    let fields = turns
        .and_then(|turns| turns.into_iter().next())
        .map(|(_, fields)| fields);
    let field = |name: &str| {
        let fields = fields.as_ref()?;
        let (_, value) = fields.iter().find(|(field, _)| field == name)?;
        Some(value.chars().take(MOST_OF_A_REASON).collect::<String>())
    };
    if field("halted").as_deref() == Some("True") {
        let at = field("timestamp").and_then(|at| at.parse::<u64>().ok());
        let at = at.and_then(|seconds| seconds.checked_mul(1000)).map(utc);
        return Some(format!(
            "{} by {}: {}",
            at.as_deref().unwrap_or("at an unknown time"),
            field("who").unwrap_or_default(),
            field("reason").unwrap_or_default()
        ));
    }
    reason_at(apply_wire::key::KILL_SWITCH_REASON, link).await
}

async fn reason_at(key: &str, link: &mut Link) -> Option<String> {
    let mut read = cmd("GETRANGE");
    read.arg(key).arg(0).arg(MOST_OF_A_REASON);
    match link.try_ask::<Value>(&read).await {
        Ok(Value::BulkString(text)) if !text.is_empty() => {
            Some(String::from_utf8_lossy(&text).into_owned())
        }
        _ => None,
    }
}

/// The governor's disarm, with its reason.
async fn disarmed(key: &str, link: &mut Link) -> Result<State, RedisError> {
    let mut exists = cmd("EXISTS");
    exists.arg(key);
    if !link.try_ask::<bool>(&exists).await? {
        return Ok(State::Off);
    }
    let reason = reason_at(key, link).await;
    Ok(State::On(Some(
        reason.unwrap_or_else(|| "unreadable".into()),
    )))
}
