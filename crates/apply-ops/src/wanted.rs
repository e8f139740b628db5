//! Which plans and results a command is about: the same filters as those of the page and of `/api/plans.json`.

use super::link::{ALL_KEPT, Entry, Link};
use apply_redis::Keys;
use apply_service::{
    Failure,
    history::{Filter, Moment, Outcome},
};
use apply_wire::Exit;
use clap::Args;
use std::{cell::RefCell, collections::HashMap};

/// What has to be true of a plan or a result.
#[derive(Args)]
pub struct Wanted {
    /// Of this symbol only.
    #[arg(long)]
    symbol: Option<String>,
    /// With this decision (EXECUTE, SKIP, BLOCKED, ERROR), or what it came to: executed, would_execute, blocked,
    /// skipped, failed, unresolved.
    #[arg(long)]
    decision: Option<String>,
    /// With a reason or an error that contains this text.
    #[arg(long)]
    reason: Option<String>,
    /// None newer than this: a span ago, as 90s, 30m, 6h or 2d, or a date in UTC, as 2026-01-25 (that day whole) or
    /// 2026-01-25T00:43:29Z.
    #[arg(long)]
    until: Option<Moment>,
}

/// What is said of one plan, on both streams together.
#[derive(Default)]
struct Said {
    decisions: Vec<String>,
    reasons: Vec<String>,
}

impl Said {
    fn by_plan(&mut self, entry: &Entry) {
        self.decisions.push(entry.text("decision"));
        let codes = entry.text("reason_codes");
        self.reasons.extend(codes.split(',').map(str::to_owned));
    }

    fn by_result(&mut self, entry: &Entry) {
        let decision = entry.text("decision");
        let error = Some(entry.text("error")).filter(|error| !error.is_empty());
        let is = |field| entry.text(field) == "True";
        let outcome = Outcome::of(
            is("executed"),
            is("would_execute"),
            &decision,
            error.as_deref(),
        );
        self.decisions
            .extend([outcome.as_str().to_owned(), decision]);
        self.reasons.extend(error);
    }
}

impl Wanted {
    /// The filter as of now, in milliseconds since 1970 by the clock that gave the entries their places.
    ///
    /// # Errors
    ///
    /// Where the span ends before it begins.
    pub(super) fn filter(&self, since: Option<Moment>, now: u64) -> Result<Filter, Failure> {
        let filter = Filter {
            symbol: self.symbol.clone(),
            decision: self.decision.clone(),
            reason: self.reason.clone(),
            since: since.map(|since| since.begin(now)),
            until: self.until.map(|until| until.end(now)),
        };
        match filter.is_backwards() {
            true => Err(Failure::new(Exit::Usage, "--until is before --since")),
            false => Ok(filter),
        }
    }
}

/// How an entry of a stream is taken in.
type TakeIn = fn(&mut Outcomes, &Entry);

/// What both streams say of plans, by their ids.
#[derive(Default)]
pub(super) struct Outcomes(HashMap<String, Said>);

impl Outcomes {
    /// Reads as much as a filter has to know: a decision or a reason may stand on either stream, everything else stands in
    /// the entry itself.
    pub(super) async fn read(link: &mut Link, filter: &Filter) -> Result<Self, Failure> {
        let outcomes = RefCell::new(Self::default());
        if Self::is_asked_for(filter) {
            let keys = link.keys();
            for (stream, add) in Self::streams(&keys) {
                let note = |entry: &Entry| {
                    add(&mut outcomes.borrow_mut(), entry);
                    false
                };
                link.newest_that(stream, ALL_KEPT, note).await?;
            }
        }
        Ok(outcomes.into_inner())
    }

    /// Takes in what came since this moment, in milliseconds since 1970.
    pub(super) async fn read_on(
        &mut self,
        link: &mut Link,
        filter: &Filter,
        since: u64,
    ) -> Result<(), Failure> {
        if Self::is_asked_for(filter) {
            let keys = link.keys();
            for (stream, add) in Self::streams(&keys) {
                let came = link.since(stream, since).await?;
                came.iter().for_each(|entry| add(self, entry));
            }
        }
        Ok(())
    }

    fn is_asked_for(filter: &Filter) -> bool {
        filter.decision.is_some() || filter.reason.is_some()
    }

