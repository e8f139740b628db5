//! The ledger: what results say the position must be.

use crate::{entry::EntryId, entry::Fields, timestamp::Timestamp, venue_position::Snapshot};
use apply_core::{Side, Symbol};
use apply_wire::field::{FALSE, SOURCE, is_foreign, other_writer};
use rust_decimal::Decimal;
use serde::Deserialize;

/// A symbol's position as the results show it, to be held against what the venue says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// What is known.
    pub book: Book,
    /// The last fill, where there was one.
    pub last_fill: Option<LastFill>,
}

/// What a ledger knows of the position.
///
/// ```text
///           a fill              the venue's word           fills
///  Blank ──────────▶ Opening ────────────────────▶ Holds ────────▶ Holds
///    ▲                                               │
///    └──────── closed to 0, or the venue is flat ────┘
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Book {
    /// Nothing: no fill since the start, or since the last position ended. Positions are opened
    /// by others, so the ledger cannot know one before it has seen a fill of it.
    #[default]
    Blank,
    /// A fill was seen and the size after it is not known: the venue's next word counts.
    Opening,
    /// This signed amount, in base units.
    Holds(Decimal),
}

/// The last fill of a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFill {
    /// When its result was written.
    pub at: Timestamp,
    /// The venue's order id; empty where the result did not say it.
    pub order_id: String,
}

/// An order that filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// The symbol.
    pub symbol: Symbol,
    /// The venue's order id.
    pub order_id: String,
    /// Which way it traded.
    pub side: Side,
    /// What really filled, in base units; above 0.
    pub quantity: Decimal,
}

/// What an entry of the result stream means to a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultReport {
    /// Nothing filled.
    NoFill,
    /// This filled.
    Fill(Fill),
    /// Something was executed and the entry does not say what, so the ledger no longer knows.
    Unclear {
        /// The symbol.
        symbol: Symbol,
        /// What cannot be read.
        why: String,
    },
    /// Not even the symbol can be read.
    Unreadable,
}

impl Ledger {
    /// The signed amount the ledger stands for, where it knows one.
    pub fn amount(&self) -> Option<Decimal> {
        match self.book {
            Book::Holds(amount) => Some(amount),
            Book::Blank | Book::Opening => None,
        }
    }

    /// The ledger after a fill whose result was written as `entry`.
    pub fn after(&self, fill: &Fill, entry: EntryId) -> Self {
        let signed = match fill.side {
            Side::Buy => fill.quantity,
            Side::Sell => -fill.quantity,
        };
        let book = match self.book {
            Book::Blank | Book::Opening => Book::Opening,
            Book::Holds(amount) => match amount.checked_add(signed) {
                // The position is over; who opens the next one is not known.
                Some(amount) if amount.is_zero() => Book::Blank,
                Some(amount) => Book::Holds(amount),
                None => Book::Opening,
            },
        };
        Self {
            book,
            last_fill: Some(LastFill {
                at: entry.written_at(),
                order_id: fill.order_id.clone(),
            }),
        }
    }

    /// The ledger after something was executed of which the size is not known.
    pub fn after_unclear(&self, entry: EntryId) -> Self {
        Self {
            book: Book::Opening,
            last_fill: Some(LastFill {
                at: entry.written_at(),
                order_id: String::new(),
            }),
        }
    }

    /// The ledger once the venue has spoken; `None` where that changes nothing. What the venue
    /// was asked before the last fill's result says nothing about what came after it.
    pub fn settled_by(&self, seen: &Snapshot) -> Option<Self> {
        if !self.is_older_than(seen) {
            return None;
        }
        let book = match self.book {
            Book::Opening | Book::Holds(_) if seen.holding.amount.is_zero() => Book::Blank,
            Book::Opening => Book::Holds(seen.holding.amount),
            Book::Blank | Book::Holds(_) => return None,
        };
        Some(Self {
            book,
            last_fill: self.last_fill.clone(),
        })
    }

    /// Whether the venue was asked after the last fill's result.
    pub fn is_older_than(&self, seen: &Snapshot) -> bool {
        self.last_fill
            .as_ref()
            .is_none_or(|fill| fill.at < seen.asked_at)
    }
}

