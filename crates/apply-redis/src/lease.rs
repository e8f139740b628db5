//! What an instance's lease says of it, and the fence between the two modes: a dry run beside a live instance claims
//! nothing, for its claims would keep the live one from executing the same plans, and its takes would use up their
//! permits.
//!
//! Each instance renews two keys: its own lease, and the lease of its mode, which every instance of this mode renews.
//! The script that claims reads the lease of the live mode in the same step.

use crate::{
    config::Keys,
    plan_store::{RedisPlanStore, failed},
    rights::Right,
};
use apply_core::{Mode, PortError};
use permit_gate::foreign::{MAX_FOREIGN, escaped};
use redis::{Cmd, RedisError, Value, cmd};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a lease says of the instance that renews it. Every part may be missing: leases of earlier versions hold the
/// name of the process alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// The instance's name: its journal's.
    pub owner: String,
    /// The process, new at each start.
    pub process: String,
    /// `dry_run` or `testnet`.
    pub mode: String,
    /// What its machine calls itself.
    pub host: String,
    /// Where its journal lies.
    pub state_directory: String,
    /// The file that halts it.
    pub halt_file: String,
}

/// Most bytes of a lease that are read.
const MOST_OF_A_LEASE: usize = 4096;

/// Keys that one step of listing the leases looks at.
const SCANNED_AT_ONCE: usize = 1000;

/// The instance whose lease this key is. `None` for any other key, for the lease of a mode, and for the key that `check`
/// writes for a second.
pub fn owner_of_lease<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    let name = key.strip_prefix(prefix)?;
    (!name.contains(':') && !name.starts_with("check")).then_some(name)
}

impl Lease {
    /// What stands in a lease. One that cannot be understood says nothing of its instance, and is one all the same.
    pub fn read(text: &[u8]) -> Self {
        serde_json::from_slice(text).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Asks for the lease of a mode, at its key.
    pub fn ask(key: &str) -> Cmd {
        let mut ask = cmd("GETRANGE");
        ask.arg(key).arg(0).arg(MOST_OF_A_LEASE - 1);
        ask
    }

    /// What was answered; `None` where no instance of the mode lives.
    pub fn of_answer(answer: &Value) -> Option<Self> {
        match answer {
            Value::BulkString(text) if text.is_empty() => None,
            Value::BulkString(text) => Some(Self::read(text)),
            _ => Some(Self::default()),
        }
    }
}

/// `on host, process 123-abc, journal def`: what is known of it.
impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("on ", &self.host),
            ("process ", &self.process),
            ("state directory ", &self.state_directory),
        ];
        let known = parts.iter().filter(|(_, text)| !text.is_empty());
        let known: Vec<String> = known
            .map(|(what, text)| format!("{what}{}", escaped(text, MAX_FOREIGN)))
            .collect();
        match known.is_empty() {
            true => f.write_str("of which nothing more is known"),
            false => f.write_str(&known.join(", ")),
        }
    }
}

impl Keys {
    /// The lease of a mode.
    pub fn lease_of_mode(&self, mode: Mode) -> &str {
        match mode {
            Mode::Testnet => &self.live,
            Mode::DryRun => &self.rehearsing,
        }
    }
}

/// The instance of the other mode that lives on the same server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherMode {
    /// Which mode the asking instance has.
    pub ours: Mode,
    /// What is known of the other one.
    pub lease: Lease,
}

impl OtherMode {
    /// Whether the asking instance claims nothing for it.
    pub fn fences(&self) -> bool {
        self.ours == Mode::DryRun
    }
}

impl fmt::Display for OtherMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lease = &self.lease;
        match self.ours {
            Mode::DryRun if lease.mode.is_empty() => write!(
                f,
                "an instance that does not say its mode ({lease}) works on this Redis and may be a live one: a dry run beside it claims no plan, takes no permit and publishes nothing; upgrade or stop it"
            ),
            Mode::DryRun => write!(
                f,
                "a live instance ({lease}) works on this Redis: a dry run beside it claims no plan, takes no permit and publishes nothing; give the dry run a Redis or a database of its own"
            ),
            Mode::Testnet => write!(
                f,
                "a dry run ({lease}) shares this Redis; it claims no plan while this live instance runs"
            ),
        }
    }
}

impl RedisPlanStore {
    fn mode(&self) -> Mode {
        match self.config().orders {
            true => Mode::Testnet,
            false => Mode::DryRun,
        }
    }

