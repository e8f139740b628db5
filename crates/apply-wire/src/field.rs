//! The names of fields, and the words that stand in some of them.

/// Of a proposal: what is to be done. Required.
pub const HARVEST_ACTION: &str = "harvest_action";
/// Of a proposal: whether a calibrator has put [`ACTION`] in the place of [`HARVEST_ACTION`]: [`CALIBRATED_WORDS`].
pub const CALIBRATED: &str = "calibrated";
/// What a calibrated proposal says in [`CALIBRATED`], and what one says that is not. Absent and empty is the
/// second.
pub const CALIBRATED_WORDS: (&str, &str) = ("1", "0");
/// Of a proposal and a plan: from 0 (normal) to 1 (close now). Required.
pub const KILL_SCORE: &str = "kill_score";
/// Of a proposal and a plan: a part of the kill score.
pub const K_REGIME_FLIP: &str = "k_regime_flip";
/// Of a proposal and a plan: a part of the kill score.
pub const K_SIGMA_SPIKE: &str = "k_sigma_spike";
/// Of a proposal and a plan: a part of the kill score.
pub const K_TS_DROP: &str = "k_ts_drop";
/// Of a proposal and a plan: a part of the kill score.
pub const K_AGE_PENALTY: &str = "k_age_penalty";
/// Of a proposal and a plan: the stop price of `UPDATE_SL`.
pub const NEW_SL: &str = "new_sl_proposed";
/// Of a proposal and a plan: reward so far, in R.
pub const R_NET: &str = "R_net";
/// Of a proposal: when the brain computed it.
pub const COMPUTED_AT: &str = "computed_at_utc";
/// Of a proposal: when the brain last wrote it. Brains write it anew without computing anything anew, so
/// that it counts only for a proposal's age and only where [`COMPUTED_AT`] is absent.
pub const UPDATED_AT: &str = "last_update_epoch";
/// Of a proposal and a plan: reason codes, parted by commas.
pub const REASON_CODES: &str = "reason_codes";

/// Of a plan and a result: the plan's id.
pub const PLAN_ID: &str = "plan_id";
/// Of a plan and a result.
pub const SYMBOL: &str = "symbol";
/// Of a calibrated proposal: the action that counts. Of a plan: the proposal's action.
pub const ACTION: &str = "action";
/// Of a plan and a result: `EXECUTE`, `SKIP`, `BLOCKED` or `ERROR`.
pub const DECISION: &str = "decision";
/// Of a plan: what to execute, a JSON list.
pub const STEPS: &str = "steps";
/// Of a plan: empty; sized only after the permits.
pub const CLOSE_QTY: &str = "close_qty";
/// Of a plan: empty.
pub const PRICE: &str = "price";
/// Of a plan and a result: whole seconds since 1970.
pub const TIMESTAMP: &str = "timestamp";
/// Of a plan: always [`REDUCE_ONLY_TRUE`]. Without it newer position brains review an opening.
pub const REDUCE_ONLY: &str = "reduceOnly";
/// The word in [`REDUCE_ONLY`].
pub const REDUCE_ONLY_TRUE: &str = "true";
/// Of a claimed plan: the attempt. An addition to the contract.
pub const ATTEMPT: &str = "attempt";

/// Of a result: [`TRUE`] or [`FALSE`].
pub const EXECUTED: &str = "executed";
/// Of a result: [`TRUE`] or [`FALSE`].
pub const WOULD_EXECUTE: &str = "would_execute";
/// Of a result: what was done, a JSON list.
pub const STEPS_RESULTS: &str = "steps_results";
/// Of a result: a reason code, or empty.
pub const ERROR: &str = "error";
/// Of a result: what it earned before commission. An addition to the contract.
pub const PROFIT_REALIZED: &str = "profit_realized";
/// Of a result: what it earned after commission. An addition to the contract.
pub const PROFIT_NET: &str = "profit_net";
/// Of a result: what the venue charged. An addition to the contract.
pub const COMMISSION: &str = "commission";

/// Of a result: how long its permits were waited for until all were there, in milliseconds. An addition to the contract.
pub const PERMIT_WAIT_MS: &str = "permit_wait_ms";
/// Of a result: from the grant to the venue's answer to the order, in microseconds. An addition to the contract.
pub const ORDER_TOOK_US: &str = "order_took_us";

/// Of a result: the venue's order id, as in its last step. An addition of March, as the five below it.
pub const ORDER_ID: &str = "order_id";
/// Of a result: which way the order traded.
pub const SIDE: &str = "side";
/// Of a result: the quantity that filled, in base units.
pub const FILLED_QTY: &str = "filled_qty";
/// Of a result: the venue's word for how the order ended.
pub const ORDER_STATUS: &str = "order_status";
/// Of a result: the share of the position that the plan closes, in percent.
pub const CLOSE_PCT: &str = "close_pct";
/// Of a result: [`TIMESTAMP`] once more.
pub const TS: &str = "ts";

