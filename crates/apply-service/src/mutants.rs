//! Mistakes on purpose, one at a time: what the fault matrix has to find. Tests only.
//!
//! `APPLY_MUTANT` names one. Each stands in front of a port and everything else stays as it is, so
//! that the code that is searched for mistakes is the code that runs.

mod last_word;
mod which;

pub(crate) use last_word::last_word;

use self::which::Mutant;
use crate::{config::Config, exit::Failure, wiring::Adapters};
use apply_core::{
    ApplyResult, ApprovedClose, Armed, ClaimNote, Entry, Exchange, Fill, HeldBack, Intent, Journal,
    LastLook, Look, OrderKind, OrderTrace, PortError, Prepared, Publisher, Recorded, Settings,
    Settlement, Side, Submission, SwitchNote, Symbol,
    exchange::{ExchangeError, Omission, Profit, StopReplacement, StopsAfterClose},
    sizing::ApprovedStop,
};
use apply_exchange::Venue;
use apply_journal::RedbJournal;
use apply_redis::PlanStoreConfig;
use exchange_client::Client;
use permit_gate::{PermitSet, PermitStore, PlanId, Reply, Slot, StoreError, Take, Ttl, WaitPolicy};
use permit_redis::{PermitKeys, RedisPermitStore, RedisWatch};
use rust_decimal::Decimal;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The same outside with one port that is not right, or as it was where none is asked for.
pub(crate) fn with_a_mistake<B>(
    outside: Adapters<B, RedisPermitStore, RedbJournal>,
    config: &Config,
) -> Result<Adapters<B, Permits, Ledger, MutantVenue>, Failure> {
    let mutant = Mutant::asked_for()?;
    let impossible = |error: &dyn std::fmt::Display| Failure::configuration(error.to_string());
    let beside = match mutant {
        Some(Mutant::DeleteBeforeCheck | Mutant::PermitsNotDeleted) => {
            let client = redis::Client::open(config.redis.reveal()).map_err(|e| impossible(&e))?;
            Some((client, config.permits.clone()))
        }
        _ => None,
    };
    let again = match (mutant, config.credentials.clone()) {
        (Some(Mutant::RetryAfterUnknown), Some(credentials)) => {
            let settings = Venue::settings();
            let client = Client::new(config.venue.clone(), credentials, settings);
            Some(client.map_err(|e| impossible(&e))?)
        }
        _ => None,
    };
    Ok(Adapters {
        plan_store: outside.plan_store,
        permits: Permits {
            store: outside.permits,
            mutant,
            beside,
        },
        journal: Ledger {
            journal: outside.journal,
            mutant,
            kept_back: Mutex::default(),
        },
        venue: MutantVenue {
            venue: outside.venue,
            again,
            blind: mutant == Some(Mutant::NoLookAfterTheQueue),
        },
        clock: outside.clock,
    })
}

/// The same settings, or a wait that is too long.
pub(crate) fn with_a_wait(settings: Settings) -> Result<Settings, Failure> {
    let wait = match Mutant::asked_for()? {
        Some(Mutant::WaitTooLong) => WaitPolicy {
            wait: settings.wait.wait + Duration::from_secs(3),
            ..settings.wait
        },
        _ => settings.wait,
    };
    Ok(Settings { wait, ..settings })
}

/// How old a store has to be to be believed, or that it need not be.
pub(crate) fn with_a_fence(plan_store: PlanStoreConfig) -> Result<PlanStoreConfig, Failure> {
    let clean_after = match Mutant::asked_for()? {
        Some(Mutant::NoFenceAfterForgetting) => Some(Duration::ZERO),
        _ => plan_store.clean_after,
    };
    Ok(PlanStoreConfig {
        clean_after,
        ..plan_store
    })
}

/// The journal, or less than it.
pub(crate) struct Ledger {
    journal: RedbJournal,
    mutant: Option<Mutant>,
    kept_back: Mutex<HashMap<PlanId, ApplyResult>>,
}

impl Ledger {
    fn forgets(&self) -> bool {
        self.mutant == Some(Mutant::NoJournal)
    }
}

impl Journal for Ledger {
    async fn record_claim(&self, claim: &ClaimNote) -> Result<(), PortError> {
        match self.forgets() {
            true => Ok(()),
            false => self.journal.record_claim(claim).await,
        }
    }

