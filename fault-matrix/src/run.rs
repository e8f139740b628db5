//! Many cases side by side: they mostly wait.

use super::{
    case::Case,
    environment::{BUSY, Environment, lag},
    judge::{self, Facts},
    report::Report,
    scenarios::play,
};
use std::time::{Duration, Instant};
use tokio::{task::JoinSet, time::timeout};

/// What one case came to.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// Faults that really happened.
    pub reached: Vec<String>,
    /// What should not have been.
    pub wrong: Vec<String>,
    /// How its plans ended.
    pub kinds: Vec<String>,
    /// How many orders and stops of plans arrived.
    pub orders: u64,
    /// How long it took.
    pub took: Duration,
    log: String,
}

impl Outcome {
    /// Whether something was wrong.
    pub fn is_violation(&self) -> bool {
        !self.wrong.is_empty()
    }

    /// What was wrong, how to see it again, and what the service said.
    pub fn describe(&self) -> String {
        format!(
            "{}: {}\n  replay: {}\n  {}\n{}",
            self.case.label(),
            self.wrong.join("; "),
            self.case.replay(),
            self.case,
            self.log
        )
    }
}

/// Plays one case, in a world of its own.
pub async fn play_case(case: Case, mutant: Option<&'static str>) -> Outcome {
    let started = Instant::now();
    let described = case.clone();
    // What breaks down in a task of its own is an outcome, too.
    let played = tokio::spawn(async move {
        let mut environment = Environment::open(case, mutant).await;
        let in_time = timeout(LONGEST, play(&mut environment)).await.is_ok();
        if !in_time {
            environment.wrong(format!("it did not end within {LONGEST:?}"));
        }
        let facts = Facts::of(&environment).await;
        let mut wrong = std::mem::take(&mut environment.wrong);
        wrong.extend(judge::judge(&environment.case, &facts));
        let log = if wrong.is_empty() {
            String::new()
        } else {
            environment.logs()
        };
        Outcome {
            reached: std::mem::take(&mut environment.reached),
            wrong,
            kinds: facts.kinds(),
            orders: facts.orders(),
            took: started.elapsed(),
            log,
            case: environment.case.clone(),
        }
    });
    played.await.unwrap_or_else(|error| Outcome {
        case: described,
        reached: Vec::new(),
        wrong: vec![format!("the case broke down: {error}")],
        kinds: Vec::new(),
        orders: 0,
        took: started.elapsed(),
        log: String::new(),
    })
}

/// No case needs so long.
const LONGEST: Duration = Duration::from_secs(600);

/// Plays cases side by side, `lanes` at a time, until they are all played or `enough` says so, and
/// reports each as it ends.
pub async fn play_all(
    cases: impl IntoIterator<Item = Case>,
    lanes: usize,
    mutant: Option<&'static str>,
    mut enough: impl FnMut(&Outcome) -> bool,
) -> Report {
    let mut cases = cases.into_iter();
    let mut running = JoinSet::new();
    let mut report = Report::default();
    for case in cases.by_ref().take(lanes) {
        room().await;
        running.spawn(play_case(case, mutant));
    }
    while let Some(ended) = running.join_next().await {
        let outcome = ended.unwrap_or_else(|error| panic!("a lane broke down: {error}"));
        let stop = enough(&outcome);
        report.add(outcome);
        if stop {
            break; // dropping the others ends their worlds
        }
        if let Some(case) = cases.next() {
            room().await;
            running.spawn(play_case(case, mutant));
        }
    }
    report
}

/// Waits a moment where this machine does not answer in time, so that cases do not keep each other from
/// being in time. Only a moment: what others do to it is not for us to wait out.
async fn room() {
    if lag().await >= BUSY {
        lag().await;
    }
}
