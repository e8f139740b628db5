//! `scripts/faults`: plays the fault matrix and prints what came of it. `scripts/soak`: one long run.

use fault_matrix::{Case, Course, play_all, soak, table};
use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const USAGE: &str = "usage: scripts/faults [--cases N] [--seed S] [--case K] [--row NAME] [--lanes L] [--mutant NAME]\n       scripts/faults --table\n       scripts/soak [--forgetting] [--minutes N] [--seed S]";

/// Between two lines about how far a run has come.
const REPORT_EVERY: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    if std::env::args().skip(1).eq(["--table"]) {
        print!("{}", table());
        return ExitCode::SUCCESS;
    }
    let asked = match Asked::read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            match asked.minutes {
                Some(minutes) => one_long_run(asked.course, asked.seed, minutes).await,
                None => matrix(asked).await,
            }
        }),
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            ExitCode::from(69)
        }
    }
}

/// What the command line asks for.
struct Asked {
    cases: u64,
    seed: u64,
    /// This one alone.
    only: Option<u64>,
    /// Cases of this row alone.
    row: Option<String>,
    lanes: usize,
    mutant: Option<&'static str>,
    /// A soak of so many minutes instead of cases.
    minutes: Option<u64>,
    course: Course,
}

impl Asked {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self {
            cases: 500,
            seed: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            only: None,
            row: None,
            lanes: 24,
            mutant: None,
            minutes: None,
            course: Course::Lasting,
        };
        while let Some(word) = words.next() {
            if word == "--forgetting" {
                asked.course = Course::Forgetting;
                continue;
            }
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            let number = || -> Result<u64, String> {
                value
                    .parse()
                    .map_err(|_| format!("{word} {value} is no number"))
            };
            match word.as_str() {
                "--cases" => asked.cases = number()?,
                "--seed" => asked.seed = number()?,
                "--case" => asked.only = Some(number()?),
                "--row" => asked.row = Some(value),
                "--lanes" => asked.lanes = usize::try_from(number()?.max(1)).unwrap_or(1),
                "--minutes" => asked.minutes = Some(number()?),
                "--mutant" => asked.mutant = Some(String::leak(value)),
                other => return Err(format!("{other} is not known")),
            }
        }
        Ok(asked)
    }
}

async fn matrix(asked: Asked) -> ExitCode {
    let numbers = match asked.only {
        Some(only) => only..only + 1,
        None => 0..asked.cases,
    };
    let cases: Vec<Case> = numbers
        .map(|number| Case::draw(asked.seed, number))
        .filter(|case| asked.row.as_ref().is_none_or(|row| case.label() == *row))
        .collect();
    let all = cases.len();
    println!(
        "seed {}, {all} cases, {} at a time",
        asked.seed, asked.lanes
    );
    let (started, mut done, mut wrong) = (Instant::now(), 0_u64, 0_u64);
    let mut reported = started;
    let report = play_all(cases, asked.lanes, asked.mutant, |outcome| {
        done += 1;
        if outcome.is_violation() {
            wrong += 1;
            println!("\nVIOLATION {}", outcome.describe());
        }
        if reported.elapsed() >= REPORT_EVERY || asked.only.is_some() {
            reported = Instant::now();
            let took = started.elapsed().as_secs();
            let left = u64::try_from(all).unwrap_or(0).saturating_sub(done);
            let more = left * took / done.max(1);
            println!("{done} of {all} after {took} s, {wrong} violations, about {more} s to go");
        }
        false
    })
    .await;
    println!("\n{report}");
    println!(
        "seed {}: {} cases in {} s, {wrong} violations",
        asked.seed,
        report.cases(),
        started.elapsed().as_secs()
    );
    match wrong {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

async fn one_long_run(course: Course, seed: u64, minutes: u64) -> ExitCode {
    println!("seed {seed}, {minutes} minutes, {course:?}");
    let soaked = soak(course, seed, Duration::from_secs(60 * minutes)).await;
    for wrong in &soaked.wrong {
        println!("VIOLATION {wrong}");
    }
    println!("{soaked}\n{} violations", soaked.wrong.len());
    match soaked.wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
