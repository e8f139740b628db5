//! Walks the scopes of docs/protocol-model.md to their last state and prints its tables; `scripts/model`
//! starts it.

use plan_protocol::{
    Forgetting, Named, Rules, Scope, Times, Walk, large, longest, rows, small, walk,
};
use std::{process::ExitCode, time::Instant};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ok = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => walk_all("") & drop_rules("") & shortest_waits(),
        ["rules"] => drop_rules(""),
        ["rules", part] => drop_rules(part),
        ["longest"] => walk_each(longest().iter(), ""),
        ["waits"] => shortest_waits(),
        ["scopes"] => walk_all(""),
        ["scopes", part] => walk_all(part),
        _ => {
            eprintln!(
                "usage: scripts/model [scopes [part of a name] | rules [part of a name] | waits | longest]"
            );
            return ExitCode::from(2);
        }
    };
    match ok {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

const WALK: Walk = Walk {
    threads: 2,
    until: &[],
    most: None,
    progress: Some(|states| eprintln!("   {states} states so far")),
};

fn walk_all(part: &str) -> bool {
    walk_each(small().iter().chain(&large()), part)
}

fn walk_each<'a>(scopes: impl Iterator<Item = &'a Named>, part: &str) -> bool {
    let mut ok = true;
    println!("| what may happen | states | steps | depth | seconds |");
    println!("|---|--:|--:|--:|--:|");
    for named in scopes {
        if !named.name.contains(part) {
            continue;
        }
        let begun = Instant::now();
        let report = walk(named.scope, WALK);
        println!(
            "| {} | {} | {} | {} | {} |",
            named.name,
            report.states,
            report.transitions,
            report.depth,
            begun.elapsed().as_secs(),
        );
        for (property, trace) in &report.violations {
            println!("not kept: {property}\n{trace}");
        }
        if !report.unseen.is_empty() {
            println!("never seen: {:?}", report.unseen);
        }
        ok &= report.complete && report.unseen.is_empty();
    }
    ok
}

/// Each rule dropped, with the shortest way to what breaks on stderr.
fn drop_rules(part: &str) -> bool {
    let mut ok = true;
    println!("| dropped | breaks | states |");
    println!("|---|---|--:|");
    for row in rows() {
        if !row.dropped.contains(part) {
            continue;
        }
        let until = row.breaks;
        let report = walk(
            row.scope,
            Walk {
                until,
                ..Walk::default()
            },
        );
        println!("| {} | {} | {} |", row.dropped, row.costs(), report.states);
        for (property, trace) in &report.violations {
            eprintln!("{}: {property}\n{trace}", row.dropped);
        }
        ok &= row.breaks.iter().all(|p| report.violations.contains_key(p));
        ok &= !row.breaks.is_empty() || report.complete;
    }
    ok
}

/// The smallest W and A for which nothing breaks, for other times than the usual ones.
fn shortest_waits() -> bool {
    let mut ok = true;
    println!("| T F D R S | W, the store forgets | W, failover | A |");
    println!("|---|--:|--:|--:|");
    for (t, f, d, r, s) in [
        (2, 1, 1, 2, 1),
        (1, 1, 2, 1, 1),
        (2, 2, 1, 1, 1),
        (3, 0, 1, 2, 1),
        (2, 1, 2, 1, 0),
    ] {
        let times = |w, a| Times {
            t,
            f,
            d,
            r,
            s,
            w,
            a,
            lag: 0,
        };
        let most = f.max(d) + r + s + 1;
        let scope = Scope::quiet(Rules::FENCE);
        let smallest = |scope: &dyn Fn(u8) -> Scope| {
            (0..=most + 1).find(|wait| walk(scope(*wait), Walk::default()).violations.is_empty())
        };
        let forgets = smallest(&|w| scope.times(times(w, most)).forgets(1, Forgetting::FLUSH));
        let failover = smallest(&|w| scope.times(times(w, most)).forgets(1, Forgetting::FAILOVER));
        let adoption = smallest(&|a| scope.times(times(most, a)));
        let number = |found: Option<u8>| found.map_or("none".into(), |found| found.to_string());
        println!(
            "| {t} {f} {d} {r} {s} | {} | {} | {} |",
            number(forgets),
            number(failover),
            number(adoption)
        );
        ok &= forgets == Some(f + r + s + 1)
            && failover == Some(d + r + s + 1)
            && adoption == Some(f + r + s + 1);
    }
    ok
}
