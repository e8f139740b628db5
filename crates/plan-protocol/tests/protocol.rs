//! The protocol keeps its promises in every state of the small scopes; the service as it was before does
//! not, and neither does the protocol without any one of its rules. docs/protocol-model.md has the tables.

#![allow(clippy::unwrap_used)]

use plan_protocol::{
    Forgetting, Loser, P1, P3, P6, Rules, SILENCE, Scope, Times, Walk, check, find, rows, small,
    walk, without_end,
};
use std::{fs, path::Path};

const DOCS: &str = include_str!("../../../docs/protocol-model.md");

#[test]
fn the_fence_keeps_every_promise_in_every_state() {
    for named in small() {
        let report = check(named.scope);
        println!(
            "{}: {} states, {} steps, depth {}",
            named.name, report.states, report.transitions, report.depth
        );
        report.assert_sound();
        let row = format!("| {} | {} |", named.name, report.states);
        assert!(DOCS.contains(&row), "the docs do not have: {row}");
    }
}

/// The instances never go round in a circle that has no way out.
#[test]
fn every_state_can_still_come_to_its_result() {
    let fence = Scope::quiet(Rules::FENCE);
    for scope in [
        fence.forgets(1, Forgetting::FLUSH).crashes(1),
        fence.forgets(1, Forgetting::FAILOVER),
        fence.forgets(1, Forgetting::ONE_KEY).crashes(1),
    ] {
        let (states, endless) = without_end(scope);
        println!("{states} states");
        assert!(endless.is_none(), "{endless:?}");
    }
    let silent = Rules {
        loser: Loser::Silent,
        ..Rules::FENCE
    };
    let (_, endless) = without_end(Scope::quiet(silent).forgets(1, Forgetting::ONE_KEY));
    assert!(endless.is_some(), "a silent loser leaves no result");
}

/// Each rule costs what the docs say, and the rules that they call redundant cost nothing.
#[test]
fn a_dropped_rule_costs_what_the_docs_say() {
    for row in rows() {
        let report = walk(
            row.scope,
            Walk {
                until: row.breaks,
                ..Walk::default()
            },
        );
        let broken: Vec<_> = report.violations.keys().copied().collect();
        println!(
            "{}: {} states, breaks {broken:?}",
            row.dropped, report.states
        );
        for (property, trace) in &report.violations {
            println!("{property}\n{trace}");
        }
        match row.breaks {
            [] => report.assert_sound(),
            breaks => {
                let missing: Vec<_> = breaks.iter().filter(|p| !broken.contains(p)).collect();
                assert!(
                    missing.is_empty(),
                    "{}: not broken: {missing:?}",
                    row.dropped
                );
            }
        }
        let row_text = format!("| {} | {} |", row.dropped, row.costs());
        assert!(DOCS.contains(&row_text), "the docs do not have: {row_text}");
    }
}

/// The docs say which test shows a rule in the code.
#[test]
fn the_tests_that_the_docs_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut code = String::new();
    let mut folders = vec![root.join("crates"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                code.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let (_, table) = DOCS.split_once("## Where the rules stand").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let shown_by = table.lines().filter_map(|line| line.rsplit('|').nth(1));
    let names: Vec<_> = shown_by
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(code.contains(&format!("fn {name}(")), "no test {name}");
    }
}

// ---- the service as it was -----------------------------------------------------------------

const BEFORE: Scope = Scope::quiet(Rules::UNFENCED);

/// The shortest way, in words; it must be there.
fn hole(name: &str, scope: Scope, property: &'static str) -> String {
    let Some(trace) = find(scope, property) else {
        panic!("{name}: not found");
    };
    println!("{name}: {property}\n{trace}");
    trace.to_string()
}

#[test]
fn hole_1_two_orders_of_one_plan() {
    hole(
        "FLUSHALL, two sets of permits",
        BEFORE.forgets(1, Forgetting::FLUSH),
        P1,
    );
    hole(
        "restart, two sets",
        BEFORE.forgets(1, Forgetting::RESTART),
        P1,
    );
}

#[test]
fn hole_1_two_orders_with_one_set_where_the_store_forgets_twice() {
    let twice = BEFORE.forgets(2, Forgetting::ONE_SERVER).sets(1);
    hole("FLUSHALL and restart, one set", twice, P1);
}

#[test]
fn hole_2_a_false_last_word() {
    hole(
        "FLUSHALL, one set",
        BEFORE.forgets(1, Forgetting::FLUSH).sets(1),
        P3,
    );
}

#[test]
fn hole_3_nothing_was_placed_is_published_of_an_order_that_filled() {
    // A copy made before the note, so that the note alone is lost.
    let scope = BEFORE.forgets(1, Forgetting::RESTART).sets(1);
    let story = hole("the note is lost", scope, P3);
    assert!(story.contains("adopts the other's open entry"), "{story}");
}

#[test]
fn hole_4_orders_after_the_switch() {
    hole("the file, while the order queues", BEFORE.file(), P6);
    hole(
        "the store's, while the take's answer is late",
        BEFORE.switch(),
        P6,
    );
}

#[test]
fn hole_13_a_claim_whose_answer_was_lost_is_forgotten() {
    hole("a lost answer", BEFORE.lost_answers(1), SILENCE);
}

#[test]
fn hole_14_split_brain() {
    let failover = BEFORE.forgets(1, Forgetting::FAILOVER);
    hole("failover, one set", failover.sets(1), P3);
    hole("failover, a set on either master", failover, P1);
    hole("failover, the old master is not read", failover, SILENCE);
    // The set lies on both masters.
    let copied = Forgetting {
        claim: true,
        ..Forgetting::FAILOVER
    };
    let twice = BEFORE.forgets(2, copied).sets(1);
    let story = hole("the claim is lost, then a failover, one set", twice, P1);
    assert!(story.contains("failover"), "{story}");
}

/// What the service kept before: without it the holes above would show a model that breaks anyhow.
#[test]
fn the_service_as_it_was_keeps_its_promises_while_nothing_is_forgotten() {
    for scope in [BEFORE, BEFORE.crashes(2)] {
        for property in [P1, P3, SILENCE, P6] {
            let report = check(scope.only(property));
            assert!(report.violations.is_empty(), "{:?}", report.violations);
        }
    }
    for forgetting in [Forgetting::FLUSH, Forgetting::RESTART, Forgetting::FAILOVER] {
        let one_set = BEFORE.forgets(1, forgetting).sets(1).only(P1);
        let report = check(one_set);
        assert!(report.violations.is_empty(), "{:?}", report.violations);
    }
}

#[test]
fn the_waits_are_as_short_as_they_may_be() {
    let Times {
        f, d, r, s, w, a, ..
    } = Times::BASE;
    assert_eq!(w, f.max(d) + r + s + 1);
    assert_eq!(a, f + r + s + 1);
}