    /// Both streams, each with how an entry of it is taken in.
    fn streams(keys: &Keys) -> [(&str, TakeIn); 2] {
        [
            (&keys.plans, Self::add_plan),
            (&keys.results, Self::add_result),
        ]
    }

    fn add_plan(&mut self, entry: &Entry) {
        self.of(entry).by_plan(entry);
    }

    fn add_result(&mut self, entry: &Entry) {
        if entry.foreign().is_none() && !entry.is_filler() {
            self.of(entry).by_result(entry);
        }
    }

    fn of(&mut self, entry: &Entry) -> &mut Said {
        self.0.entry(entry.text("plan_id")).or_default()
    }

    /// Whether an entry passes, by all that is said of its plan.
    pub(super) fn passes(&self, filter: &Filter, entry: &Entry) -> bool {
        let nothing = Said::default();
        let said = self.0.get(&entry.text("plan_id")).unwrap_or(&nothing);
        passes_as(filter, entry, said)
    }
}

/// Those of both streams that pass, each by all that is said of its plan.
pub(super) fn choose(filter: &Filter, plans: &mut Vec<Entry>, results: &mut Vec<Entry>) {
    let mut outcomes = Outcomes::default();
    plans.iter().for_each(|entry| outcomes.add_plan(entry));
    results.iter().for_each(|entry| outcomes.add_result(entry));
    plans.retain(|entry| outcomes.passes(filter, entry));
    results.retain(|entry| outcomes.passes(filter, entry));
}

fn passes_as(filter: &Filter, entry: &Entry, said: &Said) -> bool {
    let decisions = said.decisions.iter().map(|word| &**word);
    let reasons = said.reasons.iter().map(|reason| &**reason);
    filter.passes(entry.id.millis, &entry.text("symbol"), decisions, reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(millis: u64, fields: &[(&str, &str)]) -> Entry {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let entry = apply_redis::Entry {
            id: format!("{millis}-0"),
            fields: Ok(fields.collect()),
        };
        Entry::read(entry).unwrap()
    }

    #[test]
    fn a_plan_is_chosen_with_its_result_by_what_either_of_them_says() {
        let plan = |millis, id: &str| {
            let id = format!("{id:0>16}");
            let of = [
                ("plan_id", &*id),
                ("symbol", "BTCUSDT"),
                ("decision", "EXECUTE"),
            ];
            entry(millis, &of)
        };
        let result = |millis, id: &str, decision, executed, error| {
            let id = format!("{id:0>16}");
            let of = [
                ("plan_id", &*id),
                ("symbol", "BTCUSDT"),
                ("decision", decision),
                ("executed", executed),
                ("error", error),
            ];
            entry(millis, &of)
        };
        let chosen = |filter: Filter| {
            let mut plans = vec![plan(10, "a"), plan(20, "b"), plan(30, "c")];
            let mut results = vec![
                result(15, "a", "EXECUTE", "True", ""),
                result(25, "b", "BLOCKED", "False", "p33_permit_denied"),
            ];
            choose(&filter, &mut plans, &mut results);
            let ids = |of: &[Entry]| {
                let last = |it: &Entry| it.text("plan_id").pop();
                of.iter().filter_map(last).collect::<String>()
            };
            (ids(&plans), ids(&results))
        };
        let some = |text: &str| Some(text.to_owned());
        let all = Filter::default;
        for (filter, expected) in [
            (all(), ("abc", "ab")),
            (
                Filter {
                    decision: some("executed"),
                    ..all()
                },
                ("a", "a"),
            ),
            (
                Filter {
                    decision: some("execute"),
                    ..all()
                },
                ("abc", "ab"),
            ),
            (
                Filter {
                    reason: some("denied"),
                    ..all()
                },
                ("b", "b"),
            ),
            (
                Filter {
                    symbol: some("ETHUSDT"),
                    ..all()
                },
                ("", ""),
            ),
            (
                Filter {
                    until: Some(20),
                    ..all()
                },
                ("ab", "a"),
            ),
        ] {
            let (plans, results) = chosen(filter.clone());
            assert_eq!((&*plans, &*results), expected, "{filter:?}");
        }
    }
}
