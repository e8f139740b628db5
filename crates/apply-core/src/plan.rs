//! The gates on a proposal, in the order the contract gives (wire §3), and the plan they make.

use crate::{
    digest::digest_of_fields, halt::Halt, plan_id::plan_id, proposal::Proposal, symbol::Symbol,
};
use apply_wire::{ActionWord, Reason, field};
use permit_gate::{AttemptId, PlanDigest, PlanId};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{collections::BTreeSet, fmt, str::FromStr};

/// What is to be done with a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Decision {
    /// Go on to the permits.
    Execute,
    /// Nothing to do.
    Skip,
    /// Something forbids it.
    Blocked,
    /// It cannot be followed.
    Error,
}

impl Decision {
    /// The wire's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execute => field::EXECUTE,
            Self::Skip => field::SKIP,
            Self::Blocked => field::BLOCKED,
            Self::Error => field::FAILED,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a brain may propose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Close this share of the position.
    Close(Share),
    /// Move the protective stop.
    UpdateStop,
    /// Leave things as they are.
    Hold,
}

impl Action {
    /// From the wire's word, in upper or lower case; `None` for any other. What asks for an opening means hold.
    pub fn from_wire(word: &str) -> Option<Self> {
        let word = word.to_ascii_uppercase();
        Some(match &*word {
            "UPDATE_SL" => Self::UpdateStop,
            "HOLD" => Self::Hold,
            word if word.starts_with("OPEN") => Self::Hold,
            word => Self::Close(Share::proposed_as(word)?),
        })
    }

    fn is_close(self) -> bool {
        match self {
            Self::Close(_) => true,
            Self::UpdateStop | Self::Hold => false,
        }
    }
}

/// The share of the live position that a close is of, with its names on the wire. The values are
/// [`Share::ALL`] and no others, so that a share cannot carry another one's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Share(&'static NamedShare);

/// One of them. They are known by their place: every plan that waits holds its share twice.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NamedShare {
    percent: u8,
    action: &'static str,
    step: &'static str,
    synonyms: &'static [&'static str],
}

impl Share {
    /// The whole position.
    pub const FULL: Self = Self(&NamedShare {
        synonyms: &["FULL_CLOSE", "CLOSE", "EXIT", "REDUCE"],
        ..NamedShare::of(100, "FULL_CLOSE_PROPOSED", "CLOSE_FULL")
    });

    /// Every share that can be proposed. A further one is one line here.
    pub const ALL: &[Self] = &[
        Self::FULL,
        Self(&NamedShare::of(75, "PARTIAL_75", "CLOSE_PARTIAL_75")),
        Self(&NamedShare::of(50, "PARTIAL_50", "CLOSE_PARTIAL_50")),
        Self(&NamedShare::of(25, "PARTIAL_25", "CLOSE_PARTIAL_25")),
    ];

    /// The share that this action in upper case asks for; `None` where it asks for no close.
    fn proposed_as(action: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|share| share.action() == action || share.0.synonyms.contains(&action))
    }

    /// In percent of the position, from 1 to 100.
    pub const fn percent(self) -> u8 {
        self.0.percent
    }

    /// The action that asks for it, as proposals name it: `PARTIAL_75`.
    pub const fn action(self) -> &'static str {
        self.0.action
    }

    /// The step that closes it, as plans and results name it: `CLOSE_PARTIAL_75`.
    pub const fn step(self) -> &'static str {
        self.0.step
    }

    /// This share of an amount of at least 0, before it is cut to the venue's step. `None` where it cannot be
    /// computed.
    pub fn of(self, amount: Decimal) -> Option<Decimal> {
        if self.percent() == 100 {
            return Some(amount);
        }
        let share = amount
            .checked_mul(Decimal::from(self.percent()))?
            .checked_div(Decimal::ONE_HUNDRED)?;
        // A product that was rounded up is no more than the whole.
        Some(share.min(amount))
    }
}

impl NamedShare {
    const fn of(percent: u8, action: &'static str, step: &'static str) -> Self {
        assert!(percent > 0 && percent <= 100, "a share of one position");
        Self {
            percent,
            action,
            step,
            synonyms: &[],
        }
    }
}

/// The one thing an EXECUTE plan does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Close part of the position at the market, reduce-only.
    Close {
        /// How much of it at most, whatever the permits allow.
        share: Share,
    },
    /// Move the protective stop to this price, above 0.
    MoveStop {
        /// The price, in quote units.
        price: Decimal,
    },
}

