//! `plans tail` and `results tail`.

use super::{
    ReadConfig,
    link::{ALL_KEPT, Entry, EntryId, Link, OpsContext},
    output::{Done, print, print_json_while_read, print_while_read, tame},
    time::utc,
    wanted::{Outcomes, Wanted},
};
use apply_redis::MAX_ENTRY_BYTES;
use apply_service::history::Moment;
use apply_wire::field;
use clap::{Args, Subcommand};
use tokio::signal::ctrl_c;

/// The stream of plans.
#[derive(Subcommand)]
pub enum Plans {
    /// The newest plans: when, which, for what, what was decided and why.
    #[command(after_help = "Example: apply-layer plans tail -n 20 --follow")]
    Tail(Tail),
}

/// The stream of results.
#[derive(Subcommand)]
pub enum Results {
    /// The newest results: when, which, whether it was executed and why not.
    #[command(after_help = "Example: apply-layer results tail -n 20 --follow")]
    Tail(Tail),
}

/// How much of a stream.
#[derive(Args)]
pub struct Tail {
    /// How many entries.
    #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    number: u16,
    /// None older than this: a span ago, as 90s, 30m, 6h or 2d, or a date in UTC, as 2026-01-25 or
    /// 2026-01-25T00:43:29Z.
    #[arg(long)]
    since: Option<Moment>,
    #[command(flatten)]
    wanted: Wanted,
    /// Go on with new ones until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// Print each entry as one JSON object on a line of its own.
    #[arg(long)]
    json: bool,
}

impl Plans {
    pub(super) async fn run(self, read: ReadConfig) -> Done {
        let Self::Tail(tail) = self;
        let mut ops = OpsContext::open(read).await?;
        let stream = ops.keys.plans;
        tail.run(&mut ops.link, &stream, plan_line).await
    }
}

impl Results {
    pub(super) async fn run(self, read: ReadConfig) -> Done {
        let Self::Tail(tail) = self;
        let mut ops = OpsContext::open(read).await?;
        let stream = ops.keys.results;
        tail.run(&mut ops.link, &stream, result_line).await
    }
}

impl Tail {
    async fn run(&self, link: &mut Link, stream: &str, line: fn(&Entry) -> String) -> Done {
        let number = usize::from(self.number);
        let now = link.micros().await? / 1000;
        let filter = self.wanted.filter(self.since, now)?;
        let last = link.newest(stream, 1).await?;
        let mut last = last.last().map_or(EntryId::START, |entry| entry.id);
        // An entry up to the last one is among what is printed.
        let mut outcomes = Outcomes::read(link, &filter).await?;
        let looked = match filter.is_open() {
            true => number * MOST_FILLERS,
            false => ALL_KEPT,
        };
        let wanted = |entry: &Entry| !entry.is_filler() && outcomes.passes(&filter, entry);
        let mut entries = link.newest_that(stream, looked, wanted).await?;
        // What came since the last one was asked for is followed.
        entries.retain(|entry| entry.id <= last);
        entries.drain(..entries.len().saturating_sub(number));
        if entries.is_empty() && !self.follow && !self.json {
            let why = match filter.is_open() {
                true => "is empty: nothing was written to it yet",
                false => "has no such entry",
            };
            return print(&format!("{stream} {why}\n"));
        }
        let mut stop = std::pin::pin!(ctrl_c());
        loop {
            for entry in &entries {
                match self.json {
                    true => print_json_while_read(&entry.to_json().to_string())?,
                    false => print_while_read(&(shown(entry, line) + "\n"))?,
                }
            }
            if !self.follow {
                return Ok(());
            }
            entries = tokio::select! {
                _ = &mut stop => return Ok(()),
                new = link.after(stream, last) => new?,
            };
            if !entries.is_empty() {
                outcomes.read_on(link, &filter, last.millis).await?;
            }
            last = entries.last().map_or(last, |entry| entry.id);
            entries.retain(|entry| !entry.is_filler() && outcomes.passes(&filter, entry));
        }
    }
}

/// Most entries on the stream of results for each result: the fillers that follow one that was booked.
const MOST_FILLERS: usize = 11;

/// One entry on one line.
fn shown(entry: &Entry, line: fn(&Entry) -> String) -> String {
    match entry.too_long() {
        None => line(entry),
        Some(size) => format!(
            "{}  an entry of {size} bytes: at most {MAX_ENTRY_BYTES} are read",
            utc(entry.id.millis)
        ),
    }
}

/// One plan on one line.
pub(super) fn plan_line(entry: &Entry) -> String {
    let text = |field| tame(&entry.text(field));
    let reasons = text("reason_codes");
    let why = if reasons.is_empty() { "-" } else { &reasons };
    format!(
        "{}  {}  {:<10} {:<8} {:<20} kill_score={} reasons={why}",
        utc(entry.id.millis),
        text("plan_id"),
        text("symbol"),
        text("decision"),
        text("action"),
        text("kill_score"),
    )
}

/// One result on one line.
pub(super) fn result_line(entry: &Entry) -> String {
    if entry.foreign().is_some() {
        return foreign_line(entry);
    }
    let text = |field| tame(&entry.text(field));
    let mut line = format!(
        "{}  {}  {:<10} {:<8} executed={}",
        utc(entry.id.millis),
        text("plan_id"),
        text("symbol"),
        text("decision"),
        text("executed"),
    );
    if text("would_execute") == "True" {
        line += " would_execute=True";
    }
    for field in ["error", "profit_realized"] {
        let value = text(field);
        if !value.is_empty() {
            line += &format!(" {field}={value}");
        }
    }
    for (name, value) in order_of(entry) {
        line += &format!(" {name}={}", tame(&value));
    }
    line
}

/// One entry that another program wrote onto the stream of results.
pub(super) fn foreign_line(entry: &Entry) -> String {
    let text = |field| tame(&entry.text(field));
    let mut line = format!(
        "{}  {}  {:<10} {:<8} executed={} source={}",
        utc(entry.id.millis),
        text("plan_id"),
        text("symbol"),
        "foreign",
        text("executed"),
        tame(&entry.foreign().unwrap_or_default()),
    );
    for field in [field::ERROR, field::DETAILS] {
        let value: String = text(field).chars().take(FOREIGN_CHARS).collect();
        if !value.is_empty() {
            line += &format!(" {field}={value}");
        }
    }
    line
}

/// Most characters of what another program says.
const FOREIGN_CHARS: usize = 120;

/// Side, filled quantity and order id of the last step that has an order.
fn order_of(entry: &Entry) -> Vec<(&'static str, String)> {
    let steps: serde_json::Value =
        serde_json::from_str(&entry.text("steps_results")).unwrap_or_default();
    let last = steps.as_array().and_then(|steps| {
        steps
            .iter()
            .rev()
            .find(|step| step.get("order_id").is_some())
    });
    let Some(step) = last else {
        return Vec::new();
    };
    ["side", "executed_qty", "order_id"]
        .into_iter()
        .filter_map(|name| Some((name, step.get(name)?.as_str()?.to_owned())))
        .collect()
}
