//! A stand-in of the service before this one, with everything it is known to do wrong. Written from the facts of the
//! contract; its venue is part of it.

use crate::{
    entry::Entry,
    stage::{command, connect},
};
use apply_wire::key;
use redis::{FromRedisValue, aio::MultiplexedConnection};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// How the former service is set, and its faults that are not documented.
#[derive(Debug, Clone)]
pub struct FormerSettings {
    /// What it follows, one after the other.
    pub symbols: Vec<String>,
    /// What it may execute.
    pub allowlist: BTreeSet<String>,
    /// Between two rounds.
    pub poll: Duration,
    /// For permits.
    pub wait: Duration,
    /// Between two looks at them.
    pub step: Duration,
    /// A fault that is not known.
    pub novelty: Option<Novelty>,
}

/// Faults that no document names, so that the comparison has to find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// Goes on although the position brain says no.
    ExecutesAgainstANo,
    /// Goes on although no permit was written.
    ExecutesWithoutPermits,
    /// Orders twice what the permit allows.
    DoublesTheQuantity,
    /// Gives plans ids of its own.
    GivesOtherIds,
    /// Lets pass what is critical.
    LetsCriticalPass,
    /// Trades in the other direction.
    TurnsTheSide,
}

/// A plan that it is through with.
#[derive(Debug, Clone)]
pub struct Done {
    /// The symbol.
    pub symbol: String,
    /// When the brain computed what was planned, in its words.
    pub computed_at: String,
}

/// The former service; gone with its handle.
#[derive(Debug)]
pub struct FormerService {
    task: JoinHandle<()>,
    done: mpsc::UnboundedReceiver<Done>,
}

impl FormerService {
    /// Starts it on this server.
    pub async fn start(url: &str, settings: FormerSettings) -> Self {
        let redis = connect(url).await;
        let (done_sender, done) = mpsc::unbounded_channel();
        let mut former = Former {
            redis,
            settings,
            done_sender,
            reported: HashMap::new(),
            orders: 0,
        };
        let task = tokio::spawn(async move {
            loop {
                for symbol in former.settings.symbols.clone() {
                    former.round(&symbol).await;
                }
                sleep(former.settings.poll).await;
            }
        });
        Self { task, done }
    }

    /// The next plan that it is through with.
    ///
    /// # Panics
    /// Where it has ended.
    pub async fn done(&mut self) -> Done {
        let done = self.done.recv().await;
        done.unwrap_or_else(|| panic!("the former service has ended"))
    }
}

impl Drop for FormerService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Former {
    redis: MultiplexedConnection,
    settings: FormerSettings,
    done_sender: mpsc::UnboundedSender<Done>,
    /// What each symbol's last published plan was computed at.
    reported: HashMap<String, String>,
    orders: u64,
}

/// What it makes of a proposal.
struct Planned {
    id: String,
    decision: &'static str,
    reasons: String,
    steps: String,
}

