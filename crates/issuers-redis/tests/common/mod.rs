//! A server, and what its neighbours would write to it.

use apply_core::Symbol;
use issuers_redis::{IssuersConfig, RedisFeed, RedisPositionBook, RedisUsageBook};
use permit_issuers::{Lot, Snapshot, VenuePosition, ports::PositionBook};
use redis::{AsyncCommands, aio::MultiplexedConnection};
use redis_harness::RedisServer;
use rust_decimal::Decimal;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Bench {
    pub(crate) server: RedisServer,
    pub(crate) redis: MultiplexedConnection,
    url: String,
    instances: AtomicU32,
}

pub(crate) fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn btc() -> Symbol {
    "BTCUSDT".parse().unwrap()
}

pub(crate) fn holding(amount: &str) -> VenuePosition {
    VenuePosition {
        amount: dec(amount),
        mark_price: Some(dec("64000")),
        lot: Lot {
            step: dec("0.0001"),
            min: dec("0.0001"),
            max: Some(dec("120")),
        },
    }
}

/// A plan's id of sixteen digits that ends so: an entry with another form is no result.
fn plan_id(end: &str) -> String {
    format!("{end:0>16}")
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let server = RedisServer::start().await;
        let url = server.url();
        Self::at(server, url).await
    }

    /// Reviewers may do what these rules of `ACL SETUSER` say; the test itself may do everything.
    pub(crate) async fn with_rights(rights: &str) -> Self {
        let user = format!("reviewer on >secret {rights}");
        let server = RedisServer::builder().acl(&user).start().await;
        let url = server.url_as("reviewer", "secret");
        Self::at(server, url).await
    }

    async fn at(server: RedisServer, url: String) -> Self {
        let redis = server.connection().await;
        Self {
            server,
            redis,
            url,
            instances: AtomicU32::new(0),
        }
    }

    /// Each is a process of its own to the server.
    fn config(&self) -> IssuersConfig {
        let instance = self.instances.fetch_add(1, Ordering::Relaxed);
        IssuersConfig::new(&self.url, format!("reviewer-{instance}"))
    }

    pub(crate) async fn governor_plans(&self) -> RedisFeed {
        joined(RedisFeed::governor_plans(self.config()).unwrap()).await
    }

    pub(crate) async fn governor_results(&self) -> RedisFeed {
        joined(RedisFeed::governor_results(self.config()).unwrap()).await
    }

    pub(crate) async fn brain_plans(&self) -> RedisFeed {
        joined(RedisFeed::brain_plans(self.config()).unwrap()).await
    }

    pub(crate) async fn usage_book(&self) -> RedisUsageBook {
        RedisUsageBook::connect(&self.config()).await.unwrap()
    }

    pub(crate) async fn position_book(&self) -> RedisPositionBook {
        RedisPositionBook::connect(&self.config()).await.unwrap()
    }

    pub(crate) async fn entry(&mut self, fields: &[(&str, &str)]) {
        let () = self
            .redis
            .xadd("quantum:stream:apply.plan", "*", fields)
            .await
            .unwrap();
    }

    pub(crate) async fn plan(&mut self, id: &str, action: &str, score: &str) {
        self.entry(&[
            ("plan_id", &plan_id(id)),
            ("symbol", "BTCUSDT"),
            ("action", action),
            ("kill_score", score),
            ("decision", "EXECUTE"),
        ])
        .await;
    }

    /// A result as the apply layer writes it; `sold` is empty where nothing filled.
    pub(crate) async fn result(&mut self, plan: &str, executed: &str, decision: &str, sold: &str) {
        let steps = match sold {
            "" => "[]".to_owned(),
            sold => format!(
                r#"[{{"step":"CLOSE_PARTIAL_75","status":"success","details":"","order_id":"7","side":"SELL","quantity":"{sold}","executed_qty":"{sold}","reduce_only":true}}]"#
            ),
        };
        let fields = [
            ("plan_id", &*plan_id(plan)),
            ("symbol", "BTCUSDT"),
            ("decision", decision),
            ("executed", executed),
            ("would_execute", "False"),
            ("steps_results", &*steps),
            ("error", ""),
        ];
        let () = self
            .redis
            .xadd("quantum:stream:apply.result", "*", &fields)
            .await
            .unwrap();
    }

    pub(crate) async fn snapshot(&self, amount: &str) {
        let book = self.position_book().await;
        let seen = Snapshot {
            asked_at: book.now().await.unwrap(),
            holding: holding(amount),
        };
        book.keep(&btc(), &seen).await.unwrap();
    }

    pub(crate) async fn text(&mut self, key: &str) -> Option<String> {
        self.redis.get(key).await.unwrap()
    }

    pub(crate) async fn pending(&mut self, group: &str) -> u64 {
        let (count, ..): (u64, redis::Value, redis::Value, redis::Value) = redis::cmd("XPENDING")
            .arg("quantum:stream:apply.plan")
            .arg(group)
            .query_async(&mut self.redis)
            .await
            .unwrap();
        count
    }
}

async fn joined(feed: RedisFeed) -> RedisFeed {
    feed.join().await.unwrap();
    feed
}
