//! `cycles`: the checklist of a deployment, from the streams. Each criterion is passed or not, with what shows it.

use super::{
    ReadConfig,
    link::{Entry, OpsContext},
    output::{Done, print, print_json, tame},
    time::ago,
};
use apply_core::{OrderKind, StepResult, times::millis};
use apply_redis::Reviewer;
use apply_service::{Failure, history::Moment, neighbours::watched};
use apply_wire::{Reason, Section, field};
use clap::ValueEnum;
use rust_decimal::Decimal;
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// What the cycles have to be good enough for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// Placing orders on the testnet: 5 good cycles in a row, in a dry run as well.
    Testnet,
    /// Taking the place of the service before: 10 good cycles in a row over two hours at least, with orders.
    Promote,
}

impl Goal {
    fn word(self) -> &'static str {
        match self {
            Self::Testnet => "testnet",
            Self::Promote => "promote",
        }
    }

    /// How many good cycles in a row.
    fn cycles(self) -> usize {
        match self {
            Self::Testnet => 5,
            Self::Promote => 10,
        }
    }

    /// From the first of them to the last at least.
    fn span(self) -> Duration {
        match self {
            Self::Testnet => Duration::ZERO,
            Self::Promote => Duration::from_secs(2 * 3600),
        }
    }
}

/// Beyond its wait for permits: how long a plan may be without a result before it is in doubt.
const TO_ITS_RESULT: Duration = Duration::from_secs(60);

/// Most plans that a reviewer may be behind.
const MOST_LAG: u64 = 10;

/// Most plan ids that are named for one criterion.
const MOST_NAMED: usize = 10;

/// One criterion.
struct Criterion {
    name: &'static str,
    passed: bool,
    wanted: String,
    found: String,
    /// Plan ids, or what else shows it.
    evidence: Vec<String>,
}

/// A plan of this service that was put out for review, and what came of it.
struct Cycle {
    plan: String,
    /// Milliseconds since 1970 on the server's clock.
    at: u64,
    /// From the plan's entry to its result's, in milliseconds.
    took: u64,
    /// How long its permits were waited for, in milliseconds. `None` where the result does not say it.
    waited: Option<u64>,
    ending: Ending,
    /// What the permits came to: what filled, and in a dry run what was allowed. `None` where that is not known.
    quantity: Option<Decimal>,
    is_close: bool,
}

/// How a plan ended.
enum Ending {
    Executed,
    WouldExecute,
    Not(Reason),
}

pub(super) async fn cycles(read: ReadConfig, goal: Goal, since: Moment, as_json: bool) -> Done {
    let mut ops = OpsContext::open(read).await?;
    let now = ops.link.micros().await? / 1000;
    let from = since.begin(now);
    let plans = ops.link.since(&ops.keys.plans, from).await?;
    let results = ops.link.since(&ops.keys.results, from).await?;
    let groups = watched(ops.config.permits.permits());
    let reviewers = ops.link.reviewers(&ops.keys.plans, &groups).await;
    let reviewers = reviewers.map_err(|error| {
        Failure::unavailable(format!("cannot ask how reviewers read plans: {error}"))
            .fix("see apply-layer check")
    })?;
    let seen = Seen::of(&plans, &results, now, ops.config.wait.wait);
    let criteria = seen.judge(goal, ops.config.wait.wait, &reviewers);
    let failed = criteria.iter().filter(|one| !one.passed).count();
    match as_json {
        true => print_json(&to_json(goal, now.saturating_sub(from) / 1000, &criteria).to_string())?,
        false => print(&criteria.iter().map(Criterion::to_text).collect::<String>())?,
    }
    match failed {
        0 => Ok(()),
        _ => {
            let of = criteria.len();
            let text = format!("{failed} of {of} criteria for {} do not hold", goal.word());
            Err(Failure::mismatch(text)
                .fix(
                    "each criterion that failed names the plans that show it: see apply-layer plan",
                )
                .into())
        }
    }
}

/// What the streams say.
struct Seen {
    /// Oldest first.
    cycles: Vec<Cycle>,
    /// Plans whose order may exist without anybody knowing, each with why.
    in_doubt: Vec<String>,
    /// Executions of other programs: plan and program.
    foreign: Vec<String>,
}