impl Step {
    /// The name of a step that moves a stop.
    pub const MOVE_STOP: &str = "UPDATE_SL";

    /// The names of all steps.
    pub const NAMES: [&str; Share::ALL.len() + 1] = {
        let mut names = [Self::MOVE_STOP; Share::ALL.len() + 1];
        let mut at = 0;
        while at < Share::ALL.len() {
            names[at] = Share::ALL[at].step();
            at += 1;
        }
        names
    };

    /// The wire's name: `CLOSE_PARTIAL_75`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Close { share } => share.step(),
            Self::MoveStop { .. } => Self::MOVE_STOP,
        }
    }
}

/// A proposal's plan: what is decided, and why. Published for review whatever the decision is.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its id, on every stream, key and order.
    pub id: PlanId,
    /// The proposal it follows.
    pub proposal: Proposal,
    /// What is to be done.
    pub decision: Decision,
    /// Why, in the contract's codes.
    pub reasons: Vec<Reason>,
    /// What to execute: there if and only if the decision is [`Decision::Execute`].
    pub step: Option<Step>,
}

/// The thresholds of the gates.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSettings {
    /// Symbols that may execute.
    pub allowlist: BTreeSet<Symbol>,
    /// From this kill score on nothing executes.
    pub critical: f64,
    /// From this kill score on only closes execute.
    pub warning: f64,
    /// From this kill score on closes do not execute either; `None`: from [`GateSettings::critical`] on.
    pub close: Option<f64>,
    /// Whether stops are moved. Where they are not, what asks for one is skipped.
    pub stops: bool,
}

impl Plan {
    /// Puts a proposal through the gates. Pure; the claim, which comes before `HOLD` in the
    /// contract's table, can only hit plans that would execute and is therefore asked last.
    pub fn decide(proposal: Proposal, gates: &GateSettings, halt: &Halt) -> Self {
        let (decision, reasons, step) = decide(&proposal, gates, halt);
        Self {
            id: plan_id(&proposal),
            proposal,
            decision,
            reasons,
            step,
        }
    }

    /// The symbol.
    pub fn symbol(&self) -> &Symbol {
        &self.proposal.symbol
    }

    /// Its first reason, where it has one.
    pub fn reason(&self) -> Option<&Reason> {
        self.reasons.first()
    }

    /// Its reasons as the wire has them, parted by commas.
    pub fn reason_codes(&self) -> String {
        let codes: Vec<String> = self.reasons.iter().map(Reason::to_string).collect();
        codes.join(",")
    }

    /// The action as reviewers know it: a close has one word, however the brain spells it.
    pub fn action(&self) -> &str {
        match Action::from_wire(&self.proposal.action) {
            Some(Action::Close(share)) => share.action(),
            Some(Action::UpdateStop | Action::Hold) | None => &self.proposal.action,
        }
    }

    /// The fields of the plan stream, in the contract's order; `timestamp` is whole seconds. `reduceOnly` is an
    /// addition. `side` beside a quantity would have another executor of the neighbours place the order as well:
    /// there is none.
    pub fn to_fields(&self, timestamp: u64) -> Vec<(&'static str, String)> {
        let p = &self.proposal;
        let number =
            |n: Option<crate::proposal::Number>| n.map(|n| n.to_wire()).unwrap_or_default();
        vec![
            (field::PLAN_ID, self.id.to_string()),
            (field::SYMBOL, p.symbol.to_string()),
            (field::ACTION, self.action().to_owned()),
            (field::KILL_SCORE, p.kill_score.to_wire()),
            (field::K_REGIME_FLIP, p.k_regime_flip.to_wire()),
            (field::K_SIGMA_SPIKE, p.k_sigma_spike.to_wire()),
            (field::K_TS_DROP, p.k_ts_drop.to_wire()),
            (field::K_AGE_PENALTY, p.k_age_penalty.to_wire()),
            (field::NEW_SL, number(p.new_sl)),
            (field::R_NET, number(p.r_net)),
            (field::DECISION, self.decision.to_string()),
            (field::REASON_CODES, self.reason_codes()),
            (field::STEPS, self.steps_json()),
            // Sized only after the permits; no brain may guess them.
            (field::CLOSE_QTY, String::new()),
            (field::PRICE, String::new()),
            (field::TIMESTAMP, timestamp.to_string()),
            (field::REDUCE_ONLY, field::REDUCE_ONLY_TRUE.to_owned()),
        ]
    }

