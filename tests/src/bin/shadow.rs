//! An hour's worth of proposals, faster than the hour, against a stand-in of the service before this one, with the shadow
//! beside it. `scripts/shadow` runs it.

use apply_tests::Tape;
use std::{process::ExitCode, time::Instant};

/// Three symbols, each computed anew every five seconds, for an hour.
const AN_HOUR: usize = 3 * 3600 / 5;

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let proposals = match (words.next().as_deref(), words.next()) {
        (None, _) => Ok(AN_HOUR),
        (Some("--proposals"), Some(count)) => count.parse().map_err(|_| "how many?".to_owned()),
        (Some(other), _) => Err(format!("{other} is not known: --proposals N")),
    };
    let proposals = match proposals {
        Ok(proposals) => proposals,
        Err(why) => {
            eprintln!("shadow: {why}");
            return ExitCode::from(64);
        }
    };
    let (server, url) = Tape::server().await;
    let began = Instant::now();
    let mut tape = Tape::start(&server.url(), &url, None).await;
    tape.play(proposals).await;
    let said = tape.end().await;
    println!(
        "{} different things, {proposals} times in turn, in {} s",
        Tape::CASES,
        began.elapsed().as_secs()
    );
    let summary = &said.summary;
    for word in [
        "proposals",
        "plans",
        "results",
        "same",
        "explained",
        "unexplained",
        "not_compared",
    ] {
        println!("{word:<14} {}", summary[word]);
    }
    println!("\n| difference | times |\n|---|--:|");
    for (name, count) in summary["differences"].as_object().into_iter().flatten() {
        println!("| `{name}` | {count} |");
    }
    print!("{}", said.shown("unexplained"));
    match said.code {
        Some(0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
