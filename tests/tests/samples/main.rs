//! What README and docs show: every command is one that the program knows, every command block is run, and every sample of
//! output is compared with what is printed. A block that is not run says why behind its fence (`not-run: …`).
#![allow(clippy::unwrap_used)]

mod blocks;
mod links;
mod neighbours;
mod shape;
mod shell;
mod words;

use apply_tests::{PLANS, ServiceBuilder, Stage, position_permit, within};
use blocks::{Block, Sample, blocks};
use redis_harness::RedisServer;
use shape::fits;
use shell::Shell;
use std::{collections::BTreeSet, time::Duration};

/// The words of each call of the program in a line of a shell: `a | b && c`, with variables before it. A word in
/// quotation marks is one.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = line.trim_start_matches("$ ");
    let line = line.split(" #").next().unwrap_or_default();
    let (mut calls, mut words, mut quoted): (Vec<Vec<String>>, Vec<String>, bool) =
        (Vec::new(), Vec::new(), false);
    for word in line.split_whitespace() {
        let marks = word.matches('\'').count();
        let bare = word.replace('\'', "");
        match (quoted, word) {
            (true, _) => {
                let last = words.last_mut().unwrap();
                *last = format!("{last} {bare}");
            }
            (false, "|" | "&&" | "||" | ";" | ">" | "<" | "&") => {
                calls.push(std::mem::take(&mut words));
            }
            (false, _) => words.push(bare),
        }
        quoted ^= marks % 2 == 1;
    }
    calls.push(words);
    let program = |words: Vec<String>| {
        let at = words
            .iter()
            .position(|word| word == "apply-layer" || word == "/usr/bin/apply-layer")?;
        let before = &words[..at];
        let is_call = before
            .iter()
            .all(|word| word.contains('=') || word == "sudo" || word == "exec");
        is_call.then(|| words[at + 1..].to_vec())
    };
    calls.into_iter().filter_map(program).collect()
}

#[tokio::test]
async fn every_command_of_the_docs_is_one_that_the_program_knows() {
    let mut known = BTreeSet::new();
    for block in blocks() {
        for line in &block.lines {
            for mut words in calls(line) {
                // A place that the reader fills in, or the rest of a sentence.
                words.retain(|word| !word.starts_with(['<', '…']));
                known.insert((block.file.clone(), words));
            }
        }
    }
    assert!(known.len() >= 20, "{known:?}");
    for (file, words) in known {
        // Everything before `--help` is read, and nothing is done.
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("--help");
        let ended = ServiceBuilder::command(&words).ended().await;
        assert_eq!(
            ended.code,
            Some(0),
            "{file}: apply-layer {words:?}: {}",
            ended.output()
        );
    }
}

#[test]
fn every_block_is_run_or_compared_or_says_why_not() {
    let compared: Vec<Sample> = COMPARED.iter().flat_map(|file| samples_of(file)).collect();
    let mut seen = 0;
    for block in blocks().iter().filter(|block| block.is_shell_or_output()) {
        seen += 1;
        let place = block.place();
        match &block.not_run {
            Some(why) => assert!(why.split(' ').count() >= 3, "{place}: why is it not run?"),
            None if block.is_console() => {
                for sample in block.samples() {
                    let known = compared.iter().any(|one| one.command == sample.command);
                    assert!(known, "{place}: nothing compares {:?}", sample.command);
                }
            }
            None => assert_eq!(
                block.language, "sh",
                "{place}: it is neither a command nor its output"
            ),
        }
    }
    assert!(seen >= 25, "{seen} blocks");
}

/// The documents whose samples are compared below.
const COMPARED: [&str; 4] = [
    "README.md",
    "docs/life-of-a-plan.md",
    "docs/operations.md",
    "docs/scaling.md",
];

fn samples_of(file: &str) -> Vec<Sample> {
    let blocks = blocks().into_iter().filter(|block| block.file == file);
    let shown = blocks.filter(|block| block.is_console() && block.not_run.is_none());
    shown.flat_map(|block| block.samples()).collect()
}

#[tokio::test]
async fn every_command_block_is_run() {
    let runs =
        |block: &Block| block.language == "sh" && !block.is_console() && block.not_run.is_none();
    let blocks: Vec<Block> = blocks().into_iter().filter(runs).collect();
    assert!(blocks.len() >= 9, "{}", blocks.len());
    for block in blocks {
        let stage = Stage::open().await;
        let how = stage.service();
        let shell = Shell::new(&stage, &how.without("APPLY_MODE"), None);
        shell.file("permit.json", &position_permit("BTCUSDT", "0.008"));
        let output = shell.run(&block.lines.join("\n")).await;
        assert!(output.status.success(), "{}: {output:?}", block.place(),);
    }
}

/// The samples of a document, each compared as its command is run.
struct Shown {
    file: &'static str,
    left: Vec<Sample>,
    /// What is printed where a sample shows something else.
    wrong: Vec<String>,
}

impl Shown {
    fn of(file: &'static str) -> Self {
        let left = samples_of(file);
        assert!(!left.is_empty(), "{file}");
        Self {
            file,
            left,
            wrong: Vec::new(),
        }
    }

    /// Runs the next command with this in it, about this plan, and holds what it prints against its sample.
    async fn compare(&mut self, shell: &Shell, begins: &str, plan: &str) {
        let begins = |sample: &Sample| sample.command.contains(begins);
        let at = self.left.iter().position(begins).unwrap();
        let Sample { command, prints } = self.left.remove(at);
        let words = command.split(' ').map(|word| match is_plan(word) {
            true => plan,
            false => word,
        });
        let ours = words.collect::<Vec<_>>().join(" ");
        let printed = shell.prints(&ours).await;
        if !fits(&prints, &printed) {
            self.wrong
                .push(format!("$ {command}\n{}\n", printed.join("\n")));
        }
    }