impl Seen {
    fn of(plans: &[Entry], results: &[Entry], now: u64, wait: Duration) -> Self {
        let mut seen = Self {
            cycles: Vec::new(),
            in_doubt: Vec::new(),
            foreign: Vec::new(),
        };
        let mut ended: HashMap<String, &Entry> = HashMap::new();
        for result in results.iter().filter(|result| !result.is_filler()) {
            let plan = result.text(field::PLAN_ID);
            if let Some(source) = result.foreign() {
                if is_true(result) {
                    seen.foreign.push(format!("{plan} by {source}"));
                }
                continue;
            }
            let reason = Reason::parse(&result.text(field::ERROR));
            if reason.is_unresolved() {
                seen.in_doubt.push(format!("{plan} {reason}"));
            }
            // A repetition of a plan is no end of it.
            if reason != Reason::DuplicatePlan {
                ended.insert(plan, result);
            }
        }
        // Of each plan its last publication. One without an attempt was put out by the service before this one.
        let published = plans.iter().filter(|plan| {
            plan.text(field::DECISION) == field::EXECUTE && !plan.text(field::ATTEMPT).is_empty()
        });
        let published: BTreeMap<String, &Entry> = published
            .map(|plan| (plan.text(field::PLAN_ID), plan))
            .collect();
        let patience = millis(wait + TO_ITS_RESULT);
        for (id, plan) in published {
            match ended.get(&id) {
                Some(result) => seen.cycles.push(Cycle::of(id, plan, result)),
                None if now.saturating_sub(plan.id.millis) > patience => {
                    let age = ago(now.saturating_sub(plan.id.millis));
                    seen.in_doubt.push(format!("{id} no result for {age}"));
                }
                None => {}
            }
        }
        seen.cycles.sort_by_key(|cycle| cycle.at);
        seen
    }

    fn judge(&self, goal: Goal, wait: Duration, reviewers: &[Reviewer]) -> Vec<Criterion> {
        let newest = self.cycles.len().saturating_sub(goal.cycles());
        let newest = &self.cycles[newest..];
        let limit = millis(wait);
        let each = |name, wanted: String, good: &dyn Fn(&Cycle) -> bool| {
            let (good, bad): (Vec<&Cycle>, Vec<&Cycle>) =
                newest.iter().partition(|cycle| good(cycle));
            let shown = if bad.is_empty() { &good } else { &bad };
            Criterion {
                name,
                passed: bad.is_empty() && !good.is_empty(),
                wanted,
                found: format!("{} of {}", good.len(), newest.len()),
                evidence: shown.iter().map(|cycle| cycle.to_string()).collect(),
            }
        };
        let executed = match goal {
            Goal::Testnet => "every order executed, or a dry run that would have",
            Goal::Promote => "every order executed",
        };
        let longest = newest.iter().max_by_key(|cycle| cycle.wait());
        vec![
            each(
                "permits_granted",
                "every plan of the newest cycles has all its permits".into(),
                &Cycle::was_granted,
            ),
            Criterion {
                name: "longest_wait",
                passed: longest.is_some_and(|cycle| cycle.wait() <= limit),
                wanted: format!("permits awaited at most {limit} ms (APPLY_PERMIT_WAIT_MS)"),
                found: longest.map_or("no cycle".into(), |cycle| format!("{} ms", cycle.wait())),
                evidence: longest.iter().map(|cycle| cycle.to_string()).collect(),
            },
            each(
                "quantities",
                "every close that was granted has a quantity above 0".into(),
                &Cycle::has_quantity,
            ),
            each("orders_executed", executed.into(), &|cycle| {
                cycle.was_executed(goal)
            }),
            self.in_a_row(goal, limit),
            Criterion::none(
                "in_doubt",
                "no plan with an unknown outcome",
                &self.in_doubt,
            ),
            Criterion::none(
                "foreign_executions",
                "no execution of another program on the stream of results",
                &self.foreign,
            ),
            reviewers_lag(reviewers),
        ]
    }

    fn in_a_row(&self, goal: Goal, limit: u64) -> Criterion {
        let newest_first = self.cycles.iter().rev();
        let row: Vec<&Cycle> = newest_first
            .take_while(|cycle| cycle.is_good(goal, limit))
            .collect();
        let span = match (row.first(), row.last()) {
            (Some(newest), Some(oldest)) => newest.at.saturating_sub(oldest.at),
            _ => 0,
        };
        let needed = millis(goal.span());
        let over = match goal.span() {
            Duration::ZERO => String::new(),
            span => format!(" over {} min", span.as_secs() / 60),
        };
        let broken = self.cycles.iter().rev().nth(row.len());
        let broken = broken.map(|cycle| format!("before them {cycle}"));
        let shown = row.iter().map(|cycle| cycle.to_string());
        Criterion {
            name: "good_in_a_row",
            passed: row.len() >= goal.cycles() && span >= needed,
            wanted: format!("{} good cycles in a row{over}", goal.cycles()),
            found: format!("{} over {}", row.len(), ago(span)),
            evidence: shown.take(MOST_NAMED).chain(broken).collect(),
        }
    }
}

impl Cycle {
    fn of(plan: String, published: &Entry, result: &Entry) -> Self {
        let steps: Vec<StepResult> =
            serde_json::from_str(&result.text(field::STEPS_RESULTS)).unwrap_or_default();
        let step = steps.last();
        let quantity = step.and_then(|step| {
            let text = step.executed_qty.as_ref().or(step.approved_qty.as_ref())?;
            Decimal::from_str_exact(text).ok()
        });
        let word = |name| result.text(name) == field::TRUE;
        let error = result.text(field::ERROR);
        let ending = match (word(field::EXECUTED), word(field::WOULD_EXECUTE)) {
            _ if !error.is_empty() => Ending::Not(Reason::parse(&error)),
            (true, _) => Ending::Executed,
            (false, true) => Ending::WouldExecute,
            (false, false) => Ending::Not(Reason::Other("not_executed".into())),
        };
        Self {
            plan,
            at: published.id.millis,
            took: result.id.millis.saturating_sub(published.id.millis),
            waited: result.text(field::PERMIT_WAIT_MS).parse().ok(),
            ending,
            quantity,
            is_close: step.is_none_or(|step| OrderKind::of_step(&step.step) == OrderKind::Close),
        }
    }

