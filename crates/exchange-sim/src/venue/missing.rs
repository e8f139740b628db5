//! What clients asked for and this venue does not model: counted, and said once in the log.

use serde::Serialize;
use std::collections::BTreeMap;

/// Distinct requests that are counted; more go under one name, so that no client can fill the memory.
const COUNTED: usize = 1_000;

/// A request that the venue does not model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotModelled {
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// How often it came.
    pub requests: u64,
    /// What is known of it.
    pub why: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Missing {
    seen: BTreeMap<(String, String), (u64, &'static str)>,
}

impl Missing {
    pub(super) fn note(&mut self, method: &str, path: &str, why: &'static str) {
        let mut key = (method.to_owned(), path.to_owned());
        let mut why = why;
        if !self.seen.contains_key(&key) {
            if self.seen.len() < COUNTED {
                tracing::warn!("not modelled: {method} {path}: {why}");
            } else {
                key = ("*".to_owned(), "*".to_owned());
                why = "more than a thousand different requests";
            }
        }
        self.seen.entry(key).or_insert((0, why)).0 += 1;
    }

    pub(super) fn all(&self) -> Vec<NotModelled> {
        self.seen
            .iter()
            .map(|((method, path), (requests, why))| NotModelled {
                method: method.clone(),
                path: path.clone(),
                requests: *requests,
                why,
            })
            .collect()
    }
}
