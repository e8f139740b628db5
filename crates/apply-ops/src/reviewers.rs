//! The reviewers' consumer groups on the stream of plans: whether somebody reads, and how far behind.

use super::link::Desk;
use apply_service::Failure;
use apply_wire::key;
use redis::Value;
use std::collections::HashMap;

/// How far behind a group is counted at most.
const MOST_BEHIND: usize = 1000;

/// The group of one reviewer.
pub(super) struct Group {
    /// Its name, which is the reviewer's.
    pub(super) name: &'static str,
    /// What the server says of it; `None` where there is no such group.
    pub(super) reading: Option<Reading>,
}

/// How a group reads.
pub(super) struct Reading {
    /// Readers that have ever read in it.
    pub(super) consumers: u64,
    /// Entries that were handed out and not acknowledged. Some reviewers never acknowledge.
    pub(super) pending: u64,
    /// Entries that were not handed out yet; counted up to [`MOST_BEHIND`] where the server does not say.
    pub(super) lag: u64,
}

/// The groups of those required permits whose reviewers read the stream of plans. Other reviewers are
/// told of plans in ways that are not known here.
pub(super) async fn groups(desk: &mut Desk) -> Result<Vec<Group>, Failure> {
    let plans = desk.keys.plans.clone();
    let ask = redis::cmd("XINFO").arg("GROUPS").arg(&plans).to_owned();
    let there: Vec<HashMap<String, Value>> = match desk.link.try_ask(&ask).await {
        Ok(there) => there,
        // There is no stream before the first plan.
        Err(error)
            if error
                .detail()
                .is_some_and(|why| why.contains("no such key")) =>
        {
            Vec::new()
        }
        Err(error) => {
            let text = format!("cannot ask for the groups of {plans}: {error}");
            return Err(Failure::unavailable(text));
        }
    };
    let required = desk.config.permits.permits().clone();
    let mut groups = Vec::new();
    for name in [key::GROUP_GOVERNOR, key::GROUP_P33] {
        if required.position(name).is_none() {
            continue;
        }
        let told = there.iter().find(|group| text(group, "name") == name);
        let reading = match told {
            None => None,
            Some(group) => Some(Reading {
                consumers: number(group, "consumers").unwrap_or_default(),
                pending: number(group, "pending").unwrap_or_default(),
                lag: match number(group, "lag") {
                    Some(lag) => lag,
                    // Before 7.0, and where entries were deleted.
                    None => count_after(desk, &plans, &text(group, "last-delivered-id")).await?,
                },
            }),
        };
        groups.push(Group { name, reading });
    }
    Ok(groups)
}

async fn count_after(desk: &mut Desk, stream: &str, id: &str) -> Result<u64, Failure> {
    let mut range = redis::cmd("XRANGE");
    range.arg(stream).arg(format!("({id}")).arg("+");
    range.arg("COUNT").arg(MOST_BEHIND);
    let entries: Vec<Value> = desk.link.ask(&range, "count unread plans").await?;
    Ok(u64::try_from(entries.len()).unwrap_or(u64::MAX))
}

fn text(group: &HashMap<String, Value>, field: &str) -> String {
    let value = group.get(field).cloned().unwrap_or(Value::Nil);
    redis::from_redis_value(value).unwrap_or_default()
}

fn number(group: &HashMap<String, Value>, field: &str) -> Option<u64> {
    redis::from_redis_value(group.get(field)?.clone()).ok()
}
