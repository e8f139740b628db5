//! The kill switch as operators turn it, with a record of who did and why.

use crate::board::{RedisBoard, failed};
use apply_core::PortError;

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

/// About how many turns are kept.
const KEPT: usize = 1000;

impl RedisBoard {
    /// Turns the kill switch and records the turn, in one atomic step; on a cluster the switch is
    /// turned first.
    pub async fn turn_switch(&self, turn: &Turn) -> Result<(), PortError> {
        let (keys, word) = (self.keys(), if turn.on { "true" } else { "false" });
        let mut set = redis::cmd("SET");
        set.arg(&keys.kill_switch).arg(word);
        let mut record = redis::cmd("XADD");
        record
            .arg(&keys.halt_log)
            .arg(&["MAXLEN", "~"])
            .arg(KEPT)
            .arg("*")
            .arg("halted")
            .arg(if turn.on { "True" } else { "False" })
            .arg("reason")
            .arg(&turn.reason)
            .arg("who")
            .arg(&turn.who)
            .arg("timestamp")
            .arg(turn.at);
        let (link, switch) = (self.link(), &keys.kill_switch);
        let turned = match link.is_cluster() {
            false => {
                let mut steps = redis::pipe();
                steps.atomic().add_command(set).ignore();
                steps.add_command(record).ignore();
                steps.query_async::<()>(&mut link.at(switch)).await
            }
            true => match set.exec_async(&mut link.at(switch)).await {
                Ok(()) => record.exec_async(&mut link.at(&keys.halt_log)).await,
                failed => failed,
            },
        };
        turned.map_err(failed("turn the kill switch"))
    }
}
