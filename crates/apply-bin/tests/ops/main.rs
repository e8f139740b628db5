//! The operator's commands, run as the operator runs them: the real binary, a real Redis, the
//! simulated venue.

#![allow(clippy::unwrap_used)]

mod check;
mod cycles;
mod exits;
mod halted;
mod journald;
mod neighbours;
mod permits;
mod plans;
mod schemas;
mod settings;
mod shell;
mod watch;

use apply_wire::Exit;
use redis::aio::MultiplexedConnection;
use redis_harness::RedisServer;
use std::{
    path::PathBuf,
    process::Output,
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::process::Command;

/// A plan that stands on the stream of every test that needs one.
pub(crate) const PLAN: &str = "67e6da21fa9fe506";

/// The binary with this Redis, a state directory that does not exist, and nothing else from the
/// environment.
pub(crate) fn apply_layer(redis: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apply-layer"));
    command.args(args).env_clear().env("REDIS_URL", redis);
    let nowhere = concat!(env!("CARGO_TARGET_TMPDIR"), "/nobody-made-this");
    command.env("APPLY_STATE_DIR", nowhere);
    command.env("APPLY_METRICS_PORT", "1").kill_on_drop(true);
    command
}

/// A state directory of a test's own, gone with it.
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("state-{}-{number}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The program on the machine whose state lies here, with this Redis.
    pub(crate) async fn run(&self, redis: &RedisServer, args: &[&str]) -> Ended {
        let mut command = apply_layer(&redis.url(), args);
        command.env("APPLY_STATE_DIR", self.path());
        command.output().await.unwrap().into()
    }

    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command printed, and how it ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}

/// Runs it. What it prints as JSON is held against its schema.
pub(crate) async fn ops(redis: &RedisServer, args: &[&str]) -> Ended {
    let ended = apply_layer(&redis.url(), args)
        .output()
        .await
        .unwrap()
        .into();
    schemas::hold(args, &ended);
    ended
}

/// The same, and it ends well.
pub(crate) async fn fine(redis: &RedisServer, args: &[&str]) -> String {
    ends(redis, Exit::Good, args).await
}

/// The same, and it ends with this code.
pub(crate) async fn ends(redis: &RedisServer, exit: Exit, args: &[&str]) -> String {
    let ended = ops(redis, args).await;
    let code = i32::from(exit.code());
    assert_eq!(ended.code, code, "{args:?}: {}{}", ended.out, ended.err);
    ended.out
}

/// One raw command, its words parted by single blanks.
pub(crate) async fn redis<T: redis::FromRedisValue>(
    connection: &mut MultiplexedConnection,
    words: &str,
) -> T {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.query_async(connection).await.unwrap()
}

/// Puts a plan on the stream as the service does.
pub(crate) async fn publish_plan(connection: &mut MultiplexedConnection, id: &str, plan: &str) {
    let words = format!(
        "XADD quantum:stream:apply.plan {id} plan_id {plan} symbol BTCUSDT action PARTIAL_75 kill_score 0.539 decision EXECUTE reason_codes "
    );
    let _: String = redis(connection, &words).await;
}

/// Puts a result on the stream as the service does.
pub(crate) async fn publish_result(
    connection: &mut MultiplexedConnection,
    id: &str,
    plan: &str,
    executed: &str,
    error: &str,
) {
    let words = format!(
        "XADD quantum:stream:apply.result {id} plan_id {plan} symbol BTCUSDT decision EXECUTE executed {executed} would_execute False steps_results [] error {error}"
    );
    let _: String = redis(connection, &words).await;
}
