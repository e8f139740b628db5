//! Reading a stream with a bound on what one entry may cost.
//!
//! Every client that may write to a stream decides how long an entry is. So the server looks at its length first, and
//! of an entry that is too long only id and size are carried.

use redis::{RedisError, Script, Value, aio::ConnectionLike};
use std::collections::HashMap;

/// Most bytes of an entry, fields and values together: several times what any neighbour writes.
pub const MAX_ENTRY_BYTES: usize = 16 * 1024;

/// A script that may call `bounded(entries, most)` and `hash(key, most)`, which read what others have written and
/// carry the size alone of what is too long.
pub fn bounded_script(text: &str) -> Script {
    Script::new(&[include_str!("bounded.lua"), text].concat())
}

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place, `<milliseconds>-<number>`.
    pub id: String,
    /// Its fields that have a text for a name; its size in bytes where that is above [`MAX_ENTRY_BYTES`].
    pub fields: Result<HashMap<String, Vec<u8>>, u64>,
}

/// What is read.
#[derive(Debug, Clone, Copy)]
pub enum Entries<'a> {
    /// From one place to another, at most so many.
    Range {
        /// As XRANGE takes it: `-`, an id, `(` and an id.
        from: &'a str,
        /// Likewise, `+` for the end.
        to: &'a str,
        /// At most.
        count: usize,
    },
    /// The same backwards: the newest first.
    Newest {
        /// As XREVRANGE takes it: `+`, an id, `(` and an id.
        from: &'a str,
        /// At most.
        count: usize,
    },
    /// Entries that no consumer of the group was handed yet.
    Fresh {
        /// The group.
        group: &'a str,
        /// Who reads.
        consumer: &'a str,
        /// At most.
        count: usize,
    },
    /// What somebody of the group was handed so long ago and did not conclude.
    LeftBehind {
        /// The group.
        group: &'a str,
        /// Who reads.
        consumer: &'a str,
        /// At most.
        count: usize,
        /// In milliseconds.
        idle: u64,
    },
}

/// Reads entries. Cheap to make: the server keeps the script.
#[derive(Debug)]
pub struct EntryReader(Script);

impl Default for EntryReader {
    fn default() -> Self {
        Self(bounded_script(include_str!("entries.lua")))
    }
}

impl EntryReader {
    /// The server's time, as `TIME` answers it, and the entries.
    ///
    /// # Errors
    ///
    /// What the server says: `NOGROUP` where the stream or its group is not there.
    ///
    /// Cancellation: entries that a group was handed in a call that is dropped are handed out again later.
    pub async fn read(
        &self,
        connection: &mut impl ConnectionLike,
        stream: &str,
        entries: Entries<'_>,
    ) -> Result<((u64, u64), Vec<Entry>), RedisError> {
        let mut call = self.0.key(stream);
        call.arg(MAX_ENTRY_BYTES);
        match entries {
            Entries::Range { from, to, count } => {
                call.arg(&["XRANGE", from, to]).arg(count);
            }
            Entries::Newest { from, count } => {
                call.arg(&["XREVRANGE", from, "-"]).arg(count);
            }
            Entries::Fresh {
                group,
                consumer,
                count,
            } => {
                call.arg(&["XREADGROUP", group, consumer]).arg(count);
            }
            Entries::LeftBehind {
                group,
                consumer,
                count,
                idle,
            } => {
                call.arg(&["XAUTOCLAIM", group, consumer])
                    .arg(count)
                    .arg(idle);
            }
        }
        let (seconds, micros, read): (u64, u64, Value) = call.invoke_async(connection).await?;
        Ok(((seconds, micros), read_entries(read)?))
    }
}

/// Entries as `bounded` gives them to a script.
///
/// # Errors
///
/// Where the reply is none of it.
pub fn read_entries(reply: Value) -> Result<Vec<Entry>, RedisError> {
    let read: Vec<(String, Value)> = redis::from_redis_value(reply)?;
    let read = read.into_iter().map(|(id, fields)| {
        let fields = match fields {
            Value::Int(size) => Err(u64::try_from(size).unwrap_or(u64::MAX)),
            fields => Ok(text_names(redis::from_redis_value(fields)?)),
        };
        Ok(Entry { id, fields })
    });
    read.collect()
}

fn text_names(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> HashMap<String, Vec<u8>> {
    let pairs = pairs.into_iter();
    pairs
        .filter_map(|(name, value)| Some((String::from_utf8(name).ok()?, value)))
        .collect()
}