    /// How long its permits were waited for, in milliseconds: no longer than to its result, where that does not say it.
    fn wait(&self) -> u64 {
        self.waited.unwrap_or(self.took)
    }

    /// Whether every permit was there and said yes. A reason that is not known is a no.
    fn was_granted(&self) -> bool {
        match &self.ending {
            Ending::Executed | Ending::WouldExecute => true,
            Ending::Not(reason) => match reason.entry().map(|entry| entry.section) {
                Some(Section::BeforeOrder | Section::Venue) => true,
                Some(Section::Proposals | Section::Plans | Section::Permits) | None => false,
            },
        }
    }

    /// A stop fills nothing, and a plan without permits has no quantity.
    fn has_quantity(&self) -> bool {
        let above_zero = self.quantity.is_some_and(|q| q > Decimal::ZERO);
        !self.is_close || !self.was_granted() || above_zero
    }

    fn was_executed(&self, goal: Goal) -> bool {
        match self.ending {
            Ending::Executed => true,
            Ending::WouldExecute => goal == Goal::Testnet,
            Ending::Not(_) => false,
        }
    }

    fn is_good(&self, goal: Goal, limit: u64) -> bool {
        self.was_executed(goal) && self.has_quantity() && self.wait() <= limit
    }
}

impl std::fmt::Display for Cycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { plan, took, .. } = self;
        let quantity = self.quantity.map(|q| format!(" quantity={q}"));
        let quantity = quantity.unwrap_or_default();
        let waited = self.waited.map(|ms| format!(" permit_wait_ms={ms}"));
        let rest = waited.unwrap_or_default() + &quantity;
        match &self.ending {
            Ending::Executed => write!(f, "{plan} executed in {took} ms{rest}"),
            Ending::WouldExecute => write!(f, "{plan} dry run in {took} ms{rest}"),
            Ending::Not(why) => write!(f, "{plan} not executed in {took} ms: {why}{rest}"),
        }
    }
}

impl Criterion {
    fn none(name: &'static str, wanted: &str, found: &[String]) -> Self {
        Self {
            name,
            passed: found.is_empty(),
            wanted: wanted.into(),
            found: found.len().to_string(),
            evidence: found.to_vec(),
        }
    }

    fn to_text(&self) -> String {
        let word = if self.passed { "passed" } else { "FAILED" };
        let mut page = format!(
            "{word}  {:<19} {}; wanted: {}\n",
            self.name,
            tame(&self.found),
            self.wanted
        );
        for line in self.evidence.iter().take(MOST_NAMED) {
            page += &format!("        {}\n", tame(line));
        }
        let more = self.evidence.len().saturating_sub(MOST_NAMED);
        if more > 0 {
            page += &format!("        and {more} more\n");
        }
        page
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "name": self.name,
            "passed": self.passed,
            "wanted": self.wanted,
            "found": self.found,
            "evidence": self.evidence,
        })
    }
}

fn reviewers_lag(reviewers: &[Reviewer]) -> Criterion {
    let good = |reviewer: &Reviewer| {
        let reading = reviewer.reading;
        reading.is_some_and(|reading| reading.consumers > 0 && reading.lag <= MOST_LAG)
    };
    let passed = !reviewers.is_empty() && reviewers.iter().all(good);
    let evidence = reviewers.iter().map(ToString::to_string).collect();
    let lags = reviewers.iter().filter_map(|reviewer| reviewer.reading);
    let most = lags.map(|reading| reading.lag).max().unwrap_or_default();
    let found = match reviewers.is_empty() {
        true => "no reviewer of APPLY_PERMITS reads plans in a group that is known".into(),
        false => format!("{most} plans behind at most"),
    };
    Criterion {
        name: "reviewers_lag",
        passed,
        wanted: format!("each reviewer reads, and is at most {MOST_LAG} plans behind"),
        found,
        evidence,
    }
}

/// Other programs write it in any case.
fn is_true(result: &Entry) -> bool {
    result
        .text(field::EXECUTED)
        .eq_ignore_ascii_case(field::TRUE)
}

fn to_json(goal: Goal, since_seconds: u64, criteria: &[Criterion]) -> serde_json::Value {
    json!({
        "goal": goal.word(),
        "since_seconds": since_seconds,
        "passed": criteria.iter().all(|one| one.passed),
        "criteria": criteria.iter().map(Criterion::to_json).collect::<Vec<_>>(),
    })
}