impl ResultReport {
    /// Reads a result (wire §4): the last step's `order_id`, `side` and `executed_qty`.
    pub fn read(fields: &Fields) -> Self {
        let text = |field: &str| fields.get(field).map_or("", String::as_str);
        let Ok(symbol) = text("symbol").parse::<Symbol>() else {
            return Self::Unreadable;
        };
        let foreign = is_foreign(text(SOURCE));
        match text("executed") {
            "False" => return Self::NoFill,
            // Another executor spells it otherwise and answers every plan. What it did execute moved the position by
            // an amount that is not known here.
            word if foreign && word.eq_ignore_ascii_case(FALSE) => return Self::NoFill,
            word if foreign => {
                let (source, word) = (cut(text(SOURCE)), cut(word));
                let why = format!("{source:?} says that executed is {word:?}");
                return Self::Unclear { symbol, why };
            }
            "True" if other_writer(|field| text(field).to_owned()).is_some() => {
                let why = "it has not the form of a result".to_owned();
                return Self::Unclear { symbol, why };
            }
            "True" => {}
            other => {
                let why = format!("executed is {:?}", cut(other));
                return Self::Unclear { symbol, why };
            }
        }
        match last_step(text("steps_results")) {
            Ok(None) => Self::NoFill,
            Ok(Some((side, quantity, order_id))) => Self::Fill(Fill {
                symbol,
                order_id,
                side,
                quantity,
            }),
            Err(why) => Self::Unclear { symbol, why },
        }
    }
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    order_id: Option<String>,
    #[serde(default)]
    side: Option<String>,
    #[serde(default)]
    executed_qty: Option<String>,
}

