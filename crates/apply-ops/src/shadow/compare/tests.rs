//! Each difference that the shadow can name, brought about once, and nothing else beside it that is unexplained.

use super::{
    super::differences::{ALL, Class},
    Fields, Rules, Shadow, Switches,
};
use apply_core::{GateSettings, Halt, Plan, Proposal, RawProposal, Symbol, plan_id::plan_id};
use permit_gate::WaitPolicy;
use permit_redis::PermitKeys;
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

const SYMBOL: &str = "BTCUSDT";
const GOVERNOR: &str = r#"{"granted":true,"symbol":"BTCUSDT","decision":"EXECUTE","computed_qty":0.0,"computed_notional":0.0,"created_at":1.0,"consumed":false}"#;
const DENIES: &str = r#"{"allow":false,"symbol":"BTCUSDT","reason":"cooldown_in_flight","context":{},"created_at":1.0}"#;

fn position(quantity: &str) -> String {
    format!(
        r#"{{"allow":true,"symbol":"BTCUSDT","safe_close_qty":{quantity},"exchange_position_amt":12.4,"ledger_amt":12.4,"created_at":1.0,"reason":"sanity_checks_passed"}}"#
    )
}

/// The wait for permits in milliseconds, with its step.
const WAIT: u64 = 1200;
const STEP: u64 = 100;

/// How long a proposal stands until a plan is of it, in milliseconds.
const REST: u64 = 2000;

/// How long a proposal may stand without a plan, in milliseconds.
const PATIENCE: u64 = 20_000;

/// An entry of the old service.
struct Old {
    written: u64,
    fields: HashMap<String, String>,
}

impl Fields for Old {
    fn text(&self, field: &str) -> String {
        self.fields.get(field).cloned().unwrap_or_default()
    }

    fn written(&self) -> u64 {
        self.written
    }
}

