//! Every metric, each once: name, type, unit, labels, and the sentence that `/metrics` and `docs/metrics.md` say.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its name on the page ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
    /// Always 1; its labels say something.
    Info,
}

/// Who has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The service.
    Service,
    /// The reviewers.
    Reviewers,
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name as it is registered: without what stands before and after it on the page.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its unit where the name ends in it; else empty.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Who has it.
    pub of: Of,
    /// What it says, in one sentence.
    pub help: &'static str,
}

impl Metric {
    /// Its name on the page, without the endings of its series.
    pub fn full_name(&self) -> String {
        let of = match self.of {
            Of::Service => "",
            Of::Reviewers => "review_",
        };
        let unit = match self.unit {
            "" => String::new(),
            unit => format!("_{unit}"),
        };
        format!("{PREFIX}_{of}{}{unit}", self.name)
    }

    /// The name of its series, or of the first of them.
    pub fn series(&self) -> String {
        let name = self.full_name();
        match self.kind {
            Kind::Counter => format!("{name}_total"),
            Kind::Info => format!("{name}_info"),
            Kind::Gauge | Kind::Histogram => name,
        }
    }
}

impl Kind {
    /// The word of the exposition format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// What every name begins with.
pub const PREFIX: &str = "quantum_apply";

/// Every metric, in the order of the page.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "build",
        kind: Kind::Info,
        unit: "",
        labels: &["version", "commit"],
        of: Of::Service,
        help: "Which program this is; always 1",
    },
    Metric {
        name: "dedupe_hits",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "EXECUTE plans that were claimed before",
    },
    Metric {
        name: "proposals_refused",
        kind: Kind::Counter,
        unit: "",
        labels: &["reason"],
        of: Of::Service,
        help: "Proposals that could not be read",
    },
    Metric {
        name: "proposals_found",
        kind: Kind::Counter,
        unit: "",
        labels: &["by"],
        of: Of::Service,
        help: "New proposals, by push or poll",
    },
    Metric {
        name: "plans_refused",
        kind: Kind::Counter,
        unit: "",
        labels: &["reason"],
        of: Of::Service,
        help: "Plans that were refused for now, by reason; each is tried again when a slot is free",
    },
    Metric {
        name: "blocks",
        kind: Kind::Counter,
        unit: "",
        labels: &["reason"],
        of: Of::Service,
        help: "Plans the permit gate blocked, by reason",
    },
    Metric {
        name: "permits_found",
        kind: Kind::Counter,
        unit: "",
        labels: &["permit", "by"],
        of: Of::Service,
        help: "Permits found, by push or poll",
    },
    Metric {
        name: "orders",
        kind: Kind::Counter,
        unit: "",
        labels: &["outcome"],
        of: Of::Service,
        help: "Orders submitted, by outcome",
    },
    Metric {
        name: "results",
        kind: Kind::Counter,
        unit: "",
        labels: &["outcome"],
        of: Of::Service,
        help: "Final results of claimed plans, by outcome of publishing them",
    },
    Metric {
        name: "plans_recovered",
        kind: Kind::Counter,
        unit: "",
        labels: &["found"],
        of: Of::Service,
        help: "Plans recovered after a crash, by stage reached",
    },
    Metric {
        name: "plans_known_before",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Plans whose claim the store had lost and that the journal or the venue knew: not executed again",
    },
    Metric {
        name: "halted",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "1 while a kill switch is known to be on",
    },
    Metric {
        name: "kill_switch_unknown",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "1 while a kill switch cannot be read, that in Redis or the file HALT: no order leaves meanwhile. Where another one is on, halted is 1 as well",
    },
    Metric {
        name: "orders_unresolved",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Orders whose outcome could not be determined",
    },
    Metric {
        name: "stops_unresolved",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Stops whose outcome could not be determined",
    },
    Metric {
        name: "settled",
        kind: Kind::Counter,
        unit: "",
        labels: &["of", "outcome"],
        of: Of::Service,
        help: "Orders and stops that were settled by asking the venue, by outcome",
    },
    Metric {
        name: "ledger_results",
        kind: Kind::Counter,
        unit: "",
        labels: &["outcome"],
        of: Of::Service,
        help: "Executed results, by what became of them in the position brain's ledger: pushed out of the newest ten once booked, or not booked in time; and ledgers written after a fill, or left alone because their type or form is another",
    },
    Metric {
        name: "permits_missed",
        kind: Kind::Counter,
        unit: "",
        labels: &["permit", "came"],
        of: Of::Service,
        help: "Permits that were missing when their plan was blocked, by whether they were written within 30 s after it",
    },
    Metric {
        name: "permit_late",
        kind: Kind::Histogram,
        unit: "seconds",
        labels: &[],
        of: Of::Service,
        help: "Delay of a missing permit after its plan was blocked, where it was written within 30 s",
    },
    Metric {
        name: "reviewer_consumers",
        kind: Kind::Gauge,
        unit: "",
        labels: &["reviewer"],
        of: Of::Service,
        help: "Consumers that read the stream of plans in a reviewer's group; no series where it has no group",
    },
    Metric {
        name: "reviewer_idle_milliseconds",
        kind: Kind::Gauge,
        unit: "",
        labels: &["reviewer"],
        of: Of::Service,
        help: "Time since a reviewer last asked for plans",
    },
    Metric {
        name: "reviewer_pending",
        kind: Kind::Gauge,
        unit: "",
        labels: &["reviewer"],
        of: Of::Service,
        help: "Plans that were handed to a reviewer and not acknowledged",
    },
    Metric {
        name: "reviewer_lag",
        kind: Kind::Gauge,
        unit: "",
        labels: &["reviewer"],
        of: Of::Service,
        help: "Plans that a reviewer has not read yet",
    },
    Metric {
        name: "reviewer_unanswered_plans",
        kind: Kind::Gauge,
        unit: "",
        labels: &["reviewer"],
        of: Of::Service,
        help: "Plans in a row that a reviewer gave no permit for, up to the last one, over restarts and of every instance; at most 100",
    },
    Metric {
        name: "orders_limited",
        kind: Kind::Counter,
        unit: "",
        labels: &["reason"],
        of: Of::Service,
        help: "Closes whose order was smaller than approved, by what limited it",
    },
    Metric {
        name: "stops_after_close",
        kind: Kind::Counter,
        unit: "",
        labels: &["outcome"],
        of: Of::Service,
        help: "Stops of this program that were checked after a close, by outcome",
    },
    Metric {
        name: "port_failures",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Failed calls to Redis or the venue that were tried again",
    },
    Metric {
        name: "permit_wait",
        kind: Kind::Histogram,
        unit: "seconds",
        labels: &[],
        of: Of::Service,
        help: "From the first try to the grant or the block",
    },
    Metric {
        name: "order_roundtrip",
        kind: Kind::Histogram,
        unit: "seconds",
        labels: &[],
        of: Of::Service,
        help: "From the grant to the venue's answer",
    },
    Metric {
        name: "plan",
        kind: Kind::Counter,
        unit: "",
        labels: &["symbol", "decision"],
        of: Of::Service,
        help: "Plans, by decision",
    },
    Metric {
        name: "execute",
        kind: Kind::Counter,
        unit: "",
        labels: &["symbol", "step", "status"],
        of: Of::Service,
        help: "Steps that were executed, by outcome",
    },
    Metric {
        name: "last_success_epoch",
        kind: Kind::Gauge,
        unit: "",
        labels: &["symbol"],
        of: Of::Service,
        help: "When a step last succeeded, in seconds since 1970",
    },
    Metric {
        name: "permit_script_calls",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Takes run as a script",
    },
    Metric {
        name: "permit_transactions",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Takes run as a transaction because scripts are forbidden",
    },
    Metric {
        name: "permit_takes_unsettled",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Takes repeated because their answer was lost",
    },
    Metric {
        name: "permit_reconnects",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Reconnects of the command connection to the permit store",
    },
    Metric {
        name: "permit_watch_reconnects",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Reconnects of the watch connection",
    },
    Metric {
        name: "permit_pushes",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Messages of the watch that named at least one key",
    },
    Metric {
        name: "plans_waiting",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Plans that wait for permits right now",
    },
    Metric {
        name: "permit_watch_mode",
        kind: Kind::Gauge,
        unit: "",
        labels: &["mode"],
        of: Of::Service,
        help: "1 for the way that wakes waiting plans now",
    },
    Metric {
        name: "plans_in_flight",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Plans under way, from the claim to the result",
    },
    Metric {
        name: "plans_in_flight_limit",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "How many plans may be under way",
    },
    Metric {
        name: "symbols_without_room",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Symbols whose plan waits for a free slot",
    },
    Metric {
        name: "shard",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Which shard of the symbols this instance follows, from 1 on",
    },
    Metric {
        name: "shards",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Number of shards of the symbols; 1 where every instance follows all",
    },
    Metric {
        name: "symbols_followed",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Symbols this instance follows",
    },
    Metric {
        name: "orders_can_flow",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "1 while a granted plan's order can be sent",
    },
    Metric {
        name: "redis_up",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "1 while Redis answers and takes writes",
    },
    Metric {
        name: "venue_up",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "1 while the venue answers",
    },
    Metric {
        name: "places_orders",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "1 in testnet mode, where orders are placed; 0 in a dry run",
    },
    Metric {
        name: "start_time_seconds",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "When this process started, in seconds since 1970",
    },
    Metric {
        name: "results_owed",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Plans that owe a result, beside those under way",
    },
    Metric {
        name: "plans_unresolved",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Recent plans of this process whose order has an unknown outcome",
    },
    Metric {
        name: "venue_clock_offset_milliseconds",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "The venue's clock minus this machine's",
    },
    Metric {
        name: "venue_roundtrip_microseconds",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Round trip of a bare question, when last measured",
    },
    Metric {
        name: "venue_weight_used",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Request weight used in this minute",
    },
    Metric {
        name: "venue_weight_limit",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Request weight allowed a minute",
    },
    Metric {
        name: "venue_stopped",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "1 while the venue's limits stop all requests",
    },
    Metric {
        name: "orders_without_ending",
        kind: Kind::Gauge,
        unit: "",
        labels: &[],
        of: Of::Service,
        help: "Orders of this process whose outcome is not known yet",
    },
    Metric {
        name: "venue_refusals",
        kind: Kind::Counter,
        unit: "",
        labels: &["to", "code"],
        of: Of::Service,
        help: "Error answers of the venue, by request and code; other: an undocumented code, or none",
    },
    Metric {
        name: "venue_omissions",
        kind: Kind::Counter,
        unit: "",
        labels: &["answer", "part"],
        of: Of::Service,
        help: "Parts of the venue's answers that were left out: unreadable fields that no decision uses, and rows of other programs",
    },
    Metric {
        name: "permits",
        kind: Kind::Counter,
        unit: "",
        labels: &["reviewer", "verdict", "reason"],
        of: Of::Reviewers,
        help: "Permits written, by verdict and reason",
    },
    Metric {
        name: "plans_without_permit",
        kind: Kind::Counter,
        unit: "",
        labels: &["reviewer", "why"],
        of: Of::Reviewers,
        help: "Entries of the plan stream that got no permit, by reason",
    },
    Metric {
        name: "plan_to_permit",
        kind: Kind::Histogram,
        unit: "seconds",
        labels: &["reviewer"],
        of: Of::Reviewers,
        help: "From the plan's entry to its permit, on the clock of Redis",
    },
    Metric {
        name: "kill_switch_trips",
        kind: Kind::Counter,
        unit: "",
        labels: &[],
        of: Of::Reviewers,
        help: "How often a burst tripped the kill switch",
    },
    Metric {
        name: "venue_polls",
        kind: Kind::Counter,
        unit: "",
        labels: &["outcome"],
        of: Of::Reviewers,
        help: "Questions for positions, by outcome",
    },
    Metric {
        name: "port_failures",
        kind: Kind::Counter,
        unit: "",
        labels: &["reviewer"],
        of: Of::Reviewers,
        help: "Failed calls to Redis or the venue",
    },
];