    /// Nothing is left, and everything was as it is shown.
    fn end(self) {
        assert!(self.left.is_empty(), "{}: {:?}", self.file, self.left);
        let wrong = self.wrong.join("\n");
        assert_eq!(wrong, "", "{}: what is printed is\n{wrong}", self.file);
    }
}

fn is_plan(word: &str) -> bool {
    word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[tokio::test]
async fn the_samples_of_the_operators_day_are_what_the_commands_print() {
    let mut shown = Shown::of("docs/operations.md");
    let stage = Stage::open_on(RedisServer::builder().aof("everysec").start().await).await;
    stage.has_been_up().await;
    let how = stage.service().env("REDIS_URL", shell::redis(&stage));
    let how = how.env("APPLY_MODE", "dry_run").env("SYMBOLS", "BTCUSDT");
    let how = how.env("APPLY_ALLOWLIST", "BTCUSDT");
    let service = how.clone().ready().await;
    let shell = Shell::new(&stage, &how, Some(service.address().await.port()));
    // A plan that would have been executed.
    let proposed = [("kill_score", "0.1")];
    stage.propose_with("BTCUSDT", "PARTIAL_75", &proposed).await;
    let first = stage.only_plan("BTCUSDT").await;
    stage.approve(&first, "0.009").await;
    let first = first.get("plan_id").to_owned();
    stage.result_of(&first).await;
    shown.compare(&shell, "check", "").await;
    // One with a permit that is missing.
    let proposed = [("kill_score", "0.7")];
    stage
        .propose_with("BTCUSDT", "FULL_CLOSE_PROPOSED", &proposed)
        .await;
    let second = stage.plan("BTCUSDT", &[first].into()).await;
    let second = second.get("plan_id").to_owned();
    shown.compare(&shell, "plans tail", "").await;
    shown.compare(&shell, "permits grant", &second).await;
    shown.compare(&shell, "permits ls", "").await;
    shown.compare(&shell, "permits show", &second).await;
    shown.compare(&shell, "permits judge", "").await;
    // The position brain says no.
    let no = r#"{"allow":false,"symbol":"BTCUSDT","reason":"reconcile_required_qty_mismatch","created_at":1}"#;
    stage.allow(&second, no).await;
    stage.result_of(&second).await;
    shown.compare(&shell, "results tail", "").await;
    shown.compare(&shell, "stats", "").await;
    shown.compare(&shell, "halt", "").await;
    shown
        .compare(&shell, "propose BTCUSDT PARTIAL_50", "")
        .await;
    let blocked = stage.wait_for_entry(PLANS, "it is decided", |entry| {
        entry.get("action") == "PARTIAL_50"
    });
    stage.result_of(blocked.await.get("plan_id")).await;
    shown.compare(&shell, "status", "").await;
    let resumed = shell.run("apply-layer resume").await;
    assert!(resumed.status.success(), "{resumed:?}");
    shown
        .compare(&shell, "propose BTCUSDT PARTIAL_75", "")
        .await;
    // It asks once nothing stands against it: the journal notes a moment later that a result is out.
    let asks = format!("apply-layer forget {second} --json");
    within("the plan may be forgotten", async {
        while shell.run(&asks).await.status.code() != Some(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    shown.compare(&shell, "forget", &second).await;
    // The last plan waits for its permits.
    drop(service);

    // Five closes of which one is denied, with the real venue's stand-in.
    let stage = Stage::open().await;
    let how = stage.service();
    let service = how.clone().ready().await;
    let shell = Shell::new(&stage, &how, Some(service.address().await.port()));
    let _governor = stage.governor(Duration::ZERO).await;
    let _brain = stage
        .position_brain_saying(|plan| {
            let permit = match plan.get("action") {
                "FULL_CLOSE_PROPOSED" => {
                    r#"{"allow":false,"symbol":"BTCUSDT","created_at":1}"#.into()
                }
                _ => position_permit("BTCUSDT", "0.006"),
            };
            Some((Duration::ZERO, permit))
        })
        .await;
    let mut known = std::collections::HashSet::new();
    for action in [
        "PARTIAL_75",
        "PARTIAL_50",
        "PARTIAL_25",
        "FULL_CLOSE_PROPOSED",
        "PARTIAL_75",
    ] {
        stage.propose("BTCUSDT", action).await;
        let plan = stage.plan("BTCUSDT", &known).await;
        let id = plan.get("plan_id").to_owned();
        stage.result_of(&id).await;
        known.insert(id);
    }
    assert_eq!(stage.entries(PLANS).await.len(), 5);
    shown.compare(&shell, "cycles", "").await;
    service.stopped_well().await;
    shown.end();
}

#[tokio::test]
async fn the_samples_of_the_demo_are_what_it_prints() {
    let stage = Stage::open().await;
    let shell = Shell::new(&stage, &stage.service(), None);
    for file in ["README.md", "docs/life-of-a-plan.md"] {
        let mut shown = Shown::of(file);
        shown.compare(&shell, "demo", "").await;
        shown.end();
    }
}

#[tokio::test]
async fn the_shard_of_a_symbol_is_what_the_shell_computes() {
    let stage = Stage::open().await;
    let shell = Shell::new(&stage, &stage.service(), None);
    let mut shown = Shown::of("docs/scaling.md");
    shown.compare(&shell, "sha256sum", "").await;
    shown.end();
}