    /// The fields of a plan that `attempt` has claimed and puts out for review: those of
    /// [`Plan::to_fields`] and `attempt`, an addition to the contract. It makes one publication of a
    /// plan differ from every other.
    pub fn to_claimed_fields(
        &self,
        attempt: &AttemptId,
        timestamp: u64,
    ) -> Vec<(&'static str, String)> {
        let mut fields = self.to_fields(timestamp);
        fields.push((field::ATTEMPT, attempt.to_string()));
        fields
    }

    /// The digest of what `attempt` publishes of this plan.
    pub fn digest(&self, attempt: &AttemptId) -> PlanDigest {
        let fields = self.to_claimed_fields(attempt, 0);
        digest_of_fields(fields.iter().map(|(name, value)| (*name, value.as_str())))
    }

    fn steps_json(&self) -> String {
        #[derive(Serialize)]
        struct Close {
            step: &'static str,
            r#type: &'static str,
            side: &'static str,
            pct: Box<RawValue>,
        }
        #[derive(Serialize)]
        struct Stop {
            step: &'static str,
            r#type: &'static str,
            price: Box<RawValue>,
        }
        let number = |text: String| RawValue::from_string(text).ok();
        let json = match &self.step {
            None => None,
            Some(step @ Step::Close { share }) => {
                number(format!("{}.0", share.percent())).map(|pct| {
                    serde_json::to_string(&[Close {
                        step: step.name(),
                        r#type: "market_reduce_only",
                        side: "close",
                        pct,
                    }])
                })
            }
            Some(step @ Step::MoveStop { price }) => number(price.to_string()).map(|price| {
                serde_json::to_string(&[Stop {
                    step: step.name(),
                    r#type: "stop_loss_order",
                    price,
                }])
            }),
        };
        match json {
            Some(Ok(json)) => json,
            _ => "[]".into(),
        }
    }
}

type Decided = (Decision, Vec<Reason>, Option<Step>);

fn decide(proposal: &Proposal, gates: &GateSettings, halt: &Halt) -> Decided {
    let no = |reason: Reason| (reason.class().into(), vec![reason], None);
    if halt.is_on() {
        return no(Reason::KillSwitchActive);
    }
    if !gates.allowlist.contains(&proposal.symbol) {
        return no(Reason::NotInAllowlist);
    }
    let action = Action::from_wire(&proposal.action);
    let score = proposal.kill_score.get();
    let mut reasons = Vec::new();
    let is_close = action.is_some_and(Action::is_close);
    match gates.close {
        Some(threshold) if is_close => {
            if reaches(score, threshold) {
                return no(Reason::KillScoreCloseThreshold);
            }
        }
        Some(_) | None if reaches(score, gates.critical) => return no(Reason::KillScoreCritical),
        Some(_) | None => {}
    }
    if reaches(score, gates.warning) {
        if !is_close {
            return no(Reason::KillScoreWarningRiskIncrease);
        }
        reasons.push(Reason::KillScoreWarningCloseOk);
    }
    let step = match action {
        Some(Action::Close(share)) => Step::Close { share },
        Some(Action::Hold) => return no(Reason::ActionHold),
        Some(Action::UpdateStop) if !gates.stops => return no(Reason::StopsOff),
        Some(Action::UpdateStop) => match proposal.new_sl.map(|n| stop_price(&n.to_wire())) {
            None => return no(Reason::MissingNewSl),
            Some(None) => return no(Reason::InvalidNewSl),
            Some(Some(price)) => Step::MoveStop { price },
        },
        None => {
            return no(Reason::UnknownAction(ActionWord::new(&proposal.action)));
        }
    };
    (Decision::Execute, reasons, Some(step))
}

/// A threshold that is no number is reached by every score: it must not let everything pass.
fn reaches(score: f64, threshold: f64) -> bool {
    score
        .partial_cmp(&threshold)
        .is_none_or(std::cmp::Ordering::is_ge)
}