/// What the last step filled; `None` where it filled nothing, as when a stop was moved.
fn last_step(json: &str) -> Result<Option<(Side, Decimal, String)>, String> {
    let steps: Vec<Step> =
        serde_json::from_str(json).map_err(|error| format!("steps_results: {error}"))?;
    let step = steps.into_iter().next_back().ok_or("it has no step")?;
    let quantity = step.executed_qty.ok_or("executed_qty is missing")?;
    let quantity: Decimal = quantity
        .parse()
        .map_err(|_| format!("executed_qty is {:?}", cut(&quantity)))?;
    if quantity.is_zero() {
        return Ok(None);
    }
    if quantity < Decimal::ZERO {
        return Err(format!("executed_qty is {quantity}"));
    }
    let side = match step.side.as_deref() {
        Some("BUY") => Side::Buy,
        Some("SELL") => Side::Sell,
        other => return Err(format!("side is {:?}", other.map(cut))),
    };
    let order_id = step.order_id.ok_or("order_id is missing")?;
    Ok(Some((side, quantity, cut(&order_id))))
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entry::raw, venue_position::Lot, venue_position::VenuePosition};

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn entry(millis: u64) -> EntryId {
        format!("{millis}-0").parse().unwrap()
    }

    fn sold(quantity: &str) -> Fill {
        Fill {
            symbol: "BTCUSDT".parse().unwrap(),
            order_id: "11934538190".into(),
            side: Side::Sell,
            quantity: dec(quantity),
        }
    }

    fn seen(amount: &str, at_millis: u64) -> Snapshot {
        Snapshot {
            asked_at: Timestamp::from_millis(at_millis),
            holding: VenuePosition {
                amount: dec(amount),
                mark_price: None,
                lot: Lot {
                    step: dec("0.001"),
                    min: dec("0.001"),
                    max: None,
                },
            },
        }
    }

    #[test]
    fn the_first_fill_opens_the_ledger_and_the_venues_next_word_seeds_it() {
        let opened = Ledger::default().after(&sold("0.009"), entry(1000));
        assert_eq!(opened.book, Book::Opening);
        assert_eq!(
            opened.settled_by(&seen("0.0124", 1000)),
            None,
            "asked too early"
        );
        let seeded = opened.settled_by(&seen("0.0034", 1001)).unwrap();
        assert_eq!(seeded.book, Book::Holds(dec("0.0034")));
        assert_eq!(
            seeded.settled_by(&seen("0.01", 1002)),
            None,
            "only seeded once"
        );
        let next = seeded.after(&sold("0.001"), entry(2000));
        assert_eq!(next.book, Book::Holds(dec("0.0024")));
    }

    #[test]
    fn a_position_that_ended_leaves_a_blank_ledger_for_the_next_one() {
        let held = Ledger {
            book: Book::Holds(dec("0.009")),
            last_fill: None,
        };
        assert_eq!(held.after(&sold("0.009"), entry(1)).book, Book::Blank);
        assert_eq!(held.settled_by(&seen("0", 5)).unwrap().book, Book::Blank);
        assert_eq!(Ledger::default().settled_by(&seen("0", 5)), None);
        let closed = held.after(&sold("0.009"), entry(1000));
        assert_eq!(closed.last_fill.unwrap().at, Timestamp::from_millis(1000));
    }

    #[test]
    fn a_result_of_unknown_size_makes_the_ledger_ask_the_venue_again() {
        let held = Ledger {
            book: Book::Holds(dec("0.009")),
            last_fill: None,
        };
        let unclear = held.after_unclear(entry(1000));
        assert_eq!(unclear.book, Book::Opening);
        let seeded = unclear.settled_by(&seen("0.004", 1001)).unwrap();
        assert_eq!(seeded.amount(), Some(dec("0.004")));
    }

    fn result(executed: &str, steps: &str) -> ResultReport {
        ResultReport::read(&raw([
            ("plan_id", "67e6da21fa9fe506"),
            ("symbol", "BTCUSDT"),
            ("decision", "EXECUTE"),
            ("executed", executed),
            ("steps_results", steps),
        ]))
    }

    const FILLED: &str = r#"[{"step":"PERMIT_WAIT","status":"x"},{"step":"CLOSE_PARTIAL_75","status":"success","details":"","order_id":"11934538190","side":"SELL","quantity":"0.009","executed_qty":"0.0085","reduce_only":true}]"#;

    #[test]
    fn a_fill_is_what_the_last_step_really_filled() {
        assert_eq!(result("True", FILLED), ResultReport::Fill(sold("0.0085")));
        assert_eq!(result("False", FILLED), ResultReport::NoFill);
        let stop = r#"[{"step":"UPDATE_SL","status":"success","order_id":"9","side":"SELL","executed_qty":"0"}]"#;
        assert_eq!(result("True", stop), ResultReport::NoFill);
    }

    #[test]
    fn an_executed_result_that_cannot_be_read_is_unclear_and_never_nothing() {
        for (executed, steps) in [
            ("true", FILLED),
            ("", FILLED),
            ("True", ""),
            ("True", "[]"),
            ("True", "{}"),
            ("True", &FILLED.replace("SELL", "sell")),
            ("True", &FILLED.replace("0.0085", "nan")),
            ("True", &FILLED.replace("0.0085", "-1")),
            ("True", &FILLED.replace("\"executed_qty\":\"0.0085\",", "")),
            ("True", &FILLED.replace("\"order_id\":\"11934538190\",", "")),
        ] {
            let report = result(executed, steps);
            assert!(
                matches!(report, ResultReport::Unclear { .. }),
                "{executed} {steps}: {report:?}"
            );
        }
        for (executed, filled) in [("false", false), ("true", true), ("True", true), ("", true)] {
            let foreign = ResultReport::read(&raw([
                ("plan_id", "67e6da21fa9fe506"),
                ("symbol", "BTCUSDT"),
                ("executed", executed),
                ("source", "intent_executor"),
                ("details", r#"{"filled_qty":"0.004"}"#),
            ]));
            match filled {
                true => assert!(
                    matches!(foreign, ResultReport::Unclear { .. }),
                    "{executed}"
                ),
                false => assert_eq!(foreign, ResultReport::NoFill, "{executed}"),
            }
        }
        // An entry without the form of a result moved an unknown quantity.
        let formless = ResultReport::read(&raw([
            ("plan_id", "67e6da21fa9fe506"),
            ("symbol", "BTCUSDT"),
            ("executed", "True"),
            ("steps_results", FILLED),
        ]));
        assert!(
            matches!(formless, ResultReport::Unclear { .. }),
            "{formless:?}"
        );
        let nameless = ResultReport::read(&raw([("executed", "True"), ("symbol", "?")]));
        assert_eq!(nameless, ResultReport::Unreadable);
    }
}