/// What a metric of the service says. A name that is not in the table says nothing, and a test compares the page
/// with the table.
pub fn help(name: &str) -> &'static str {
    help_of(Of::Service, name)
}

/// The same of the reviewers.
pub fn help_of(of: Of, name: &str) -> &'static str {
    let found = METRICS.iter().find(|m| m.of == of && m.name == name);
    found.map_or("", |metric| metric.help)
}

/// The text of `docs/metrics.md`.
pub fn page() -> String {
    let mut page = "# Metrics\n\nOn `/metrics`, port `APPLY_METRICS_PORT`; those of the reviewers on `REVIEW_METRICS_PORT`. Every series whose labels\nare known beforehand is there from the start, at 0.\n".to_owned();
    for (of, title) in [
        (Of::Service, "The service"),
        (Of::Reviewers, "The reviewers"),
    ] {
        page += &format!("\n## {title}\n\n| metric | type | says |\n|---|---|---|\n");
        for metric in METRICS.iter().filter(|metric| metric.of == of) {
            let labels = match metric.labels {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(",")),
            };
            let (series, kind) = (metric.series(), metric.kind.as_str());
            page += &format!("| `{series}{labels}` | {kind} | {} |\n", metric.help);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_metrics_is_made_of_this_table() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        assert!(
            std::fs::read_to_string(file).unwrap() == page(),
            "run: cargo run -p apply-wire --example metrics > docs/metrics.md"
        );
    }

    #[test]
    fn no_metric_stands_twice_and_each_says_something() {
        for (i, metric) in METRICS.iter().enumerate() {
            let name = metric.full_name();
            assert!(METRICS[..i].iter().all(|m| m.full_name() != name), "{name}");
            assert!(
                !metric.help.is_empty() && !metric.help.ends_with('.'),
                "{name}"
            );
        }
    }
}
