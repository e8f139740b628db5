//! An action that needs the word of two people: `cargo run --features tokio --example two_people`.

use permit_gate::{rule::TokenRule, *};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Whose word is needed, and what counts as a yes.
    let owner = Permit::new("owner", TokenRule::new("yes"))?;
    let on_call = Permit::new("on_call", TokenRule::new("yes"))?;
    let store = MemoryStore::new(Arc::new(PermitSet::new(vec![owner, on_call])?));

    // Both write their permit for this plan, from wherever they are.
    let plan = PlanId::new("drop-7")?;
    store.put(&plan, "owner", b"yes");
    store.put(&plan, "on_call", b"yes");

    let ask = Ask {
        subject: Subject::new(plan, "staging"),
        attempt: AttemptId::new("host-1.42")?,
        policy: WaitPolicy::default(), // 1200 ms
    };
    match wait_and_take(&store, &TokioTimer, ask, |_event| {}).await {
        Ok(grant) => println!("database {} is dropped once", grant.target()),
        Err(block) => println!("nothing is dropped: {block}"),
    }
    Ok(())
}
