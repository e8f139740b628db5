//! The fault matrix in small: a few hundred cases without a violation, every fault really met, and
//! every mistake that is made on purpose found. `scripts/faults` plays as many cases as one likes.
#![allow(clippy::unwrap_used)]

use fault_matrix::{Case, play_all};

/// Another one: `FAULTS_SEED=7 cargo test -p fault-matrix`.
const SEED: u64 = 20_261_123;

/// Each row of the matrix has its turn this often.
const ROUNDS: u64 = 6;

/// How many cases are played side by side: they mostly wait.
const LANES: usize = 14;

fn seed() -> u64 {
    let given = std::env::var("FAULTS_SEED").ok();
    let seed = given.map_or(SEED, |text| text.parse().unwrap());
    println!("FAULTS_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_twice_or_lost_whatever_fails_and_everything_fails_once() {
    let seed = seed();
    let cases = (0..ROUNDS * Case::ROWS).map(|number| Case::draw(seed, number));
    let report = play_all(cases, LANES, None, |_| false).await;
    println!("{report}");
    assert!(
        report.failures().is_empty(),
        "{}",
        report.failures().join("\n")
    );
    assert_eq!(report.cases(), ROUNDS * Case::ROWS);
    let never = report.rows().iter().filter(|(_, row)| row.reached == 0);
    for (row, _) in never {
        // Chance may have kept it from happening so far, not for ever.
        let more = cases_of(seed, row).skip(ROUNDS as usize).take(24);
        let more = play_all(more, 4, None, |outcome| !outcome.reached.is_empty()).await;
        assert!(more.failures().is_empty(), "{}", more.failures().join("\n"));
        assert!(more.rows()[row].reached > 0, "never really happened: {row}");
    }
}

/// The cases of one row, in the order of their numbers.
fn cases_of(seed: u64, row: &str) -> impl Iterator<Item = Case> {
    (0..Case::ROWS * 40)
        .map(move |number| Case::draw(seed, number))
        .filter(move |case| case.label() == row)
}

/// Plays cases of one row with a mistake in the service until one is found out.
async fn found_out(mutant: &'static str, row: &str, by: &[&str]) {
    let cases = cases_of(seed(), row).take(24);
    let found = |wrong: &str| by.iter().any(|words| wrong.contains(words));
    let report = play_all(cases, 3, Some(mutant), |outcome| {
        outcome.wrong.iter().any(|wrong| found(wrong))
    })
    .await;
    let wrong = report.failures();
    assert!(
        wrong.iter().any(|wrong| found(wrong)),
        "{mutant} passed {} cases of {row:?}: {wrong:?}",
        report.cases()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_a_journal_is_found_out() {
    let row = "process and Redis die, Redis rolled back";
    found_out("no_journal", row, &["the order log says", "has no result"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_sends_again_what_it_does_not_know_is_found_out() {
    let row = "venue executes, reply lost";
    found_out("retry_after_unknown", row, &["has 2 orders"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_deletes_permits_before_it_checks_them_is_found_out() {
    let row = "nothing happens";
    found_out("delete_before_check", row, &["permits were taken"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_publishes_before_it_writes_down_is_found_out() {
    let row = "process and Redis die, Redis rolled back";
    found_out("publish_before_journal", row, &["two different results"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_leaves_permits_where_they_are_is_found_out() {
    let row = "nothing happens";
    found_out("permits_not_deleted", row, &["permit still lies there"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_waits_too_long_is_found_out() {
    // The order shows it: a result that comes late may be the machine's fault.
    let row = "a permit after the wait";
    found_out("wait_too_long", row, &["has an order, and none may leave"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_that_has_the_final_word_is_found_out() {
    let row = "two machines, one paused";
    let by = ["has 2 results", "two different results"];
    found_out("final_word_by_the_loser", row, &by).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_not_looked_after_once_it_has_queued_is_found_out() {
    let row = "file laid while orders queue";
    found_out("no_look_after_the_queue", row, &["File was turned"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_believes_a_store_which_has_just_forgotten_is_found_out() {
    let row = "forgets, two machines, two sets of permits";
    let by = ["has 2 orders", "after an order that filled"];
    found_out("no_fence_after_forgetting", row, &by).await;
}
