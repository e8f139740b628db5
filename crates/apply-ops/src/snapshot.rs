//! What stands in Redis at this moment, for `status` and `watch`.

use super::{
    link::{Entry, Link, OpsContext},
    output::tame,
    permits::{self, Seen},
    streams::{plan_line, result_line},
    switches::Switches,
    time::ago,
};
use apply_core::{Halt, Symbol};
use apply_redis::NeighboursSwitch;
use apply_service::{
    Config, Failure,
    neighbours::watched,
    reviewers::{AllAnswers, Judged, judge},
};
use apply_wire::field;
use permit_gate::PlanId;
use permit_redis::Meaning;
use serde_json::json;
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

/// How many entries of each stream are looked through.
const NEWEST: usize = 500;

/// How many waits are shown.
const WAITS: usize = 20;

/// How much longer than its wait a plan may take to its result.
const SETTLING: Duration = Duration::from_secs(30);

/// One look.
pub(super) struct Snapshot {
    switches: Switches,
    neighbours_switch: NeighboursSwitch,
    /// Each followed symbol with its last plan and its last result.
    symbols: Vec<(Symbol, Option<Entry>, Option<Entry>)>,
    waits: Vec<Wait>,
    /// How those are whose permits are required, or why that is not known.
    reviewers: Result<Vec<Judged>, String>,
    results: Vec<Entry>,
    /// The newest entry of each other program on the stream of results, and how many of it there are.
    foreign: BTreeMap<String, (u64, Entry)>,
}

/// A plan that was claimed and has no result.
pub(super) struct Wait {
    pub(super) plan: PlanId,
    pub(super) symbol: Symbol,
    /// Milliseconds since it was published.
    pub(super) age: u64,
    /// Whether its permits can no longer be waited for.
    pub(super) is_over: bool,
    pub(super) permits: Vec<Seen>,
}

impl Snapshot {
    pub(super) async fn take(ops: &mut OpsContext) -> Result<Self, Failure> {
        let switches = Switches::read(&ops.config, &ops.keys, &mut ops.link).await;
        let neighbours_switch = ops.link.neighbours_switch().await;
        let plans = ops.link.newest(&ops.keys.plans, NEWEST).await?;
        let all = ops.link.newest(&ops.keys.results, NEWEST).await?;
        let (mut results, mut foreign) = (Vec::new(), BTreeMap::new());
        for entry in all {
            match entry.foreign() {
                _ if entry.is_filler() => {}
                None => results.push(entry),
                Some(source) => {
                    let of_it = foreign.entry(source).or_insert((0, entry.clone()));
                    *of_it = (of_it.0 + 1, entry);
                }
            }
        }
        let symbols = ops.config.symbols.iter().map(|symbol| {
            let last = |entries: &[Entry]| {
                let mut newest_first = entries.iter().rev();
                let found = newest_first.find(|entry| entry.text("symbol") == symbol.as_str());
                found.cloned()
            };
            (symbol.clone(), last(&plans), last(&results))
        });
        let symbols = symbols.collect();
        let waits = waits(ops, &plans, &results).await?;
        let reviewers = reviewers(&ops.config, &mut ops.link).await;
        let reviewers = reviewers.map_err(|error| error.to_string());
        Ok(Self {
            switches,
            neighbours_switch,
            symbols,
            waits,
            reviewers,
            results,
            foreign,
        })
    }

    pub(super) fn switches(&self) -> &Switches {
        &self.switches
    }

    /// What there is to say of the neighbours' own switch, which does not halt this service.
    pub(super) fn neighbours_switch(&self) -> Option<String> {
        self.neighbours_switch.describe().map(|text| tame(&text))
    }

    pub(super) fn reviewers_text(&self) -> String {
        match &self.reviewers {
            Ok(reviewers) => reviewers
                .iter()
                .map(|reviewer| format!("reviewer     {reviewer}\n"))
                .collect(),
            Err(why) => format!("reviewers    not known: {}\n", tame(why)),
        }
    }

    fn reviewers_json(&self) -> serde_json::Value {
        let reviewers = self.reviewers.as_ref().ok();
        let each = reviewers.map(|all| all.iter().map(Judged::view).collect::<Vec<_>>());
        json!(each)
    }

