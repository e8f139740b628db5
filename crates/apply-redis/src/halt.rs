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
    /// Turns the kill switch and records the turn, in one atomic step.
    pub async fn turn_switch(&self, turn: &Turn) -> Result<(), PortError> {
        let keys = &self.config().keys;
        let mut steps = redis::pipe();
        steps
            .atomic()
            .cmd("SET")
            .arg(&keys.kill_switch)
            .arg(if turn.on { "true" } else { "false" })
            .ignore()
            .cmd("XADD")
            .arg(&keys.halt_log)
            .arg("MAXLEN")
            .arg("~")
            .arg(KEPT)
            .arg("*")
            .arg("halted")
            .arg(if turn.on { "True" } else { "False" })
            .arg("reason")
            .arg(&turn.reason)
            .arg("who")
            .arg(&turn.who)
            .arg("timestamp")
            .arg(turn.at)
            .ignore();
        steps
            .query_async::<()>(&mut self.connection())
            .await
            .map_err(failed("turn the kill switch"))
    }
}
