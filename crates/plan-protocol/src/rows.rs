//! Each rule, what is walked without it, and what that costs.

use crate::{
    model::{Forgetting, P1, P3, P6, SILENCE, Scope},
    rules::{Confirm, Loser, Rules, Times},
};

/// One rule dropped.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What is dropped, in words.
    pub dropped: &'static str,
    /// What is walked: the rules without it, and what may happen.
    pub scope: Scope,
    /// The properties that break. Where there are none, every one holds in every state.
    pub breaks: &'static [&'static str],
}

impl Row {
    /// What it costs, as the docs say it.
    pub fn costs(&self) -> String {
        let short = |property: &&'static str| match *property {
            P1 => "P1",
            P3 => "P3",
            P6 => "P6",
            _ => "silence",
        };
        match self.breaks {
            [] => "nothing".into(),
            breaks => breaks.iter().map(short).collect::<Vec<_>>().join(", "),
        }
    }
}

/// The rows of the table in docs/protocol-model.md.
pub fn rows() -> Vec<Row> {
    let fence = Rules::FENCE;
    let process = Rules::FENCE_PER_PROCESS;
    let quiet = Scope::quiet;
    let row = |dropped, scope, breaks| Row {
        dropped,
        scope,
        breaks,
    };
    let all = Forgetting {
        failover: true,
        ..Forgetting::ONE_SERVER
    };
    let with_entry = Forgetting {
        entry: true,
        ..Forgetting::FLUSH
    };
    vec![
        row(
            "generation in claim, adopt and publish",
            quiet(Rules {
                generation: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH),
            &[P1, P3],
        ),
        row(
            "run id compared in the script",
            quiet(Rules {
                run_id: false,
                ..fence
            })
            .forgets(1, Forgetting::RESTART),
            &[P1, P3],
        ),
        row(
            "a new connection looks at the run id",
            quiet(Rules {
                run_on_connection: false,
                ..fence
            })
            .forgets(2, Forgetting::ONE_SERVER),
            &[P1],
        ),
        row(
            "the same, where note, take and ask-again compare the generation instead",
            quiet(Rules {
                run_on_connection: false,
                take_sees_generation: true,
                ..fence
            })
            .forgets(2, Forgetting::ONE_SERVER),
            &[],
        ),
        row(
            "questions wait for W",
            quiet(Rules {
                wait_w: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH),
            &[P1, P3],
        ),
        row(
            "per process: own start",
            quiet(Rules {
                own_start: false,
                ..process
            })
            .forgets(1, Forgetting::RESTART)
            .crashes(1),
            &[P1, P3],
        ),
        row(
            "per process: first answer, not start",
            quiet(Rules {
                first_answer: false,
                ..process
            })
            .forgets(1, Forgetting::RESTART),
            &[P1, P3],
        ),
        row(
            "per process: run id on a new connection",
            quiet(Rules {
                run_on_connection: false,
                ..process
            })
            .forgets(1, Forgetting::RESTART),
            &[P1, P3],
        ),
        row(
            "per process: `forgot`",
            quiet(Rules {
                forgot: false,
                ..process
            })
            .forgets(1, Forgetting::FLUSH),
            &[P1, P3],
        ),
        row(
            "an age grows from the receipt of its answer",
            quiet(Rules {
                age_from_receipt: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH),
            &[P1, P3],
        ),
        row(
            "no claim before W",
            quiet(Rules {
                claim_when_clean: false,
                ..fence
            })
            .forgets(1, all),
            &[],
        ),
        row(
            "claim refuses an open entry",
            quiet(Rules {
                claim_sees_entry: false,
                ..fence
            })
            .forgets(1, Forgetting::ONE_KEY),
            &[P3],
        ),
        row(
            "claim refuses a final mark",
            quiet(Rules {
                claim_sees_mark: false,
                ..fence
            })
            .forgets(1, Forgetting::ONE_KEY),
            &[P3],
        ),
        row(
            "claim in the journal",
            quiet(Rules {
                claim_journaled: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH)
            .crashes(1),
            &[SILENCE],
        ),
        row(
            "a claim whose answer was lost is settled",
            quiet(Rules {
                lost_claim_settled: false,
                own_stale_adopted: false,
                ..fence
            })
            .lost_answers(1),
            &[SILENCE],
        ),
        row(
            "a question before \"not executed\"",
            quiet(Rules {
                ask_before_no: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH),
            &[P3],
        ),
        row(
            "a question about a plan that is younger than the generation",
            quiet(Rules {
                ask_before_order: false,
                ask_before_early_no: false,
                ..fence
            })
            .forgets(
                1,
                Forgetting {
                    expiry: true,
                    ..all
                },
            ),
            &[],
        ),
        row(
            "the same, of any age",
            quiet(Rules {
                ask_before_order: false,
                ask_before_early_no: false,
                old_plans_in_doubt: false,
                ..fence
            })
            .forgets(1, Forgetting::EXPIRY),
            &[P3],
        ),
        row(
            "generation in note, take and ask-again (added)",
            quiet(Rules {
                take_sees_generation: true,
                ..fence
            })
            .forgets(1, all),
            &[],
        ),
        row(
            "claim in take and ask-again (added)",
            quiet(Rules {
                take_sees_claim: true,
                ..fence
            })
            .forgets(1, all),
            &[],
        ),
        row(
            "entry in take and ask-again",
            quiet(Rules {
                take_sees_entry: false,
                ..fence
            }),
            &[P3],
        ),
        row(
            "cluster: \"not executed\" published within F of the look that the plan is held",
            quiet(Rules {
                published_in_time: false,
                ..Rules::FENCE_CLUSTER
            })
            .forgets(1, Forgetting::FLUSH),
            &[P3],
        ),
        row(
            "ask again after F",
            quiet(Rules {
                ask_again: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH)
            .switch(),
            &[P1, P3, P6],
        ),
        row(
            "F from the sending of the script",
            quiet(Rules {
                from_sending: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH)
            .switch(),
            &[P1, P3, P6],
        ),
        row(
            "stamp first, looks afterwards",
            quiet(Rules {
                stamp_first: false,
                ..fence
            }),
            &[P3],
        ),
        row(
            "file looked at after the stamp",
            quiet(Rules {
                file_after_stamp: false,
                ..fence
            })
            .file(),
            &[P6],
        ),
        row(
            "confirmation of the master",
            quiet(Rules {
                confirm: Confirm::Never,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER)
            .sets(1),
            &[P3],
        ),
        row(
            "the same, the switch is turned on the new master",
            quiet(Rules {
                confirm: Confirm::Never,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER)
            .switch()
            .sets(1),
            &[P6],
        ),
        row(
            "confirmation by a majority, not by ROLE",
            quiet(Rules {
                confirm: Confirm::ByRole,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER)
            .sets(1),
            &[P3],
        ),
        row(
            "the same by ROLE, the switch is turned on the new master",
            quiet(Rules {
                confirm: Confirm::ByRole,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER)
            .switch()
            .sets(1),
            &[P6],
        ),
        row(
            "confirmation before the stamp, not before the take",
            quiet(Rules {
                confirm: Confirm::BeforeTake,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER),
            &[P3],
        ),
        row(
            "a change of server loses unstamped attempts",
            quiet(Rules {
                server_change_loses: false,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER),
            &[P3],
        ),
        row(
            "the loser is silent",
            quiet(Rules {
                loser_silent: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH),
            &[P3],
        ),
        row(
            "the loser closes: silent for ever instead",
            quiet(Rules {
                loser: Loser::Silent,
                ..fence
            })
            .forgets(1, Forgetting::ONE_KEY),
            &[SILENCE],
        ),
        row(
            "the loser closes: speaks where neither entry nor mark is, instead",
            quiet(Rules {
                loser: Loser::Speaks,
                ..fence
            })
            .forgets(2, Forgetting::FLUSH),
            &[P3],
        ),
        row(
            "the loser closes: leaves it to the holder instead",
            quiet(Rules {
                loser: Loser::LeavesIt,
                ..fence
            })
            .forgets(2, Forgetting::ONE_SERVER)
            .sets(1),
            &[SILENCE],
        ),
        row(
            "the adopter asks",
            quiet(Rules {
                adopter_asks: false,
                ..fence
            })
            .forgets(1, Forgetting::RESTART),
            &[P3],
        ),
        row(
            "after a restart nothing is published without holding the plan",
            quiet(Rules {
                restart_holds: false,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER)
            .crashes(1)
            .sets(1),
            &[P3],
        ),
        row(
            "an own entry whose attempt is over is adopted",
            quiet(Rules {
                own_stale_adopted: false,
                ..fence
            })
            .forgets(1, Forgetting::RESTART),
            &[SILENCE],
        ),
        row(
            "a switch seen on stays on",
            quiet(Rules {
                sticky_switch: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH)
            .switch(),
            &[P6],
        ),
        row(
            "publishing checks entry and generation",
            quiet(Rules {
                publish_checks: false,
                ..fence
            })
            .forgets(1, Forgetting::FLUSH),
            &[P3],
        ),
        row(
            "published only after a confirmation",
            quiet(Rules {
                publish_confirmed: false,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER),
            &[SILENCE],
        ),
        row(
            "the same, where what was published is published again",
            quiet(Rules {
                publish_confirmed: false,
                published_again: true,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER),
            &[],
        ),
        row(
            "confirmations of results and marks, where what was published is published again",
            quiet(Rules {
                publish_confirmed: false,
                mark_confirmed: false,
                published_again: true,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER)
            .crashes(1)
            .sets(1),
            &[],
        ),
        row(
            "what was published is published again (added)",
            quiet(Rules {
                published_again: true,
                ..fence
            })
            .forgets(1, all),
            &[],
        ),
        row(
            "correction of a final",
            quiet(Rules {
                correction: false,
                ..fence
            })
            .forgets(2, Forgetting::ONE_SERVER)
            .sets(1),
            &[SILENCE],
        ),
        row(
            "W: one unit shorter, the store forgets",
            quiet(fence)
                .times(Times {
                    w: 4,
                    ..Times::BASE
                })
                .forgets(1, Forgetting::FLUSH),
            &[P1, P3],
        ),
        row(
            "W: one unit shorter, failover",
            quiet(fence)
                .times(Times {
                    w: 4,
                    ..Times::BASE
                })
                .forgets(1, Forgetting::FAILOVER)
                .sets(1),
            &[P3],
        ),
        row(
            "W: without the lag of those who name the master",
            quiet(fence)
                .times(Times {
                    lag: 2,
                    ..Times::BASE
                })
                .forgets(1, Forgetting::FAILOVER)
                .sets(1),
            &[P3],
        ),
        row(
            "published only once their lag is over",
            quiet(Rules {
                confirmed_after_lag: false,
                ..fence
            })
            .times(Times {
                lag: 2,
                w: 6,
                ..Times::BASE
            })
            .forgets(1, Forgetting::FAILOVER),
            &[SILENCE],
        ),
        row(
            "A: one unit shorter",
            quiet(fence).times(Times {
                a: 4,
                ..Times::BASE
            }),
            &[P3],
        ),
        row(
            "a closing claim waits A",
            quiet(Rules {
                closing_waits: false,
                ..fence
            })
            .forgets(2, with_entry),
            &[P3],
        ),
        row(
            "who may have ordered asks before it leaves a mark \"not executed\"",
            quiet(Rules {
                asks_before_leaving: false,
                ..fence
            })
            .forgets(2, Forgetting::ONE_SERVER)
            .sets(1),
            &[SILENCE],
        ),
        row(
            "a mark counts only once confirmed",
            quiet(Rules {
                mark_confirmed: false,
                ..fence
            })
            .forgets(1, Forgetting::FAILOVER)
            .crashes(1),
            &[SILENCE],
        ),
    ]
}
