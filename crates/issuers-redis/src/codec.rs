//! How pages lie in hashes. Every number is a decimal in text; what cannot be read is an error or
//! nothing, never a default.

use crate::link::moment;
use apply_core::PortError;
use permit_gate::PlanId;
use permit_issuers::{
    Book, LastFill, Ledger, Lot, Snapshot, Timestamp, VenuePosition,
    governor::{Execution, Usage},
    ports::Finalized,
};
use redis::Value;
use rust_decimal::Decimal;
use std::collections::HashMap;

type Hash = HashMap<String, String>;

/// Most bytes of a hash of ours, names and values together: a day of executions of one symbol, one every
/// few seconds.
pub(crate) const MAX_HASH_BYTES: usize = 1024 * 1024;

/// A hash as the scripts give it: whole, or its size where that is above [`MAX_HASH_BYTES`].
pub(crate) fn hash(key: &str, reply: Value) -> Result<Hash, PortError> {
    match reply {
        Value::Int(size) => Err(PortError(format!(
            "{key} has {size} bytes, at most {MAX_HASH_BYTES} are read; delete it"
        ))),
        reply => redis::from_redis_value(reply)
            .map_err(|error| PortError(format!("{key} cannot be read: {error}"))),
    }
}

/// What the scripts that finalize an entry answer.
pub(crate) fn finalized((how, seconds, micros): (i64, u64, u64)) -> Result<Finalized, PortError> {
    match how {
        1 => Ok(Finalized::Written(moment((seconds, micros)))),
        0 => Ok(Finalized::Outdated),
        -1 => Ok(Finalized::DoneByOther),
        other => Err(PortError(format!("{other} is no answer to a conclusion"))),
    }
}

const EXECUTION: &str = "plan:";

pub(crate) fn execution_field(plan: &PlanId) -> String {
    format!("{EXECUTION}{plan}")
}

/// `micros quantity notional`
pub(crate) fn execution(execution: &Execution) -> String {
    format!(
        "{} {} {}",
        execution.at.as_micros(),
        execution.quantity.normalize(),
        execution.notional.normalize()
    )
}

/// What was granted, and which version of it this is. Something unreadable is an error: it might
/// be what would have reached a limit.
pub(crate) fn usage(key: &str, hash: &Hash) -> Result<(Usage, u64), PortError> {
    let unreadable = |field: &str, value: &str| {
        PortError(format!(
            "{key} holds {value:?} in {field}, which is no usage; delete the field or the key"
        ))
    };
    let mut executions = Vec::new();
    for (field, value) in hash {
        let Some(plan) = field.strip_prefix(EXECUTION) else {
            continue;
        };
        let read = || {
            let mut parts = value.split(' ');
            let execution = Execution {
                plan: plan.parse().ok()?,
                at: Timestamp::from_micros(parts.next()?.parse().ok()?),
                quantity: decimal(parts.next()?)?,
                notional: decimal(parts.next()?)?,
            };
            parts.next().is_none().then_some(execution)
        };
        executions.push(read().ok_or_else(|| unreadable(field, value))?);
    }
    Ok((
        Usage(executions),
        version(hash).map_err(|v| unreadable("version", &v))?,
    ))
}

/// The fields of a snapshot hash.
pub(crate) fn snapshot_fields(seen: &Snapshot) -> Vec<(&'static str, String)> {
    let VenuePosition {
        amount,
        mark_price,
        lot,
    } = seen.holding;
    let text = |number: Decimal| number.normalize().to_string();
    vec![
        ("position_amt", text(amount)),
        ("mark_price", mark_price.map(text).unwrap_or_default()),
        ("qty_step", text(lot.step)),
        ("min_qty", text(lot.min)),
        ("max_qty", lot.max.map(text).unwrap_or_default()),
        ("asked_at_us", seen.asked_at.as_micros().to_string()),
        ("ts_epoch", seen.asked_at.to_string()),
    ]
}

/// A snapshot; `None` where there is none or it is somebody else's: it is asked for anew then.
pub(crate) fn snapshot(reply: Value) -> Option<Snapshot> {
    let hash: Hash = redis::from_redis_value(reply).ok()?;
    let number = |field: &str| decimal(hash.get(field)?);
    // Empty is how an absent number is written; missing is no snapshot of ours.
    let optional = |field: &str| match hash.get(field)?.as_str() {
        "" => Some(None),
        text => decimal(text).map(Some),
    };
    Some(Snapshot {
        asked_at: Timestamp::from_micros(hash.get("asked_at_us")?.parse().ok()?),
        holding: VenuePosition {
            amount: number("position_amt")?,
            mark_price: optional("mark_price")?,
            lot: Lot {
                step: number("qty_step")?,
                min: number("min_qty")?,
                max: optional("max_qty")?,
            },
        },
    })
}