    async fn record_published_by_another(&self, plan: &PlanId, at: u64) -> Result<(), PortError> {
        match self.forgets() {
            true => Ok(()),
            false => self.journal.record_published_by_another(plan, at).await,
        }
    }

    async fn record_switch(&self, switch: &SwitchNote) -> Result<(), PortError> {
        self.journal.record_switch(switch).await
    }

    async fn fetch_switch(&self) -> Result<Option<SwitchNote>, PortError> {
        self.journal.fetch_switch().await
    }

    async fn record_intent(&self, intent: &Intent) -> Result<Recorded, PortError> {
        match self.forgets() {
            true => Ok(Recorded::Now),
            false => self.journal.record_intent(intent).await,
        }
    }

    async fn record_result(
        &self,
        result: &ApplyResult,
        publisher: Option<&Publisher>,
    ) -> Result<ApplyResult, PortError> {
        match self.mutant {
            Some(Mutant::NoJournal) => Ok(result.clone()),
            Some(Mutant::PublishBeforeJournal) => {
                let mut kept = self
                    .kept_back
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                kept.insert(result.plan.clone(), result.clone());
                Ok(result.clone())
            }
            _ => self.journal.record_result(result, publisher).await,
        }
    }

    async fn record_published(&self, plan: &PlanId, at: u64) -> Result<(), PortError> {
        let kept = {
            let mut kept = self
                .kept_back
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            kept.remove(plan)
        };
        if let Some(result) = kept {
            self.journal.record_result(&result, None).await?;
        }
        match self.forgets() {
            true => Ok(()),
            false => self.journal.record_published(plan, at).await,
        }
    }

    async fn probe(&self) -> Result<(), PortError> {
        self.journal.probe().await
    }

    async fn look_up(&self, plan: &PlanId) -> Result<Option<Entry>, PortError> {
        match self.forgets() {
            true => Ok(None),
            false => self.journal.look_up(plan).await,
        }
    }

    async fn fetch_unfinished(&self) -> Result<Vec<Entry>, PortError> {
        match self.forgets() {
            true => Ok(Vec::new()),
            false => self.journal.fetch_unfinished().await,
        }
    }

    async fn fetch_published(&self, most: usize) -> Result<Vec<Entry>, PortError> {
        match self.forgets() {
            true => Ok(Vec::new()),
            false => self.journal.fetch_published(most).await,
        }
    }
}

/// The permits, or their undoing.
pub(crate) struct Permits {
    store: RedisPermitStore,
    mutant: Option<Mutant>,
    /// A way to Redis beside the store's.
    beside: Option<(redis::Client, PermitKeys)>,
}

impl PermitStore for Permits {
    type Watch = RedisWatch;

    fn permits(&self) -> &PermitSet {
        self.store.permits()
    }

    fn watch(&self, plan: &PlanId) -> RedisWatch {
        self.store.watch(plan)
    }

    async fn take_all(&self, take: &Take) -> Result<Reply, StoreError> {
        let Some((client, keys)) = &self.beside else {
            return self.store.take_all(take).await;
        };
        let failed = |error: redis::RedisError| StoreError::Unavailable(error.to_string());
        let keys = keys.keys(&take.plan);
        if self.mutant == Some(Mutant::DeleteBeforeCheck) {
            return delete(client, &keys).await.map_err(failed);
        }
        let reply = self.store.take_all(take).await?;
        if let Reply::Taken(contents) = &reply {
            put_back(client, &keys, contents).await.map_err(failed)?;
        }
        Ok(reply)
    }

    fn net_interval(&self, step: Duration) -> Duration {
        self.store.net_interval(step)
    }
}

/// As the service before this one did: no script, no receipt.
async fn delete(client: &redis::Client, keys: &[String]) -> redis::RedisResult<Reply> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut contents: Vec<Option<Vec<u8>>> = Vec::new();
    for key in keys {
        let mut get_and_delete = redis::cmd("GETDEL");
        get_and_delete.arg(key);
        contents.push(get_and_delete.query_async(&mut connection).await?);
    }
    if contents.iter().all(Option::is_some) {
        return Ok(Reply::Taken(contents.into_iter().flatten().collect()));
    }
    let slot = |content: Option<Vec<u8>>| match content {
        None => Slot::ABSENT,
        content => Slot {
            content,
            ttl: Ttl::Seconds(0),
        },
    };
    Ok(Reply::Missing(contents.into_iter().map(slot).collect()))
}

