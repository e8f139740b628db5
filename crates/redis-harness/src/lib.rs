//! Development only: a real `redis-server` of one's own for a test or a benchmark.
//!
//! Every server gets a free loopback port and a directory of its own, keeps nothing on disk unless
//! asked to, is ready when `start` returns, and dies with its handle or with the process that
//! started it, however that one ends. Whatever goes wrong is a panic that says what to do: a test
//! that cannot have its server fails, it never skips itself.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use redis_harness::RedisServer;
//!
//! let server = RedisServer::start().await;
//! let mut connection = server.connection().await;
//! let pong: String = redis::cmd("PING").query_async(&mut connection).await.unwrap();
//! assert_eq!(pong, "PONG");
//! # }
//! ```

mod certificates;
mod cluster;
mod faulty_proxy;
mod process;
mod proxy;
mod sentinel;
mod server;
mod stub;

pub use certificates::Certificates;
pub use cluster::Cluster;
pub use faulty_proxy::{Fate, FaultyProxy};
pub use proxy::Proxy;
pub use sentinel::Sentinel;
pub use server::{RedisServer, ServerBuilder};
pub use stub::{SentinelStub, ServerStub};
