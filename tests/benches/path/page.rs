//! The figures as tables, each beside its reference from the same run.

use crate::{
    cluster::OnCluster,
    crowd::Crowd,
    flood::Flood,
    growth,
    latency::Latency,
    numbers::{Samples, micros, times},
    process::Starts,
    recovery::Recovery,
    waiting::Waiting,
};
use exchange_sim::Limits;
use std::{fmt::Write as _, fs, path::Path, time::Duration};

pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new() -> Self {
        Self(format!("{}, everything on this machine.\n", machine()))
    }

    pub(crate) fn latency(&mut self, found: &Latency) {
        let mut text = format!(
            "\n**One plan at a time**, {} plans; microseconds. The floor is the same commands in the same order by a program \
             that has nothing to decide.\n\n| | p50 | p99 | p50 / p50 of its floor | p99 / p99 of its floor |\n|---|--:|--:|--:|--:|\n",
            found.to_plan.count()
        );
        let mut row = |name: &str, samples: &Samples, floor: Option<&Samples>| {
            let ratio = |of: fn(&Samples) -> Duration| {
                floor.map_or("–".to_owned(), |floor| {
                    format!("{:.2}", times(of(samples), of(floor)))
                })
            };
            writeln!(
                text,
                "| {name} | {:.0} | {:.0} | {} | {} |",
                micros(samples.p50()),
                micros(samples.p99()),
                ratio(Samples::p50),
                ratio(Samples::p99)
            )
            .unwrap();
        };
        let floor = &found.floor;
        row("floor: proposal written → plan read", &floor.to_plan, None);
        row(
            "proposal written → plan read from the stream ¹",
            &found.to_plan,
            Some(&floor.to_plan),
        );
        row(
            "bare keep-alive POST and its answer, back to back",
            &floor.post,
            None,
        );
        row(
            "bare keep-alive POST and its answer ²",
            &found.grants.bare_post,
            None,
        );
        row(
            "grant → order that was signed before, read by the venue ²",
            &found.grants.bare_to_order,
            Some(&found.grants.bare_post),
        );
        row(
            "grant → order read by the venue ²",
            &found.grants.to_order,
            Some(&found.grants.bare_post),
        );
        row(
            "last permit sent → order read by the venue",
            &found.permit_to_order,
            None,
        );
        row(
            "floor: proposal written → POST answered",
            &floor.to_order,
            None,
        );
        row(
            "proposal written → order read by the venue ¹",
            &found.to_order,
            Some(&floor.to_order),
        );
        text.push_str(
            "\n¹ With the 500 µs for which a proposal has to be left alone before it is read.\n\
             ² After the 15 ms for which the issuers think here, and nowhere else: the order is ready, and every process \
             asleep. A grant is the moment at which the answer to the take goes out to the caller, seen by a relay in \
             between; the floor is the bare POST after the same silence.\n",
        );
        let sent: usize = found.commands.values().sum();
        let each: Vec<String> = found
            .commands
            .iter()
            .map(|(name, count)| format!("{:.2} {name}", *count as f64 / found.counted as f64))
            .collect();
        writeln!(
            text,
            "\nCommands the service sends to Redis for a plan, from proposal to result: **{:.2}** ({}), counted over {} plans.",
            sent as f64 / found.counted as f64,
            each.join(", "),
            found.counted
        )
        .unwrap();
        self.0 += &text;
    }

    pub(crate) fn crowd(&mut self, rows: &[Crowd]) {
        let mut text = "\n**As many as go through**: each symbol gets its next proposal with its result.\n\n\
             | symbols | plans/s, proposal to result | our processor time a plan, µs | our share of a core | resident, KiB | Redis: our scripts a plan | Redis: commands a plan, everybody's, inside scripts too |\n\
             |--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
        for row in rows {
            let seconds = row.within.as_secs_f64();
            writeln!(
                text,
                "| {} | {:.0} | {:.0} | {:.0} % | {} | {:.2} | {:.1} |",
                row.symbols,
                row.plans as f64 / seconds,
                micros(row.processor) / row.plans as f64,
                row.processor.as_secs_f64() / seconds * 100.0,
                row.resident,
                row.scripts,
                row.ran
            )
            .unwrap();
        }
        self.0 += &text;
        self.0 += &growth::table(rows);
    }

    /// What one plan costs in a crowd, counted.
    pub(crate) fn counts(&mut self, found: &Crowd) {
        let mut text = format!(
            "\n**Counted** with {} symbols at work, for one plan: {:.1} µs of our processor time, {:.1} context switches.\n\n\
             | | |\n|---|--:|\n",
            found.symbols,
            micros(found.processor) / found.plans as f64,
            found.switches
        );
        let requests: f64 = found.requests.values().sum();
        writeln!(text, "| requests to the venue | {requests:.2} |").unwrap();
        for (name, count) in found.requests.iter().filter(|(_, count)| **count > 0.005) {
            writeln!(text, "| `{name}` | {count:.2} |").unwrap();
        }
        writeln!(
            text,
            "| Redis: our scripts | {:.2} |\n| Redis: commands of everybody, inside scripts too | {:.1} |",
            found.scripts, found.ran
        )
        .unwrap();
        for (name, count) in found.commands.iter().filter(|(_, count)| **count > 0.005) {
            writeln!(text, "| `{name}` | {count:.2} |").unwrap();
        }
        self.0 += &text;
    }

    pub(crate) fn cluster(&mut self, found: &OnCluster) {
        let plans = found.plans as f64;
        let seconds = found.within.as_secs_f64();
        let mut text = format!(
            "\n**On a cluster** of {} masters, tagged permit keys, {} symbols: {:.0} plans/s. Everybody's commands, those inside \
             scripts too.\n\n| master | streams there | permits written there | commands a plan | its processor time a plan, µs | its share of a core |\n\
             |--:|---|--:|--:|--:|--:|\n",
            found.masters.len(),
            found.symbols,
            plans / seconds
        );
        let permits: u64 = found.masters.iter().map(|master| master.permits).sum();
        for (number, master) in found.masters.iter().enumerate() {
            let streams = match master.streams.is_empty() {
                true => "–".to_owned(),
                false => master.streams.join(", "),
            };
            writeln!(
                text,
                "| {} | {streams} | {:.1} % | {:.1} | {:.0} | {:.0} % |",
                number + 1,
                master.permits as f64 / permits as f64 * 100.0,
                master.commands as f64 / plans,
                micros(master.processor) / plans,
                master.processor.as_secs_f64() / seconds * 100.0
            )
            .unwrap();
        }
        self.0 += &text;
    }

    pub(crate) fn flood(&mut self, found: &Flood) {
        let (kept, of, out_of_order) = found.kept;
        let refused: Vec<String> = found
            .refused
            .iter()
            .map(|(reason, count)| format!("{count} `{reason}`"))
            .collect();
        let [rest, busy, peak, over] = found.resident;
        let millis = |time: Duration| format!("{:.1} ms", micros(time) / 1e3);
        let mut text = format!(
            "\n**A flood**: {} symbols rewritten for {} s ten times as fast as plans go through, room for {} of them.\n\n\
             | | |\n|---|--:|\n",
            found.size.symbols,
            found.size.window.as_secs(),
            found.size.room
        );
        for (name, value) in [
            (
                "plans/s that go through without it",
                format!("{:.0}", found.full),
            ),
            (
                "proposals/s offered",
                format!(
                    "{:.0}, {:.1} times as many",
                    found.offered,
                    found.offered / found.full
                ),
            ),
            (
                "plans/s carried out meanwhile",
                format!("{:.0}", found.done),
            ),
            ("refused for now, until there was room", refused.join(", ")),
            (
                "resident, KiB: at rest, without it, at most in it, after it",
                format!("{rest}, {busy}, {peak}, {over}"),
            ),
            (
                "written once before or in it: carried out",
                format!("{kept} of {of}"),
            ),
            (
                "of these claimed before one that was refused earlier",
                out_of_order.to_string(),
            ),
            (
                "written once in it: proposal to result, p50 and worst",
                format!(
                    "{}, {}",
                    millis(found.amidst.p50()),
                    millis(found.amidst.worst())
                ),
            ),
            (
                "after its end, until a plan takes no longer than 99 of 100 did before",
                millis(found.normal_after),
            ),
            (
                "one plan at a time, proposal to result, p50: before, after, ratio",
                format!(
                    "{}, {}, {:.2}",
                    millis(found.before.p50()),
                    millis(found.after.p50()),
                    times(found.after.p50(), found.before.p50())
                ),
            ),
        ] {
            writeln!(text, "| {name} | {value} |").unwrap();
        }
        self.0 += &text;
    }

    pub(crate) fn waiting(&mut self, rows: &[Waiting]) {
        let mut text =
            "\n**Plans that wait** for permits that are never written, one a symbol.\n\n\
             | waiting | resident, KiB | KiB a plan | share of a core |\n|--:|--:|--:|--:|\n"
                .to_owned();
        let idle = rows.first().map_or(0, |row| row.resident);
        for row in rows {
            let each = match row.plans {
                0 => "–".to_owned(),
                plans => format!(
                    "{:.2}",
                    row.resident.saturating_sub(idle) as f64 / plans as f64
                ),
            };
            writeln!(
                text,
                "| {} | {} | {each} | {:.1} % |",
                row.plans,
                row.resident,
                row.share * 100.0
            )
            .unwrap();
        }
        self.0 += &text;
    }

    pub(crate) fn start(&mut self, found: &Starts) {
        writeln!(
            self.0,
            "\n**Start to ready** on an empty journal: {:.1} ms (p50 of {} starts); the binary is {:.1} MiB.",
            micros(found.ready.p50()) / 1e3,
            found.ready.count(),
            found.binary as f64 / 1_048_576.0
        )
        .unwrap();
    }

    pub(crate) fn recovery(&mut self, found: &Recovery) {
        let mut text = format!(
            "\n**Start to ready with {} intents without an outcome**, half of their orders at the venue, which enforces the test host's limits; {} starts; milliseconds.\n\n\
             | | p50 | worst | p50 / p50 of its floor |\n|---|--:|--:|--:|\n",
            found.intents,
            found.ready.count()
        );
        for (name, samples) in [
            ("floor: one bare GET for each, 16 connections", &found.floor),
            ("start to ready, nothing to recover", &found.empty),
            ("start to ready, as many to recover", &found.ready),
            ("start to the last result of those", &found.published),
        ] {
            writeln!(
                text,
                "| {name} | {:.0} | {:.0} | {:.2} |",
                micros(samples.p50()) / 1e3,
                micros(samples.worst()) / 1e3,
                times(samples.p50(), found.floor.p50())
            )
            .unwrap();
        }
        writeln!(
            text,
            "\nRequest weight in the minute of such a start: {} of {}.",
            found.weight,
            Limits::test_host().weight_per_minute
        )
        .unwrap();
        self.0 += &text;
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Into docs/benchmarks.md, between its marks.
    pub(crate) fn keep(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
        let page = fs::read_to_string(&path).unwrap();
        let (begin, end) = ("<!-- path: begin -->\n", "<!-- path: end -->");
        let (before, rest) = page
            .split_once(begin)
            .expect("a mark in docs/benchmarks.md");
        let (_, after) = rest.split_once(end).expect("the other mark");
        fs::write(&path, format!("{before}{begin}{}{end}{after}", self.0)).unwrap();
    }
}

/// What this runs on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unnamed processor", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let redis = std::process::Command::new("redis-server")
        .arg("--version")
        .output();
    let redis = redis.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let redis = redis.unwrap_or_default();
    let version = redis
        .split(' ')
        .find_map(|word| word.strip_prefix("v="))
        .unwrap_or("?");
    format!(
        "{model}, {cores} cores, Linux {}, redis-server {version}",
        kernel.trim().split('-').next().unwrap_or_default()
    )
}