    /// What the leases of this instance say.
    pub(crate) fn lease(&self) -> Lease {
        let config = self.config();
        Lease {
            owner: config.instance.owner.clone(),
            process: config.instance.process.clone(),
            mode: self.mode().as_str().into(),
            host: config.kept.host.clone(),
            state_directory: config.kept.state_directory.clone(),
            halt_file: config.kept.halt_file.clone(),
        }
    }

    /// The lease of this instance's mode, renewed by all that have it.
    pub(crate) fn lease_of_own_mode(&self) -> &str {
        self.keys().lease_of_mode(self.mode())
    }

    /// The instance of the other mode on this server, where one lives. One that a former process of this very instance
    /// has left behind is none: it is taken away.
    ///
    /// # Errors
    ///
    /// Where the server does not answer.
    pub async fn other_mode(&self) -> Result<Option<OtherMode>, PortError> {
        let other = match self.mode() {
            Mode::Testnet => Mode::DryRun,
            Mode::DryRun => Mode::Testnet,
        };
        let key = self.keys().lease_of_mode(other);
        let (ask, mut at) = (Lease::ask(key), self.link().at(key));
        let answer = match ask.query_async::<Value>(&mut at).await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("WRONGTYPE") => Value::Nil,
            Err(error) => return Err(failed("read the leases of the other mode")(error)),
        };
        let Some(lease) = Lease::of_answer(&answer) else {
            return Ok(None);
        };
        if lease.owner == self.config().instance.owner {
            self.drop_own(key)
                .await
                .map_err(failed("delete a former lease"))?;
            return Ok(None);
        }
        Ok(Some(OtherMode {
            ours: self.mode(),
            lease,
        }))
    }

    /// An instance whose lease does not say its mode, as those of earlier versions do not: it may be a live one, and
    /// counts as one until its lease is over. `None` where there is none, and where they cannot be listed: on a
    /// cluster, and without the right to `SCAN`.
    ///
    /// # Errors
    ///
    /// Where the server does not answer.
    pub async fn of_unknown_mode(&self) -> Result<Option<OtherMode>, PortError> {
        if self.mode() == Mode::Testnet || self.link().is_cluster() {
            return Ok(None);
        }
        let prefix = &self.keys().lease;
        let mut at = self.link().at(prefix);
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*"));
            scan.arg("COUNT").arg(SCANNED_AT_ONCE);
            let (next, leases): (u64, Vec<String>) = match scan.query_async(&mut at).await {
                Ok(page) => page,
                Err(error) if Right::is_missing(&error) => return Ok(None),
                Err(error) => return Err(failed("list the leases")(error)),
            };
            let of_instances = leases.iter();
            for key in of_instances.filter(|key| owner_of_lease(key, prefix).is_some()) {
                let answer = Lease::ask(key).query_async::<Value>(&mut at).await;
                let lease = Lease::of_answer(&answer.unwrap_or(Value::Nil));
                if let Some(lease) = lease.filter(|lease| lease.mode.is_empty()) {
                    let ours = self.mode();
                    return Ok(Some(OtherMode { ours, lease }));
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(None);
            }
        }
    }

    /// No other instance has this journal, so its name in a lease of the other mode is a former process's.
    async fn drop_own(&self, key: &str) -> Result<(), RedisError> {
        let owner = serde_json::json!(self.config().instance.owner).to_string();
        let mut call = self.scripts().drop.key(key);
        // How `Lease` begins.
        call.arg(format!("{{\"owner\":{owner},"));
        call.invoke_async::<()>(&mut self.link().at(key)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_an_earlier_version_says_nothing_and_is_one() {
        let read = Lease::of_answer(&Value::BulkString(b"4711-0123".to_vec()));
        assert_eq!(read, Some(Lease::default()));
        assert_eq!(Lease::of_answer(&Value::BulkString(Vec::new())), None);
        assert!(Lease::of_answer(&Value::Nil).is_some(), "another type");
    }

    #[test]
    fn a_lease_is_read_as_it_was_written_and_begins_with_its_owner() {
        let lease = Lease {
            owner: "j\"1".into(),
            host: "desk".into(),
            ..Lease::default()
        };
        let text = lease.text();
        assert!(text.starts_with("{\"owner\":\"j\\\"1\","), "{text}");
        assert_eq!(Lease::read(text.as_bytes()), lease);
        assert_eq!(lease.to_string(), "on desk");
    }
}