/// The fields of a ledger hash, its version aside.
pub(crate) fn ledger_fields(ledger: &Ledger) -> Vec<(&'static str, String)> {
    let (book, amount) = match ledger.book {
        Book::Blank => ("blank", String::new()),
        Book::Opening => ("opening", String::new()),
        Book::Holds(amount) => ("holds", amount.normalize().to_string()),
    };
    let mut fields = vec![("book", book.to_owned()), ("ledger_amt", amount)];
    let (at, order_id) = match &ledger.last_fill {
        None => (String::new(), String::new()),
        Some(fill) => (fill.at.as_micros().to_string(), fill.order_id.clone()),
    };
    fields.push(("last_fill_us", at));
    fields.push(("last_order_id", order_id));
    fields
}

/// A ledger and which version of it this is. No hash is a blank ledger; one that cannot be read
/// is an error, since a blank one asks for less.
pub(crate) fn ledger(key: &str, hash: &Hash) -> Result<(Ledger, u64), PortError> {
    if hash.is_empty() {
        return Ok((Ledger::default(), 0));
    }
    let unreadable = || {
        PortError(format!(
            "{key} is no ledger of this program; delete it, and the next fill seeds it anew"
        ))
    };
    let read = || {
        let text = |field: &str| hash.get(field).map(String::as_str);
        let book = match (text("book")?, text("ledger_amt")?) {
            ("blank", "") => Book::Blank,
            ("opening", "") => Book::Opening,
            ("holds", amount) => Book::Holds(decimal(amount)?),
            _ => return None,
        };
        let last_fill = match text("last_fill_us")? {
            "" => None,
            at => Some(LastFill {
                at: Timestamp::from_micros(at.parse().ok()?),
                order_id: text("last_order_id")?.to_owned(),
            }),
        };
        Some((Ledger { book, last_fill }, version(hash).ok()?))
    };
    read().ok_or_else(unreadable)
}

fn version(hash: &Hash) -> Result<u64, String> {
    match hash.get("version") {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| text.clone()),
    }
}

fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn hash(fields: Vec<(&'static str, String)>) -> Hash {
        let fields = fields.into_iter();
        fields
            .map(|(field, value)| (field.to_owned(), value))
            .collect()
    }

    #[test]
    fn a_ledger_comes_back_as_it_was_written() {
        let fill = Some(LastFill {
            at: Timestamp::from_millis(5),
            order_id: "9".into(),
        });
        for ledger in [
            Ledger {
                book: Book::Blank,
                last_fill: None,
            },
            Ledger {
                book: Book::Opening,
                last_fill: fill.clone(),
            },
            Ledger {
                book: Book::Holds(dec("-0.0124")),
                last_fill: fill,
            },
        ] {
            let mut fields = hash(ledger_fields(&ledger));
            fields.insert("version".into(), "7".into());
            assert_eq!(super::ledger("k", &fields), Ok((ledger, 7)));
        }
        assert_eq!(super::ledger("k", &Hash::new()), Ok((Ledger::default(), 0)));
    }

    #[test]
    fn a_ledger_that_cannot_be_read_is_an_error_and_not_a_blank_one() {
        let good = hash(ledger_fields(&Ledger {
            book: Book::Holds(dec("1")),
            last_fill: None,
        }));
        for (field, value) in [
            ("book", "?"),
            ("book", "blank"),
            ("ledger_amt", "x"),
            ("ledger_amt", ""),
            ("last_fill_us", "-1"),
            ("version", "x"),
        ] {
            let mut bad = good.clone();
            bad.insert(field.into(), value.into());
            assert!(ledger("k", &bad).is_err(), "{field}={value}");
        }
        let foreign = hash(vec![("last_known_amt", "0.0124".into())]);
        assert!(ledger("k", &foreign).unwrap_err().0.contains("delete it"));
    }

    #[test]
    fn usage_comes_back_as_it_was_written_and_nothing_of_it_is_passed_over() {
        let granted = Execution {
            plan: PlanId::new("67e6da21fa9fe506").unwrap(),
            at: Timestamp::from_millis(5),
            quantity: dec("0.006"),
            notional: dec("384"),
        };
        let field = execution_field(&granted.plan);
        let hash = |text: &str| Hash::from([(field.clone(), text.to_owned())]);
        let written = hash(&execution(&granted));
        assert_eq!(usage("k", &written), Ok((Usage(vec![granted]), 0)));
        for bad in ["", "5", "5 1", "5 1 1 1", "x 1 1", "5 nan 1", "5 1 "] {
            assert!(usage("k", &hash(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn somebody_elses_snapshot_is_none() {
        let map = |fields: Vec<(&'static str, String)>| {
            let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
            Value::Array(
                fields
                    .iter()
                    .flat_map(|(f, v)| [bulk(f), bulk(v)])
                    .collect(),
            )
        };
        let seen = Snapshot {
            asked_at: Timestamp::from_millis(5),
            holding: VenuePosition {
                amount: dec("-0.0124"),
                mark_price: None,
                lot: Lot {
                    step: dec("0.001"),
                    min: dec("0.001"),
                    max: Some(dec("120")),
                },
            },
        };
        assert_eq!(snapshot(map(snapshot_fields(&seen))), Some(seen));
        assert_eq!(snapshot(map(vec![("position_amt", "0.0124".into())])), None);
        assert_eq!(snapshot(Value::Nil), None);
    }
}
