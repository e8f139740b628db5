//! What the neighbours leave beside plans, permits and results: how reviewers read plans, why the governor wrote no
//! permit, what the portfolio gate made of an action, what other programs write among the results.

use crate::{
    config::Keys,
    plan_store::{RedisPlanStore, failed},
    switches::{NeighboursSwitch, neighbours_switch},
};
use apply_core::{Plan, PortError};
use apply_wire::field;
use permit_gate::PlanId;
use redis::{RedisError, Script, Value, aio::ConnectionLike};
use std::{fmt, sync::LazyLock, time::Duration};

/// How a reviewer reads the stream of plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewer {
    /// The name of its group.
    pub name: String,
    /// `None` where the stream has no such group: it reads in another way, or not at all.
    pub reading: Option<Reviewing>,
}

/// What the server says of a reviewer's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reviewing {
    /// How many read for it.
    pub consumers: u64,
    /// How long ago one of them asked for plans last; `None` where none ever has.
    pub idle: Option<Duration>,
    /// Plans that were handed to it and not acknowledged.
    pub pending: u64,
    /// Plans that it has not read yet. Before Redis 7, and where entries were deleted, counted up to
    /// [`Reviewing::COUNTED`].
    pub lag: u64,
}

impl Reviewing {
    /// Entries that are counted at most where the server does not say how many there are.
    pub const COUNTED: u64 = 100;
}

impl Reviewer {
    /// Whether it reads plans, and has read all there are.
    pub fn is_up_to_date(&self) -> bool {
        self.reading
            .is_some_and(|reading| reading.consumers > 0 && reading.lag == 0)
    }
}

/// One phrase, as in `governor: 1 consumer, asked 0.4 s ago, every plan read, 0 not acknowledged`.
impl fmt::Display for Reviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let Some(reading) = self.reading else {
            return write!(f, "{name}: no such group on the stream of plans");
        };
        let consumers = match reading.consumers {
            0 => "no reviewer reads for it".to_owned(),
            1 => "1 consumer".to_owned(),
            more => format!("{more} consumers"),
        };
        let asked = match reading.idle {
            None => String::new(),
            Some(idle) => format!(", asked {:.1} s ago", idle.as_secs_f64()),
        };
        let lag = match reading.lag {
            0 => "every plan read".to_owned(),
            1 => "1 plan not read".to_owned(),
            more => format!("{more} plans not read"),
        };
        let pending = reading.pending;
        write!(
            f,
            "{name}: {consumers}{asked}, {lag}, {pending} not acknowledged"
        )
    }
}

static REVIEWERS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("reviewers.lua")));

/// How these groups read the stream of plans, in one round trip and a few numbers each. Reads only.
///
/// # Errors
///
/// Where the server cannot be asked, or the user may not: it needs `+xinfo`.
pub async fn fetch_reviewers(
    at: &mut impl ConnectionLike,
    plans: &str,
    groups: &[&str],
) -> Result<Vec<Reviewer>, RedisError> {
    let mut call = REVIEWERS.key(plans);
    call.arg(Reviewing::COUNTED);
    for group in groups {
        call.arg(*group);
    }
    let found: Vec<Vec<Value>> = call.invoke_async(at).await?;
    found.into_iter().map(reviewer).collect()
}

fn reviewer(row: Vec<Value>) -> Result<Reviewer, RedisError> {
    let mut row = row.into_iter();
    let name = redis::from_redis_value(row.next().unwrap_or(Value::Nil))?;
    let mut number = || redis::from_redis_value::<i64>(row.next().unwrap_or(Value::Nil));
    if number()? == 0 {
        return Ok(Reviewer {
            name,
            reading: None,
        });
    }
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let (consumers, idle, pending, lag) = (number()?, number()?, number()?, number()?);
    let idle = u64::try_from(idle).ok().map(Duration::from_millis);
    Ok(Reviewer {
        name,
        reading: Some(Reviewing {
            consumers: count(consumers),
            idle,
            pending: count(pending),
            lag: count(lag),
        }),
    })
}

/// What another program wrote onto the stream of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignResults {
    /// The program.
    pub source: String,
    /// How many of the newest results are its.
    pub entries: u64,
    /// The plan of its newest one.
    pub plan: String,
    /// Its symbol.
    pub symbol: String,
    /// Its word for whether something was executed.
    pub executed: String,
    /// Its error.
    pub error: String,
    /// What else it says.
    pub details: String,
}

/// A permit that came after its plan was blocked for want of it.
#[derive(Debug, Clone, Copy)]
pub struct LatePermit<'a> {
    /// The plan.
    pub plan: &'a PlanId,
    /// Its symbol.
    pub symbol: &'a str,
    /// The permit's name.
    pub permit: &'a str,
    /// How long after the plan was blocked.
    pub late_by: Duration,
    /// How long the plan had waited.
    pub waited: Duration,
}

impl RedisPlanStore {
    /// How these groups read the stream of plans: see [`fetch_reviewers`].
    pub async fn reviewers(&self, groups: &[&str]) -> Result<Vec<Reviewer>, PortError> {
        let plans = &self.keys().plans;
        let asked = fetch_reviewers(&mut self.link().at(plans), plans, groups).await;
        asked.map_err(failed("ask how reviewers read plans"))
    }

    /// How the neighbours' own switch stands: see [`neighbours_switch`].
    pub async fn neighbours_switch(&self) -> NeighboursSwitch {
        neighbours_switch(&mut self.link().at(NeighboursSwitch::KEY)).await
    }

