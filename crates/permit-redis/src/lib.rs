//! The permit gate's store on Redis.
//!
//! It takes every required permit of a plan in one atomic step, or none, and wakes a waiting plan
//! the moment an issuer that knows nothing of us has written one. What a take did is written down
//! in a receipt within the same step, so a lost reply is asked for again and never guessed. It
//! never changes a server's settings, never sends a take twice by itself, and never lets a secret
//! out of its URL. Whatever it cannot reach or read is an error, which the gate answers with no.
//!
//! ```text
//!   issuers ── SETEX quantum:permit:… ──▶ ┌───────┐ ── invalidation ──▶ watch ──▶ waiting plans
//!                                         │ Redis │                                    │
//!   RedisPermitStore ◀── all, or why not ─└───────┘◀──────── one script, one step ─────┘
//! ```
//!
//! `docs/permits.md` says what happens when something goes wrong.
//!
//! # Gate any action with two permits
//!
//! ```
//! use permit_gate::{Ask, AttemptId, Grant, PlanId, Subject, Timer, WaitPolicy, wait_and_take};
//! use permit_redis::{PermitKeys, RedisConfig, RedisPermitStore};
//! use std::time::{Duration, Instant};
//!
//! /// The runtime's clock.
//! struct TokioTimer;
//! impl Timer for TokioTimer {
//!     fn now(&self) -> Instant { tokio::time::Instant::now().into_std() }
//!     fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
//!         tokio::time::sleep_until(at.into())
//!     }
//! }
//!
//! /// What two people have to agree to. It takes the grant: no grant, no deployment.
//! fn deploy(grant: Grant) -> String { format!("deployed {}", grant.plan()) }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let server = redis_harness::RedisServer::start().await;
//! # let url = server.url();
//! let keys = PermitKeys::parse("dev=deploy:dev:{plan}|token:yes,ops=deploy:ops:{plan}|token:yes").unwrap();
//! let config = RedisConfig::new(&url).unwrap().permits(keys).kill_switch("deploy:halt");
//! let store = RedisPermitStore::connect(config).await.unwrap();
//!
//! // Two people, somewhere else, some time later.
//! # let mut elsewhere = server.connection().await;
//! let approvals = async {
//!     for key in ["deploy:dev:release-7", "deploy:ops:release-7"] {
//!         redis::cmd("SETEX").arg(key).arg(60).arg("yes").exec_async(&mut elsewhere).await.unwrap();
//!     }
//! };
//!
//! let ask = Ask {
//!     subject: Subject::new(PlanId::new("release-7").unwrap(), "production"),
//!     attempt: AttemptId::new("host-1.42").unwrap(), // unique among all that share the store
//!     policy: WaitPolicy { wait: Duration::from_secs(30), ..WaitPolicy::default() },
//! };
//! let (answer, ()) = tokio::join!(wait_and_take(&store, &TokioTimer, ask, |_event| {}), approvals);
//! assert_eq!(deploy(answer.unwrap()), "deployed release-7");
//! # }
//! ```
//!
//! # A permit and a rule of one's own
//!
//! A [`permit_gate::Rule`] judges what lies under a key. It is pure and gets whatever anybody wrote
//! there, so it says no to everything it does not know.
//!
//! ```
//! use permit_gate::{Permit, Refusal, Rule, Subject, Terms, rule::StrictObject, trading};
//! use permit_redis::{KeyTemplate, PermitKeys, RedisConfig};
//!
//! /// `{"desk":"london","symbol":"BTCUSDT"}` from the desk we belong to.
//! #[derive(Debug)]
//! struct DeskRule { desk: &'static str }
//!
//! impl Rule for DeskRule {
//!     fn judge(&self, permit: &[u8], subject: &Subject) -> Result<Terms, Refusal> {
//!         let permit = StrictObject::parse(permit)?;
//!         if permit.string("desk")? != self.desk {
//!             return Err(Refusal::of_permit("of_another_desk", "it is from another desk"));
//!         }
//!         match permit.string("symbol")? {
//!             symbol if symbol == *subject.target => Ok(Terms::default()),
//!             _ => Err(Refusal::of_permit("symbol_mismatch", "it is for another symbol")),
//!         }
//!     }
//! }
//!
//! let desk = Permit::new("desk", DeskRule { desk: "london" }).unwrap();
//! let keys = PermitKeys::new(vec![
//!     (trading::governor(), KeyTemplate::parse("quantum:permit:{plan}").unwrap()),
//!     (desk, KeyTemplate::parse("desk:permit:{plan}").unwrap()),
//! ]).unwrap();
//! let config = RedisConfig::new("redis://127.0.0.1:6379").unwrap().permits(keys);
//! # let _ = config;
//! ```
//!
//! # What a restart of the server brings back
//!
//! A take lasts as long as what the server remembers. One that keeps snapshots alone goes back to the
//! last one when it is restarted: permits that were taken since are there again, without their
//! receipts, and the next attempt is granted. A replica that is promoted without the last writes does
//! the same. Nothing in a store can see that. Ask the server once at start, and where an action must not
//! happen twice write its plan's id down somewhere else first, as `apply-journal` does:
//!
//! ```
//! # use permit_redis::{RedisConfig, RedisPermitStore};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), redis::RedisError> {
//! # let server = redis_harness::RedisServer::start().await;
//! # let store = RedisPermitStore::connect(RedisConfig::new(&server.url()).unwrap()).await.unwrap();
//! let mut server = store.link().at("quantum:permit:");
//! let info: String = redis::cmd("INFO").arg("persistence").query_async(&mut server).await?;
//! let keeps_a_file = info.lines().any(|line| line == "aof_enabled:1");
//! if !keeps_a_file {
//!     eprintln!("a restart of this Redis brings back permits that were taken: set appendonly yes");
//! }
//! # assert!(!keeps_a_file);
//! # Ok(())
//! # }
//! ```
//!
//! In unit tests [`permit_gate::MemoryStore`] stands in for this store; its documentation shows one
//! with virtual time.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod background;
mod clock;
mod cluster;
mod config;
mod connections;
mod endpoint;
mod failure;
mod keys;
mod link;
mod mastership;
mod meaning;
mod node;
mod product;
mod sentinels;
mod server;
mod server_id;
mod slots;
mod stats;
mod store;
mod take;
mod timeouts;
mod watch;

pub use config::{ConfigError, RedisConfig};
pub use connections::ConnectError;
pub use keys::{KeyTemplate, KeysProblem, PermitKeys, PermitKeysError, TemplateError};
pub use link::{LinkAt, RedisLink};
pub use mastership::InCharge;
pub use meaning::{Meaning, Redirect};
pub use product::Product;
pub use server_id::ServerId;
pub use stats::Stats;
pub use store::RedisPermitStore;
pub use take::{MAX_HOLDER_BYTES, OffWords};
pub use watch::{RedisFollow, RedisWatch, WatchMode};
