//! Traffic for the former service, with everything in it that it is known to do wrong, and the shadow beside it.

use crate::{
    entry::Entry,
    former::{Answers, FormerService, FormerSettings, Novelty, TapeReviewers},
    moment::computed_now,
    neighbours::disarm_of_today,
    reviewer::{governor_permit, position_permit},
    service::{Service, ServiceBuilder},
    stage::{GOVERNOR, P33, connect},
    users,
    wait::within,
};
use apply_wire::key;
use redis::aio::MultiplexedConnection;
use redis_harness::RedisServer;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];
/// Followed, and not allowed to execute.
const NOT_ALLOWED: &str = "XRPUSDT";
/// The last word of a tape is about it.
const LAST: &str = "LASTUSDT";

const WAIT: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(50);

/// What happens once.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    action: &'static str,
    score: &'static str,
    /// Other fields of the proposal.
    more: &'static [(&'static str, &'static str)],
    reviewers: Says,
    around: Around,
}

/// What the reviewers do about the plan.
#[derive(Debug, Clone, Copy)]
enum Says {
    Yes(&'static str),
    GovernorGarbage,
    ForAnotherSymbol,
    PositionDenies,
    GovernorDenies,
    OnlyGovernor,
    OnlyPosition,
    Nothing,
    PositionLast,
    PositionTooLate,
    PositionDeniesAlone,
}

/// What stands around the proposal.
#[derive(Debug, Clone, Copy)]
enum Around {
    Nothing,
    Disarmed,
    Halted(&'static str),
    /// Another proposal a moment before.
    Rewritten,
    NotAllowed,
    AnotherExecutor,
}

const fn case(
    name: &'static str,
    action: &'static str,
    score: &'static str,
    reviewers: Says,
) -> Case {
    Case {
        name,
        action,
        score,
        more: &[],
        reviewers,
        around: Around::Nothing,
    }
}

const fn with(case: Case, more: &'static [(&'static str, &'static str)]) -> Case {
    Case { more, ..case }
}

const fn around(case: Case, around: Around) -> Case {
    Case { around, ..case }
}

const YES: Says = Says::Yes("0.006");

const CASES: &[Case] = &[
    case("a close", "PARTIAL_75", "0.4", YES),
    case("all of it", "FULL_CLOSE_PROPOSED", "0.2", Says::Yes("12.4")),
    case("half of it", "PARTIAL_50", "0.4", Says::Yes("6.2")),
    case(
        "more than its share",
        "PARTIAL_50",
        "0.4",
        Says::Yes("12.4"),
    ),
    case(
        "a tail above",
        "PARTIAL_75",
        "0.4",
        Says::Yes("0.009000000000000001"),
    ),
    case(
        "a tail below",
        "PARTIAL_75",
        "0.4",
        Says::Yes("0.19999999999999998"),
    ),
    case(
        "a governor that writes no JSON",
        "PARTIAL_75",
        "0.4",
        Says::GovernorGarbage,
    ),
    case(
        "a permit for another symbol",
        "PARTIAL_75",
        "0.4",
        Says::ForAnotherSymbol,
    ),
    case(
        "the position brain denies",
        "PARTIAL_75",
        "0.4",
        Says::PositionDenies,
    ),
    case(
        "the governor denies",
        "PARTIAL_75",
        "0.4",
        Says::GovernorDenies,
    ),
    case(
        "no position permit",
        "PARTIAL_75",
        "0.4",
        Says::OnlyGovernor,
    ),
    case(
        "no governor permit",
        "PARTIAL_75",
        "0.4",
        Says::OnlyPosition,
    ),
    case("no permit", "PARTIAL_75", "0.4", Says::Nothing),
    case("in the last step", "PARTIAL_75", "0.4", Says::PositionLast),
    case(
        "after the deadline",
        "PARTIAL_75",
        "0.4",
        Says::PositionTooLate,
    ),
    case("a no alone", "PARTIAL_75", "0.4", Says::PositionDeniesAlone),
    case("hold", "HOLD", "0.1", YES),
    with(
        case("a stop", "UPDATE_SL", "0.1", YES),
        &[("new_sl_proposed", "64000.5")],
    ),
    case("a stop without a price", "UPDATE_SL", "0.1", YES),
    case("a score that is none", "PARTIAL_75", "nan", YES),
    case("a score below 0", "PARTIAL_75", "-0.5", YES),
    case("a score without an end", "PARTIAL_75", "inf", YES),
    case("a warning for a close", "PARTIAL_50", "0.7", YES),
    case("a warning for a hold", "HOLD", "0.65", YES),
    case("critical", "PARTIAL_75", "0.9", YES),
    case("an unknown action", "DOUBLE_UP", "0.1", YES),
    case("small letters", "partial_50", "0.1", YES),
    case("a quarter", "PARTIAL_25", "0.1", YES),
    case("a quarter under a warning", "PARTIAL_25", "0.7", YES),
    case("an opening", "OPEN_LONG", "0.1", YES),
    case("an exit", "EXIT", "0.1", YES),
    with(
        case("calibrated to hold", "PARTIAL_75", "0.3", YES),
        &[("calibrated", "1"), ("action", "HOLD")],
    ),
    with(
        case("not calibrated", "PARTIAL_75", "0.3", YES),
        &[("calibrated", "0")],
    ),
    with(
        case("an unreadable field", "PARTIAL_75", "0.3", YES),
        &[("k_ts_drop", "fast")],
    ),
    around(case("disarmed", "PARTIAL_75", "0.3", YES), Around::Disarmed),
    around(
        case("halted", "PARTIAL_75", "0.3", YES),
        Around::Halted("true"),
    ),
    around(
        case("a word that is none", "PARTIAL_75", "0.3", YES),
        Around::Halted("halt"),
    ),
    around(
        case("written twice", "PARTIAL_75", "0.35", YES),
        Around::Rewritten,
    ),
    around(
        case("not allowed", "PARTIAL_75", "0.3", YES),
        Around::NotAllowed,
    ),
    around(
        case("another executor", "PARTIAL_75", "0.3", YES),
        Around::AnotherExecutor,
    ),
];

/// What the shadow said of a tape.
#[derive(Debug)]
pub struct Shadowed {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its findings, in their order.
    pub findings: Vec<Value>,
    /// Its count at the end.
    pub summary: Value,
    /// Its complaints.
    pub errors: Vec<String>,
}

impl Shadowed {
    /// The findings of this class, each on one line.
    pub fn shown(&self, class: &str) -> String {
        let of_it = self.findings.iter().filter(|one| one["class"] == class);
        of_it.map(|one| format!("{one}\n")).collect()
    }

