//! How a service that embeds the gate tests its own part: a fake store, time that stands still, and
//! issuers that are three lines each. A wait of 1200 ms takes microseconds.
//!
//! ```text
//! cargo test -p permit-gate --features tokio --example unit_test     the tests
//! cargo run  -p permit-gate --features tokio --example unit_test     the service's function once, on a real clock
//! ```

use permit_gate::{
    Ask, AttemptId, Block, MemoryStore, Permit, PermitSet, PermitStore, PlanId, Subject, Timer,
    TokioTimer, WaitPolicy, rule::TokenRule, wait_and_take,
};
use std::sync::Arc;

/// The service's own function, and what is to be tested: a database is dropped only with the word
/// of its owner and of the person on call. It takes any store and any clock.
async fn drop_database<S: PermitStore, T: Timer>(
    store: &S,
    timer: &T,
    name: &str,
) -> Result<String, Block> {
    let ask = Ask {
        subject: Subject::new(PlanId::new("drop-7").expect("a plain id"), name),
        attempt: AttemptId::new("host-1.42").expect("a plain id"),
        policy: WaitPolicy::default(),
    };
    let grant = wait_and_take(store, timer, ask, |_| {}).await?;
    // The grant is spent here: what follows happens once, or not at all.
    Ok(format!(
        "{} dropped on plan {}",
        grant.target(),
        grant.plan()
    ))
}

/// Two permits, each a bare word under the plan's key.
fn two_people() -> Arc<PermitSet> {
    let owner = Permit::new("owner", TokenRule::new("yes")).expect("a plain name");
    let on_call = Permit::new("on_call", TokenRule::new("yes")).expect("a plain name");
    Arc::new(PermitSet::new(vec![owner, on_call]).expect("two permits"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let store = MemoryStore::new(two_people());
    let plan = PlanId::new("drop-7").expect("a plain id");
    store.put(&plan, "owner", b"yes");
    match drop_database(&store, &TokioTimer, "staging").await {
        Ok(done) => println!("{done}"),
        Err(block) => println!("not dropped: {}", block.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use permit_gate::StoreError;
    use std::time::Duration;

    /// Someone says something under the plan's key after so many milliseconds.
    fn says(store: &MemoryStore, who: &'static str, word: &'static [u8], after: u64) {
        let store = store.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            store.put(&PlanId::new("drop-7").expect("a plain id"), who, word);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_is_dropped_once_both_have_agreed() {
        let store = MemoryStore::new(two_people());
        says(&store, "owner", b"yes", 50);
        says(&store, "on_call", b"yes", 789);
        let started = TokioTimer.now();
        let done = drop_database(&store, &TokioTimer, "staging").await;
        assert_eq!(done.expect("both agreed"), "staging dropped on plan drop-7");
        assert_eq!(TokioTimer.now() - started, Duration::from_millis(789));
    }

    #[tokio::test(start_paused = true)]
    async fn one_word_alone_drops_nothing() {
        let store = MemoryStore::new(two_people());
        says(&store, "owner", b"yes", 50);
        let block = drop_database(&store, &TokioTimer, "staging").await;
        assert_eq!(block.expect_err("one alone").code(), "missing_on_call");
    }

    #[tokio::test(start_paused = true)]
    async fn another_word_than_yes_is_a_no() {
        let store = MemoryStore::new(two_people());
        says(&store, "owner", b"yes", 10);
        says(&store, "on_call", b"yes, but", 20);
        let block = drop_database(&store, &TokioTimer, "staging").await;
        let code = block.expect_err("a no").code();
        assert_eq!(code, "invalid_on_call_permit_format");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_was_lost_drops_the_database_once() {
        let store = MemoryStore::new(two_people());
        says(&store, "owner", b"yes", 0);
        says(&store, "on_call", b"yes", 0);
        store.fail_next(StoreError::Unavailable("connection refused".into()));
        store.lose_next_reply();
        let done = drop_database(&store, &TokioTimer, "staging").await;
        assert!(done.is_ok());
        // The same words again are no second permission.
        says(&store, "owner", b"yes", 0);
        says(&store, "on_call", b"yes", 0);
        let other = Ask {
            subject: Subject::new(PlanId::new("drop-7").expect("a plain id"), "staging"),
            attempt: AttemptId::new("host-2.1").expect("a plain id"),
            policy: WaitPolicy::default(),
        };
        let block = wait_and_take(&store, &TokioTimer, other, |_| {}).await;
        assert_eq!(block.expect_err("taken").code(), "permits_taken_by_other");
    }
}
