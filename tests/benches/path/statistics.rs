//! What Redis counts.

use redis::aio::MultiplexedConnection;
use std::{collections::HashMap, time::Duration};

pub(crate) struct Statistics {
    /// Calls of each command, those inside scripts included.
    calls: HashMap<String, u64>,
    /// User and kernel.
    pub(crate) processor: Duration,
}

impl Statistics {
    /// Up to now.
    pub(crate) async fn of(connection: &mut MultiplexedConnection) -> Self {
        let text: String = redis::cmd("INFO")
            .arg("all")
            .query_async(connection)
            .await
            .unwrap();
        let mut found = Self {
            calls: HashMap::new(),
            processor: Duration::ZERO,
        };
        for line in text.lines() {
            if let Some((name, rest)) = line.split_once(":calls=") {
                let name = name.trim_start_matches("cmdstat_").to_lowercase();
                let calls = rest.split(',').next().unwrap().parse().unwrap();
                found.calls.insert(name, calls);
            }
            for whose in ["used_cpu_sys:", "used_cpu_user:"] {
                if let Some(seconds) = line.strip_prefix(whose) {
                    let seconds: f64 = seconds.trim().parse().unwrap();
                    found.processor += Duration::from_secs_f64(seconds);
                }
            }
        }
        found
    }

    /// What came since.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (name, calls) in &before.calls {
            if let Some(after) = self.calls.get_mut(name) {
                *after -= calls;
            }
        }
        self.processor -= before.processor;
        self
    }

    /// Calls of all commands.
    pub(crate) fn all(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Calls of each.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = (&String, u64)> {
        self.calls.iter().map(|(name, calls)| (name, *calls))
    }

    /// Calls of one.
    pub(crate) fn calls_of(&self, name: &str) -> u64 {
        self.calls.get(name).copied().unwrap_or(0)
    }
}
