//! The reviewers' view of the venue, on the exchange client.

use apply_core::{PortError, Symbol};
use exchange_client::{self as client, Client, ExchangeInfo, Position, RequestError, SymbolRules};
use permit_issuers::{
    Lot, VenuePosition,
    ports::{Held, Positions},
};
use rust_decimal::Decimal;

/// Positions of one account on one test host.
#[derive(Debug, Clone)]
pub(crate) struct VenuePositions(Client);

impl VenuePositions {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Positions for VenuePositions {
    async fn fetch(&self, symbols: &[Symbol]) -> Result<Vec<Held>, PortError> {
        let info = self.0.fetch_exchange_info().await.map_err(away)?;
        // One question for one symbol or for all: both weigh the same. The account may hold symbols that are not configured here.
        let held = match symbols {
            [only] => {
                let only = named(only).map_err(PortError)?;
                self.0.fetch_positions(Some(&only)).await
            }
            several => {
                let named: Vec<_> = several.iter().flat_map(named).collect();
                self.0.fetch_positions_of(&named).await
            }
        };
        let held = held.map_err(away)?;
        let holdings = symbols.iter();
        Ok(holdings
            .map(|symbol| (symbol.clone(), holding(symbol, &info, &held)))
            .collect())
    }
}

fn holding(
    symbol: &Symbol,
    info: &ExchangeInfo,
    held: &[Position],
) -> Result<VenuePosition, String> {
    let name = named(symbol)?;
    let rules = info.rules(&name).map_err(|error| error.to_string())?;
    let mut legs = held
        .iter()
        .filter(|position| position.symbol == name && !position.amount.is_zero());
    let held = legs.next();
    if legs.next().is_some() {
        return Err(format!(
            "the account holds {symbol} long and short, and a plan does not say which to close"
        ));
    }
    Ok(VenuePosition {
        amount: held.map_or(Decimal::ZERO, |position| position.amount),
        mark_price: held.and_then(|position| position.mark_price),
        lot: lot(&rules)?,
    })
}

/// Both lot filters of the venue in one. The client cuts the order itself by its own reading of
/// them; here they only have to agree.
fn lot(rules: &SymbolRules) -> Result<Lot, String> {
    if rules.status != "TRADING" {
        return Err(format!("{} is {}", rules.symbol, rules.status));
    }
    let finest = rules
        .quantity_precision
        .filter(|places| *places <= Decimal::MAX_SCALE)
        .map(|places| Decimal::new(1, places));
    let steps = [rules.lot.step, rules.market_lot.step, finest];
    let coarser = |one: Decimal, other: Decimal| {
        let (large, small) = (one.max(other), one.min(other));
        let fits = large.checked_rem(small).is_some_and(|rest| rest.is_zero());
        fits.then_some(large)
    };
    let step = steps.into_iter().flatten().map(Some);
    let step = step
        .reduce(|one, other| coarser(one?, other?))
        .flatten()
        .ok_or_else(|| format!("the quantity steps of {} do not fit together", rules.symbol))?;
    let largest = [rules.lot.max, rules.market_lot.max].into_iter().flatten();
    let smallest = [rules.lot.min, rules.market_lot.min].into_iter().flatten();
    Ok(Lot {
        step,
        min: smallest.fold(step, Decimal::max),
        max: largest.reduce(Decimal::min),
    })
}

fn named(symbol: &Symbol) -> Result<client::Symbol, String> {
    let parsed = symbol.as_str().parse();
    parsed.map_err(|error: client::NameError| error.to_string())
}

fn away(error: RequestError) -> PortError {
    PortError(format!("the venue cannot be asked: {error}"))
}
