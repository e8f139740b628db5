//! The kill switch as operators turn it, with a record of who did and why.

use crate::plan_store::{RedisPlanStore, failed};
use apply_core::PortError;
use apply_wire::{field::python_bool, kill_switch};
use permit_redis::Meaning;
use std::time::SystemTime;

/// One turn of the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// On halts.
    pub on: bool,
    /// Why.
    pub reason: String,
    /// By whom.
    pub who: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// Whether a turn of the switch stands in Redis' record of turns. The switch is turned either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It does.
    Yes,
    /// It does not.
    No {
        /// What Redis answered.
        why: String,
    },
}

/// What became of a disarm that was to be lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifted {
    /// These keys are gone; none where nothing was disarmed.
    Keys(Vec<String>),
    /// This user may not look: a disarm goes on where there is one.
    NotSeen {
        /// What Redis answered.
        why: String,
    },
}

/// Sets a key on a server whose memory is full: there `SET` is refused, also in a script, unless the script has written
/// something before. Taking the key away costs no memory. A few bytes over the limit cost nothing; a halt that is
/// refused may. Without declared flags, which 6.2 does not know.
const SET_WHEN_FULL: &str = "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], ARGV[1])";

/// About how many turns are kept.
const KEPT: usize = 1000;

impl RedisPlanStore {
    /// Takes the governor's disarm away, and the mark that it was seen, where they are there. The governor may
    /// disarm again, also today. An error where one is there and stays.
    pub async fn lift_disarm(&self) -> Result<Lifted, PortError> {
        let mut lifted = Vec::new();
        // The governor's own before the mark: who sees them meanwhile marks them anew.
        for key in self.keys().halting(SystemTime::now()) {
            let mut at = self.link().at(&key);
            let exists = redis::cmd("EXISTS").arg(&key).to_owned();
            match exists.query_async::<bool>(&mut at).await {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) if error.code() == Some("NOPERM") => {
                    return Ok(Lifted::NotSeen {
                        why: error.to_string(),
                    });
                }
                Err(error) => return Err(failed("look whether the governor has disarmed")(error)),
            }
            let del = redis::cmd("DEL").arg(&key).to_owned();
            let gone = del.exec_async(&mut at).await;
            gone.map_err(failed("lift the governor's disarm"))?;
            lifted.push(key);
        }
        Ok(Lifted::Keys(lifted))
    }

    /// Turns the kill switch, on a server whose memory is full as well, and then records the turn. It needs the
    /// right to `SET` the switch; without a right to the record the switch is turned all the same.
    pub async fn turn_switch(&self, turn: &Turn) -> Result<Recorded, PortError> {
        let (keys, word) = (
            self.keys(),
            if turn.on {
                kill_switch::ON
            } else {
                kill_switch::OFF
            },
        );
        let mut at = self.link().at(&keys.kill_switch);
        let mut set = redis::cmd("SET");
        set.arg(&keys.kill_switch).arg(word);
        let turned = match set.exec_async(&mut at).await {
            Err(error) if Meaning::of(&error) == Meaning::OutOfMemory => {
                let mut script = redis::cmd("EVAL");
                script.arg(SET_WHEN_FULL).arg(1);
                script.arg(&keys.kill_switch).arg(word);
                // What it says to the script is not what is wrong with it.
                script.exec_async(&mut at).await.map_err(|_| error)
            }
            turned => turned,
        };
        turned.map_err(failed("turn the kill switch"))?;
        let mut record = redis::cmd("XADD");
        record
            .arg(&keys.halt_log)
            .arg(&["MAXLEN", "~"])
            .arg(KEPT)
            .arg("*")
            .arg("halted")
            .arg(python_bool(turn.on))
            .arg("reason")
            .arg(&turn.reason)
            .arg("who")
            .arg(&turn.who)
            .arg("timestamp")
            .arg(turn.at);
        Ok(
            match record.exec_async(&mut self.link().at(&keys.halt_log)).await {
                Ok(()) => Recorded::Yes,
                Err(error) => Recorded::No {
                    why: error.to_string(),
                },
            },
        )
    }
}
