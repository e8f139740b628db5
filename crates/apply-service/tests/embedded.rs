//! The example that an embedder begins with runs.

#![allow(clippy::unwrap_used)]

#[path = "../examples/embedded.rs"]
#[allow(dead_code)]
mod embedded;

#[tokio::test]
async fn a_program_that_embeds_the_service_gets_a_plan_through() {
    let (plan, would_execute) = embedded::one_plan().await.unwrap();
    assert_eq!((plan.len(), would_execute.as_str()), (16, "True"));
}