    pub(super) fn waits(&self) -> &[Wait] {
        &self.waits
    }

    /// Each followed symbol with its newest plan and result.
    pub(super) fn symbols(
        &self,
    ) -> impl Iterator<Item = (&Symbol, Option<&Entry>, Option<&Entry>)> {
        let symbols = self.symbols.iter();
        symbols.map(|(symbol, plan, result)| (symbol, plan.as_ref(), result.as_ref()))
    }

    /// The service's own results, newest first.
    pub(super) fn newest_results(&self) -> impl Iterator<Item = &Entry> {
        self.results.iter().rev()
    }

    pub(super) fn to_text(&self, ops: &OpsContext) -> String {
        let mut page = head(&ops.config, &self.switches);
        if let Some(text) = self.neighbours_switch() {
            page += &format!("neighbours   {text}\n");
        }
        page += &self.reviewers_text();
        // What follows is everybody's: it lies in Redis.
        if let Some(share) = ops.config.share() {
            page += &format!("this is      {share}\n");
        }
        page += "\nlast plans and results\n";
        for (symbol, plan, result) in &self.symbols {
            match plan {
                Some(plan) => page += &format!("  {}\n", plan_line(plan)),
                None => page += &format!("  {symbol}: no plan yet\n"),
            }
            if let Some(result) = result {
                page += &format!("    -> {}\n", result_line(result));
            }
        }
        for (source, (count, newest)) in &self.foreign {
            page += &format!(
                "\n{count} of the newest {NEWEST} results are of another program, {}, and count for nothing here\n  {}\n",
                tame(source),
                result_line(newest)
            );
        }
        page + &self.waits_text()
    }

    fn waits_text(&self) -> String {
        if self.waits.is_empty() {
            return "\nwaits in progress: none\n".into();
        }
        let mut page = "\nwaits in progress\n".to_owned();
        for wait in &self.waits {
            page += &format!("  {}  {}  {}\n", wait.plan, wait.symbol, ago(wait.age));
            if wait.is_over {
                page += &format!(
                    "    its wait is over and it has no result: see apply-layer plan {}\n",
                    wait.plan
                );
                continue;
            }
            for permit in &wait.permits {
                let time = match u64::try_from(permit.ttl) {
                    Ok(millis) => format!("{} left", ago(millis)),
                    Err(_) => String::new(),
                };
                page += &format!(
                    "    {:<10} {:<12} {}\n",
                    permit.name,
                    time,
                    permit.verdict()
                );
            }
        }
        page
    }

    /// The newest results, for a live view.
    pub(super) fn results_text(&self, count: usize) -> String {
        let newest = self.results.iter().rev().take(count);
        let lines: String = newest
            .map(|entry| format!("  {}\n", result_line(entry)))
            .collect();
        format!("\nnewest results\n{lines}")
    }

    pub(super) fn to_json(&self, ops: &OpsContext) -> serde_json::Value {
        let entry = |entry: &Option<Entry>| entry.as_ref().map(Entry::to_json);
        let symbols: Vec<_> = self
            .symbols
            .iter()
            .map(|(symbol, plan, result)| {
                json!({"symbol": symbol.as_str(), "plan": entry(plan), "result": entry(result)})
            })
            .collect();
        let waits: Vec<_> = self
            .waits
            .iter()
            .map(|wait| {
                let permits: Vec<_> = wait.permits.iter().map(Seen::to_json).collect();
                json!({
                    "plan_id": wait.plan.as_str(),
                    "symbol": wait.symbol.as_str(),
                    "age_ms": wait.age,
                    "over": wait.is_over,
                    "permits": permits,
                })
            })
            .collect();
        let foreign: Vec<_> = self
            .foreign
            .iter()
            .map(|(source, (count, newest))| {
                json!({"source": source, "count": count, "newest": newest.to_json()})
            })
            .collect();
        let mut object = head_json(&ops.config, &self.switches);
        object["neighbours_switch"] = neighbours_json(&self.neighbours_switch);
        object["reviewers"] = self.reviewers_json();
        object["symbols"] = symbols.into();
        object["foreign_results"] = foreign.into();
        object["waits"] = waits.into();
        object
    }
}

