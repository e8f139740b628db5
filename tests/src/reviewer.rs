//! Reviewers as the neighbours are: they read the plan stream in a group of their own and write a
//! permit that lasts 60 seconds.

use crate::{
    entry::Entry,
    stage::{PLANS, connect},
};
use redis::AsyncCommands;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{task::JoinHandle, time::sleep};

/// How long a permit lasts, in seconds.
const PERMIT_SECONDS: u64 = 60;

/// A running reviewer; gone with its handle.
#[derive(Debug)]
pub struct Reviewer {
    task: JoinHandle<()>,
    written: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Reviewer {
    /// Reads plans as `group` and acts on those that are to be executed: `says` gives the permit
    /// and how long after the plan it is written, or that there is none.
    pub(crate) async fn start(
        url: String,
        group: &'static str,
        key_prefix: &'static str,
        says: impl Fn(&Entry) -> Option<(Duration, String)> + Send + 'static,
    ) -> Self {
        let mut reading = connect(&url).await;
        let writing = connect(&url).await;
        let _: redis::Value = redis::cmd("XGROUP")
            .arg(&["CREATE", PLANS, group, "0", "MKSTREAM"])
            .query_async(&mut reading)
            .await
            .unwrap_or_else(|error| panic!("no group {group}: {error}"));
        let written = Arc::new(Mutex::new(HashMap::new()));
        let log = Arc::clone(&written);
        let task = tokio::spawn(async move {
            loop {
                let reply = redis::cmd("XREADGROUP")
                    .arg(&["GROUP", group, "one", "BLOCK", "1000", "NOACK"])
                    .arg(&["STREAMS", PLANS, ">"])
                    .query_async(&mut reading)
                    .await
                    .unwrap_or_else(|error| panic!("{group} cannot read plans: {error}"));
                for plan in Entry::of_read(reply) {
                    if plan.get("decision") != "EXECUTE" {
                        continue;
                    }
                    let Some((after, permit)) = says(&plan) else {
                        continue;
                    };
                    let id = plan.get("plan_id").to_owned();
                    let (mut writing, log) = (writing.clone(), Arc::clone(&log));
                    tokio::spawn(async move {
                        sleep(after).await;
                        log.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(id.clone(), Instant::now());
                        let key = format!("{key_prefix}{id}");
                        let () = writing
                            .set_ex(key, permit, PERMIT_SECONDS)
                            .await
                            .unwrap_or_else(|error| panic!("{group} cannot write: {error}"));
                    });
                }
            }
        });
        Self { task, written }
    }

    /// When the permit of this plan was about to be written.
    ///
    /// # Panics
    /// Where it was not.
    pub fn wrote_at(&self, plan: &str) -> Instant {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        *written
            .get(plan)
            .unwrap_or_else(|| panic!("no permit for {plan} was written"))
    }
}

impl Drop for Reviewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A governor's yes without an opinion on size, as the testnet's auto-approver writes it.
pub fn governor_permit(symbol: &str) -> String {
    format!(
        r#"{{"granted":true,"symbol":"{symbol}","decision":"EXECUTE","computed_qty":0.0,"computed_notional":0.0,"created_at":1769301008.977,"consumed":false}}"#
    )
}

/// A position brain's yes to `quantity`, in the digits of a binary float.
pub fn position_permit(symbol: &str, quantity: &str) -> String {
    format!(
        r#"{{"allow":true,"symbol":"{symbol}","safe_close_qty":{quantity},"exchange_position_amt":12.4,"ledger_amt":12.4,"created_at":1769301009.1,"reason":"sanity_checks_passed"}}"#
    )
}
