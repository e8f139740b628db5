//! The protocol with the neighbours' position ledger: see [`apply_redis::Bookkeeper`].

use crate::{exit::Failure, metrics::Metrics};
use apply_core::{Clock, PortError, Symbol};
use apply_redis::{BOOKING_PATIENCE, LedgerWriter, NO_LEDGER_ON_A_CLUSTER, RedisPlanStore};
use exchange_client::Client;
use rust_decimal::Decimal;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Between two looks: a twentieth of the position brain's poll, at which it would book a result again.
const EVERY: Duration = Duration::from_millis(250);

/// A ledger that cannot be looked at is logged once in so many looks: once a minute.
const COMPLAIN_EVERY: u32 = 240;

/// What is done about the ledger that a neighbour keeps from the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ledger {
    /// As [`Ledger::BookOnce`] where a ledger names the plan that it booked last; else nothing is written, and nothing
    /// is said of results that no ledger books.
    Auto,
    /// A result that was booked is pushed out of the position brain's sight, so that it is booked once; one that is not
    /// booked in time is logged.
    BookOnce,
    /// The venue's position is written into the ledger and the canonical position after each fill, with the moment of the
    /// fill.
    Write,
    /// Nothing.
    Off,
}

impl Ledger {
    /// The word in `APPLY_LEDGER`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::BookOnce => "book-once",
            Self::Write => "write",
            Self::Off => "off",
        }
    }

    /// Why it cannot be done there; `None` where it can.
    pub fn refusal(self, is_cluster: bool) -> Option<&'static str> {
        match self {
            Self::Write if is_cluster => Some(NO_LEDGER_ON_A_CLUSTER),
            Self::Auto | Self::BookOnce | Self::Write | Self::Off => None,
        }
    }
}

/// Writes positions for [`Ledger::Write`]; `None` for the others.
///
/// # Errors
///
/// On a cluster.
pub(crate) fn writer(
    ledger: Ledger,
    plan_store: &RedisPlanStore,
) -> Result<Option<LedgerWriter>, Failure> {
    match ledger {
        Ledger::Write => match plan_store.ledger_writer() {
            Ok(writer) => Ok(Some(writer)),
            Err(error) => Err(Failure::configuration(format!(
                "APPLY_LEDGER={}: {error}",
                ledger.as_str()
            ))),
        },
        Ledger::Auto | Ledger::BookOnce | Ledger::Off => Ok(None),
    }
}

/// Keeps results from being booked twice, or writes positions, until `stop`. It holds up no plan.
pub(crate) async fn keep(
    ledger: Ledger,
    plan_store: RedisPlanStore,
    writer: Option<LedgerWriter>,
    venue: Option<Client>,
    metrics: Metrics,
    clock: impl Clock,
    stop: CancellationToken,
) {
    match (ledger, writer, venue) {
        (Ledger::Off, _, _) => {
            info!("Ledger: off; no result is pushed out");
            return;
        }
        (_, Some(writer), Some(venue)) => {
            return write(writer, venue, metrics, clock, stop).await;
        }
        (Ledger::Write, _, _) => {
            info!("Ledger: write; a dry run fills nothing, so nothing is written");
            return;
        }
        (Ledger::Auto | Ledger::BookOnce, _, _) => {}
    }
    info!(
        "Ledger: {}, booked results are pushed out of the newest ten",
        ledger.as_str()
    );
    let mut keeper = plan_store.bookkeeper(BOOKING_PATIENCE);
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed: u32 = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let booked = match keeper.look(Instant::now(), clock.unix_seconds()).await {
            Ok(booked) => booked,
            Err(error) => {
                match failed.is_multiple_of(COMPLAIN_EVERY) {
                    true => warn!("{error}; a result may be booked twice"),
                    false => debug!("{error}"),
                }
                failed = failed.saturating_add(1);
                continue;
            }
        };
        failed = 0;
        for (plan, symbol) in booked.pushed_out {
            metrics.ledger_pushed_out();
            info!(
                "Ledger: plan {plan} of {symbol} is booked, and pushed out of the newest ten results"
            );
        }
        for (key, why) in booked.left_alone {
            metrics.ledger_left_alone();
            match ledger {
                Ledger::BookOnce => warn!("Ledger: {key} is left alone: {why}"),
                // Own reviewers keep theirs in another form.
                Ledger::Auto | Ledger::Write | Ledger::Off => {
                    info!("Ledger: {key} is left alone: {why}")
                }
            }
        }
        for (plan, symbol) in booked.overdue {
            metrics.ledger_not_booked();
            let secs = BOOKING_PATIENCE.as_secs();
            match ledger {
                Ledger::BookOnce => warn!(
                    "Ledger: plan {plan} of {symbol} was not booked within {secs} s; look whether the position brain runs"
                ),
                Ledger::Auto | Ledger::Write | Ledger::Off => {
                    debug!("plan {plan} of {symbol} is booked by no ledger")
                }
            }
        }
    }
}

/// Writes positions after fills until `stop`.
async fn write(
    mut writer: LedgerWriter,
    venue: Client,
    metrics: Metrics,
    clock: impl Clock,
    stop: CancellationToken,
) {
    info!("Ledger: write; after a fill, ledger, position and time of the fill are written");
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed: u32 = 0;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let position = |symbol: Symbol| held(venue.clone(), symbol);
        let written = match writer.look(clock.unix_seconds(), position).await {
            Ok(written) => written,
            Err(error) => {
                match failed.is_multiple_of(COMPLAIN_EVERY) {
                    true => warn!("{error}; the ledger is behind the venue"),
                    false => debug!("{error}"),
                }
                failed = failed.saturating_add(1);
                continue;
            }
        };
        failed = 0;
        for (symbol, amount) in written.written {
            metrics.ledger_written();
            info!("Ledger: {symbol} is written as {amount}");
        }
        for (symbol, why) in written.left_alone {
            metrics.ledger_left_alone();
            warn!("Ledger: {symbol} is left alone: {why}");
        }
    }
}

/// What the venue holds of a symbol; `None` where that is not one amount.
async fn held(venue: Client, symbol: Symbol) -> Result<Option<Decimal>, PortError> {
    let named = symbol.as_str().parse();
    let named = named.map_err(|_| PortError(format!("{symbol} is no symbol of the venue")))?;
    let positions = venue.fetch_positions(Some(&named)).await;
    let positions = positions.map_err(|error| PortError(error.to_string()))?;
    Ok(match positions.as_slice() {
        [] => Some(Decimal::ZERO),
        [one] => Some(one.amount),
        _ => None,
    })
}
