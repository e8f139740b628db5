//! The whole service, end to end: a real `redis-server`, the real binary as a process, and the
//! simulated venue, whose order log is the judge.
#![allow(clippy::unwrap_used)]

mod bounds;
mod clients;
mod codes;
mod crowd;
mod disk;
mod elsewhere;
mod ending;
mod environment;
mod flood;
mod foreign;
mod forgetting;
mod hiccups;
mod memory;
mod neighbours;
mod noticing;
mod omissions;
mod permits;
mod proposals;
mod refusals;
mod scenarios;
mod settling;
mod sharing;
mod sizes;
mod starting;
mod stops;
mod topology;
mod venue;
mod watching;

use exchange_sim::OrderRecord;
use rust_decimal::Decimal;

/// A decimal from its digits.
fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

/// A parameter of an order, as it was sent.
fn sent<'a>(order: &'a OrderRecord, name: &str) -> &'a str {
    order
        .params
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .unwrap_or_else(|| panic!("no {name} in {}", order.params))
}