/// A price above 0 that a decimal can hold.
fn stop_price(text: &str) -> Option<Decimal> {
    let price = match text.contains('e') {
        true => Decimal::from_scientific(text).ok()?,
        false => Decimal::from_str(text).ok()?,
    };
    (price > Decimal::ZERO).then(|| price.normalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposal::RawProposal;

    fn plan_at(halt: Halt, symbol: &str, fields: &[(&str, &str)]) -> Plan {
        let raw: RawProposal = fields
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let proposal = Proposal::parse(&symbol.parse().unwrap(), &raw).unwrap();
        let gates = GateSettings {
            allowlist: ["BTCUSDT".parse().unwrap()].into(),
            critical: 0.80,
            warning: 0.60,
            close: None,
            stops: true,
        };
        Plan::decide(proposal, &gates, &halt)
    }

    fn plan(action: &str, score: &str) -> Plan {
        plan_at(
            Halt::Off,
            "BTCUSDT",
            &[("harvest_action", action), ("kill_score", score)],
        )
    }

    fn stop(price: &str) -> Plan {
        let fields = [
            ("harvest_action", "UPDATE_SL"),
            ("kill_score", "0.1"),
            ("new_sl_proposed", price),
        ];
        plan_at(Halt::Off, "BTCUSDT", &fields)
    }

    #[test]
    fn the_gates_decide_in_the_contracts_order() {
        for (action, score, decision, reason) in [
            (
                "PARTIAL_75",
                "0.8",
                Decision::Blocked,
                "kill_score_critical",
            ),
            ("HOLD", "0.95", Decision::Blocked, "kill_score_critical"),
            (
                "HOLD",
                "0.6",
                Decision::Blocked,
                "kill_score_warning_risk_increase",
            ),
            (
                "UPDATE_SL",
                "0.7",
                Decision::Blocked,
                "kill_score_warning_risk_increase",
            ),
            (
                "DOUBLE_UP",
                "0.7",
                Decision::Blocked,
                "kill_score_warning_risk_increase",
            ),
            (
                "PARTIAL_50",
                "0.6",
                Decision::Execute,
                "kill_score_warning_close_ok",
            ),
            ("PARTIAL_50", "0.599999", Decision::Execute, ""),
            ("HOLD", "0.1", Decision::Skip, "action_hold"),
            ("UPDATE_SL", "0.1", Decision::Error, "missing_new_sl"),
            (
                "DOUBLE_UP",
                "0.1",
                Decision::Error,
                "unknown_action_DOUBLE_UP",
            ),
        ] {
            let plan = plan(action, score);
            assert_eq!(
                (plan.decision, plan.reason_codes().as_str()),
                (decision, reason),
                "{action} at {score}"
            );
            assert_eq!(plan.step.is_some(), decision == Decision::Execute);
        }
    }

    #[test]
    fn the_kill_switch_comes_before_the_allowlist_and_that_before_the_score() {
        let fields = [("harvest_action", "PARTIAL_75"), ("kill_score", "0.99")];
        let halted = Halt::On { by: "test".into() };
        assert_eq!(
            plan_at(halted, "ETHUSDT", &fields).reason_codes(),
            "kill_switch_active"
        );
        let other = plan_at(Halt::Off, "ETHUSDT", &fields);
        assert_eq!(
            (other.decision, other.reason_codes().as_str()),
            (Decision::Skip, "not_in_allowlist")
        );
    }

    #[test]
    fn a_threshold_that_is_no_number_lets_nothing_pass() {
        let gates = |critical, warning| GateSettings {
            allowlist: ["BTCUSDT".parse().unwrap()].into(),
            critical,
            warning,
            close: None,
            stops: true,
        };
        let raw = [("harvest_action", "UPDATE_SL"), ("kill_score", "0.0")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let proposal = Proposal::parse(&"BTCUSDT".parse().unwrap(), &raw).unwrap();
        for (gates, reason) in [
            (gates(f64::NAN, 0.6), "kill_score_critical"),
            (gates(0.8, f64::NAN), "kill_score_warning_risk_increase"),
        ] {
            let plan = Plan::decide(proposal.clone(), &gates, &Halt::Off);
            assert_eq!(
                (plan.decision, plan.reason_codes().as_str()),
                (Decision::Blocked, reason)
            );
        }
    }

    #[test]
    fn closes_are_blocked_from_a_threshold_of_their_own_where_there_is_one() {
        let of = |threshold: f64, action: &str, score: &str| {
            let gates = GateSettings {
                allowlist: ["BTCUSDT".parse().unwrap()].into(),
                critical: 0.80,
                warning: 0.60,
                close: Some(threshold),
                stops: true,
            };
            let raw = [("harvest_action", action), ("kill_score", score)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into();
            let proposal = Proposal::parse(&"BTCUSDT".parse().unwrap(), &raw).unwrap();
            Plan::decide(proposal, &gates, &Halt::Off)
        };
        let close = "FULL_CLOSE_PROPOSED";
        for (threshold, action, score, decision, reason) in [
            (
                0.65,
                close,
                "0.64",
                Decision::Execute,
                "kill_score_warning_close_ok",
            ),
            (
                0.65,
                close,
                "0.65",
                Decision::Blocked,
                "kill_score_close_threshold",
            ),
            // The threshold of closes stands in the place of the critical one.
            (
                0.85,
                close,
                "0.84",
                Decision::Execute,
                "kill_score_warning_close_ok",
            ),
            (
                0.85,
                close,
                "0.85",
                Decision::Blocked,
                "kill_score_close_threshold",
            ),
            // For closes alone.
            (
                0.95,
                "HOLD",
                "0.84",
                Decision::Blocked,
                "kill_score_critical",
            ),
            (
                0.95,
                "BUY",
                "0.84",
                Decision::Blocked,
                "kill_score_critical",
            ),
            (0.10, "HOLD", "0.50", Decision::Skip, "action_hold"),
            (
                f64::NAN,
                close,
                "0.0",
                Decision::Blocked,
                "kill_score_close_threshold",
            ),
        ] {
            let plan = of(threshold, action, score);
            assert_eq!(
                (plan.decision, plan.reason_codes().as_str()),
                (decision, reason),
                "{action} at {score}, closes from {threshold}"
            );
        }
    }

    #[test]
    fn where_stops_are_off_what_asks_for_one_is_skipped_and_all_else_is_as_ever() {
        let of = |fields: &[(&str, &str)]| {
            let raw = fields.iter();
            let raw = raw
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            let gates = GateSettings {
                allowlist: ["BTCUSDT".parse().unwrap()].into(),
                critical: 0.80,
                warning: 0.60,
                close: None,
                stops: false,
            };
            let proposal = Proposal::parse(&"BTCUSDT".parse().unwrap(), &raw).unwrap();
            Plan::decide(proposal, &gates, &Halt::Off)
        };
        for price in [&[("new_sl_proposed", "64000")][..], &[]] {
            let fields = [("harvest_action", "update_sl"), ("kill_score", "0.1")];
            let plan = of(&[&fields[..], price].concat());
            assert_eq!(plan.reason_codes(), "stops_off");
            assert_eq!((plan.decision, plan.step), (Decision::Skip, None));
        }
        let close = of(&[("harvest_action", "PARTIAL_50"), ("kill_score", "0.1")]);
        assert_eq!(close.decision, Decision::Execute);
    }

    #[test]
    fn every_share_is_proposed_closed_and_published_under_its_own_names() {
        for (index, share) in Share::ALL.iter().enumerate() {
            let plan = plan(share.action(), "0.1");
            assert_eq!(plan.step, Some(Step::Close { share: *share }));
            let fields = plan.to_fields(0);
            let steps = &fields.iter().find(|(name, _)| *name == "steps").unwrap().1;
            let part = format!(
                r#"[{{"step":"{}","type":"market_reduce_only","side":"close","pct":{}.0}}]"#,
                share.step(),
                share.percent()
            );
            assert_eq!(*steps, part);
            for other in &Share::ALL[..index] {
                assert_ne!(share.percent(), other.percent());
                assert_ne!(share.action(), other.action());
                assert_ne!(share.step(), other.step());
            }
        }
    }

    #[test]
    fn an_action_is_read_in_any_case_and_by_its_other_names() {
        for (word, action, published) in [
            ("partial_25", "CLOSE_PARTIAL_25", "PARTIAL_25"),
            ("Partial_75", "CLOSE_PARTIAL_75", "PARTIAL_75"),
            ("full_close_proposed", "CLOSE_FULL", "FULL_CLOSE_PROPOSED"),
            ("FULL_CLOSE", "CLOSE_FULL", "FULL_CLOSE_PROPOSED"),
            ("Close", "CLOSE_FULL", "FULL_CLOSE_PROPOSED"),
            ("EXIT", "CLOSE_FULL", "FULL_CLOSE_PROPOSED"),
            ("reduce", "CLOSE_FULL", "FULL_CLOSE_PROPOSED"),
        ] {
            let plan = plan(word, "0.1");
            assert_eq!(plan.step.as_ref().map(Step::name), Some(action), "{word}");
            let fields = plan.to_fields(0);
            assert!(fields.contains(&("action", published.to_owned())), "{word}");
        }
        for hold in ["hold", "OPEN", "open_long", "OPEN_SHORT"] {
            let plan = plan(hold, "0.1");
            assert_eq!(
                (plan.decision, plan.reason_codes().as_str()),
                (Decision::Skip, "action_hold")
            );
        }
        for unknown in [
            "",
            " EXIT",
            "EXIT_NOW",
            "PARTIAL_30",
            "REOPEN",
            "partial-25",
        ] {
            assert_eq!(Action::from_wire(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_plan_says_reduce_only_and_nothing_that_another_executor_would_place() {
        for action in ["PARTIAL_75", "HOLD", "UPDATE_SL"] {
            let fields = plan(action, "0.1").to_fields(0);
            assert!(fields.contains(&("reduceOnly", "true".to_owned())));
            for named in ["side", "qty", "quantity", "source"] {
                assert!(fields.iter().all(|(name, _)| *name != named), "{named}");
            }
        }
    }

    #[test]
    fn a_calibrated_action_makes_another_plan_and_a_calibrated_hold_does_nothing() {
        let proposed = [
            ("harvest_action", "FULL_CLOSE_PROPOSED"),
            ("kill_score", "0.1"),
        ];
        let calibrated = |action| {
            let mut fields = proposed.to_vec();
            fields.extend([("calibrated", "1"), ("action", action)]);
            plan_at(Halt::Off, "BTCUSDT", &fields)
        };
        let (hold, half) = (calibrated("HOLD"), calibrated("PARTIAL_50"));
        assert_eq!(
            (hold.decision, hold.reason_codes().as_str()),
            (Decision::Skip, "action_hold")
        );
        assert_eq!(half.step.as_ref().map(Step::name), Some("CLOSE_PARTIAL_50"));
        assert_eq!(half.id, plan("PARTIAL_50", "0.1").id);
        assert_ne!(half.id, plan_at(Halt::Off, "BTCUSDT", &proposed).id);
    }

    #[test]
    fn a_share_is_part_of_the_whole_and_never_more() {
        let largest = Decimal::MAX;
        for share in Share::ALL {
            let of = |amount: Decimal| share.of(amount);
            assert_eq!(
                of(Decimal::ONE_HUNDRED),
                Some(Decimal::from(share.percent()))
            );
            assert_eq!(of(Decimal::ZERO), Some(Decimal::ZERO));
            assert!(of(largest).is_none_or(|part| part <= largest));
            let finest = Decimal::new(1, 28);
            assert!(of(finest).is_some_and(|part| part <= finest));
        }
    }

    #[test]
    fn steps_are_written_as_the_reviewers_read_them() {
        let steps = |plan: Plan| {
            plan.to_fields(0)
                .into_iter()
                .find(|(f, _)| *f == "steps")
                .unwrap()
                .1
        };
        assert_eq!(
            steps(plan("FULL_CLOSE_PROPOSED", "0.1")),
            r#"[{"step":"CLOSE_FULL","type":"market_reduce_only","side":"close","pct":100.0}]"#
        );
        assert_eq!(
            steps(plan("PARTIAL_75", "0.1")),
            r#"[{"step":"CLOSE_PARTIAL_75","type":"market_reduce_only","side":"close","pct":75.0}]"#
        );
        assert_eq!(
            steps(stop("64000.5")),
            r#"[{"step":"UPDATE_SL","type":"stop_loss_order","price":64000.5}]"#
        );
        assert_eq!(steps(plan("HOLD", "0.1")), "[]");
    }

    #[test]
    fn a_stop_that_is_no_price_is_an_error() {
        for bad in ["0", "-5.5", "1e300"] {
            let plan = stop(bad);
            assert_eq!(
                (plan.decision, plan.reason_codes().as_str()),
                (Decision::Error, "invalid_new_sl"),
                "{bad}"
            );
        }
        assert_eq!(
            stop("1e16").step,
            Some(Step::MoveStop {
                price: Decimal::from(10_000_000_000_000_000_u64)
            })
        );
    }
}
