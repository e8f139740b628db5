//! Taking without scripts: `WATCH`, look, `MULTI` … `EXEC`. Atomic as the script is, in more round
//! trips, and on a connection of its own: a watch belongs to its connection, not to its caller.

use super::{
    receipt::Receipt,
    request::{Answer, Hold, HolderAt, MAX_HOLDER_BYTES, TakeRequest, count, read},
};
use crate::{failure::Failure, meaning::Meaning, node::Node};
use permit_gate::{Slot, Ttl};
use redis::{
    Pipeline, RedisResult, Value, aio::MultiplexedConnection, cmd, from_redis_value, pipe,
};
use std::time::Instant;

/// Refreshes and rivals that may come between looking and taking before we give up for this time.
const TRIES: usize = 8;

/// Takes the order's permits, or none.
pub(crate) async fn take(
    node: &Node,
    shared: &mut MultiplexedConnection,
    order: &TakeRequest,
) -> Result<Answer, Failure> {
    for _ in 0..TRIES {
        let sent = Instant::now();
        let sight = look(shared, order)
            .await
            .map_err(|e| Failure::of_read(&e))?;
        node.clock().learn(sent, Instant::now(), sight.now);
        let Some(deadline) = node.clock().deadline(order.not_after) else {
            return Err(Failure::Refused(
                "the server's time is not known yet".into(),
            ));
        };
        if let Some(answer) = sight.answer(deadline) {
            return Ok(answer);
        }
        let mut own = node.exclusive().await?;
        let attempted = attempt(&mut own.connection, order, deadline).await;
        if attempted.is_ok() {
            // A connection is used again only where it is certain that it watches nothing.
            own.put_back();
        }
        if let Some(contents) = attempted? {
            return Ok(Answer::Taken(contents));
        }
    }
    Err(Failure::Refused(
        "the permits keep changing while they are taken".into(),
    ))
}

/// Everything about a plan at one moment.
struct Sight {
    keys: Keys,
    ttls: Vec<i64>,
    now: i64,
}

impl Sight {
    /// The answer, unless everything is there to be taken.
    fn answer(&self, deadline: i64) -> Option<Answer> {
        if self.keys.halted {
            return Some(Answer::Halted);
        }
        if self.keys.fenced {
            return Some(Answer::Fenced);
        }
        if self.keys.hold == Hold::Lost {
            return Some(Answer::NotHeld);
        }
        if let Some(receipt) = &self.keys.receipt {
            return Some(match self.keys.hold {
                Hold::Ready => Answer::Receipt(receipt.clone()),
                // Who has taken was ready: a store that says otherwise has gone back.
                Hold::NotReady | Hold::Lost => Answer::NotHeld,
            });
        }
        if self.now > deadline {
            return Some(Answer::Late);
        }
        let missing = self.keys.contents.iter().any(Option::is_none);
        if missing || self.keys.hold == Hold::NotReady {
            let slots = self.keys.contents.iter().zip(&self.ttls);
            let slots = slots.map(|(content, ttl)| Slot {
                content: content.clone(),
                ttl: Ttl::from_redis(*ttl),
            });
            let slots = slots.collect();
            return Some(match missing {
                true => Answer::Missing(slots),
                false => Answer::NotReady(slots),
            });
        }
        self.keys.no_receipt.then_some(Answer::NoReceipt)
    }
}

/// Looks, in one atomic step; safe on a shared connection.
async fn look(connection: &mut MultiplexedConnection, order: &TakeRequest) -> RedisResult<Sight> {
    // There is no command that reads the beginning of a field.
    let short = match order.holder() {
        Some(holder) => {
            let size: usize = holder.size().query_async(connection).await?;
            size <= MAX_HOLDER_BYTES
        }
        None => true,
    };
    let mut look = pipe();
    // A key of another type is an answer about that key.
    look.atomic().ignore_errors();
    read_keys(&mut look, order, short);
    for key in &order.permits {
        look.cmd("TTL").arg(key);
    }
    look.cmd("TIME");
    let mut reply: Vec<Value> = look.query_async(connection).await?;
    let now = micros(reply.pop())?;
    let ttls = reply.split_off(reply.len().saturating_sub(order.permits.len()));
    Ok(Sight {
        keys: keys_read(reply, order, short)?,
        ttls: from_redis_value(Value::Array(ttls).extract_error()?)?,
        now,
    })
}