    /// How often each unexplained difference was found.
    pub fn unexplained(&self) -> BTreeMap<String, usize> {
        self.of_class("unexplained")
    }

    /// How often each difference of this class was found.
    pub fn of_class(&self, class: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            if finding["class"] == class {
                let name = finding["difference"].as_str().unwrap_or_default();
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
        counts
    }
}

/// A tape that plays against the former service on one server, with the shadow beside it.
#[derive(Debug)]
pub struct Tape {
    redis: MultiplexedConnection,
    former: FormerService,
    _reviewers: TapeReviewers,
    says: Arc<Mutex<HashMap<String, Says>>>,
    shadow: Service,
    played: u64,
}

impl Tape {
    /// How many different things happen on a tape.
    pub const CASES: usize = CASES.len();

    /// A server with the user that the deployment gives the shadow; the URL of that user.
    pub async fn server() -> (RedisServer, String) {
        let server = RedisServer::start().await;
        users::set(
            &mut server.connection().await,
            "shadow",
            &users::rule_of("shadow"),
        )
        .await;
        let url = server.url_as("shadow", "change-me-5");
        (server, url)
    }

    /// Starts everybody. The shadow reads as the user of `as_user`, everybody else as `url` says.
    pub async fn start(url: &str, as_user: &str, novelty: Option<Novelty>) -> Self {
        let symbols: Vec<String> = SYMBOLS
            .iter()
            .chain([&NOT_ALLOWED, &LAST])
            .map(|symbol| (*symbol).to_owned())
            .collect();
        let shadow = ServiceBuilder::command(&["shadow", "--json"])
            .env("REDIS_URL", as_user)
            .env("SYMBOLS", symbols.join(","))
            .env("APPLY_ALLOWLIST", SYMBOLS.join(","))
            .env("APPLY_PERMIT_WAIT_MS", WAIT.as_millis().to_string())
            .env("APPLY_PERMIT_STEP_MS", STEP.as_millis().to_string())
            .env("APPLY_POLL_SEC", "0.02")
            .start()
            .await;
        shadow.line("\"watching\"").await;
        let settings = FormerSettings {
            symbols,
            allowlist: SYMBOLS.iter().map(|symbol| (*symbol).to_owned()).collect(),
            poll: Duration::from_millis(20),
            wait: WAIT,
            step: STEP,
            novelty,
        };
        let says: Arc<Mutex<HashMap<String, Says>>> = Arc::default();
        let script = Arc::clone(&says);
        let reviewers = TapeReviewers::start(url, move |plan| {
            let says = script.lock().unwrap_or_else(PoisonError::into_inner);
            says.get(plan.get("symbol"))
                .map_or_else(Vec::new, |says| says.answers(plan))
        })
        .await;
        Self {
            redis: connect(url).await,
            former: FormerService::start(url, settings).await,
            _reviewers: reviewers,
            says,
            shadow,
            played: 0,
        }
    }

    /// Plays so many proposals, all cases in turn.
    pub async fn play(&mut self, proposals: usize) {
        for n in 0..proposals {
            let case = CASES[n % CASES.len()];
            let symbol = match case.around {
                Around::NotAllowed => NOT_ALLOWED,
                _ => SYMBOLS[n / CASES.len() % SYMBOLS.len()],
            };
            self.play_one(symbol, case).await;
        }
    }

