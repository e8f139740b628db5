//! What is shown, without a terminal's size: words and how good they are.

use crate::{
    output::tame,
    snapshot::Snapshot,
    status::Service,
    streams::{plan_line, result_line},
    switches::Switches,
    time::ago,
};
use apply_core::times::millis;
use apply_redis::NeighboursSwitch;
use apply_service::Config;
use tokio::time::Instant;

/// How good a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Note,
    Bad,
    Dim,
    Head,
}

/// A text with its tone.
pub(super) type Span = (Tone, String);

/// One look at everything.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) title: String,
    pub(super) service: Span,
    pub(super) redis: Span,
    /// How each reviewer reads; name and text are one line.
    pub(super) reviewers: Vec<Span>,
    /// Every switch that is on or unknown; one that says off where there is none.
    pub(super) switches: Vec<Span>,
    /// The neighbours' own switch, where there is anything to say of it.
    pub(super) neighbours: Option<Span>,
    /// How old the rest is, where it is not of now.
    pub(super) as_of: Option<Instant>,
    pub(super) waits: Vec<Vec<Span>>,
    pub(super) symbols: Vec<SymbolRow>,
    pub(super) results: Vec<Span>,
}

/// A followed symbol with its newest plan and result.
#[derive(Debug, Clone)]
pub(super) struct SymbolRow {
    pub(super) symbol: String,
    pub(super) spans: Vec<Span>,
    /// The plan's place in its stream, and the plan on one line.
    pub(super) plan: Option<(String, String)>,
    /// The same of the result.
    pub(super) result: Option<(String, String)>,
}

impl View {
    /// What is known without Redis.
    pub(super) fn of(
        config: &Config,
        service: &Service,
        down_since: Option<Instant>,
        stops: Option<String>,
    ) -> Self {
        let since = down_since.map(|since| format!(", for {}", age(since)));
        let mut sentence = service.sentence(config.http) + &since.unwrap_or_default();
        if let Some(stops) = stops {
            sentence += &format!("; stops: {stops}");
        }
        let tone = match service {
            Service::Ready => Tone::Good,
            Service::NotReady(_) => Tone::Note,
            Service::Away => Tone::Bad,
        };
        let mut title = format!("apply-layer  {}", config.mode.as_str());
        if let Some(share) = config.share() {
            title += &format!("  {share}");
        }
        Self {
            title,
            service: (tone, sentence),
            redis: (Tone::Good, config.redis.to_string()),
            reviewers: Vec::new(),
            switches: Vec::new(),
            neighbours: None,
            as_of: None,
            waits: Vec::new(),
            symbols: Vec::new(),
            results: Vec::new(),
        }
    }

    /// Adds what Redis says.
    pub(super) fn sees(&mut self, config: &Config, snapshot: &Snapshot) {
        self.switches = switches(snapshot.switches());
        let neighbours = snapshot.neighbours_switch();
        self.neighbours = neighbours.map(|text| (Tone::Note, text));
        self.redis = (Tone::Good, config.redis.to_string());
        let reviewers = snapshot.reviewers_text();
        let reviewers = reviewers.lines().map(|line| (Tone::Plain, line.to_owned()));
        self.reviewers = reviewers.collect();
        self.waits = snapshot
            .waits()
            .iter()
            .map(|wait| {
                let head = format!("{}", wait.plan);
                // What is missing comes first: it is what a narrow window has to show.
                let over = if wait.is_over { ", wait is over" } else { "" };
                let tail = format!("  {}  {}{over}", wait.symbol, ago(wait.age));
                let permits = wait.permits.iter().map(|permit| {
                    let (tone, word) = match &permit.judged {
                        None => (Tone::Note, "missing".to_owned()),
                        Some(Ok(_)) => (Tone::Good, "yes".to_owned()),
                        Some(Err(refusal)) => {
                            (Tone::Bad, format!("no ({})", refusal.code(&permit.name)))
                        }
                    };
                    (tone, format!("  {} {word}", permit.name))
                });
                std::iter::once((Tone::Plain, head))
                    .chain(permits)
                    .chain([(Tone::Plain, tail)])
                    .collect()
            })
            .collect();
        self.symbols = snapshot
            .symbols()
            .map(|(symbol, plan, result)| {
                let mut spans = vec![(Tone::Plain, format!("{symbol:<9} "))];
                match plan {
                    None => spans.push((Tone::Dim, "no plan yet".into())),
                    Some(plan) => {
                        let text = |field| tame(&plan.text(field));
                        spans.push((
                            Tone::Plain,
                            format!(
                                "{} {} {}",
                                text("plan_id"),
                                text("decision"),
                                text("action")
                            ),
                        ));
                        let of_it =
                            result.filter(|result| result.text("plan_id") == plan.text("plan_id"));
                        spans.push(match of_it {
                            None => (Tone::Dim, "  no result yet".into()),
                            Some(result) if result.text("executed") == "True" => {
                                (Tone::Good, "  executed".into())
                            }
                            Some(result) => {
                                let error = tame(&result.text("error"));
                                let word = if error.is_empty() {
                                    tame(&result.text("decision"))
                                } else {
                                    error
                                };
                                (Tone::Note, format!("  not executed: {word}"))
                            }
                        });
                    }
                }
                SymbolRow {
                    symbol: symbol.to_string(),
                    spans,
                    plan: plan.map(|plan| (plan.id.to_string(), plan_line(plan))),
                    result: result.map(|result| (result.id.to_string(), result_line(result))),
                }
            })
            .collect();
        self.results = snapshot
            .newest_results()
            .map(|result| {
                let tone = match result.text("executed") == "True" {
                    true => Tone::Good,
                    false => Tone::Plain,
                };
                (tone, result_line(result))
            })
            .collect();
    }

    /// Redis does not answer: its switches are unknown from now on.
    pub(super) fn misses_redis(&mut self, known: &Switches, why: &str, since: Option<Instant>) {
        self.switches = switches(known);
        let unknown = || NeighboursSwitch::Unknown("Redis is unreachable".into()).describe();
        if self.neighbours.is_some() {
            self.neighbours = unknown().map(|text| (Tone::Note, text));
        }
        let since = since.map(|since| format!(" for {}", age(since)));
        let text = format!("unreachable{}: {}", since.unwrap_or_default(), tame(why));
        self.redis = (Tone::Bad, text);
    }

    /// The rest was seen then.
    pub(super) fn as_of(&mut self, at: Instant) {
        self.as_of = Some(at);
    }
}

/// How long ago that was.
pub(super) fn age(since: Instant) -> String {
    ago(millis(since.elapsed()))
}

fn switches(switches: &Switches) -> Vec<Span> {
    let rows = switches.rows();
    let toned = rows.into_iter().map(|(on, text)| match on {
        Some(true) => (Tone::Bad, text),
        Some(false) => (Tone::Good, text),
        None => (Tone::Note, text),
    });
    toned.collect()
}
