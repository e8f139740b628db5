//! The client against the simulated venue, over real sockets.
#![allow(clippy::unwrap_used, missing_docs)]

mod accounts;
mod cancellation;
mod clock;
mod codes;
mod contradictions;
mod faults;
mod filters;
mod last_look;
mod limits;
mod printed;
mod settling;
mod settling_stops;
mod stops;

use exchange_client::{
    Client, ClientOrderId, CloseIntent, Credentials, Host, Position, PreparedOrder, Settings,
    SetupError, Submission, Symbol, SymbolRules,
};
use exchange_sim::{Sim, SimConfig};
use rust_decimal::Decimal;
use std::{sync::Arc, time::Duration};

pub(crate) const ORDER: &str = "/fapi/v1/order";

/// A venue that judges our own client strictly, and whose listing holds what no client knows.
pub(crate) fn judge(config: SimConfig) -> SimConfig {
    config.strict().unknown_filter()
}

/// A simulated venue, a client that is ready, and the position it may close.
pub(crate) struct Setup {
    pub(crate) sim: Sim,
    pub(crate) client: Client,
    pub(crate) rules: Arc<SymbolRules>,
}

pub(crate) fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

pub(crate) fn btc() -> Symbol {
    "BTCUSDT".parse().unwrap()
}

/// The defaults: long enough that a busy machine does not decide an outcome.
pub(crate) fn settings() -> Settings {
    Settings::default()
}

/// For tests of replies that never come.
pub(crate) fn impatient() -> Settings {
    let mut settings = Settings::default();
    settings.connect_timeout = Duration::from_secs(1);
    settings.reply_timeout = Duration::from_millis(1500);
    settings
}

pub(crate) fn credentials() -> Credentials {
    Credentials::hmac(SimConfig::API_KEY, SimConfig::API_SECRET).unwrap()
}

pub(crate) fn client_of(sim: &Sim, settings: Settings) -> Client {
    client_at(&sim.url(), settings).unwrap()
}

pub(crate) fn client_at(url: &str, settings: Settings) -> Result<Client, SetupError> {
    printed::listen();
    let host: Host = url.parse().unwrap();
    Client::new(host, credentials(), settings)
}

impl Setup {
    /// Long 0.0124 BTC, one-way mode.
    pub(crate) async fn open() -> Self {
        Self::open_with(settings()).await
    }

    pub(crate) async fn open_with(settings: Settings) -> Self {
        let config = SimConfig::default().position("BTCUSDT", d("0.0124"));
        Self::with_settings(config, settings).await
    }

    pub(crate) async fn with(config: SimConfig) -> Self {
        Self::with_settings(config, settings()).await
    }

    pub(crate) async fn with_settings(config: SimConfig, settings: Settings) -> Self {
        let sim = Sim::start(judge(config)).await.unwrap();
        let client = client_of(&sim, settings);
        client.warm_up().await.unwrap();
        let rules = client.fetch_rules(&btc()).await.unwrap();
        sim.handle().clear_requests();
        Self { sim, client, rules }
    }

    pub(crate) async fn position(&self) -> Position {
        let positions = self.client.fetch_positions(Some(&btc())).await.unwrap();
        positions.into_iter().next().unwrap()
    }

    pub(crate) async fn prepare(&self, id: &str) -> PreparedOrder {
        let (position, id) = (self.position().await, id.parse::<ClientOrderId>().unwrap());
        let mode = self.client.fetch_position_mode().await.unwrap();
        self.client
            .prepare_close(&position, mode, &self.rules, id)
            .unwrap()
    }

    /// Closes 0.008 BTC and returns what to settle with, too.
    pub(crate) async fn close(&self, id: &str) -> (CloseIntent, Submission) {
        let order = self.prepare(id).await;
        let intent = order.intent().clone();
        let quantity = self.rules.cut_quantity(d("0.008")).unwrap();
        let ending = self.client.submit(order, quantity).await;
        printed::note(&ending);
        printed::note(&ending.to_string());
        printed::note(&intent);
        (intent, ending)
    }

    /// How many orders were posted since the client connected.
    pub(crate) fn posts(&self) -> u64 {
        self.sim.handle().request_count("POST", ORDER)
    }
}