/// As if no script had taken them.
async fn put_back(
    client: &redis::Client,
    keys: &[String],
    contents: &[Vec<u8>],
) -> redis::RedisResult<()> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut back = redis::pipe();
    for (key, content) in keys.iter().zip(contents) {
        back.cmd("SET").arg(key).arg(content).arg("EX").arg(60);
    }
    back.query_async(&mut connection).await
}

/// The venue, or one that is pressed for an answer.
pub(crate) struct MutantVenue {
    venue: Venue,
    /// Knows of no order that was sent before.
    again: Option<Client>,
    /// Whether nothing is looked at before an order is signed.
    blind: bool,
}

/// A look that sees nothing wrong.
struct Blind;

impl LastLook for Blind {
    fn look(&self, _: Instant) -> Look {
        Look::Go
    }

    async fn ask_again(&self) -> Result<(), HeldBack> {
        Ok(())
    }
}

impl Exchange for MutantVenue {
    type OrderContext = <Venue as Exchange>::OrderContext;

    async fn prepare(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        sign_by: Instant,
    ) -> Result<Prepared<Self::OrderContext>, ExchangeError> {
        self.venue.prepare(symbol, plan, sign_by).await
    }

    fn trace(&self, context: &Self::OrderContext) -> Option<OrderTrace> {
        self.venue.trace(context)
    }

    async fn submit_close(
        &self,
        order: Armed<ApprovedClose>,
        context: Self::OrderContext,
        look: &impl LastLook,
    ) -> Submission {
        let (symbol, id) = (order.symbol().clone(), order.client_order_id());
        let quantity = order.quantity();
        let submission = match self.blind {
            true => self.venue.submit_close(order, context, &Blind).await,
            false => self.venue.submit_close(order, context, look).await,
        };
        if let (Submission::Unknown { .. }, Some(client)) = (&submission, &self.again) {
            // Whatever comes of it, the order log has it.
            let _ = send_again(client, &symbol, &id, quantity).await;
        }
        submission
    }

    async fn settle(&self, symbol: &Symbol, plan: &PlanId, trace: &OrderTrace) -> Settlement {
        self.venue.settle(symbol, plan, trace).await
    }

    async fn look_for(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        order: OrderKind,
    ) -> Result<Option<OrderTrace>, ExchangeError> {
        self.venue.look_for(symbol, plan, order).await
    }

    async fn fetch_profit(
        &self,
        symbol: &Symbol,
        fill: &Fill,
    ) -> Result<Option<Profit>, ExchangeError> {
        self.venue.fetch_profit(symbol, fill).await
    }

    async fn account_for_stops(
        &self,
        symbol: &Symbol,
        side: Side,
    ) -> Result<StopsAfterClose, ExchangeError> {
        self.venue.account_for_stops(symbol, side).await
    }

    async fn replace_stop(
        &self,
        stop: Armed<ApprovedStop>,
        context: Self::OrderContext,
        look: &impl LastLook,
    ) -> StopReplacement {
        match self.blind {
            true => self.venue.replace_stop(stop, context, &Blind).await,
            false => self.venue.replace_stop(stop, context, look).await,
        }
    }

    async fn settle_stop(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        trace: &OrderTrace,
    ) -> StopReplacement {
        self.venue.settle_stop(symbol, plan, trace).await
    }

    fn take_omissions(&self) -> Vec<Omission> {
        self.venue.take_omissions()
    }
}

/// The same order once more; `None` where it cannot be made.
async fn send_again(
    client: &Client,
    symbol: &Symbol,
    id: &str,
    quantity: Decimal,
) -> Option<exchange_client::Submission> {
    let symbol = symbol.as_str().parse().ok()?;
    let rules = client.fetch_rules(&symbol).await.ok()?;
    let mode = client.fetch_position_mode().await.ok()?;
    let position = client.fetch_positions(Some(&symbol)).await.ok()?.pop()?;
    let order = client
        .prepare_close(&position, mode, &rules, id.parse().ok()?)
        .ok()?;
    let quantity = rules.cut_quantity(quantity).ok()?;
    Some(client.submit(order, quantity).await)
}
