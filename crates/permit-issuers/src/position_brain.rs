//! How much of a position a plan may close.

use crate::{
    denial::{Denial, Fact, Reason},
    ledger::{Book, Ledger},
    plan::Reviewed,
    timestamp::Timestamp,
    venue_position::Snapshot,
};
use rust_decimal::Decimal;
use std::time::Duration;

/// How strict the position brain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The oldest snapshot that still counts.
    pub snapshot_max_age: Duration,
    /// How long after a symbol's fill nothing more of it is closed.
    pub cooldown: Duration,
}

/// The contract's figures: snapshots of 10 s, 15 s after a fill.
impl Default for Settings {
    fn default() -> Self {
        Self {
            snapshot_max_age: Duration::from_secs(10),
            cooldown: Duration::from_secs(15),
        }
    }
}

/// What the position brain says.
#[derive(Debug, Clone, PartialEq)]
pub enum P33Verdict {
    /// Yes, for this much.
    Allow {
        /// The most that may be closed, in base units: above 0 and on the venue's step.
        safe_close_qty: Decimal,
        /// The venue's signed position.
        position: Decimal,
        /// The ledger's, where it has one.
        ledger: Option<Decimal>,
    },
    /// No.
    Deny(Denial),
}

impl P33Verdict {
    /// The quantity allowed, where one is.
    pub fn allowed(&self) -> Option<Decimal> {
        match self {
            Self::Allow { safe_close_qty, .. } => Some(*safe_close_qty),
            Self::Deny(_) => None,
        }
    }
}

/// Whether a snapshot can be judged by: young enough, asked after the last fill, and the ledger
/// not waiting for a newer one. Where it cannot, ask the venue before deciding.
pub fn serves(
    seen: Option<&Snapshot>,
    ledger: &Ledger,
    settings: &Settings,
    now: Timestamp,
) -> bool {
    seen.is_some_and(|seen| {
        now.since(seen.asked_at) <= settings.snapshot_max_age
            && ledger.is_older_than(seen)
            && ledger.book != Book::Opening
    })
}