impl Former {
    async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        command(&mut self.redis, words).await
    }

    fn has(&self, novelty: Novelty) -> bool {
        self.settings.novelty == Some(novelty)
    }

    /// One symbol in one cycle.
    async fn round(&mut self, symbol: &str) {
        let proposal: HashMap<String, String> =
            self.ask(&["HGETALL", &key::PROPOSAL.of(symbol)]).await;
        let field = |name: &str| proposal.get(name).cloned().unwrap_or_default();
        // `float("nan")` is a number to it.
        let Ok(score) = field("kill_score").trim().parse::<f64>() else {
            return;
        };
        if field("harvest_action").is_empty() {
            return;
        }
        let mut planned = self.plan(symbol, &proposal, score).await;
        let published = key::STREAM_PUBLISHED.of(&planned.id);
        let before: bool = self.ask(&["EXISTS", &published]).await;
        if !before {
            self.publish(symbol, &proposal, &planned).await;
            let () = self.ask(&["SET", &published, "1", "EX", "300"]).await;
        }
        if planned.decision == "EXECUTE" {
            let claim = key::DEDUPE.of(&planned.id);
            let won: Option<String> = self.ask(&["SET", &claim, "1", "NX", "EX", "21600"]).await;
            match won.is_some() {
                true => self.execute(symbol, &planned).await,
                false => planned.decision = "SKIP",
            }
        }
        // One a symbol in each cycle, whatever was published before.
        if planned.decision != "EXECUTE" {
            let (decision, reasons) = (planned.decision, planned.reasons.clone());
            self.publish_result(symbol, &planned.id, decision, (false, "[]"), &reasons)
                .await;
        }
        let computed_at = field("computed_at_utc");
        if self.reported.insert(symbol.to_owned(), computed_at.clone()) != Some(computed_at.clone())
        {
            let symbol = symbol.to_owned();
            // The receiver may have been dropped.
            let _ = self.done_sender.send(Done {
                symbol,
                computed_at,
            });
        }
    }

    async fn plan(
        &mut self,
        symbol: &str,
        proposal: &HashMap<String, String>,
        score: f64,
    ) -> Planned {
        let field = |name: &str| proposal.get(name).cloned().unwrap_or_default();
        let action = field("harvest_action");
        let stop = field("new_sl_proposed").parse::<f64>().ok();
        let id = plan_id(
            symbol,
            &action,
            score,
            stop,
            &field("computed_at_utc"),
            self.has(Novelty::GivesOtherIds),
        );
        let switch: Option<String> = self.ask(&["GET", key::KILL_SWITCH]).await;
        let halted = switch.is_some_and(|word| ["true", "1", "yes"].contains(&&*word));
        let closes = ["FULL_CLOSE_PROPOSED", "PARTIAL_75", "PARTIAL_50"];
        let is_close = closes.contains(&&*action);
        let mut reasons = Vec::new();
        let claimed: bool = self.ask(&["EXISTS", &key::DEDUPE.of(&id)]).await;
        let critical = score >= 0.80 && !self.has(Novelty::LetsCriticalPass);
        let (decision, reason) = if halted {
            ("BLOCKED", "kill_switch_active".to_owned())
        } else if !self.settings.allowlist.contains(symbol) {
            ("SKIP", "not_in_allowlist".into())
        } else if critical {
            ("BLOCKED", "kill_score_critical".into())
        } else if score >= 0.60 && !is_close {
            ("BLOCKED", "kill_score_warning_risk_increase".into())
        } else {
            if score >= 0.60 {
                reasons.push("kill_score_warning_close_ok".to_owned());
            }
            match &*action {
                _ if claimed => ("SKIP", "duplicate_plan".into()),
                "HOLD" => ("SKIP", "action_hold".into()),
                "UPDATE_SL" if stop.is_none() => ("ERROR", "missing_new_sl".into()),
                "UPDATE_SL" => ("EXECUTE", String::new()),
                _ if is_close => ("EXECUTE", String::new()),
                other => ("ERROR", format!("unknown_action_{other}")),
            }
        };
        if decision != "EXECUTE" {
            reasons = vec![reason];
        }
        let steps = match (decision, &*action, stop) {
            ("EXECUTE", "FULL_CLOSE_PROPOSED", _) => close("CLOSE_FULL", "100.0"),
            ("EXECUTE", "PARTIAL_75", _) => close("CLOSE_PARTIAL_75", "75.0"),
            ("EXECUTE", "PARTIAL_50", _) => close("CLOSE_PARTIAL_50", "50.0"),
            ("EXECUTE", "UPDATE_SL", Some(price)) => {
                format!(r#"[{{"step":"UPDATE_SL","type":"stop_loss_order","price":{price:?}}}]"#)
            }
            _ => "[]".into(),
        };
        Planned {
            id,
            decision,
            reasons: reasons.join(","),
            steps,
        }
    }

    async fn publish(
        &mut self,
        symbol: &str,
        proposal: &HashMap<String, String>,
        planned: &Planned,
    ) {
        let field = |name: &str| proposal.get(name).cloned().unwrap_or_default();
        let now = seconds();
        let (action, score) = (field("harvest_action"), field("kill_score"));
        let stop = field("new_sl_proposed");
        let mut words = vec!["XADD", key::PLANS, "MAXLEN", "~", "10000", "*"];
        words.extend(["plan_id", &planned.id, "symbol", symbol]);
        words.extend(["action", &action, "kill_score", &score]);
        words.extend(["new_sl_proposed", &stop]);
        words.extend(["decision", planned.decision]);
        words.extend(["reason_codes", &planned.reasons, "steps", &planned.steps]);
        words.extend(["close_qty", "", "price", "", "timestamp", &now]);
        let _: String = self.ask(&words).await;
    }

    /// Waits for both permits as it does: it sleeps through the last step.
    async fn permits(&mut self, id: &str) -> Result<(String, String), String> {
        const TAKE: &str = "local a,b=redis.call('GET',KEYS[1]),redis.call('GET',KEYS[2]) \
            if a and b then redis.call('DEL',KEYS[1],KEYS[2]) return {1,a,b} end \
            return {0,(not a and not b) and 'missing_both' or (not a and 'missing_governor' or 'missing_p33'),''}";
        let keys = [key::PERMIT_GOVERNOR.of(id), key::PERMIT_P33.of(id)];
        let began = Instant::now();
        let mut missing = String::new();
        while began.elapsed() < self.settings.wait {
            let words = ["EVAL", TAKE, "2", &keys[0], &keys[1]];
            let (yes, first, second): (i64, String, String) = self.ask(&words).await;
            if yes == 1 {
                return Ok((first, second));
            }
            missing = first;
            if self.has(Novelty::ExecutesWithoutPermits) && began.elapsed() * 2 > self.settings.wait
            {
                let p33 = r#"{"allow":true,"safe_close_qty":0.003}"#;
                return Ok(("{}".into(), p33.into()));
            }
            sleep(self.settings.step).await;
        }
        Err(format!("permit_timeout_or_missing:{missing}"))
    }

    async fn execute(&mut self, symbol: &str, planned: &Planned) {
        let id = &planned.id;
        let (governor, position) = match self.permits(id).await {
            Ok(both) => both,
            Err(error) => {
                return self
                    .publish_result(symbol, id, "BLOCKED", (false, "[]"), &error)
                    .await;
            }
        };
        // What does not parse counts as granted, and its owner is not looked at.
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
        let refused = if json(&governor)["granted"] == false {
            Some("governor_permit_denied")
        } else if json(&position)["allow"] == false && !self.has(Novelty::ExecutesAgainstANo) {
            Some("p33_permit_denied")
        } else {
            None
        };
        if let Some(error) = refused {
            return self
                .publish_result(symbol, id, "BLOCKED", (false, "[]"), error)
                .await;
        }
        if planned.steps.contains("UPDATE_SL") {
            // It says that it did.
            let steps = r#"[{"step":"UPDATE_SL","status":"success","details":"stop noted"}]"#;
            return self
                .publish_result(symbol, id, "EXECUTE", (true, steps), "")
                .await;
        }
        // The number as it is written, tail and all: no share, no step.
        let mut quantity = written_number(&position, "safe_close_qty").unwrap_or("0.003".into());
        if self.has(Novelty::DoublesTheQuantity) {
            quantity = "0.018".into();
        }
        let long = !written_number(&position, "exchange_position_amt")
            .unwrap_or_default()
            .starts_with('-');
        let side = match long != self.has(Novelty::TurnsTheSide) {
            true => "SELL",
            false => "BUY",
        };
        let decimals = quantity.split_once('.').map_or(0, |(_, tail)| tail.len());
        self.orders += 1;
        let step = planned
            .steps
            .split('"')
            .nth(3)
            .unwrap_or_default()
            .to_owned();
        if decimals > 3 {
            let steps = format!(
                r#"[{{"step":"{step}","status":"error","details":"-1111: Precision is over the maximum defined for this asset.","side":"{side}","quantity":"{quantity}"}}]"#
            );
            return self
                .publish_result(symbol, id, "EXECUTE", (true, &steps), "")
                .await;
        }
        if self.orders.is_multiple_of(50) {
            let error = "order_error: Read timed out";
            let steps = format!(
                r#"[{{"step":"{step}","status":"error","details":"","side":"{side}","quantity":"{quantity}"}}]"#
            );
            return self
                .publish_result(symbol, id, "ERROR", (false, &steps), error)
                .await;
        }
        let order = self.orders;
        let steps = format!(
            r#"[{{"step":"{step}","status":"success","details":"","order_id":"{order}","side":"{side}","quantity":"{quantity}","executed_qty":"0","reduce_only":true}}]"#
        );
        self.publish_result(symbol, id, "EXECUTE", (true, &steps), "")
            .await;
    }

    async fn publish_result(
        &mut self,
        symbol: &str,
        id: &str,
        decision: &str,
        (executed, steps): (bool, &str),
        error: &str,
    ) {
        let now = seconds();
        let executed = if executed { "True" } else { "False" };
        let mut words = vec!["XADD", key::RESULTS, "MAXLEN", "~", "10000", "*"];
        words.extend(["plan_id", id, "symbol", symbol, "decision", decision]);
        words.extend(["executed", executed, "would_execute", "False"]);
        words.extend(["steps_results", steps, "error", error, "timestamp", &now]);
        let _: String = self.ask(&words).await;
    }
}

