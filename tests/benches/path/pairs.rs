//! Two executables in turns, ours and a reference, so that both see the same machine:
//! `scripts/bench path --against PROGRAM`.

use crate::{
    crowd, grant,
    latency::{Walk, arrivals},
    numbers::{Samples, micros, times},
    process::{self, Service},
    venue::Venue,
    waiting, wire,
};
use apply_tests::server_that_has_been_up;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// The reference, where one was named.
pub(crate) fn asked_for(arguments: &[String]) -> Option<PathBuf> {
    let at = arguments.iter().position(|word| word == "--against")?;
    let named = arguments.get(at + 1).expect("--against needs a program");
    let program = std::path::absolute(named).unwrap();
    assert!(
        program.is_file(),
        "no program lies at {}",
        program.display()
    );
    Some(program)
}

/// How often, and how much each time.
pub(crate) struct Turns {
    turns: usize,
    rounds: usize,
    starts: usize,
    crowds: Vec<usize>,
    window: Duration,
    waiting: usize,
}

impl Turns {
    pub(crate) fn new(real: bool) -> Self {
        if real {
            return Self {
                turns: 3,
                rounds: 300,
                starts: 7,
                crowds: vec![100, 1_000],
                window: Duration::from_secs(6),
                waiting: 10_000,
            };
        }
        Self {
            turns: 2,
            rounds: 20,
            starts: 2,
            crowds: vec![10],
            window: Duration::from_secs(1),
            waiting: 100,
        }
    }
}

/// One figure of one program in one turn.
struct Figure {
    name: String,
    value: f64,
}

/// Each figure of both programs, with the ratio of each turn's pair.
pub(crate) async fn measure(
    ours: &Path,
    reference: &Path,
    turns: &Turns,
    wanted: impl Fn(&str) -> bool,
) -> String {
    let mut pairs = Vec::new();
    for turn in 1..=turns.turns {
        eprintln!("turn {turn} of {}", turns.turns);
        // Ours goes first in one turn and second in the next: whatever drifts favours neither.
        if turn % 2 == 1 {
            let first = one_turn(ours, turns, &wanted).await;
            pairs.push((first, one_turn(reference, turns, &wanted).await));
        } else {
            let first = one_turn(reference, turns, &wanted).await;
            pairs.push((one_turn(ours, turns, &wanted).await, first));
        }
    }
    table(&pairs)
}

async fn one_turn(program: &Path, turns: &Turns, wanted: impl Fn(&str) -> bool) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut note = |name: String, value: f64| figures.push(Figure { name, value });
    if wanted("latency") {
        let server = server_that_has_been_up().await;
        let mut walk = Walk::new(&server).await;
        let venue = Venue::start(1);
        let service = Service::start(program, &server, &venue, &wire::symbols(1), &[]);
        walk.rounds(turns.rounds / 10 + 1, Duration::ZERO).await;
        let passed = walk.rounds(turns.rounds, Duration::ZERO).await;
        let arrived = arrivals(&venue);
        let to_order = passed
            .iter()
            .map(|(plan, at)| Duration::from_nanos(arrived[plan].saturating_sub(at.proposed)));
        let to_order = Samples::new(to_order.collect());
        drop(service);
        let grants = grant::measure(program, &server, &mut walk, turns.rounds).await;
        note(
            "proposal → order read by the venue, p50, µs".into(),
            micros(to_order.p50()),
        );
        note(
            "grant → order read by the venue, p50, µs".into(),
            micros(grants.to_order.p50()),
        );
        note(
            "grant → order read by the venue, p99, µs".into(),
            micros(grants.to_order.p99()),
        );
        let bare = &grants.bare_post;
        note(
            "grant → order, p50, × a bare POST after the same silence".into(),
            times(grants.to_order.p50(), bare.p50()),
        );
        note(
            "grant → order, p99, × a bare POST after the same silence".into(),
            times(grants.to_order.p99(), bare.p99()),
        );
    }
    if wanted("crowd") {
        for symbols in &turns.crowds {
            let found = crowd::measure(program, *symbols, turns.window).await;
            let plans = found.plans as f64;
            note(
                format!("plans a second, {symbols} symbols"),
                plans / found.within.as_secs_f64(),
            );
            note(
                format!("our processor time a plan, {symbols} symbols, µs"),
                micros(found.processor) / plans,
            );
            note(
                format!("resident at work, {symbols} symbols, KiB"),
                found.resident as f64,
            );
            note(
                format!("context switches a plan, {symbols} symbols"),
                found.switches,
            );
            note(
                format!("requests to the venue a plan, {symbols} symbols"),
                found.requests.values().sum(),
            );
            note(
                format!("our scripts a plan, {symbols} symbols"),
                found.scripts,
            );
            note(
                format!("commands of everybody a plan, {symbols} symbols"),
                found.ran,
            );
        }
    }
    if wanted("waiting") {
        let found = waiting::measure(program, turns.waiting).await;
        note(
            format!("resident, {} plans waiting, KiB", found.plans),
            found.resident as f64,
        );
    }
    if wanted("start") {
        let server = server_that_has_been_up().await;
        let venue = Venue::start(1);
        let idle = Service::start(program, &server, &venue, &wire::symbols(1), &[]);
        // What starting costs is over by then; memory is read, no time is.
        tokio::time::sleep(Duration::from_secs(1)).await;
        note("resident, idle, KiB".into(), idle.resident() as f64);
        drop(idle);
        let starts = process::starts(program, turns.starts).await;
        note(
            "start to ready, p50, ms".into(),
            micros(starts.ready.p50()) / 1e3,
        );
        note("the program, KiB".into(), starts.binary as f64 / 1024.0);
    }
    figures
}

/// What ours and the reference came to in one turn.
type Pair = (Vec<Figure>, Vec<Figure>);

fn table(pairs: &[Pair]) -> String {
    let mut text = format!(
        "\n**Against a reference**, {} turns each, one after the other; each figure is the middle one of its turns, a \
         ratio that of the two programs in one turn.\n\n| | ours | reference | ratio | of all turns |\n|---|--:|--:|--:|--:|\n",
        pairs.len()
    );
    let Some((first, _)) = pairs.first() else {
        return text;
    };
    for (number, figure) in first.iter().enumerate() {
        let each = |of: fn(&Pair) -> &Vec<Figure>| -> Vec<f64> {
            pairs.iter().map(|pair| of(pair)[number].value).collect()
        };
        let (ours, reference) = (each(|pair| &pair.0), each(|pair| &pair.1));
        let mut ratios: Vec<f64> = ours.iter().zip(&reference).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        writeln!(
            text,
            "| {} | {} | {} | **{:.2}** | {:.2} to {:.2} |",
            figure.name,
            rounded(middle(ours)),
            rounded(middle(reference)),
            middle(ratios.clone()),
            ratios.first().copied().unwrap_or_default(),
            ratios.last().copied().unwrap_or_default(),
        )
        .unwrap();
    }
    text
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// As many digits as say something.
fn rounded(value: f64) -> String {
    match value {
        small if small < 100.0 => format!("{small:.2}"),
        large => format!("{large:.0}"),
    }
}
