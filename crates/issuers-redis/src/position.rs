//! The position brain's book.

use crate::{
    codec,
    config::{IssuersConfig, Keys},
    feed::text_fields,
    link::{Link, failed, moment},
};
use apply_core::{PortError, Symbol};
use apply_redis::{MAX_ENTRY_BYTES, bounded_script, read_entries};
use permit_issuers::{
    EntryId, PERMIT_TTL_SECS, Snapshot, Timestamp,
    ports::{
        Finalized, LedgerUpdate, PermitSink, PermitToWrite, PositionBook, PositionPage, Unread,
    },
};
use permit_redis::ConnectError;
use redis::{Script, ScriptInvocation, Value};
use std::{sync::Arc, time::Duration};

/// Permits, snapshots, ledgers and the cursor on one Redis. Clones share one connection.
///
/// Results are read by a cursor rather than as a group: they move a ledger in their order, and the
/// cursor moves with the ledger in one script, so each counts once whichever process reads it.
#[derive(Clone)]
pub struct RedisPositionBook {
    link: Link,
    shared: Arc<Shared>,
}

struct Shared {
    keys: Keys,
    batch: usize,
    look: Script,
    permit: Script,
    keep: Script,
    advance: Script,
    settle: Script,
    unread: Script,
    forget: Script,
}

/// A snapshot that is not renewed serves only to find the reason.
const SNAPSHOT_TTL: Duration = Duration::from_secs(3600);