/// Waits that are looked through for the permits that reviewers gave.
const NEWEST_WAITS: usize = 100;

/// How those are whose permits are required.
pub(super) async fn reviewers(config: &Config, link: &mut Link) -> Result<Vec<Judged>, Failure> {
    let permits = config.permits.permits();
    let keys = link.keys();
    let readings = link.reviewers(&keys.plans, &watched(permits)).await;
    let readings = readings.map_err(|error| {
        let fix = match Meaning::of(&error) {
            Meaning::Forbidden { .. } => "allow the user +xinfo, as deploy/redis.acl does",
            meaning => meaning.advice().unwrap_or("see apply-layer check"),
        };
        Failure::unavailable(error.to_string()).fix(fix)
    })?;
    let mut answers = AllAnswers::default();
    for wait in link.newest(&keys.waits, NEWEST_WAITS).await? {
        answers.count(&wait.text(field::WAIT));
    }
    Ok(judge(permits, &readings, &answers))
}

/// What is known without a look at the streams.
pub(super) fn head(config: &Config, switches: &Switches) -> String {
    format!(
        "mode         {}\nkill switch  {}\nmay execute  {}\n",
        config.mode.as_str(),
        switches.line(),
        list(config.gates.allowlist.iter()),
    )
}

/// The same as JSON, with `null` for what the streams would say.
pub(super) fn head_json(config: &Config, switches: &Switches) -> serde_json::Value {
    json!({
        "mode": config.mode.as_str(),
        "shard": config.shard.to_string(),
        "halted": switches.is_on(),
        "halted_by": match switches.halt() {
            Halt::Off => None,
            Halt::On { by } => Some(by),
        },
        "switches": switches.to_json(),
        "neighbours_switch": null,
        "reviewers": null,
        "symbols": null,
        "foreign_results": null,
        "waits": null,
    })
}

fn neighbours_json(switch: &NeighboursSwitch) -> serde_json::Value {
    let (state, text) = match switch {
        NeighboursSwitch::Off => ("off", None),
        NeighboursSwitch::Set(word) => ("set", Some(word)),
        NeighboursSwitch::Unknown(why) => ("unknown", Some(why)),
    };
    json!({"switch": NeighboursSwitch::KEY, "state": state, "text": text})
}

async fn waits(
    ops: &mut OpsContext,
    plans: &[Entry],
    results: &[Entry],
) -> Result<Vec<Wait>, Failure> {
    let now = ops.link.micros().await? / 1000;
    let ended: HashSet<String> = results.iter().map(|entry| entry.text("plan_id")).collect();
    let mut waits: Vec<Wait> = Vec::new();
    let candidates = plans.iter().rev().filter(|entry| {
        entry.text("decision") == "EXECUTE" && !ended.contains(&entry.text("plan_id"))
    });
    for entry in candidates.take(WAITS) {
        let id = PlanId::new(&entry.text("plan_id"));
        let (Ok(plan), Ok(symbol)) = (id, entry.text("symbol").parse::<Symbol>()) else {
            continue;
        };
        let claim = format!("{}{plan}", ops.keys.dedupe);
        let exists = redis::cmd("EXISTS").arg(&claim).to_owned();
        let claimed: bool = ops.link.ask(&exists, "look for a claim").await?;
        if !claimed || waits.iter().any(|wait| wait.plan == plan) {
            continue;
        }
        let permits = permits::look(ops, &plan, &symbol).await?;
        let age = now.saturating_sub(entry.id.millis);
        let most = ops.config.wait.wait + SETTLING;
        waits.push(Wait {
            plan,
            symbol,
            age,
            is_over: u128::from(age) > most.as_millis(),
            permits,
        });
    }
    Ok(waits)
}

/// Names parted by commas.
pub(super) fn list<'a>(symbols: impl Iterator<Item = &'a Symbol>) -> String {
    let names: Vec<&str> = symbols.map(Symbol::as_str).collect();
    match names.is_empty() {
        true => "nothing".into(),
        false => names.join(", "),
    }
}
