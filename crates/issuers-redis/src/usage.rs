//! The governor's book.

use crate::{
    codec,
    config::{IssuersConfig, Keys},
    link::{Link, moment},
};
use apply_core::{PortError, Symbol};
use apply_redis::bounded_script;
use apply_wire::kill_switch;
use permit_gate::PlanId;
use permit_issuers::{
    EntryId, PERMIT_TTL_SECS,
    ports::{Charge, Finalized, PermitSink, PermitToWrite, UsageBook, UsagePage},
};
use permit_redis::ConnectError;
use redis::{Script, ScriptInvocation, Value};
use std::{sync::Arc, time::Duration};

/// Permits, usage and the kill switch on one Redis. Clones share one connection.
#[derive(Clone)]
pub struct RedisUsageBook {
    link: Link,
    shared: Arc<Shared>,
}

struct Shared {
    keys: Keys,
    look: Script,
    grant: Script,
    heard: Script,
}

/// Usage outlives what it counts by an hour, then an idle symbol leaves nothing behind.
const USAGE_TTL: Duration = Duration::from_secs(25 * 3600);

impl RedisUsageBook {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Config`] and [`ConnectError::Unusable`], of a server that is too old, stay as they are;
    /// with the others trying again may help.
    pub async fn connect(config: &IssuersConfig) -> Result<Self, ConnectError> {
        Ok(Self {
            link: Link::connect(config).await?,
            shared: Arc::new(Shared {
                keys: config.keys.clone(),
                look: bounded_script(include_str!("usage_look.lua")),
                grant: Script::new(include_str!("grant.lua")),
                heard: Script::new(include_str!("result_read.lua")),
            }),
        })
    }

    fn keys(&self) -> &Keys {
        &self.shared.keys
    }
}

impl PermitSink for RedisUsageBook {
    async fn pass(&self, entry: EntryId) -> Result<(), PortError> {
        let keys = self.keys();
        self.link
            .acknowledge(&keys.plans, &keys.governor_group, entry)
            .await
    }
}

impl UsageBook for RedisUsageBook {
    async fn open(&self, symbol: &Symbol) -> Result<UsagePage, PortError> {
        let keys = self.keys();
        let usage_key = Keys::of_symbol(&keys.usage, symbol);
        let mut look = self.shared.look.key(&usage_key);
        look.key(Keys::of_symbol(&keys.snapshot, symbol))
            .arg(codec::MAX_HASH_BYTES);
        let (seconds, micros, usage, snapshot): (u64, u64, Value, Value) =
            self.link.run(&look, "read the governor's usage").await?;
        let now = moment((seconds, micros));
        let usage = codec::hash(&usage_key, usage)?;
        let (usage, version) = codec::usage(&usage_key, &usage)?;
        Ok(UsagePage {
            usage,
            snapshot: codec::snapshot(snapshot),
            version,
            now,
        })
    }

    async fn finalize(
        &self,
        ruling: PermitToWrite<'_>,
        charge: Option<&Charge>,
        trip: Option<&str>,
    ) -> Result<Finalized, PortError> {
        let keys = self.keys();
        let mut call = self.shared.grant.key(&keys.plans);
        call.key(Keys::of_plan(&keys.governor_permit, ruling.plan))
            // Only reached with a charge, which names its symbol.
            .key(charge.map_or_else(
                || keys.usage.clone(),
                |charge| Keys::of_symbol(&keys.usage, &charge.symbol),
            ))
            .key(&keys.kill_switch)
            .key(&keys.kill_reason)
            .arg(&keys.governor_group)
            .arg(ruling.entry.to_string())
            .arg(ruling.permit)
            .arg(PERMIT_TTL_SECS)
            .arg(trip.unwrap_or_default())
            .arg(kill_switch::ON);
        add_charge(&mut call, charge);
        codec::finalized(self.link.run(&call, "write the permit").await?)
    }

    async fn heard(
        &self,
        result: EntryId,
        nothing_of: Option<(&Symbol, &PlanId)>,
    ) -> Result<(), PortError> {
        let keys = self.keys();
        let mut call = self.shared.heard.key(&keys.results);
        call.key(nothing_of.map_or_else(
            || keys.usage.clone(),
            |(symbol, _)| Keys::of_symbol(&keys.usage, symbol),
        ))
        .arg(&keys.governor_group)
        .arg(result.to_string())
        .arg(nothing_of.map_or_else(String::new, |(_, plan)| codec::execution_field(plan)));
        self.link
            .run::<i64>(&call, "take in the result")
            .await
            .map(drop)
    }
}

fn add_charge(call: &mut ScriptInvocation<'_>, charge: Option<&Charge>) {
    let Some(charge) = charge else {
        call.arg("");
        return;
    };
    let execution = &charge.execution;
    call.arg(charge.version)
        .arg(USAGE_TTL.as_secs())
        .arg(codec::execution_field(&execution.plan))
        .arg(codec::execution(execution));
    for plan in &charge.expired {
        call.arg(codec::execution_field(plan));
    }
}