    /// What other programs wrote among the newest results.
    pub async fn foreign_results(&self) -> Result<Vec<ForeignResults>, PortError> {
        let results = &self.keys().results;
        let mut call = self.scripts().foreign.key(results);
        call.arg(NEWEST_RESULTS)
            .arg(field::OUR_SOURCE)
            .arg(MOST_OF_A_FIELD)
            .arg(MOST_PROGRAMS)
            .arg(field::MALFORMED);
        let executed = [field::TRUE, field::FALSE];
        call.arg(executed.len())
            .arg(&executed)
            .arg(&field::DECISIONS);
        type Row = (Vec<u8>, u64, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);
        let rows: Result<Vec<Row>, _> = call.invoke_async(&mut self.link().at(results)).await;
        let rows = rows.map_err(failed("read what other programs wrote among the results"))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let read =
            |(source, entries, plan, symbol, executed, error, details): Row| ForeignResults {
                source: text(source),
                entries,
                plan: text(plan),
                symbol: text(symbol),
                executed: text(executed),
                error: text(error),
                details: text(details),
            };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Which of these keys are there. Reads nothing of them.
    ///
    /// Cancellation: safe.
    pub async fn are_there(&self, keys: &[&str]) -> Result<Vec<bool>, PortError> {
        let mut there = Vec::with_capacity(keys.len());
        for key in keys {
            let mut exists = redis::cmd("EXISTS");
            exists.arg(key);
            let found = exists.query_async(&mut self.link().at(key)).await;
            there.push(found.map_err(failed("look for a late permit"))?);
        }
        Ok(there)
    }

    /// Records that a permit came late, as input for the choice of the permit wait.
    pub async fn record_late(&self, late: &LatePermit<'_>) -> Result<(), PortError> {
        let fields = [
            (field::PLAN_ID, late.plan.to_string()),
            (field::SYMBOL, late.symbol.to_owned()),
            (field::PERMIT, late.permit.to_owned()),
            (field::LATE_BY_MS, late.late_by.as_millis().to_string()),
            (field::WAITED_MS, late.waited.as_millis().to_string()),
        ];
        let stream = &self.keys().late_permits;
        let added = self.append(stream, LATE_PERMITS_KEPT, &fields).await;
        added.map_err(failed("write down a late permit"))
    }

    /// Writes down how the wait of a plan went, as `instance` saw it, for the pictures of every instance and of later
    /// starts. As many are kept as plans are.
    ///
    /// Cancellation: it may be written down all the same.
    pub async fn record_wait(
        &self,
        plan: &PlanId,
        instance: &str,
        wait: &str,
    ) -> Result<(), PortError> {
        let fields = [
            (field::PLAN_ID, plan.to_string()),
            (field::INSTANCE, instance.to_owned()),
            (field::WAIT, wait.to_owned()),
        ];
        let stream = &self.keys().waits;
        let added = self.append(stream, self.stream_length(), &fields).await;
        added.map_err(failed("write down a wait"))
    }

    /// Puts an entry onto a stream that is kept about so long.
    async fn append(
        &self,
        stream: &str,
        length: usize,
        fields: &[(&str, String)],
    ) -> Result<(), RedisError> {
        let mut add = redis::cmd("XADD");
        add.arg(stream)
            .arg("MAXLEN")
            .arg("~")
            .arg(length)
            .arg("*")
            .arg(fields);
        let added = add.query_async::<Value>(&mut self.link().at(stream)).await;
        added.map(drop)
    }

    pub(crate) async fn governors_reason(
        &self,
        plan: &PlanId,
    ) -> Result<Option<String>, PortError> {
        let key = Keys::of(&self.keys().governor_block, plan);
        let mut read = redis::cmd("GETRANGE");
        read.arg(&key).arg(0).arg(MOST_OF_A_FIELD);
        let why: Vec<u8> = read
            .query_async(&mut self.link().at(&key))
            .await
            .map_err(failed("read why the governor wrote no permit"))?;
        Ok((!why.is_empty()).then(|| String::from_utf8_lossy(&why).into_owned()))
    }

    pub(crate) async fn show_to_portfolio_gate(&self, plan: &Plan) -> Result<(), PortError> {
        let fields = [
            (field::PLAN_ID, plan.id.to_string()),
            (field::SYMBOL, plan.symbol().to_string()),
            (field::HARVEST_ACTION, plan.action().to_owned()),
            (field::KILL_SCORE, plan.proposal.kill_score.to_wire()),
        ];
        let stream = &self.keys().harvest_proposals;
        let added = self.append(stream, self.stream_length(), &fields).await;
        added.map_err(failed("show the plan to the portfolio gate"))
    }

    pub(crate) async fn final_action_of(&self, plan: &PlanId) -> Result<Option<String>, PortError> {
        let stream = &self.keys().final_actions;
        let mut call = self.scripts().final_action.key(stream);
        call.arg(NEWEST_ACTIONS)
            .arg(plan.as_str())
            .arg(MOST_OF_A_FIELD);
        let found: Result<Option<(Vec<u8>, Vec<u8>)>, _> =
            call.invoke_async(&mut self.link().at(stream)).await;
        let found = found.map_err(failed("read what the portfolio gate made of the plan"))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(found.map(|(made, action)| match made.is_empty() {
            false => text(made),
            true => text(action),
        }))
    }
}

/// How many of the newest results are looked through for those of other programs.
const NEWEST_RESULTS: usize = 200;

/// Most bytes of a field of a neighbour.
const MOST_OF_A_FIELD: usize = 160;

/// Most programs that are distinguished.
const MOST_PROGRAMS: usize = 8;

/// How many of the newest final actions are looked through for a plan's: more than can be written between its permit and
/// its order.
const NEWEST_ACTIONS: usize = 200;

/// About how many late permits are remembered.
const LATE_PERMITS_KEPT: usize = 1000;
