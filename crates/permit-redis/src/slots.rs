//! The map of a cluster's slots, as one of its nodes gives it.

use crate::endpoint::Address;
use redis::Value;

/// Slots and who serves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotRange {
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// Where it is reached; `None` where it is unknown.
    pub(crate) at: Option<Address>,
    /// The node's name, which stays the same whatever address it is known under.
    pub(crate) id: String,
}

/// `[[first, last, [host, port, id, more …], replicas …] …]`. A host that is empty or nil is the one that was asked.
/// A node that is to be called by a name and has none is called `?`; its address is in `more`, as `ip` and what
/// follows, and where it is not the node has no place.
pub(crate) fn read_slots(answer: Value, asked: &str) -> Option<Vec<SlotRange>> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    let read = |range: Value| {
        let Value::Array(range) = range else {
            return None;
        };
        let [
            Value::Int(first),
            Value::Int(last),
            Value::Array(master),
            ..,
        ] = &*range
        else {
            return None;
        };
        let text = |value: Option<&Value>| match value {
            Some(Value::BulkString(text)) => String::from_utf8(text.clone()).ok(),
            _ => None,
        };
        let host = match text(master.first()).as_deref() {
            None | Some("") => Some(asked.to_owned()),
            Some("?") => match master.get(3) {
                Some(Value::Array(more)) => {
                    let is_ip = |word: &&Value| text(Some(*word)).as_deref() == Some("ip");
                    let mut more = more.iter();
                    more.find(is_ip).and_then(|_| text(more.next()))
                }
                _ => None,
            },
            Some(host) => Some(host.to_owned()),
        };
        let Some(Value::Int(port)) = master.get(1) else {
            return None;
        };
        let port = u16::try_from(*port).ok()?;
        Some(SlotRange {
            first: u16::try_from(*first).ok()?,
            last: u16::try_from(*last).ok()?,
            at: host
                .filter(|host| !host.is_empty())
                .map(|host| (host, port)),
            id: text(master.get(2)).unwrap_or_default(),
        })
    };
    let ranges: Vec<_> = ranges.into_iter().map(read).collect::<Option<_>>()?;
    (!ranges.is_empty()).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_slots_is_read_whole_or_not_at_all() {
        let (i, text) = (Value::Int, |s: &str| Value::BulkString(s.into()));
        let range = |host| {
            let master = Value::Array(vec![host, i(7000), text("id")]);
            Value::Array(vec![i(0), i(99), master, Value::Nil])
        };
        let at = |host: &str| {
            Some(vec![SlotRange {
                first: 0,
                last: 99,
                at: Some((host.to_owned(), 7000)),
                id: "id".into(),
            }])
        };
        assert_eq!(
            read_slots(Value::Array(vec![range(text("a"))]), "x"),
            at("a")
        );
        assert_eq!(
            read_slots(Value::Array(vec![range(text(""))]), "x"),
            at("x")
        );
        assert_eq!(
            read_slots(Value::Array(vec![range(Value::Nil)]), "x"),
            at("x")
        );
        assert_eq!(
            read_slots(Value::Array(vec![range(text("a")), i(1)]), "x"),
            None
        );
        let nameless = |more: &[&str]| {
            let more = more.iter().map(|word| text(word)).collect();
            let master = Value::Array(vec![text("?"), i(7000), text("id"), Value::Array(more)]);
            Value::Array(vec![Value::Array(vec![i(0), i(99), master])])
        };
        assert_eq!(read_slots(nameless(&["ip", "a"]), "x"), at("a"));
        for more in [&[][..], &["ip"], &["hostname", "a"], &["ip", ""]] {
            let read = read_slots(nameless(more), "x").unwrap();
            assert_eq!(read[0].at, None, "{more:?}");
        }
        assert_eq!(read_slots(Value::Array(vec![]), "x"), None);
        assert_eq!(read_slots(Value::Nil, "x"), None);
    }
}
