//! Taking by script: one round trip, one atomic step.

use super::request::{Answer, HolderAt, MAX_HOLDER_BYTES, READ_AT_MOST, TakeRequest};
use crate::failure::Failure;
use permit_gate::{Slot, Ttl};
use redis::{Cmd, Script, Value, cmd};
use std::sync::LazyLock;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));

/// `SCRIPT LOAD` of the script.
pub(crate) fn load() -> Cmd {
    let mut load = cmd("SCRIPT");
    load.arg("LOAD").arg(include_str!("take.lua"));
    load
}

/// `EVALSHA` of the script for this order, refused by the server after `deadline`, in its own
/// microseconds.
pub(crate) fn call(order: &TakeRequest, deadline: i64) -> Cmd {
    let mut call = cmd("EVALSHA");
    call.arg(SCRIPT.get_hash());
    let holder = order.holder();
    let switch = order.switch.as_ref();
    let fence = order.fence.as_deref();
    let beside = [switch.is_some(), holder.is_some(), fence.is_some()];
    let beside: usize = beside.into_iter().map(usize::from).sum();
    call.arg(order.permits.len() + 1 + beside + order.halting.len());
    for key in order.keys() {
        call.arg(key);
    }
    if let Some(holder) = holder {
        call.arg(&holder.hash);
    }
    call.arg(fence).arg(&order.halting);
    call.arg(order.permits.len())
        .arg(order.attempt.as_str())
        .arg(deadline)
        .arg(order.receipt_seconds)
        .arg(READ_AT_MOST)
        .arg(order.receipt_at_most())
        .arg(switch.map_or(0, |switch| switch.off.at_most()))
        .arg(switch.map_or("", |switch| switch.off.line()))
        .arg(u8::from(fence.is_some()));
    match &order.holder {
        HolderAt::Nowhere | HolderAt::Elsewhere { ready: true } => {}
        HolderAt::Elsewhere { ready: false } => {
            call.arg("not ready");
        }
        HolderAt::Here(holder) => {
            call.arg("look")
                .arg(&holder.plan)
                .arg(&holder.held)
                .arg(&holder.ready)
                .arg(MAX_HOLDER_BYTES);
        }
    }
    call
}

/// The script's answer and the server's microseconds.
pub(crate) fn read(reply: Value, permits: usize) -> Result<(Answer, i64), Failure> {
    let unreadable = || Failure::Unreadable("the script's answer has another shape".into());
    let Value::Array(mut items) = reply else {
        return Err(unreadable());
    };
    let Some(Value::Int(now)) = items.pop() else {
        return Err(unreadable());
    };
    let mut items = items.into_iter();
    let answer = match items.next() {
        Some(Value::Int(1)) => items
            .by_ref()
            .take(permits)
            .map(bytes)
            .collect::<Option<Vec<_>>>()
            .filter(|contents| contents.len() == permits)
            .map(Answer::Taken),
        Some(Value::Int(0)) => match items.next().and_then(bytes).as_deref() {
            Some(b"missing") => slots(&mut items, permits).map(Answer::Missing),
            Some(b"not ready") => slots(&mut items, permits).map(Answer::NotReady),
            Some(b"not held") => Some(Answer::NotHeld),
            Some(b"receipt") => items.next().and_then(bytes).map(Answer::Receipt),
            Some(b"halted") => Some(Answer::Halted),
            Some(b"fenced") => Some(Answer::Fenced),
            Some(b"late") => Some(Answer::Late),
            Some(b"unreadable") => Some(Answer::NoReceipt),
            _ => None,
        },
        _ => None,
    };
    match (answer, items.next()) {
        (Some(answer), None) => Ok((answer, now)),
        _ => Err(unreadable()),
    }
}

fn slots(items: &mut impl Iterator<Item = Value>, permits: usize) -> Option<Vec<Slot>> {
    let ttls: Vec<Ttl> = items
        .take(permits)
        .map(|ttl| match ttl {
            Value::Int(ttl) => Some(Ttl::from_redis(ttl)),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let slots: Vec<Slot> = items
        .take(permits)
        .zip(ttls)
        .map(|(content, ttl)| match content {
            Value::Nil => Some(Slot { content: None, ttl }),
            content => bytes(content).map(|content| Slot {
                content: Some(content),
                ttl,
            }),
        })
        .collect::<Option<_>>()?;
    (slots.len() == permits).then_some(slots)
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Value {
        Value::BulkString(s.into())
    }

    #[test]
    fn an_answer_of_another_shape_is_no_answer() {
        let i = Value::Int;
        let good = vec![i(1), text("a"), text("b"), i(7)];
        assert_eq!(
            read(Value::Array(good), 2).unwrap(),
            (Answer::Taken(vec![b"a".to_vec(), b"b".to_vec()]), 7)
        );
        for bad in [
            vec![],
            vec![i(1)],
            vec![i(1), i(7)],
            vec![i(1), text("a"), i(7)],
            vec![i(1), text("a"), text("b"), text("c"), i(7)],
            vec![i(1), text("a"), Value::Nil, i(7)],
            vec![i(1), text("a"), text("b")],
            vec![i(2), text("a"), text("b"), i(7)],
            vec![i(0), text("moon"), i(7)],
            vec![i(0), text("late"), text("x"), i(7)],
            vec![i(0), text("missing"), i(-2), Value::Nil, i(7)],
            vec![i(0), text("missing"), i(-2), i(-2), Value::Nil, i(7)],
            vec![
                i(0),
                text("missing"),
                i(-2),
                text("x"),
                Value::Nil,
                Value::Nil,
                i(7),
            ],
            vec![i(0), text("receipt"), i(7)],
        ] {
            let seen = read(Value::Array(bad.clone()), 2);
            assert!(matches!(seen, Err(Failure::Unreadable(_))), "{bad:?}");
        }
        assert!(read(Value::Okay, 2).is_err());
    }
}
