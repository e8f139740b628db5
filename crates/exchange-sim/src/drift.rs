//! Mark prices that wander by themselves: a walk in ticks, the same for the same seed.

use crate::{config::Drift, state::Shared};
use rust_decimal::Decimal;
use std::{sync::Arc, time::Duration};

/// Walks all symbols of a venue.
pub(crate) struct Wanderer {
    drift: Drift,
    random: u64,
}

impl Wanderer {
    pub(crate) fn new(drift: Drift) -> Self {
        // The generator stands still at zero.
        Self {
            random: drift.seed.max(1),
            drift,
        }
    }

    /// Moves every symbol at every interval, for as long as it is polled.
    pub(crate) async fn wander(mut self, shared: Arc<Shared>) {
        let every = self.drift.every.max(Duration::from_millis(1));
        loop {
            tokio::time::sleep(every).await;
            let venue = &mut shared.lock().venue;
            let markets: Vec<(String, Decimal, Decimal)> = venue
                .mark_prices()
                .map(|(symbol, market)| (symbol.to_owned(), market.mark_price, market.spec.tick))
                .collect();
            for (symbol, price, tick) in markets {
                // A step that would leave the positive prices is refused and the price stays.
                venue.set_mark_price(&symbol, price + tick * self.step());
            }
        }
    }

    /// A whole number of ticks within ±`max_ticks` (xorshift64).
    fn step(&mut self) -> Decimal {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let reach = u64::from(self.drift.max_ticks);
        Decimal::from(self.random % (2 * reach + 1)) - Decimal::from(reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_takes_the_same_steps_and_none_is_too_long() {
        let walk = |seed| {
            let mut wanderer = Wanderer::new(Drift {
                every: Duration::from_millis(1),
                max_ticks: 5,
                seed,
            });
            (0..1000).map(|_| wanderer.step()).collect::<Vec<_>>()
        };
        assert_eq!(walk(7), walk(7));
        assert_ne!(walk(7), walk(8));
        assert!(walk(0).iter().all(|step| step.abs() <= Decimal::from(5)));
        assert!(walk(0).iter().any(|step| !step.is_zero()));
    }
}