fn close(step: &str, pct: &str) -> String {
    format!(r#"[{{"step":"{step}","type":"market_reduce_only","side":"close","pct":{pct}}}]"#)
}

fn plan_id(
    symbol: &str,
    action: &str,
    score: f64,
    stop: Option<f64>,
    computed_at: &str,
    other: bool,
) -> String {
    let score = match score.is_nan() {
        true => "nan".to_owned(),
        false if other => format!("{score:.7}"),
        false => format!("{score:.6}"),
    };
    let stop = stop.map_or("None".to_owned(), |price| format!("{price:?}"));
    let text = format!("{symbol}:{action}:{score}:{stop}:{computed_at}");
    let digest = Sha256::digest(text.as_bytes());
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A field's number as it is written.
fn written_number(json: &str, field: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!(r#""{field}":"#))?;
    let end = rest.find([',', '}'])?;
    Some(rest[..end].trim().to_owned())
}

fn seconds() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs().to_string()
}

/// Reviewers that answer plans of the former service as they are asked to, symbol by symbol.
#[derive(Debug)]
pub(crate) struct TapeReviewers(JoinHandle<()>);

/// What is written for a plan: after how long, under which prefix, and what.
pub(crate) type Answers = Vec<(Duration, &'static str, String)>;

impl TapeReviewers {
    /// `says` gives what is written for a plan that is to be executed.
    pub(crate) async fn start(
        url: &str,
        says: impl Fn(&Entry) -> Answers + Send + 'static,
    ) -> Self {
        let (mut reading, writing) = (connect(url).await, connect(url).await);
        Self(tokio::spawn(async move {
            let mut last = "0".to_owned();
            loop {
                let reply: redis::Value = redis::cmd("XREAD")
                    .arg(&["BLOCK", "200", "STREAMS", key::PLANS, &last])
                    .query_async(&mut reading)
                    .await
                    .unwrap_or_else(|error| panic!("reviewers cannot read plans: {error}"));
                for plan in Entry::of_read(reply) {
                    last = plan.id.clone();
                    if plan.get("decision") != "EXECUTE" {
                        continue;
                    }
                    for (after, prefix, permit) in says(&plan) {
                        let mut writing = writing.clone();
                        let key = format!("{prefix}{}", plan.get("plan_id"));
                        tokio::spawn(async move {
                            sleep(after).await;
                            let () = redis::cmd("SETEX")
                                .arg(&[&*key, "60", &permit])
                                .query_async(&mut writing)
                                .await
                                .unwrap_or_else(|error| panic!("no permit: {error}"));
                        });
                    }
                }
            }
        }))
    }
}

impl Drop for TapeReviewers {
    fn drop(&mut self) {
        self.0.abort();
    }
}
