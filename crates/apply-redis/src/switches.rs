//! The kill switches in Redis, for display: each one, and who turned it, when and why.

use crate::{config::Keys, plan_store::NO_REASON};
use apply_core::{Halt, MAX_SWITCH_BYTES};
use apply_wire::{key::NEIGHBOURS_SWITCH, kill_switch};
use permit_gate::foreign::escaped;
use redis::{RedisError, Value, aio::ConnectionLike, cmd};
use std::{fmt, time::SystemTime};

/// Most bytes of a reason that are read.
pub const MAX_REASON_BYTES: usize = 160;

/// How one kill switch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchState {
    /// It is off.
    Off,
    /// It halts.
    On(Turned),
    /// It cannot be looked at; why, and what to do.
    Unknown(String),
}

/// Who turned a switch, as far as that is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turned {
    /// In milliseconds since 1970.
    pub at: Option<u64>,
    /// Who.
    pub who: Option<String>,
    /// Why.
    pub why: Option<String>,
}

impl SwitchState {
    /// Of a switch in Redis that Redis does not show: whom to ask, which stays where a long text is cut, and why.
    pub fn unknown(why: impl fmt::Display) -> Self {
        Self::Unknown(format!(
            "ask where Redis answers, as a user of Redis who may read it: {why}"
        ))
    }
}

impl Turned {
    /// Somebody, for this reason.
    pub fn because(why: impl Into<String>) -> Self {
        Self {
            why: Some(why.into()),
            ..Self::default()
        }
    }
}

/// How the neighbours' own switch stands, which does not halt this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeighboursSwitch {
    /// It is off.
    Off,
    /// It is set, to this.
    Set(String),
    /// It cannot be looked at; why.
    Unknown(String),
}

impl NeighboursSwitch {
    /// Its key.
    pub const KEY: &str = NEIGHBOURS_SWITCH;

    /// What there is to say of it; none where it is off.
    pub fn describe(&self) -> Option<String> {
        match self {
            Self::Off => None,
            Self::Set(word) => Some(format!(
                "{NEIGHBOURS_SWITCH} is set ({word}) and does not halt this service; a governor that reads it gives no permit"
            )),
            Self::Unknown(why) => Some(format!(
                "unknown: {NEIGHBOURS_SWITCH}, which does not halt this service ({why})"
            )),
        }
    }
}

/// The switch of all machines, and each disarm of the governor that is there.
///
/// Cancellation safe: it only reads.
pub async fn switches(
    connection: &mut impl ConnectionLike,
    keys: &Keys,
) -> Vec<(String, SwitchState)> {
    let known = |state: Result<SwitchState, RedisError>| state.unwrap_or_else(SwitchState::unknown);
    let main = known(kill_switch(connection, keys).await);
    let mut all = vec![(keys.kill_switch.clone(), main)];
    let mut disarmed_by_governor = false;
    for key in keys.halting(SystemTime::now()) {
        // The mark repeats what a key of the governor says while it is there.
        if key == keys.disarmed && disarmed_by_governor {
            continue;
        }
        match known(disarmed(connection, &key).await) {
            SwitchState::Off => {}
            state => {
                disarmed_by_governor |= matches!(state, SwitchState::On(_));
                all.push((key, state));
            }
        }
    }
    all
}

/// How the neighbours' own switch stands. It does not halt this service, and explains why reviewers may be silent.
///
/// Cancellation safe: it only reads.
pub async fn neighbours_switch(connection: &mut impl ConnectionLike) -> NeighboursSwitch {
    let mut read = cmd("GETRANGE");
    read.arg(NEIGHBOURS_SWITCH).arg(0).arg(MAX_SWITCH_BYTES);
    match read.query_async::<Value>(connection).await {
        Ok(Value::BulkString(word)) if kill_switch::read(&word).is_off() => NeighboursSwitch::Off,
        Ok(Value::BulkString(word)) => NeighboursSwitch::Set(escaped(
            String::from_utf8_lossy(&word).trim_ascii(),
            MAX_SWITCH_BYTES,
        )),
        Err(error) if error.code() != Some("WRONGTYPE") => {
            NeighboursSwitch::Unknown(error.to_string())
        }
        Ok(_) | Err(_) => NeighboursSwitch::Set("no text".into()),
    }
}

