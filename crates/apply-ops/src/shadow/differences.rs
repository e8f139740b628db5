//! Every difference between this service and the one before it that the shadow can find, each once.

/// What a difference means for the change from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// A known fault or habit of the service before, in which this one differs on purpose.
    Explained,
    /// The reason is unknown. Look into it before the change.
    Unexplained,
    /// What it would take to compare was not there.
    NotCompared,
}

impl Class {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Explained => "explained",
            Self::Unexplained => "unexplained",
            Self::NotCompared => "not_compared",
        }
    }
}

/// One difference.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// As one word.
    pub(super) name: &'static str,
    pub(super) class: Class,
    /// In one sentence: what the service before does, or what was missing.
    pub(super) why: &'static str,
}

macro_rules! differences {
    ($( $name:ident = $word:literal: $class:ident, $why:literal; )+) => {
        $( pub(super) static $name: Difference = Difference {
            name: $word,
            class: Class::$class,
            why: $why,
        }; )+

        /// All of them, in the order of `docs/shadow.md`.
        pub(super) static ALL: &[&Difference] = &[$(&$name),+];
    };
}

differences! {
    SCORE_PASSES = "score_passes": Explained, "A kill score that is no finite number, or is below 0, passes every threshold of the old service; ours refuses the proposal.";
    UNREADABLE_FOLLOWED = "unreadable_followed": Explained, "The old service follows a proposal that holds an unreadable field; ours refuses it.";
    REFUSED_BEFORE = "refused_before": Explained, "Ours refuses the proposal before there is a plan; the old service makes a plan of it that it does not execute.";
    ANY_AGE = "any_age": Explained, "The old service follows a proposal of any age; ours refuses one that is older than APPLY_PROPOSAL_MAX_AGE_SEC.";
    CALIBRATION_IGNORED = "calibration_ignored": Explained, "The old service follows harvest_action where calibrated=1 puts another action in its place; ours follows that one.";
    NEWER_ACTIONS = "newer_actions": Explained, "The old service knows the five actions of January in capitals alone; ours knows the newer ones and any case.";
    CLOSE_THRESHOLD = "close_threshold": Explained, "One of the two blocks closes from a kill score of its own (K_CLOSE_THRESHOLD).";
    UNIVERSE = "universe": Explained, "The old service takes its allowlist from quantum:cfg:universe:active; ours is APPLY_ALLOWLIST alone.";
    STOPS_OFF = "stops_off": Explained, "The old service goes on with an UPDATE_SL and places no stop; ours skips it where APPLY_STOPS is off.";
    PLACES_NO_STOP = "places_no_stop": Explained, "The old service places no stop for an UPDATE_SL that was granted; ours places it where APPLY_STOPS is on.";
    ANY_STOP_PRICE = "any_stop_price": Explained, "The old service says EXECUTE to a stop at a price that is none; ours says invalid_new_sl.";
    DISARM_IGNORED = "disarm_ignored": Explained, "The old service goes on while the governor's disarm stands, until it is restarted; ours is halted by the key.";
    SWITCH_WORD = "switch_word": Explained, "The kill switch holds a word that is none; the old service takes it for off, ours for on.";
    SIDE_AND_QUANTITY = "side_and_quantity": Explained, "The old service publishes side with a quantity and its name, which another executor places as well; ours never does.";
    LOOKS_SELDOM = "looks_seldom": Explained, "The old service looks every APPLY_POLL_SEC and is busy meanwhile; it never saw this proposal, which ours notices at once.";
    REPEATED_RESULTS = "repeated_results": Explained, "The old service writes a result for every symbol in every cycle; ours writes one until something changes.";
    EARLY_NO = "early_no": Explained, "A permit says no while others are missing or say no as well: the old service waits for all of them, ours ends the wait at the first no.";
    LAST_STEP = "last_step": Explained, "The last permit came in the last step of the wait, which the old service sleeps through; ours tries once more at the deadline.";
    EDGE_OF_THE_WAIT = "edge_of_the_wait": Explained, "The last permit came so close to the deadline that the two clocks decide; the old service's wait is longer than it says by what its looks take.";
    PERMIT_UNJUDGED = "permit_unjudged": Explained, "The old service takes a permit as granted that does not parse or is for something else; to ours it is a no.";
    WHOLE_PERMIT = "whole_permit": Explained, "The old service closes all that the permit allows; ours closes the plan's share of the position at most.";
    FLOAT_TAIL = "float_tail": Explained, "The old service sends the tail of a binary number, which the venue refuses; ours sends the decimal it stands for.";
    REFUSED_AS_EXECUTED = "refused_as_executed": Explained, "The old service reports executed=True for an order that the venue refused; ours reports what filled.";
    FILLED_NOTHING = "filled_nothing": Explained, "The old service reports an executed_qty of 0 for an order that filled; ours reports what filled.";
    ORDER_TIMED_OUT = "order_timed_out": Explained, "The old service ends an order that timed out as an error; ours asks the venue what became of it.";

    PLAN_ID_DIFFERS = "plan_id_differs": Unexplained, "The same proposal has another plan id: a change would execute it twice.";
    DECISION_DIFFERS = "decision_differs": Unexplained, "The decisions on the same proposal differ.";
    REASONS_DIFFER = "reasons_differ": Unexplained, "The decisions on the same proposal agree, their reasons do not.";
    FIELDS_DIFFER = "fields_differ": Unexplained, "The plans of the same proposal say something else to the reviewers.";
    UNASKED_PLAN = "unasked_plan": Unexplained, "The old service made a plan that the standing proposal does not ask for.";
    UNKNOWN_DUPLICATE = "unknown_duplicate": Unexplained, "The old service takes a plan for a duplicate that it never put out for review while it was watched.";
    PUBLISHED_AGAIN = "published_again": Unexplained, "The old service put a plan out for review a second time.";
    NO_PLAN = "no_plan": Unexplained, "A proposal stood for longer than the old service takes for a round, and it made no plan of it.";
    NO_RESULT = "no_result": Unexplained, "The old service put a plan out for review and published no result.";
    EXECUTED_WITHOUT_PERMIT = "executed_without_permit": Unexplained, "The old service went on without a permit that is required: it was not written in time.";
    EXECUTED_AGAINST_A_NO = "executed_against_a_no": Unexplained, "The old service went on although a permit says no.";
    TIMED_OUT_WITH_PERMITS = "timed_out_with_permits": Unexplained, "The old service missed permits that were there in time.";
    REFUSAL_DIFFERS = "refusal_differs": Unexplained, "The two judge the same permits differently.";
    QUANTITY_DIFFERS = "quantity_differs": Unexplained, "The two order different quantities.";
    SIDE_DIFFERS = "side_differs": Unexplained, "The two trade in different directions.";
    EXECUTED_UNREVIEWED = "executed_unreviewed": Unexplained, "The old service executed a plan that was not put out for review.";
    SECOND_RESULT = "second_result": Unexplained, "The old service executed a plan again.";

    BEFORE_THE_START = "before_the_start": NotCompared, "The plan was published before the shadow began to watch.";
    PROPOSAL_NOT_SEEN = "proposal_not_seen": NotCompared, "The proposal of this plan was rewritten before it could be read, or its symbol is not watched.";
    PERMIT_NOT_READ = "permit_not_read": NotCompared, "A permit was written and taken before it could be read.";
    VENUE = "venue": NotCompared, "What the venue answers to the order is not asked.";
    NO_POSITION = "no_position": NotCompared, "No permit says what the position is, and the venue is not asked.";
    SWITCH_TURNED = "switch_turned": NotCompared, "A kill switch was turned while the plan was under way.";
    OPEN_AT_THE_END = "open_at_the_end": NotCompared, "The shadow ended before the old service was through with it.";
    BLIND = "blind": NotCompared, "The connection to Redis was lost while the plan was under way.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_has_a_name_of_its_own_and_a_sentence() {
        let names: BTreeSet<&str> = ALL.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), ALL.len());
        for one in ALL {
            assert!(one.why.ends_with('.'), "{}", one.name);
        }
    }

    /// The operator reads them there.
    #[test]
    fn the_document_lists_what_the_table_says() {
        let document = include_str!("../../../../docs/shadow.md");
        for one in ALL {
            let row = format!("| `{}` | {} | {} |", one.name, one.class.word(), one.why);
            assert!(document.contains(&row), "docs/shadow.md lacks {row}");
        }
        let classes = [Class::Explained, Class::Unexplained, Class::NotCompared];
        let is_one = |line: &&str| {
            let mut words = classes
                .iter()
                .map(|class| format!("` | {} | ", class.word()));
            words.any(|words| line.contains(&words))
        };
        assert_eq!(document.lines().filter(is_one).count(), ALL.len());
    }
}
