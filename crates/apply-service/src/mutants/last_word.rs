//! A result that is published by an attempt that may not.

use super::which::Mutant;
use apply_core::{ApplyResult, PortError, PublishOutcome};
use apply_redis::Keys;

/// What became of a final result; where nothing was written a loser's goes to the stream all the same.
pub(crate) async fn last_word(
    result: &ApplyResult,
    outcome: PublishOutcome,
) -> Result<PublishOutcome, PortError> {
    let loses = matches!(
        outcome,
        PublishOutcome::NotHeld | PublishOutcome::Forgot | PublishOutcome::Before
    );
    match Mutant::asked_for() {
        Ok(Some(Mutant::FinalWordByTheLoser)) if loses && !result.executed => {
            let written = write_past_the_holder(result).await;
            written.map_err(|error| PortError(error.to_string()))?;
            Ok(PublishOutcome::Published)
        }
        _ => Ok(outcome),
    }
}

async fn write_past_the_holder(result: &ApplyResult) -> redis::RedisResult<()> {
    let url = std::env::var("REDIS_URL").unwrap_or_default();
    let mut connection = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    let mut add = redis::cmd("XADD");
    add.arg(Keys::default().results).arg("*");
    for (field, value) in result.to_fields() {
        add.arg(field).arg(value);
    }
    add.query_async(&mut connection).await
}
