//! The journal under `kill -9` and on a disk that is full: this program starts itself as the writer
//! that is killed. What the writer reported as being on disk has to be there afterwards.
#![allow(clippy::unwrap_used)]

mod common;

use apply_core::{Entry, Journal, Recorded};
use apply_journal::{JournalSettings, OpenError, RedbJournal};
use common::*;
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("open") => match open(Path::new(&arguments[2])) {
            Ok(_) => println!("open"),
            Err(error) => println!("{error}"),
        },
        Some("write") => write(Path::new(&arguments[2]), arguments[3].parse().unwrap()),
        // What the test runner asks of every test program.
        Some("--list") => println!("killed: test"),
        _ => {
            what_was_answered_survives_a_kill();
            a_first_start_that_is_killed_leaves_nothing_in_the_way();
            a_full_disk_is_answered_with_no_and_loses_nothing();
            a_conversion_that_is_killed_begins_anew();
            a_full_disk_during_the_conversion_is_no_damage();
            println!("test result: ok. 5 passed");
        }
    }
}

fn open(dir: &Path) -> Result<RedbJournal, OpenError> {
    RedbJournal::open(dir, JournalSettings::for_claims_of(Duration::from_secs(60)))
}

/// Writes intents down from `first` on and says each number that is on disk, or that it was refused.
fn write(dir: &Path, first: u64) {
    let journal = open(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let mut out = std::io::stdout().lock();
    for n in first.. {
        let words = match runtime.block_on(journal.record_intent(&intent(n))) {
            Ok(Recorded::Now) => n.to_string(),
            other => format!("refused {other:?}"),
        };
        writeln!(out, "{words}").unwrap();
        out.flush().unwrap();
        if words.starts_with("refused") {
            return;
        }
    }
}

/// Starts this program with these words and kills it then, wherever it is.
fn kill_after(moment: Duration, words: &[&str]) {
    let mut started = Command::new(std::env::current_exe().unwrap())
        .args(words)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(moment);
    started.kill().unwrap();
    started.wait().unwrap();
}

fn what_was_answered_survives_a_kill() {
    let dir = Dir::new();
    let mut next = 0;
    for round in 0..12 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["write", dir.path().to_str().unwrap(), &next.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        // Another number of writes each time; the kill comes in the middle of the next one.
        let wanted = 1 + round * 7;
        let mut said: Vec<String> = lines.by_ref().take(wanted).map(Result::unwrap).collect();
        writer.kill().unwrap();
        writer.wait().unwrap();
        said.extend(lines.map(Result::unwrap));
        let last: u64 = said.last().unwrap().parse().unwrap();
        let entries = entries(&dir);
        assert!(
            entries == last + 1 || entries == last + 2,
            "round {round}: {entries} entries after {last} was answered"
        );
        next = entries;
    }
    println!("test what_was_answered_survives_a_kill ... ok ({next} intents, 12 kills)");
}

/// Killed at ever later moments, of which some lie within the making of the file.
fn a_first_start_that_is_killed_leaves_nothing_in_the_way() {
    let mut begun = 0;
    for round in 0..60 {
        let dir = Dir::new();
        let moment = Duration::from_micros(400 * round);
        kill_after(moment, &["write", dir.path().to_str().unwrap(), "0"]);
        begun += u32::from(dir.path().join("journal.redb.new").exists());
        let opened = dir.open();
        assert!(opened.is_ok(), "round {round}: {opened:?}");
    }
    println!(
        "test a_first_start_that_is_killed_leaves_nothing_in_the_way ... ok ({begun} of 60 half begun)"
    );
}

fn a_full_disk_is_answered_with_no_and_loses_nothing() {
    let dir = Dir::new();
    // A limit on the size of files, with its signal ignored, fails writes as a full disk does.
    let limited = "trap '' XFSZ; ulimit -f 1600; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["write", dir.path().to_str().unwrap(), "0"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let (refusal, answered) = lines.split_last().unwrap();
    assert!(
        refusal.starts_with("refused Err") && refusal.contains("fix the disk"),
        "{refusal}"
    );
    assert!(!answered.is_empty(), "there was room at first");
    let entries = entries(&dir);
    assert_eq!(
        entries,
        answered.len() as u64,
        "what was refused is not there"
    );
    println!("test a_full_disk_is_answered_with_no_and_loses_nothing ... ok ({entries} intents)");
}

/// A directory with what an earlier version wrote.
fn former(entries: u64) -> Dir {
    let dir = Dir::new();
    let name = dir.open().unwrap().name().to_owned();
    std::fs::remove_file(dir.database()).unwrap();
    let all: Vec<Entry> = (0..entries).map(|n| Entry::intending(intent(n))).collect();
    write_in_the_former_format(&dir.database(), &name, &all);
    dir
}

/// Killed at ever later moments, of which some lie within it.
fn a_conversion_that_is_killed_begins_anew() {
    let dir = former(2_000);
    let whole = std::fs::read(dir.database()).unwrap();
    for round in 0..30 {
        std::fs::write(dir.database(), &whole).unwrap();
        let moment = Duration::from_millis(4 * round);
        kill_after(moment, &["open", dir.path().to_str().unwrap()]);
        assert_eq!(entries(&dir), 2_000, "round {round}");
    }
    println!("test a_conversion_that_is_killed_begins_anew ... ok (30 kills)");
}

fn a_full_disk_during_the_conversion_is_no_damage() {
    let dir = former(2_000);
    let size = dir.database().metadata().unwrap().len();
    let limited = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", size / 512);
    let output = Command::new("sh")
        .args(["-c", &limited, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["open", dir.path().to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("room on its disk") && !said.contains("damaged"),
        "{said}"
    );
    assert_eq!(entries(&dir), 2_000, "once there is room");
    println!("test a_full_disk_during_the_conversion_is_no_damage ... ok");
}

fn entries(dir: &Dir) -> u64 {
    let journal = dir.open().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let entries = runtime.block_on(journal.fetch_unfinished()).unwrap();
    entries.len() as u64
}
