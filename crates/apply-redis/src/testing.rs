//! For tests: a server that has been up for a while.

use crate::config::Keys;
use redis::{RedisError, Script, aio::ConnectionLike};
use std::time::Duration;

/// Makes it look as if the server had remembered everything for that much longer, so that a test need not wait
/// until plans are claimed on a server that was just started. Nothing else is changed: a server that is started
/// again, or flushed, is new all the same.
pub async fn age(
    connection: &mut (impl ConnectionLike + Send),
    keys: &Keys,
    by: Duration,
) -> Result<(), RedisError> {
    let script = Script::new(concat!(
        include_str!("prelude.lua"),
        include_str!("age.lua")
    ));
    let mut call = script.key(&keys.generation);
    call.arg("a-test").arg(by.as_micros() as u64);
    call.invoke_async(connection).await
}