/// One optimistic try; `None` where anything that was looked at has changed meanwhile.
///
/// The deadline is a key that expires with it: `EXEC` refuses once a watched key has expired, so
/// a take that comes late takes nothing, on the server's own clock.
/// Source: Redis documentation, "Transactions", on expired keys under WATCH since 6.0.9.
async fn attempt(
    connection: &mut MultiplexedConnection,
    order: &TakeRequest,
    deadline: i64,
) -> Result<Option<Vec<Vec<u8>>>, Failure> {
    let guard = format!("{}:not-after:{}", order.receipt, order.attempt);
    let mut prepare = pipe();
    prepare
        .cmd("SET")
        .arg(&guard)
        .arg("1")
        .arg("PXAT")
        .arg((deadline / 1000).max(1))
        .ignore();
    prepare.cmd("WATCH").arg(&guard).ignore();
    let holders = order.holder().map(|holder| holder.hash.as_str());
    let beside = order.halting.iter().chain(&order.fence);
    let beside = beside.map(String::as_str);
    for key in order.keys().chain(holders).chain(beside) {
        prepare.cmd("WATCH").arg(key).ignore();
    }
    prepare.cmd("GET").arg(&guard);
    prepare.cmd("TIME");
    // The holder's field was short a moment ago.
    read_keys(&mut prepare, order, true);
    let prepared: RedisResult<Vec<Value>> = prepare.query_async(connection).await;
    let (in_time, now, keys) = prepared
        .and_then(|reply| attempt_read(reply, order))
        .map_err(|e| Failure::of_read(&e))?;
    let free = !keys.halted && !keys.fenced && keys.receipt.is_none() && !keys.no_receipt;
    let ready = in_time && free && keys.hold == Hold::Ready;
    let all: Option<Vec<Vec<u8>>> = keys.contents.into_iter().collect();
    let Some(contents) = all.filter(|_| ready) else {
        let unwatch: RedisResult<()> = cmd("UNWATCH").query_async(connection).await;
        unwatch.map_err(|e| Failure::of_read(&e))?;
        return Ok(None);
    };

    let text = Receipt::write(&order.attempt, now, &contents);
    let mut take = pipe();
    take.atomic();
    take.cmd("SET")
        .arg(&order.receipt)
        .arg(text)
        .arg("EX")
        .arg(order.receipt_seconds)
        .ignore();
    take.cmd("DEL").arg(&order.permits);
    take.cmd("DEL").arg(&guard).ignore();
    let done: RedisResult<Option<(usize,)>> = take.query_async(connection).await;
    match done.map_err(|e| Failure::of_write(&e))? {
        None => Ok(None),
        Some((gone,)) if gone == order.permits.len() => Ok(Some(contents)),
        Some((gone,)) => Err(Failure::Unreadable(format!(
            "{gone} permits were deleted where {} had been seen",
            order.permits.len()
        ))),
    }
}

/// Whether the guard is there, the server's microseconds, and the keys.
fn attempt_read(mut reply: Vec<Value>, order: &TakeRequest) -> RedisResult<(bool, i64, Keys)> {
    let keys = reply.split_off(reply.len().min(2));
    let now = micros(reply.pop())?;
    let in_time = matches!(reply.pop(), Some(Value::BulkString(_)));
    Ok((in_time, now, keys_read(keys, order, true)?))
}

/// The answer to `TIME`.
fn micros(time: Option<Value>) -> RedisResult<i64> {
    let (seconds, micros): (i64, i64) = from_redis_value(time.unwrap_or(Value::Nil))?;
    Ok(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// The beginning of each string, whether permits and receipt exist at all, since one that is empty reads
/// like none, and the holder where its field is short.
fn read_keys(pipeline: &mut Pipeline, order: &TakeRequest, short: bool) {
    for (key, at_most) in order.keys().zip(order.at_most()) {
        pipeline.add_command(read(key, at_most));
    }
    for key in order.permits.iter().chain([&order.receipt]) {
        pipeline.cmd("EXISTS").arg(key);
    }
    if !order.halting.is_empty() {
        pipeline.add_command(count(&order.halting));
    }
    if let Some(fence) = &order.fence {
        pipeline.add_command(count(std::slice::from_ref(fence)));
    }
    if let Some(holder) = order.holder()
        && short
    {
        pipeline.add_command(holder.read());
    }
}

/// What [`read_keys`] brought.
struct Keys {
    /// `None` where a permit is not there or of another type.
    contents: Vec<Option<Vec<u8>>>,
    receipt: Option<Vec<u8>>,
    /// Something lies under the receipt's key and is none.
    no_receipt: bool,
    halted: bool,
    fenced: bool,
    hold: Hold,
}

fn keys_read(reply: Vec<Value>, order: &TakeRequest, short: bool) -> RedisResult<Keys> {
    let mut reply = reply.into_iter();
    let mut next = || reply.next().unwrap_or(Value::Nil);
    let permits: Vec<Value> = order.permits.iter().map(|_| next()).collect();
    let receipt = beginning(next())?;
    let halted = match &order.switch {
        Some(switch) => switch.halts(beginning(next())?.as_deref()),
        None => false,
    };
    let mut contents = Vec::new();
    for permit in permits {
        let there: bool = from_redis_value(next().extract_error()?)?;
        contents.push(beginning(permit)?.filter(|_| there));
    }
    let receipt_exists: bool = from_redis_value(next().extract_error()?)?;
    let halted = match order.halting.is_empty() {
        true => halted,
        false => halted | (from_redis_value::<i64>(next().extract_error()?)? > 0),
    };
    let fenced = match &order.fence {
        Some(_) => from_redis_value::<i64>(next().extract_error()?)? > 0,
        None => false,
    };
    let receipt = receipt.filter(|text| !text.is_empty() && text.len() < order.receipt_at_most());
    let hold = match &order.holder {
        HolderAt::Nowhere | HolderAt::Elsewhere { ready: true } => Hold::Ready,
        HolderAt::Elsewhere { ready: false } => Hold::NotReady,
        HolderAt::Here(_) if !short => Hold::Lost,
        HolderAt::Here(holder) => {
            let field: Option<Vec<u8>> = from_redis_value(next().extract_error()?)?;
            holder.judge(field.as_deref())
        }
    };
    Ok(Keys {
        contents,
        no_receipt: receipt_exists && receipt.is_none(),
        receipt,
        halted,
        fenced,
        hold,
    })
}

/// The beginning of a string, empty where there is none; `None` where the key is of another type.
fn beginning(value: Value) -> RedisResult<Option<Vec<u8>>> {
    match value {
        Value::ServerError(error) if Meaning::of_reply(&error) == Meaning::WrongType => Ok(None),
        value => Ok(Some(from_redis_value(value.extract_error()?)?)),
    }
}