/// The shadow, on a clock of its own.
struct World {
    shadow: Shadow,
    began: Instant,
    /// Milliseconds since it began.
    now: u64,
    raw: RawProposal,
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules {
            gates: GateSettings {
                allowlist: [symbol()].into(),
                critical: 0.8,
                warning: 0.6,
                close: None,
                stops: true,
            },
            permits: PermitKeys::default().permits().clone(),
            wait: WaitPolicy::default(),
            max_age: None,
            patience: Duration::from_millis(PATIENCE),
        };
        assert_eq!(rules.wait.wait, Duration::from_millis(WAIT));
        assert_eq!(rules.wait.step, Duration::from_millis(STEP));
        change(&mut rules);
        let began = Instant::now();
        let mut shadow = Shadow::new(rules, began);
        shadow.begin();
        Self {
            shadow,
            began,
            now: 0,
            raw: RawProposal::new(),
        }
    }

    fn at(&self) -> Instant {
        self.began + Duration::from_millis(self.now)
    }

    fn after(mut self, millis: u64) -> Self {
        self.now += millis;
        self.shadow.handle_time(self.at());
        self
    }

    /// A close that ours would execute, with other fields beside or instead.
    fn proposes(mut self, other: Pairs<'_>) -> Self {
        self.raw = [
            ("harvest_action", "PARTIAL_75"),
            ("kill_score", "0.4"),
            ("computed_at_utc", "2026-01-25T00:30:08Z"),
        ]
        .iter()
        .chain(other)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        let (at, read) = (self.at(), Ok(Some(self.raw.clone())));
        let long_after = 2_000_000_000;
        self.shadow.handle_written(at, &symbol());
        self.shadow.handle_proposal(at, long_after, &symbol(), read);
        self
    }

    fn switches(mut self, change: impl FnOnce(&mut Switches)) -> Self {
        let mut switches = Switches::OFF;
        change(&mut switches);
        self.shadow.handle_switches(self.at(), switches);
        self
    }

    /// The plan id of what is proposed, as the old service gives it: by `harvest_action`.
    fn id(&self) -> String {
        let mut raw = self.raw.clone();
        raw.remove("calibrated");
        let proposal = Proposal::parse(&symbol(), &raw);
        proposal.map_or("0123456789abcdef".into(), |p| plan_id(&p).to_string())
    }

    fn old(&self, fields: Vec<(&str, String)>, other: Pairs<'_>) -> Old {
        let own = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let other = other
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        Old {
            written: self.now,
            fields: own.chain(other).collect(),
        }
    }

    /// The old service publishes the plan as ours would where nothing halts it, with other fields instead.
    fn publishes(mut self, other: Pairs<'_>) -> Self {
        let mut raw = self.raw.clone();
        raw.remove("calibrated");
        let of_ours = Proposal::parse(&symbol(), &raw).map(|proposal| {
            Plan::decide(proposal, &self.shadow.rules.gates, &Halt::Off).to_fields(0)
        });
        let text = |name: &str| self.raw.get(name).cloned().unwrap_or_default();
        let mut fields = of_ours.unwrap_or_else(|_| {
            vec![
                ("action", text("harvest_action")),
                ("kill_score", text("kill_score")),
                ("decision", "EXECUTE".into()),
            ]
        });
        fields.extend([("plan_id", self.id()), ("symbol", SYMBOL.into())]);
        let plan = self.old(fields, other);
        self.shadow.handle_plan(self.at(), &plan);
        self
    }

    fn permit(mut self, index: usize, text: &str) -> Self {
        let content = Some((Duration::ZERO, text.as_bytes().to_vec()));
        let (at, id) = (self.at(), self.id());
        self.shadow.handle_permit(at, &id, index, content);
        self
    }

    fn governor(self) -> Self {
        self.permit(0, GOVERNOR)
    }

    fn granted(self, quantity: &str) -> Self {
        self.governor().permit(1, &position(quantity))
    }

    fn ends_with(mut self, other: Pairs<'_>) -> Self {
        let fields = vec![
            ("plan_id", self.id()),
            ("symbol", SYMBOL.into()),
            ("decision", "EXECUTE".into()),
            ("executed", "False".into()),
        ];
        let result = self.old(fields, other);
        self.shadow.handle_result(self.at(), &result);
        self
    }

    fn blocks(self, error: &str) -> Self {
        self.ends_with(&[("decision", "BLOCKED"), ("error", error)])
    }

    /// An order of this side and quantity, which filled.
    fn executes(self, side: &str, quantity: &str) -> Self {
        let steps = format!(
            r#"[{{"step":"CLOSE_PARTIAL_75","order_id":"1","side":"{side}","quantity":"{quantity}","executed_qty":"{quantity}"}}]"#
        );
        self.ends_with(&[("executed", "True"), ("steps_results", &steps)])
    }

    fn ends(mut self) -> Self {
        self.shadow.handle_end(self.at());
        self
    }

    fn found(mut self) -> Vec<(&'static str, Class)> {
        let found = std::iter::from_fn(|| self.shadow.poll());
        let found = found.filter_map(|finding| finding.difference);
        found.map(|one| (one.name, one.class)).collect()
    }
}

fn symbol() -> Symbol {
    SYMBOL.parse().unwrap()
}

fn halted() -> Halt {
    Halt::On { by: "key".into() }
}

