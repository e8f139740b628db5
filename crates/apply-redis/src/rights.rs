//! What the service's user has to be allowed in Redis: the one list, which `check` tries and the docs are held to.

use crate::config::Keys;
use permit_redis::Meaning;
use redis::{Cmd, RedisError, cmd};

/// A right, as an ACL names it, and what has to be tried to find out whether it is there.
#[derive(Debug, Clone)]
pub struct Right {
    /// As in `+pttl`.
    pub name: &'static str,
    /// A command that needs it and changes nothing: what it names does not exist.
    pub probe: Cmd,
}

impl Right {
    /// Whether this is the server's way of saying that the right is missing.
    pub fn is_missing(error: &RedisError) -> bool {
        matches!(Meaning::of(error), Meaning::Forbidden { .. })
    }
}

/// Every right whose absence would be noticed only by a plan that fails for it.
pub fn rights(keys: &Keys) -> Vec<Right> {
    let of = |before: &str| format!("{before}check");
    let (proposal, claim, lease) = (of(&keys.proposal), of(&keys.dedupe), of(&keys.lease));
    let (open, switch) = (keys.open.as_str(), keys.kill_switch.as_str());
    let rights: [(&'static str, &[&str]); 16] = [
        ("+getrange", &["GETRANGE", switch, "0", "0"]),
        ("+hmget", &["HMGET", &proposal, "check"]),
        ("+hstrlen", &["HSTRLEN", &proposal, "check"]),
        ("+get", &["GET", &claim]),
        ("+set", &["SET", &lease, "", "XX", "EX", "1"]),
        ("+del", &["DEL", &lease]),
        ("+exists", &["EXISTS", &lease]),
        ("+ttl", &["TTL", &claim]),
        ("+pttl", &["PTTL", &claim]),
        ("+type", &["TYPE", &claim]),
        ("+hget", &["HGET", open, "check"]),
        ("+hdel", &["HDEL", open, "check"]),
        ("+hscan", &["HSCAN", open, "0", "COUNT", "1"]),
        ("+info", &["INFO", "server"]),
        ("+time", &["TIME"]),
        ("+client|tracking", &["CLIENT", "TRACKING", "OFF"]),
    ];
    rights
        .into_iter()
        .map(|(name, words)| {
            let mut probe = cmd(words[0]);
            probe.arg(&words[1..]);
            Right { name, probe }
        })
        .collect()
}