/// Decides: a yes only for a position that is known fresh, exists, agrees with the ledger and has
/// rested since its last fill. The ledger must hold every result written so far.
pub fn decide(
    plan: &Reviewed,
    seen: Option<&Snapshot>,
    ledger: &Ledger,
    settings: &Settings,
    now: Timestamp,
) -> P33Verdict {
    let deny =
        |reason, context: Vec<(&'static str, Fact)>| P33Verdict::Deny(Denial::new(reason, context));
    // First, because it needs no venue, and because whatever else disagrees may be the fill itself.
    if let Some(fill) = &ledger.last_fill {
        let rested = now.since(fill.at);
        if rested < settings.cooldown {
            let context = vec![
                ("since_last_fill_sec", rested.into()),
                ("cooldown_sec", settings.cooldown.into()),
            ];
            return deny(Reason::CooldownInFlight, context);
        }
    }
    let age = seen.map(|seen| now.since(seen.asked_at));
    let Some(Snapshot { holding, .. }) = seen.filter(|_| serves(seen, ledger, settings, now))
    else {
        let context = vec![
            ("snapshot_age_sec", age.into()),
            ("max_age_sec", settings.snapshot_max_age.into()),
        ];
        return deny(Reason::StaleExchangeState, context);
    };
    let position = holding.amount;
    if position.is_zero() {
        return deny(
            Reason::NoPosition,
            vec![("exchange_position_amt", position.into())],
        );
    }
    if let Some(ledger) = ledger.amount()
        && let Some(reason) = disagreement(position, ledger, holding.lot.step)
    {
        let context = vec![
            ("exchange_position_amt", position.into()),
            ("ledger_amt", ledger.into()),
        ];
        return deny(reason, context);
    }
    match holding.share(plan.task.percent()) {
        Some(safe_close_qty) => P33Verdict::Allow {
            safe_close_qty,
            position,
            ledger: ledger.amount(),
        },
        None => deny(
            Reason::BelowVenueMinimum,
            vec![
                ("exchange_position_amt", position.into()),
                ("min_qty", holding.lot.min.into()),
            ],
        ),
    }
}

/// Sides must be the same; sizes may differ by 1 % of the venue's or by one step, whichever is more.
fn disagreement(position: Decimal, ledger: Decimal, step: Decimal) -> Option<Reason> {
    let same_side = !ledger.is_zero() && ledger.is_sign_negative() == position.is_sign_negative();
    if !same_side {
        return Some(Reason::SideMismatch);
    }
    let agrees = || {
        let apart = position.checked_sub(ledger)?.abs();
        let one_percent = position.abs().checked_div(Decimal::ONE_HUNDRED)?;
        Some(apart <= one_percent.max(step))
    };
    match agrees() {
        Some(true) => None,
        Some(false) | None => Some(Reason::QtyMismatch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::LastFill,
        plan::Task,
        venue_position::{Lot, VenuePosition},
    };

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    const NOW: Timestamp = Timestamp::from_millis(1_769_301_009_000);

    struct Case {
        percent: u8,
        amount: &'static str,
        age: Duration,
        book: Book,
        rested: Option<Duration>,
    }

    const CALM: Case = Case {
        percent: 75,
        amount: "0.0124",
        age: Duration::from_millis(400),
        book: Book::Blank,
        rested: None,
    };

    impl Case {
        fn decide(&self) -> P33Verdict {
            let plan = Reviewed {
                id: permit_gate::PlanId::new("67e6da21fa9fe506").unwrap(),
                symbol: "BTCUSDT".parse().unwrap(),
                kill_score: 0.5,
                task: Task::Close {
                    percent: self.percent,
                },
            };
            let seen = Snapshot {
                asked_at: NOW - self.age,
                holding: VenuePosition {
                    amount: dec(self.amount),
                    mark_price: None,
                    lot: Lot {
                        step: dec("0.001"),
                        min: dec("0.001"),
                        max: None,
                    },
                },
            };
            let ledger = Ledger {
                book: self.book,
                last_fill: self.rested.map(|rested| LastFill {
                    at: NOW - rested,
                    order_id: "1".into(),
                }),
            };
            decide(&plan, Some(&seen), &ledger, &Settings::default(), NOW)
        }

        fn reason(&self) -> Option<Reason> {
            match self.decide() {
                P33Verdict::Allow { .. } => None,
                P33Verdict::Deny(denial) => Some(denial.reason),
            }
        }
    }

    fn holds(amount: &str) -> Book {
        Book::Holds(dec(amount))
    }

    #[test]
    fn a_calm_position_is_granted_its_share_on_the_step() {
        for (percent, amount, quantity) in [
            (100, "0.0124", "0.012"),
            (75, "0.0124", "0.009"),
            (50, "-0.0124", "0.006"),
        ] {
            let case = Case {
                percent,
                amount,
                book: holds(amount),
                ..CALM
            };
            assert_eq!(
                case.decide(),
                P33Verdict::Allow {
                    safe_close_qty: dec(quantity),
                    position: dec(amount),
                    ledger: Some(dec(amount)),
                }
            );
        }
    }

    #[test]
    fn a_ledger_that_knows_nothing_yet_does_not_deny_for_ever() {
        assert_eq!(CALM.reason(), None);
    }

    #[test]
    fn a_snapshot_serves_up_to_its_last_moment_and_not_after() {
        let aged = |millis| Case {
            age: Duration::from_millis(millis),
            ..CALM
        };
        assert_eq!(aged(10_000).reason(), None);
        assert_eq!(aged(10_001).reason(), Some(Reason::StaleExchangeState));
    }

    #[test]
    fn a_snapshot_from_before_the_last_fill_is_stale_however_young() {
        let case = Case {
            age: Duration::from_secs(9),
            rested: Some(Duration::from_secs(8)),
            ..CALM
        };
        let brisk = Settings {
            cooldown: Duration::ZERO,
            ..Settings::default()
        };
        let ledger = Ledger {
            book: Book::Blank,
            last_fill: Some(LastFill {
                at: NOW - Duration::from_secs(8),
                order_id: "1".into(),
            }),
        };
        let seen = Snapshot {
            asked_at: NOW - case.age,
            holding: VenuePosition {
                amount: dec("1"),
                mark_price: None,
                lot: Lot {
                    step: dec("1"),
                    min: dec("1"),
                    max: None,
                },
            },
        };
        assert!(!serves(Some(&seen), &ledger, &brisk, NOW));
        assert_eq!(case.reason(), Some(Reason::CooldownInFlight));
    }

    #[test]
    fn a_ledger_that_waits_for_the_venues_word_waits() {
        let case = Case {
            book: Book::Opening,
            ..CALM
        };
        assert_eq!(case.reason(), Some(Reason::StaleExchangeState));
    }

    #[test]
    fn a_flat_symbol_has_nothing_to_close() {
        let flat = Case {
            amount: "0",
            ..CALM
        };
        assert_eq!(flat.reason(), Some(Reason::NoPosition));
    }

    #[test]
    fn ledger_and_venue_must_name_one_side() {
        for ledger in ["-0.0124", "0"] {
            let case = Case {
                book: holds(ledger),
                ..CALM
            };
            assert_eq!(case.reason(), Some(Reason::SideMismatch), "{ledger}");
        }
    }

    #[test]
    fn sizes_may_differ_by_one_percent_or_one_step_and_no_more() {
        for (amount, ledger, agrees) in [
            ("0.0124", "0.0134", true), // one step
            ("0.0124", "0.01341", false),
            ("0.0124", "0.0114", true),
            ("10", "10.1", true), // one percent
            ("10", "10.1001", false),
            ("-10", "-9.9", true),
            ("-10", "-9.8999", false),
        ] {
            let case = Case {
                amount,
                book: holds(ledger),
                ..CALM
            };
            let expected = (!agrees).then_some(Reason::QtyMismatch);
            assert_eq!(case.reason(), expected, "{amount} against {ledger}");
        }
    }

    #[test]
    fn fifteen_seconds_pass_between_two_fills() {
        let rested = |millis| Case {
            rested: Some(Duration::from_millis(millis)),
            ..CALM
        };
        assert_eq!(rested(14_999).reason(), Some(Reason::CooldownInFlight));
        assert_eq!(rested(15_000).reason(), None);
    }

    #[test]
    fn a_share_below_the_venues_minimum_is_denied_and_not_rounded_up() {
        let dust = Case {
            amount: "0.001",
            ..CALM
        };
        assert_eq!(dust.reason(), Some(Reason::BelowVenueMinimum));
    }

    #[test]
    fn a_venue_that_was_never_asked_is_stale_state() {
        let plan = Reviewed {
            id: permit_gate::PlanId::new("p").unwrap(),
            symbol: "BTCUSDT".parse().unwrap(),
            kill_score: 0.0,
            task: Task::MoveStop,
        };
        let verdict = decide(&plan, None, &Ledger::default(), &Settings::default(), NOW);
        assert!(
            matches!(verdict, P33Verdict::Deny(denial) if denial.reason == Reason::StaleExchangeState
            && denial.context[0] == ("snapshot_age_sec", Fact::Unknown))
        );
    }
}