    /// Plays the cases of these names, once each.
    ///
    /// # Panics
    /// Where there is no case of a name.
    pub async fn play_only(&mut self, names: &[&str]) {
        for name in names {
            let case = CASES.iter().find(|case| case.name == *name);
            let case = *case.unwrap_or_else(|| panic!("no case {name}"));
            self.play_one(SYMBOLS[0], case).await;
        }
    }

    /// Whether the shadow has reported this difference. A permit that slips by it hides what it would show.
    pub fn has_found(&self, name: &str) -> bool {
        let part = format!(r#""difference":"{name}""#);
        self.shadow.log().iter().any(|line| line.contains(&part))
    }

    /// Ends: the shadow has read everything, and says what it found.
    pub async fn end(mut self) -> Shadowed {
        self.play_one(LAST, case("the last word", "HOLD", "0.1", YES))
            .await;
        self.shadow.line_with(&[LAST, r#""about":"result""#]).await;
        let ended = self.shadow.stopped().await;
        let mut findings: Vec<Value> = ended
            .log
            .iter()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
            })
            .collect();
        let summary = findings.pop().unwrap_or_default();
        Shadowed {
            code: ended.code,
            summary: summary["summary"].clone(),
            findings: findings.split_off(1),
            errors: ended.errors,
        }
    }

    async fn play_one(&mut self, symbol: &str, case: Case) {
        self.says
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(symbol.to_owned(), case.reviewers);
        let disarm = disarm_of_today();
        match case.around {
            Around::Disarmed => self.set(&disarm, "burst_limit_exceeded").await,
            Around::Halted(word) => self.set(key::KILL_SWITCH, word).await,
            Around::Rewritten => {
                self.propose(symbol, "PARTIAL_50", "0.31", &[]).await;
            }
            Around::Nothing | Around::NotAllowed | Around::AnotherExecutor => {}
        }
        let computed_at = self
            .propose(symbol, case.action, case.score, case.more)
            .await;
        within(
            &format!("the former service is through with {}", case.name),
            async {
                loop {
                    let done = self.former.done().await;
                    if done.symbol == symbol && done.computed_at == computed_at {
                        return;
                    }
                }
            },
        )
        .await;
        match case.around {
            Around::Disarmed => self.run(&["DEL", &disarm]).await,
            Around::Halted(_) => self.run(&["DEL", key::KILL_SWITCH]).await,
            Around::AnotherExecutor => {
                let words = "source intent_executor plan_id 0 executed false";
                let mut command = vec!["XADD", key::RESULTS, "*"];
                command.extend(words.split(' '));
                self.run(&command).await;
            }
            Around::Nothing | Around::Rewritten | Around::NotAllowed => {}
        }
    }

    /// Writes a proposal; when it was computed.
    async fn propose(
        &mut self,
        symbol: &str,
        action: &str,
        score: &str,
        more: &[(&str, &str)],
    ) -> String {
        self.played += 1;
        let at = computed_now(self.played);
        let mut fields = vec![
            ("harvest_action", action),
            ("kill_score", score),
            ("computed_at_utc", &*at),
        ];
        fields.extend_from_slice(more);
        let key = key::PROPOSAL.of(symbol);
        let () = redis::pipe()
            .atomic()
            .del(&key)
            .hset_multiple(&key, &fields)
            .query_async(&mut self.redis)
            .await
            .unwrap_or_else(|error| panic!("cannot propose: {error}"));
        at
    }

    async fn set(&mut self, key: &str, value: &str) {
        self.run(&["SET", key, value]).await;
    }

    async fn run(&mut self, words: &[&str]) {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command
            .exec_async(&mut self.redis)
            .await
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
}

impl Says {
    fn answers(self, plan: &Entry) -> Answers {
        let symbol = plan.get("symbol");
        let soon = Duration::from_millis(10);
        let governor = |permit: String| (soon, GOVERNOR, permit);
        let position = |after: Duration, permit: String| (after, P33, permit);
        let yes = governor_permit(symbol);
        let allow = position_permit(symbol, "0.006");
        let deny = format!(
            r#"{{"allow":false,"symbol":"{symbol}","reason":"reconcile_required_qty_mismatch","context":{{}},"created_at":1769301009.1}}"#
        );
        match self {
            Self::Yes(quantity) => vec![
                governor(yes),
                position(soon * 2, position_permit(symbol, quantity)),
            ],
            Self::GovernorGarbage => vec![governor("granted".into()), position(soon, allow)],
            Self::ForAnotherSymbol => vec![
                governor(yes),
                position(soon, position_permit("DOGEUSDT", "0.006")),
            ],
            Self::PositionDenies => vec![governor(yes), position(soon * 2, deny)],
            Self::GovernorDenies => vec![
                governor(yes.replace("true", "false")),
                position(soon * 2, allow),
            ],
            Self::OnlyGovernor => vec![governor(yes)],
            Self::OnlyPosition => vec![position(soon, allow)],
            Self::Nothing => Vec::new(),
            Self::PositionLast => vec![governor(yes), position(WAIT - STEP / 2, allow)],
            Self::PositionTooLate => vec![governor(yes), position(WAIT + STEP, allow)],
            Self::PositionDeniesAlone => vec![position(soon, deny)],
        }
    }
}