async fn kill_switch(
    connection: &mut impl ConnectionLike,
    keys: &Keys,
) -> Result<SwitchState, RedisError> {
    let mut read = cmd("GETRANGE");
    read.arg(&keys.kill_switch).arg(0).arg(MAX_SWITCH_BYTES);
    let halt = match read.query_async::<Value>(connection).await {
        Ok(Value::BulkString(word)) => Halt::from_switch(&keys.kill_switch, &word),
        Ok(_) => Halt::unreadable(&keys.kill_switch),
        // A key of another type halts as well.
        Err(error) if error.code() == Some("WRONGTYPE") => Halt::unreadable(&keys.kill_switch),
        Err(error) => return Err(error),
    };
    match halt {
        Halt::Off => Ok(SwitchState::Off),
        Halt::On { .. } => Ok(SwitchState::On(last_turn(connection, keys).await)),
    }
}

/// An entry's id and its fields.
type StreamEntry = (String, Vec<(String, String)>);

/// The newest turn, where it is one that halted; else the reason that another program has left.
async fn last_turn(connection: &mut impl ConnectionLike, keys: &Keys) -> Turned {
    let mut newest = cmd("XREVRANGE");
    newest
        .arg(&keys.halt_log)
        .arg("+")
        .arg("-")
        .arg("COUNT")
        .arg(1);
    let turns: Option<Vec<StreamEntry>> = newest.query_async(connection).await.ok();
    let fields = turns
        .and_then(|turns| turns.into_iter().next())
        .map(|(_, fields)| fields);
    let field = |name: &str| {
        let fields = fields.as_ref()?;
        let (_, value) = fields.iter().find(|(field, _)| field == name)?;
        Some(value.chars().take(MAX_REASON_BYTES).collect::<String>())
    };
    if field("halted").as_deref() == Some("True") {
        let at = field("timestamp").and_then(|at| at.parse::<u64>().ok());
        return Turned {
            at: at.and_then(|seconds| seconds.checked_mul(1000)),
            who: Some(field("who").unwrap_or_default()),
            why: Some(field("reason").unwrap_or_default()),
        };
    }
    Turned {
        why: reason_at(connection, apply_wire::key::KILL_SWITCH_REASON).await,
        ..Turned::default()
    }
}

async fn reason_at(connection: &mut impl ConnectionLike, key: &str) -> Option<String> {
    let mut read = cmd("GETRANGE");
    read.arg(key).arg(0).arg(MAX_REASON_BYTES);
    match read.query_async::<Value>(connection).await {
        Ok(Value::BulkString(text)) if !text.is_empty() => {
            Some(String::from_utf8_lossy(&text).into_owned())
        }
        _ => None,
    }
}

/// The governor's disarm, with its reason.
async fn disarmed(
    connection: &mut impl ConnectionLike,
    key: &str,
) -> Result<SwitchState, RedisError> {
    let mut exists = cmd("EXISTS");
    exists.arg(key);
    if !exists.query_async::<bool>(connection).await? {
        return Ok(SwitchState::Off);
    }
    let mut read = cmd("GETRANGE");
    read.arg(key).arg(0).arg(MAX_REASON_BYTES);
    let reason = match read.query_async::<Value>(connection).await {
        Ok(Value::BulkString(text)) if text.is_empty() => NO_REASON.to_owned(),
        Ok(Value::BulkString(text)) => String::from_utf8_lossy(&text).into_owned(),
        _ => "its reason is unreadable".to_owned(),
    };
    Ok(SwitchState::On(Turned::because(reason)))
}
