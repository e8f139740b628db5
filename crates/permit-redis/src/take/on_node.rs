//! A take on one server, in the way that it allows.

use super::{Answer, TakeRequest, transaction};
use crate::{failure::Failure, node::Node};

impl Node {
    /// Takes the order's permits, or none. Sends nothing twice, but after `NOSCRIPT`, which says
    /// that nothing was executed.
    pub(crate) async fn take(&self, order: &TakeRequest) -> Result<Answer, Failure> {
        let mut live = self.live()?;
        let answer = match live.scripting {
            true => self.by_script(&mut live.connection, order).await,
            false => {
                self.counters().transactions.add();
                transaction::take(self, &mut live.connection, order).await
            }
        };
        if let Err(failure) = &answer {
            self.look_after(failure);
        }
        answer
    }
}