/// What brings each difference about.
fn scenes() -> Vec<(&'static str, World)> {
    let close = || World::new().proposes(&[]);
    let published = || close().publishes(&[]);
    let stop = ("harvest_action", "UPDATE_SL");
    let price = ("new_sl_proposed", "64000.5");
    let without_stops = || World::with(|rules| rules.gates.stops = false);
    let step = |more: &str| {
        format!(r#"[{{"step":"CLOSE_PARTIAL_75","side":"SELL","quantity":"0.008"{more}}}]"#)
    };
    let unfilled = step(r#","order_id":"1","executed_qty":"0""#);
    let refused = step("");
    vec![
        (
            "score_passes",
            World::new()
                .proposes(&[("kill_score", "nan")])
                .publishes(&[]),
        ),
        (
            "unreadable_followed",
            World::new()
                .proposes(&[("k_ts_drop", "fast")])
                .publishes(&[]),
        ),
        (
            "refused_before",
            World::new()
                .proposes(&[("kill_score", "-1")])
                .publishes(&[("decision", "SKIP")]),
        ),
        (
            "any_age",
            World::with(|rules| rules.max_age = Some(Duration::from_secs(60)))
                .proposes(&[])
                .publishes(&[]),
        ),
        (
            "calibration_ignored",
            World::new()
                .proposes(&[("calibrated", "1"), ("action", "HOLD")])
                .publishes(&[]),
        ),
        (
            "newer_actions",
            World::new()
                .proposes(&[("harvest_action", "PARTIAL_25")])
                .publishes(&[
                    ("decision", "ERROR"),
                    ("reason_codes", "unknown_action_PARTIAL_25"),
                ]),
        ),
        (
            "close_threshold",
            World::with(|rules| rules.gates.close = Some(0.3))
                .proposes(&[("kill_score", "0.9")])
                .publishes(&[
                    ("decision", "BLOCKED"),
                    ("reason_codes", "kill_score_critical"),
                ]),
        ),
        (
            "universe",
            World::with(|rules| rules.gates.allowlist.clear())
                .switches(|switches| switches.universe = true)
                .proposes(&[])
                .publishes(&[("decision", "EXECUTE"), ("reason_codes", "")]),
        ),
        (
            "stops_off",
            without_stops()
                .proposes(&[stop, price])
                .publishes(&[("decision", "EXECUTE"), ("reason_codes", "")]),
        ),
        (
            "places_no_stop",
            World::new()
                .proposes(&[stop, price])
                .publishes(&[])
                .granted("0.008")
                .ends_with(&[
                    ("executed", "True"),
                    ("steps_results", r#"[{"step":"UPDATE_SL"}]"#),
                ]),
        ),
        (
            "any_stop_price",
            World::new()
                .proposes(&[stop, ("new_sl_proposed", "0")])
                .publishes(&[("decision", "EXECUTE"), ("reason_codes", "")]),
        ),
        (
            "disarm_ignored",
            World::new()
                .switches(|switches| switches.disarm = halted())
                .proposes(&[])
                .publishes(&[]),
        ),
        (
            "switch_word",
            World::new()
                .switches(|switches| {
                    (switches.switch, switches.readable) = (halted(), false);
                })
                .proposes(&[])
                .publishes(&[]),
        ),
        (
            "side_and_quantity",
            close().publishes(&[("side", "SELL"), ("qty", "0.008")]),
        ),
        (
            "looks_seldom",
            close()
                .after(10)
                .proposes(&[("computed_at_utc", "later")])
                .publishes(&[])
                .after(2000),
        ),
        (
            "repeated_results",
            published().ends_with(&[("error", "duplicate_plan")]),
        ),
        (
            "early_no",
            published()
                .permit(1, DENIES)
                .after(WAIT)
                .blocks("permit_timeout_or_missing:missing_governor"),
        ),
        (
            "last_step",
            published()
                .governor()
                .after(WAIT - STEP / 2)
                .permit(1, &position("0.008"))
                .blocks("permit_timeout_or_missing:missing_p33"),
        ),
        (
            "edge_of_the_wait",
            published()
                .governor()
                .after(WAIT + STEP / 2)
                .permit(1, &position("0.008"))
                .executes("SELL", "0.008"),
        ),
        (
            "permit_unjudged",
            published()
                .permit(0, "yes")
                .permit(1, &position("0.008"))
                .executes("SELL", "0.008"),
        ),
        (
            "whole_permit",
            World::new()
                .proposes(&[("harvest_action", "PARTIAL_50")])
                .publishes(&[])
                .granted("12.4")
                .executes("SELL", "12.4"),
        ),
        (
            "float_tail",
            published()
                .granted("0.009000000000000001")
                .executes("SELL", "0.009000000000000001"),
        ),
        (
            "refused_as_executed",
            published()
                .granted("0.008")
                .ends_with(&[("executed", "True"), ("steps_results", &refused)]),
        ),
        (
            "filled_nothing",
            published()
                .granted("0.008")
                .ends_with(&[("executed", "True"), ("steps_results", &unfilled)]),
        ),
        (
            "order_timed_out",
            published().granted("0.008").ends_with(&[
                ("error", "order_error: Read timed out"),
                ("steps_results", &refused),
            ]),
        ),
        (
            "plan_id_differs",
            close().publishes(&[("plan_id", "00112233445566aa")]),
        ),
        (
            "decision_differs",
            World::new()
                .proposes(&[("kill_score", "0.9")])
                .publishes(&[("decision", "EXECUTE"), ("reason_codes", "")]),
        ),
        (
            "reasons_differ",
            World::new()
                .proposes(&[("harvest_action", "HOLD")])
                .publishes(&[("reason_codes", "another")]),
        ),
        (
            "unasked_plan",
            published().after(REST).publishes(&[
                ("plan_id", "00112233445566aa"),
                ("action", "FULL_CLOSE_PROPOSED"),
            ]),
        ),
        ("fields_differ", close().publishes(&[("steps", "[]")])),
        (
            "unknown_duplicate",
            close().publishes(&[("decision", "SKIP"), ("reason_codes", "duplicate_plan")]),
        ),
        ("published_again", published().publishes(&[])),
        ("no_plan", close().after(PATIENCE + 1)),
        ("no_result", published().after(WAIT + 60_001)),
        (
            "executed_without_permit",
            published().after(WAIT).executes("SELL", "0.008"),
        ),
        (
            "executed_against_a_no",
            published()
                .governor()
                .permit(1, DENIES)
                .executes("SELL", "0.008"),
        ),
        (
            "timed_out_with_permits",
            published()
                .granted("0.008")
                .after(WAIT)
                .blocks("permit_timeout_or_missing:missing_p33"),
        ),
        (
            "refusal_differs",
            published().granted("0.008").blocks("p33_permit_denied"),
        ),
        (
            "quantity_differs",
            published().granted("0.008").executes("SELL", "0.003"),
        ),
        (
            "side_differs",
            published().granted("0.008").executes("BUY", "0.008"),
        ),
        (
            "executed_unreviewed",
            World::new()
                .proposes(&[("harvest_action", "HOLD")])
                .publishes(&[])
                .executes("SELL", "0.008"),
        ),
        (
            "second_result",
            published()
                .granted("0.008")
                .executes("SELL", "0.008")
                .executes("SELL", "0.008"),
        ),
        ("before_the_start", close().blocks("p33_permit_denied")),
        (
            "proposal_not_seen",
            World::new().publishes(&[("action", "PARTIAL_75"), ("kill_score", "0.4")]),
        ),
        ("permit_not_read", {
            let mut world = published().governor();
            let (at, id) = (world.at(), world.id());
            world.shadow.handle_permit(at, &id, 1, None);
            world.executes("SELL", "0.008")
        }),
        (
            "venue",
            published()
                .granted("0.008")
                .ends_with(&[("error", "order_error: -2022"), ("steps_results", &refused)]),
        ),
        (
            "no_position",
            published()
                .governor()
                .permit(
                    1,
                    &position("0.008").replace(r#""exchange_position_amt":12.4,"#, ""),
                )
                .executes("SELL", "0.008"),
        ),
        (
            "switch_turned",
            published()
                .switches(|switches| switches.switch = halted())
                .blocks("kill_switch_active"),
        ),
        ("open_at_the_end", published().ends()),
        ("blind", {
            let mut world = published();
            let at = world.at();
            world.shadow.handle_blindness(at, true);
            world.shadow.handle_blindness(at, false);
            world.granted("0.008").executes("SELL", "0.008")
        }),
    ]
}

#[test]
fn each_difference_is_reported_for_what_brings_it_about_and_nothing_else_is() {
    let mut seen = BTreeSet::new();
    for (name, world) in scenes() {
        let found = world.found();
        assert!(found.iter().any(|(of, _)| *of == name), "{name}: {found:?}");
        let others = found.iter().filter(|(of, _)| *of != name);
        let beside: Vec<_> = others
            .filter(|(_, class)| *class == Class::Unexplained)
            .collect();
        assert!(beside.is_empty(), "{name}: {beside:?}");
        assert!(seen.insert(name), "{name} twice");
    }
    let all: BTreeSet<&str> = ALL.iter().map(|one| one.name).collect();
    assert_eq!(seen, all);
}

#[test]
fn a_close_that_both_execute_alike_differs_in_nothing() {
    let world = World::new().proposes(&[]).publishes(&[]).granted("0.008");
    let found = world.executes("SELL", "0.008").after(2 * PATIENCE).ends();
    assert_eq!(found.found(), []);
}

/// The names of what is unexplained.
fn unexplained(world: World) -> Vec<&'static str> {
    let found = world.found().into_iter();
    let unexplained = found.filter(|(_, class)| *class == Class::Unexplained);
    unexplained.map(|(name, _)| name).collect()
}

#[test]
fn an_execution_without_permits_is_reported_whatever_is_known_of_the_proposal() {
    const MADE_UP: Pairs<'_> = &[("action", "FULL_CLOSE_PROPOSED"), ("kill_score", "0.4")];
    let executed = |world: World| unexplained(world.after(WAIT).executes("SELL", "0.008"));
    let without = "executed_without_permit";
    assert_eq!(executed(World::new().publishes(MADE_UP)), [without]);
    let asks = || World::new().proposes(&[]).publishes(&[]);
    let another = [("plan_id", "00112233445566aa"), MADE_UP[0], MADE_UP[1]];
    let made_up = asks().after(REST).publishes(&another).after(WAIT);
    let steps =
        r#"[{"step":"CLOSE_FULL","order_id":"1","side":"SELL","quantity":"1","executed_qty":"1"}]"#;
    let made_up = made_up.ends_with(&[another[0], ("executed", "True"), ("steps_results", steps)]);
    // The plan, its permits, its result.
    let expected = ["unasked_plan", without, "unasked_plan"];
    assert_eq!(unexplained(made_up), expected);
    // Ours would have executed something else, or nothing: that is explained, and this is not.
    for fields in [
        [("kill_score", "nan"), ("k_ts_drop", "0")],
        [("calibrated", "1"), ("action", "HOLD")],
        [("kill_score", "0.4"), ("k_ts_drop", "fast")],
    ] {
        let world = || World::new().proposes(&fields).publishes(&[]);
        assert_eq!(executed(world()), [without], "{fields:?}");
        let granted = || world().granted("0.008");
        assert_eq!(unexplained(granted().executes("SELL", "0.008")), [""; 0]);
        let more = unexplained(granted().executes("SELL", "0.009"));
        assert_eq!(more, ["quantity_differs"], "{fields:?}");
        let other_way = unexplained(granted().executes("BUY", "0.008"));
        assert_eq!(other_way, ["side_differs"], "{fields:?}");
    }
}

#[test]
fn a_plan_of_a_proposal_that_stands_no_more_is_asked_for_by_none() {
    let later = [("computed_at_utc", "later")];
    let world = |millis| {
        let replaced = World::new().proposes(&[]).after(10);
        let id = replaced.id();
        let late = replaced.proposes(&later).publishes(&[]).after(millis);
        unexplained(late.publishes(&[("plan_id", &id)]))
    };
    assert_eq!(world(REST - 1), [""; 0]);
    assert_eq!(world(REST), ["unasked_plan"]);
    // Written again with the same words, so that another may have stood there for a moment.
    let other = [("plan_id", "00112233445566aa"), ("action", "PARTIAL_50")];
    let again = World::new().proposes(&[]).publishes(&[]).after(REST);
    let again = again.proposes(&[]).after(REST - 1).publishes(&other);
    assert_eq!(unexplained(again), [""; 0]);
}

#[test]
fn what_was_executed_without_a_plan_or_long_after_one_is_unexplained() {
    let nowhere = World::new().executes("SELL", "0.008");
    assert_eq!(unexplained(nowhere), ["executed_unreviewed"]);
    let former = || {
        let mut world = World::new();
        let plan = world.old(
            vec![
                ("plan_id", world.id()),
                ("symbol", SYMBOL.into()),
                ("decision", "EXECUTE".into()),
            ],
            &[],
        );
        world.shadow.handle_former_plan(world.at(), &plan);
        world
    };
    let under_way = former().after(WAIT).executes("SELL", "0.008");
    assert_eq!(unexplained(under_way), [""; 0]);
    let late = former().after(WAIT + 60_001).executes("SELL", "0.008");
    assert_eq!(unexplained(late), ["executed_without_permit"]);
}

#[test]
fn a_proposal_that_came_after_a_plan_says_nothing_of_it() {
    // The one that it is of was rewritten before it could be read.
    let world = World::new();
    let plan = world.old(
        vec![
            ("plan_id", "00112233445566aa".into()),
            ("symbol", SYMBOL.into()),
            ("action", "PARTIAL_75".into()),
            ("kill_score", "0.4".into()),
            ("decision", "EXECUTE".into()),
        ],
        &[],
    );
    // Its clock is known by then.
    let mut world = world
        .ends_with(&[("error", "duplicate_plan")])
        .after(10)
        .proposes(&[]);
    world.shadow.handle_plan(world.at(), &plan);
    assert_eq!(unexplained(world), [""; 0]);
}