impl RedisPositionBook {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Config`] and [`ConnectError::Unusable`], of a server that is too old, stay as they are;
    /// with the others trying again may help.
    pub async fn connect(config: &IssuersConfig) -> Result<Self, ConnectError> {
        Ok(Self {
            link: Link::connect(config).await?,
            shared: Arc::new(Shared {
                keys: config.keys.clone(),
                batch: config.batch,
                look: bounded_script(include_str!("position_look.lua")),
                permit: Script::new(include_str!("permit.lua")),
                keep: Script::new(include_str!("keep_snapshot.lua")),
                advance: Script::new(include_str!("advance.lua")),
                settle: Script::new(include_str!("settle.lua")),
                unread: bounded_script(include_str!("unread.lua")),
                forget: Script::new(include_str!("forget.lua")),
            }),
        })
    }

    fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    fn ledger_key(&self, symbol: &Symbol) -> String {
        Keys::of_symbol(&self.keys().ledger, symbol)
    }

    async fn done(
        &self,
        call: &ScriptInvocation<'_>,
        doing: &'static str,
    ) -> Result<bool, PortError> {
        self.link
            .run::<i64>(call, doing)
            .await
            .map(|done| done == 1)
    }
}

impl PermitSink for RedisPositionBook {
    async fn pass(&self, entry: EntryId) -> Result<(), PortError> {
        let keys = self.keys();
        self.link
            .acknowledge(&keys.plans, &keys.brain_group, entry)
            .await
    }
}

impl PositionBook for RedisPositionBook {
    async fn open(&self, symbol: &Symbol) -> Result<PositionPage, PortError> {
        let keys = self.keys();
        let ledger_key = self.ledger_key(symbol);
        let mut look = self
            .shared
            .look
            .key(Keys::of_symbol(&keys.snapshot, symbol));
        look.key(&ledger_key)
            .key(&keys.cursor)
            .key(&keys.results)
            .arg(codec::MAX_HASH_BYTES);
        let reply: (u64, u64, Value, Value, String, String) =
            self.link.run(&look, "read the position's page").await?;
        let (seconds, micros, snapshot, ledger, cursor, newest) = reply;
        let ledger = codec::hash(&ledger_key, ledger)?;
        let (ledger, version) = codec::ledger(&ledger_key, &ledger)?;
        Ok(PositionPage {
            snapshot: codec::snapshot(snapshot),
            ledger,
            version,
            unread: read_cursor(&keys.cursor, &cursor)? < read_id(&newest)?,
            now: moment((seconds, micros)),
        })
    }

    async fn finalize(
        &self,
        ruling: PermitToWrite<'_>,
        symbol: &Symbol,
        version: u64,
    ) -> Result<Finalized, PortError> {
        let keys = self.keys();
        let mut call = self.shared.permit.key(&keys.plans);
        call.key(Keys::of_plan(&keys.brain_permit, ruling.plan))
            .key(self.ledger_key(symbol))
            .arg(&keys.brain_group)
            .arg(ruling.entry.to_string())
            .arg(ruling.permit)
            .arg(PERMIT_TTL_SECS)
            .arg(version);
        codec::finalized(self.link.run(&call, "write the permit").await?)
    }

    async fn now(&self) -> Result<Timestamp, PortError> {
        redis::cmd("TIME")
            .query_async(&mut self.link.connection())
            .await
            .map(moment)
            .map_err(failed("read the time"))
    }

    async fn keep(&self, symbol: &Symbol, seen: &Snapshot) -> Result<(), PortError> {
        let key = Keys::of_symbol(&self.keys().snapshot, symbol);
        let mut call = self.shared.keep.key(key);
        call.arg(seen.asked_at.as_micros())
            .arg(SNAPSHOT_TTL.as_secs());
        add_fields(&mut call, codec::snapshot_fields(seen));
        self.done(&call, "keep the snapshot").await.map(drop)
    }

    async fn settle(&self, update: &LedgerUpdate) -> Result<bool, PortError> {
        let keys = self.keys();
        let mut call = self.shared.settle.key(self.ledger_key(&update.symbol));
        call.key(&keys.cursor)
            .key(&keys.results)
            .arg(update.version);
        add_fields(&mut call, codec::ledger_fields(&update.ledger));
        self.done(&call, "settle the ledger").await
    }

    async fn unread(&self) -> Result<Unread, PortError> {
        let keys = self.keys();
        let mut call = self.shared.unread.key(&keys.cursor);
        call.key(&keys.results)
            .arg(self.shared.batch)
            .arg(MAX_ENTRY_BYTES);
        let (cursor, first, results): (String, String, Value) =
            self.link.run(&call, "read the results").await?;
        let results = read_entries(results).map_err(failed("read the results"))?;
        let cursor = read_cursor(&keys.cursor, &cursor)?;
        let mut unread = Unread {
            cursor,
            // What lies between may have been trimmed away before anybody counted it.
            gap: cursor != EntryId::START && read_id(&first)? > cursor,
            results: Vec::new(),
        };
        for entry in results {
            let id = read_id(&entry.id)?;
            unread.results.push((id, text_fields(&keys.results, entry)));
        }
        Ok(unread)
    }

    async fn advance(
        &self,
        from: EntryId,
        to: EntryId,
        update: Option<&LedgerUpdate>,
    ) -> Result<bool, PortError> {
        let keys = self.keys();
        let mut call = self.shared.advance.key(&keys.cursor);
        // Only reached with an update, which names its symbol.
        call.key(update.map_or_else(
            || keys.ledger.clone(),
            |update| self.ledger_key(&update.symbol),
        ))
        .arg(from.to_string())
        .arg(to.to_string());
        match update {
            None => {
                call.arg("");
            }
            Some(update) => {
                call.arg(update.version);
                add_fields(&mut call, codec::ledger_fields(&update.ledger));
            }
        }
        self.done(&call, "count the result").await
    }

    async fn forget(&self, from: EntryId, symbols: &[Symbol]) -> Result<bool, PortError> {
        let mut call = self.shared.forget.key(&self.keys().cursor);
        for symbol in symbols {
            call.key(self.ledger_key(symbol));
        }
        call.arg(from.to_string());
        self.done(&call, "start the ledgers anew").await
    }
}

fn add_fields(call: &mut ScriptInvocation<'_>, fields: Vec<(&'static str, String)>) {
    for (field, value) in fields {
        call.arg(field).arg(value);
    }
}

fn read_id(text: &str) -> Result<EntryId, PortError> {
    text.parse()
        .map_err(|error| PortError(format!("the result stream: {error}")))
}

fn read_cursor(key: &str, text: &str) -> Result<EntryId, PortError> {
    text.parse().map_err(|error| {
        PortError(format!(
            "{key}: {error}; delete it, and results are counted from the first one"
        ))
    })
}
