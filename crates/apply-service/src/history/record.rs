//! One plan as the streams show it: its entry, its result, and what other programs have answered.

use super::{filter::Filter, outcome::Outcome};
use crate::dashboard::{ForeignView, OrderView, PlanView, ResultView, WaitView, cut};
use apply_core::{ApplyResult, Entry};
use apply_redis::Entry as StreamEntry;
use apply_wire::field;
use permit_gate::PlanId;
use serde::de::IgnoredAny;
use std::collections::HashMap;

/// Answers of other programs that are kept of one plan.
const FOREIGN: usize = 3;

/// Fields of a plan that are shown.
const SHOWN: usize = 40;

/// The fields of an entry.
#[derive(Debug, Clone, Default)]
pub struct Fields(HashMap<String, Vec<u8>>);

impl Fields {
    /// Those of a result as it goes onto the stream.
    pub(crate) fn of_result(result: &ApplyResult) -> Self {
        let fields = result.to_fields().into_iter();
        Self(
            fields
                .map(|(k, v)| (k.to_owned(), v.into_bytes()))
                .collect(),
        )
    }

    pub(crate) fn of(fields: HashMap<String, Vec<u8>>) -> Self {
        Self(fields)
    }

    /// A field's text; empty where it is absent.
    pub fn text(&self, name: &str) -> String {
        let value = self.0.get(name).map(|bytes| String::from_utf8_lossy(bytes));
        value.map_or_else(String::new, |text| text.into_owned())
    }

    /// Of a result: whether its plan was to be executed. What was declined without a claim has no step.
    pub(crate) fn was_claimed(&self) -> bool {
        let steps = self.text(field::STEPS_RESULTS);
        serde_json::from_str::<Vec<IgnoredAny>>(&steps).is_ok_and(|steps| !steps.is_empty())
    }

    /// Who wrote it, where it is no result of a plan: see [`field::other_writer`].
    fn other_writer(&self) -> Option<String> {
        field::other_writer(|name| self.text(name))
    }

    /// Whether the entry is a result of a plan: no filler, and of no other program.
    pub(crate) fn is_result(&self) -> bool {
        self.text(field::FILLER).is_empty() && self.other_writer().is_none()
    }
}

/// What a result on the stream came to.
pub(crate) fn outcome_of(fields: &Fields) -> Outcome {
    let error = fields.text(field::ERROR);
    Outcome::of(
        fields.text(field::EXECUTED) == field::TRUE,
        fields.text(field::WOULD_EXECUTE) == field::TRUE,
        &fields.text(field::DECISION),
        Some(&*error).filter(|error| !error.is_empty()),
    )
}

/// The milliseconds of an entry's place; 0 where it has none.
pub fn entry_millis(id: &str) -> u64 {
    let millis = id.split('-').next().and_then(|text| text.parse().ok());
    millis.unwrap_or(0)
}

/// What the stream of results says about one plan.
#[derive(Debug, Default)]
pub(super) struct Results {
    ours: Option<(u64, Fields)>,
    foreign: Vec<ForeignView>,
}

impl Results {
    /// Takes an entry in; whether it is the plan's result.
    pub(super) fn add(&mut self, millis: u64, fields: &Fields) -> bool {
        if let Some(source) = fields.other_writer() {
            if self.foreign.len() < FOREIGN {
                self.foreign.push(ForeignView {
                    at: millis,
                    source: cut(&source),
                    executed: cut(&fields.text(field::EXECUTED)),
                    error: cut(&fields.text(field::ERROR)),
                });
            }
            return false;
        }
        if !fields.text(field::FILLER).is_empty() {
            return false;
        }
        // The last one counts: a result may be corrected.
        self.ours = Some((millis, fields.clone()));
        true
    }
}

/// One plan.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: String,
    view: PlanView,
}

impl Record {
    /// The id of the plan of this entry, where it is one.
    pub(super) fn id_of(entry: &StreamEntry) -> Option<String> {
        let id = entry.fields.as_ref().ok()?.get(field::PLAN_ID)?;
        let id = String::from_utf8_lossy(id);
        PlanId::new(&id).ok().map(|id| id.to_string())
    }

    pub(super) fn of(entry: &StreamEntry) -> Option<Self> {
        let id = Self::id_of(entry)?;
        let fields = Fields(entry.fields.as_ref().ok()?.clone());
        let millis = entry_millis(&entry.id);
        let view = PlanView::of_stream(&id, millis, |name| fields.text(name));
        Some(Self { id, view })
    }

    /// Takes in what became of it.
    pub(super) fn end(&mut self, results: &Results) {
        if let Some((millis, fields)) = &results.ours {
            let text = |name: &str| fields.text(name);
            self.view.order = OrderView::of_stream(*millis, text);
            self.view.result = Some(ResultView::of_stream(*millis, text));
        }
        self.view.foreign.clone_from(&results.foreign);
    }

    pub(super) fn waits_for_its_result(&self) -> bool {
        self.view.result.is_none() && self.view.decision == field::EXECUTE
    }

    /// Takes in what the journal knows.
    pub(super) fn remembered(&mut self, entry: Option<Entry>) {
        let Some(entry) = entry else { return };
        if let Some(result) = entry.result {
            let fields = Fields::of_result(&result);
            let at = result.timestamp.saturating_mul(1000);
            let foreign = std::mem::take(&mut self.view.foreign);
            let ours = Some((at, fields));
            self.end(&Results { ours, foreign });
            self.view.note = Some("its result is from the journal of this machine");
        }
    }

    /// Takes in how its wait went.
    pub(super) fn waited(&mut self, wait: Option<WaitView>) {
        self.view.wait = wait;
    }

    pub(super) fn passes(&self, filter: &Filter) -> bool {
        self.view.passes(filter)
    }

    pub(super) fn into_view(self) -> PlanView {
        self.view
    }
}

/// The fields of a plan, in the order of their names, each cut.
pub(super) fn shown(fields: &HashMap<String, Vec<u8>>) -> Vec<(String, String)> {
    let fields = fields.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value);
        (cut(name), cut(&value))
    });
    let mut fields: Vec<_> = fields.filter(|(_, value)| !value.is_empty()).collect();
    fields.sort_unstable();
    fields.truncate(SHOWN);
    fields
}