/// Of a wait that is over: how it went, as JSON.
pub const WAIT: &str = "wait";
/// Of a wait that is over: the process that saw it.
pub const INSTANCE: &str = "instance";

/// Of a late permit: its name.
pub const PERMIT: &str = "permit";
/// Of a late permit: how long after its plan was blocked it came, in milliseconds.
pub const LATE_BY_MS: &str = "late_by_ms";
/// Of a late permit: how long its plan had waited, in milliseconds.
pub const WAITED_MS: &str = "waited_ms";

/// Of a result: that it is none, and stands there to push one that was booked out of the sight of a position brain
/// that books what it sees again and again. An addition to the contract.
pub const FILLER: &str = "filler";
/// What stands in [`FILLER`].
pub const FILLER_BOOKED: &str = "booked";
/// Of a result: the program that wrote it. Absent in results of January.
pub const SOURCE: &str = "source";
/// Of another program's result: what else it says, in its own form.
pub const DETAILS: &str = "details";
/// What stands in [`SOURCE`] of this service's results, as in those of the one before it since February.
pub const OUR_SOURCE: &str = "apply_layer";

/// Whether a result was written by another program, by its [`SOURCE`]: another executor answers plans of this
/// service on the same stream, executed or not. Such an entry is no result of a plan.
pub fn is_foreign(source: &str) -> bool {
    !source.is_empty() && source != OUR_SOURCE
}

/// What is shown in the place of a [`SOURCE`] where an entry is not of a result's form.
pub const MALFORMED: &str = "(malformed)";

/// Who wrote an entry on the stream of results, where it is no result of this service nor of the one before it: the
/// program that it names, or [`MALFORMED`] for one without the fields of a result. `text` gives a field's text, empty where
/// it is absent.
pub fn other_writer(text: impl Fn(&str) -> String) -> Option<String> {
    let source = text(SOURCE);
    if is_foreign(&source) {
        return Some(source);
    }
    let plan = text(PLAN_ID);
    let names_a_plan =
        plan.len() == PLAN_ID_DIGITS && plan.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_result = names_a_plan
        && DECISIONS.contains(&&*text(DECISION))
        && [TRUE, FALSE].contains(&&*text(EXECUTED));
    (!is_result).then(|| MALFORMED.to_owned())
}

/// Hex digits of a plan's id.
const PLAN_ID_DIGITS: usize = 16;

/// Readers of results compare with this word.
pub const TRUE: &str = "True";
/// The opposite of [`TRUE`].
pub const FALSE: &str = "False";

/// A plan that goes to review.
pub const EXECUTE: &str = "EXECUTE";
/// A plan that needs nothing done.
pub const SKIP: &str = "SKIP";
/// A plan or result that something forbids.
pub const BLOCKED: &str = "BLOCKED";
/// A plan or result that failed.
pub const FAILED: &str = "ERROR";

/// What a plan or a result can come to.
pub const DECISIONS: [&str; 4] = [EXECUTE, SKIP, BLOCKED, FAILED];

/// `True` or `False`.
pub const fn python_bool(value: bool) -> &'static str {
    if value { TRUE } else { FALSE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_the_form_of_a_result_is_of_nobody() {
        let ours = [
            (PLAN_ID, "67e6da21fa9fe506"),
            (DECISION, "BLOCKED"),
            (EXECUTED, "False"),
        ];
        let writer = |field: &str, value: &str| {
            other_writer(|name| {
                let of_ours = || ours.iter().find(|(of, _)| *of == name);
                match name == field {
                    true => value.to_owned(),
                    false => of_ours().map_or_else(String::new, |(_, text)| (*text).to_owned()),
                }
            })
        };
        for (field, value) in [(SOURCE, ""), (SOURCE, OUR_SOURCE), (DECISION, "ERROR")] {
            assert_eq!(writer(field, value), None, "{field}={value}");
        }
        let another = Some("intent_executor".to_owned());
        assert_eq!(writer(SOURCE, "intent_executor"), another);
        for (field, value) in [
            (PLAN_ID, ""),
            (PLAN_ID, "67e6da21fa9fe50g"),
            (PLAN_ID, "67e6da21fa9fe5060"),
            (DECISION, ""),
            (DECISION, "execute"),
            (EXECUTED, ""),
            (EXECUTED, "false"),
        ] {
            assert_eq!(
                writer(field, value).as_deref(),
                Some(MALFORMED),
                "{field}={value}"
            );
        }
    }
}
