//! `forget`: a plan is forgotten where no order can have come of it, and nowhere else. Its claim is cleared in Redis, and
//! the journal of this machine forgets it by a mark that the running service, or the next one, honours.

use super::{
    ReadConfig,
    elsewhere::same_journal,
    link::{Entry, OpsContext},
    output::{Done, End, confirm, print, print_json, tame},
    permits::{WHOLE_STREAM, find_plan},
    time::ago,
};
use apply_core::{plan_id, times};
use apply_journal::{JournalReader, OpenError};
use apply_redis::owner_of_lease;
use apply_service::Failure;
use apply_wire::{Reason, Sent};
use clap::Args;
use permit_gate::{MAX_ID, PlanId};
use serde_json::json;
use std::{path::Path, time::Duration};

/// Which plan.
#[derive(Args)]
pub struct Forget {
    /// The plan's id: 16 hex digits.
    #[arg(value_parser = plan_id::read)]
    plan: PlanId,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object. Nothing is asked then: --yes is needed.
    #[arg(long)]
    json: bool,
}

/// Clears a claim that is still the one that was looked at, unless its permits were taken meanwhile.
/// KEYS: claim, receipt, published mark, result mark, open plans. ARGV: the claim's holder, or nothing where there was
/// none, the plan.
const CLEAR: &str = "
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 1
  or redis.call('HEXISTS', KEYS[5], ARGV[2]) == 1 then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4])
return 1";

/// How much longer than its wait a plan may take to its result: the venue's answers and the
/// questions about an order.
const SETTLING: Duration = Duration::from_secs(30);

impl Forget {
    pub(super) async fn run(self, read: ReadConfig) -> Done {
        let mut ops = OpsContext::open(read).await?;
        same_journal(&ops.config).await?;
        let names = Names::of(&ops, &self.plan);
        let here = Here::look(&ops.config.state.directory, &self.plan)?;
        let seen = look(&mut ops, &self.plan, &names).await?;
        if !self.json {
            print(&seen.to_text(&self.plan, &here))?;
        }
        let forgot = self.act(&mut ops, &names, &here, &seen).await;
        if self.json {
            let mut object = seen.to_json(&self.plan, &here);
            object["forgotten"] = matches!(forgot, Ok(Forgot::Forgotten { .. })).into();
            object["other_machines"] = match &forgot {
                Ok(Forgot::Forgotten { others }) => others.clone().into(),
                Ok(Forgot::Nothing) | Err(_) => serde_json::Value::Null,
            };
            print_json(&object.to_string())?;
            return forgot.map(|_| ());
        }
        match forgot? {
            Forgot::Nothing => print(
                "nothing to forget: no instance holds this plan, and no journal on this machine knows it\n",
            ),
            Forgot::Forgotten { others } => {
                print(
                    "forgotten; its proposal is planned again when it changes or the service starts anew\n",
                )?;
                match others {
                    Some(others) => print(&format!(
                        "other machines run as well ({others}): where one of them dealt with it too, run this there\n"
                    )),
                    None => Ok(()),
                }
            }
        }
    }

    async fn act(
        &self,
        ops: &mut OpsContext,
        names: &Names,
        here: &Here,
        seen: &Seen,
    ) -> Result<Forgot, End> {
        if seen.holder.is_none() && here.entry().is_none() {
            return Ok(Forgot::Nothing);
        }
        let patience = ops.config.wait.wait + SETTLING;
        if let Err(why) = seen.judge(patience, here) {
            return Err(refused(&why));
        }
        let others = others(ops, here).await?;
        if let (None, Some(others)) = (here.entry(), &others) {
            return Err(refused(&format!(
                "the journal that knows it is another machine's ({others}): run this there"
            )));
        }
        confirm(
            "Forget it? The same proposal may then be planned and executed.",
            self.yes,
            self.json,
        )?;
        // The journal first: a claim that is gone while the journal knows the plan has its old result published again.
        here.forget().map_err(|why| refused(&why))?;
        let mut clear = redis::cmd("EVAL");
        clear.arg(CLEAR).arg(5);
        clear.arg(&names.claim).arg(&names.receipt);
        clear.arg(&names.published).arg(&names.concluded);
        clear.arg(&ops.keys.open);
        clear.arg(seen.holder.as_deref().unwrap_or_default());
        clear.arg(self.plan.as_str());
        let cleared: Result<u64, Failure> = ops.link.ask(&clear, "clear the claim").await;
        match cleared {
            Ok(0) => {
                here.keep(&self.plan);
                Err(refused("it changed while it was read; run forget again"))
            }
            Err(failure) => {
                here.keep(&self.plan);
                Err(failure.into())
            }
            Ok(_) => Ok(Forgot::Forgotten { others }),
        }
    }
}

/// How it ended, where it was not refused.
enum Forgot {
    Nothing,
    Forgotten {
        /// The other machines whose journals may know the plan too.
        others: Option<String>,
    },
}

fn refused(why: &str) -> End {
    Failure::mismatch(format!("not forgotten: {why}"))
        .fix_within(
            "see apply-layer plan <id> and apply-layer results tail; no option overrides this",
        )
        .into()
}

/// The live instances whose journals are not here; `None` where there are none.
async fn others(ops: &mut OpsContext, here: &Here) -> Result<Option<String>, Failure> {
    let prefix = ops.keys.lease.clone();
    if ops.link.is_cluster() {
        return Ok(Some("each node of a cluster knows a part of them".into()));
    }
    let leases = ops.link.scan(&format!("{prefix}*")).await?;
    let names = leases.iter().filter_map(|key| {
        let name = owner_of_lease(std::str::from_utf8(key).ok()?, &prefix)?;
        (Some(name) != here.name()).then(|| tame(name))
    });
    let names: Vec<String> = names.collect();
    Ok((!names.is_empty()).then(|| format!("journal {}", names.join(", "))))
}

/// What this machine's journal says.
enum Here {
    /// There is none.
    NoJournal,
    /// It knows nothing of the plan.
    Silent { name: String },
    /// It knows the plan.
    Knows(Box<(JournalReader, apply_core::Entry)>),
}

impl Here {
    /// A journal that is there and cannot be read may know the plan.
    fn look(state: &Path, plan: &PlanId) -> Result<Self, Failure> {
        let unread = |why: String| {
            Failure::unavailable(format!(
                "not forgotten: the journal in {} may know the plan and cannot be read ({why})",
                state.display()
            ))
            .fix("run it as the service's user, or with sudo and the service's APPLY_STATE_DIR")
        };
        let journal = match JournalReader::open(state) {
            Ok(journal) => journal,
            Err(OpenError::None(_)) => return Ok(Self::NoJournal),
            Err(error) => return Err(unread(error.to_string())),
        };
        match journal.look_up(plan) {
            Ok(Some(entry)) => Ok(Self::Knows(Box::new((journal, entry)))),
            Ok(None) => Ok(Self::Silent {
                name: journal.name().to_owned(),
            }),
            Err(error) => Err(unread(error.to_string())),
        }
    }

    fn entry(&self) -> Option<&apply_core::Entry> {
        match self {
            Self::NoJournal | Self::Silent { .. } => None,
            Self::Knows(known) => Some(&known.1),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::NoJournal => None,
            Self::Silent { name } => Some(name),
            Self::Knows(known) => Some(known.0.name()),
        }
    }

    fn forget(&self) -> Result<(), String> {
        match self {
            Self::NoJournal | Self::Silent { .. } => Ok(()),
            Self::Knows(known) => known.0.forget(&known.1).map_err(|error| error.to_string()),
        }
    }

    /// What cannot be taken back is a mark whose plan is still claimed: nothing follows from it.
    fn keep(&self, plan: &PlanId) {
        if let Self::Knows(known) = self {
            let _ = known.0.keep(plan);
        }
    }

    fn to_text(&self) -> String {
        let Some(entry) = self.entry() else {
            return match self {
                Self::NoJournal => "none here".into(),
                _ => "does not know it".into(),
            };
        };
        match &entry.result {
            None => "may have an order, no result yet".into(),
            Some(result) => format!(
                "executed={} error={}",
                if result.executed { "True" } else { "False" },
                tame(result.error_code().as_deref().unwrap_or("-"))
            ),
        }
    }
}

/// The keys of one plan.
struct Names {
    claim: String,
    receipt: String,
    published: String,
    concluded: String,
}

impl Names {
    fn of(ops: &OpsContext, plan: &PlanId) -> Self {
        let keys = &ops.keys;
        Self {
            claim: format!("{}{plan}", keys.dedupe),
            receipt: format!("{}{plan}", keys.receipt),
            published: format!("{}{plan}", keys.published),
            concluded: format!("{}{plan}", keys.result_published),
        }
    }
}

/// What is known of a plan.
struct Seen {
    /// Who claimed it.
    holder: Option<String>,
    /// The permits were taken, and no result has followed.
    receipt: bool,
    /// It stands among the claimed plans without a result, which the service settles itself.
    open: bool,
    /// A result was published within the claim's time.
    concluded: bool,
    /// How long ago it was put on the stream, where it is there.
    age: Option<Duration>,
    results: Vec<Outcome>,
    /// Another program that says that it executed the plan.
    executed_by: Option<String>,
}

/// One result.
struct Outcome {
    executed: bool,
    error: String,
}

async fn look(ops: &mut OpsContext, plan: &PlanId, names: &Names) -> Result<Seen, Failure> {
    let now = ops.link.micros().await? / 1000;
    let entry = find_plan(ops, plan).await?;
    let age = entry.map(|entry| Duration::from_millis(now.saturating_sub(entry.id.millis)));
    let of_plan = |entry: &Entry| entry.text("plan_id") == plan.as_str();
    let results = ops
        .link
        .newest_that(&ops.keys.results, WHOLE_STREAM, of_plan)
        .await?;
    let executed_by = results
        .iter()
        .filter(|entry| !entry.text("executed").eq_ignore_ascii_case("false"))
        .find_map(Entry::foreign);
    let ours = results
        .iter()
        .filter(|entry| entry.foreign().is_none() && !entry.is_filler());
    let results = ours.map(Outcome::of).collect();
    // The claim last: what is cleared is what was held when everything else had been looked at.
    let mut all = redis::pipe();
    all.cmd("EXISTS").arg(&names.receipt);
    all.cmd("EXISTS").arg(&names.concluded);
    all.cmd("HEXISTS").arg(&ops.keys.open).arg(plan.as_str());
    // A holder longer than an attempt can be is not cleared here.
    all.cmd("GETRANGE").arg(&names.claim).arg(0).arg(MAX_ID);
    let (receipt, concluded, open, holder): (_, _, _, String) =
        ops.link.ask_all(&all, "look at the plan").await?;
    Ok(Seen {
        holder: (!holder.is_empty()).then_some(holder),
        receipt,
        open,
        concluded,
        age,
        results,
        executed_by,
    })
}

impl Outcome {
    fn of(entry: &Entry) -> Self {
        Self {
            executed: entry.text("executed") == "True",
            error: entry.text("error"),
        }
    }
}

impl Seen {
    fn to_text(&self, plan: &PlanId, here: &Here) -> String {
        let yes_no = |yes| if yes { "yes" } else { "no" };
        let age = match self.age {
            Some(age) => {
                let millis = times::millis(age);
                format!("published {} ago", ago(millis))
            }
            None => "not on the stream".into(),
        };
        let mut page = format!(
            "plan {plan}: {age}\n  claimed                {}\n  permits taken          {}\n  open, to be settled    {}\n  this machine's journal {}\n",
            yes_no(self.holder.is_some()),
            yes_no(self.receipt),
            yes_no(self.open),
            here.to_text(),
        );
        if self.results.is_empty() {
            page += "  result                 none\n";
        }
        for outcome in &self.results {
            let error = match outcome.error.as_str() {
                "" => "-".to_owned(),
                error => tame(error),
            };
            page += &format!(
                "  result                 executed={} error={error}\n",
                if outcome.executed { "True" } else { "False" }
            );
        }
        page
    }

    fn to_json(&self, plan: &PlanId, here: &Here) -> serde_json::Value {
        let results: Vec<_> = self
            .results
            .iter()
            .map(|outcome| json!({"executed": outcome.executed, "error": tame(&outcome.error)}))
            .collect();
        json!({
            "plan_id": plan.as_str(),
            "age_ms": self.age.and_then(|age| u64::try_from(age.as_millis()).ok()),
            "claimed": self.holder.is_some(),
            "permits_taken": self.receipt,
            "open": self.open,
            "journal": here.to_text(),
            "results": results,
        })
    }

    /// Whether no order can exist and none can still come. `patience` is the longest a plan takes. The journal's word is
    /// the last one; what Redis says besides has to agree with it.
    fn judge(&self, patience: Duration, here: &Here) -> Result<(), String> {
        if self.receipt {
            return Err("its permits were taken and its result is not there: an order may exist; look at the venue, or let the service settle it".into());
        }
        if self.open {
            return Err("it is claimed and has no result yet: the service settles it, or settles it at its next start".into());
        }
        let journaled = match here.entry() {
            None => None,
            Some(entry) => match &entry.result {
                None => return Err("the journal has it as under way: an order of it may be live; the service settles it".into()),
                Some(result) => Some(Outcome {
                    executed: result.executed,
                    error: result.error_code().unwrap_or_default(),
                }),
            },
        };
        let outcomes = || self.results.iter().chain(&journaled);
        if let Some(source) = &self.executed_by {
            return Err(format!(
                "another program, {}, says on the stream of results that it executed the plan: look at the venue",
                tame(source)
            ));
        }
        if outcomes().any(|outcomes| outcomes.executed) {
            return Err(
                "it was executed; a second order is what claims are there to prevent".into(),
            );
        }
        if let Some(outcomes) = outcomes().find(|outcomes| !surely_no_order(&outcomes.error)) {
            return Err(format!(
                "its result is {}, after which an order may exist or was refused by the venue",
                tame(&outcomes.error)
            ));
        }
        if journaled.is_some() {
            return Ok(());
        }
        match (self.results.is_empty(), self.age) {
            (false, _) => Ok(()),
            (true, _) if self.concluded => {
                Err("its result is no longer on the stream: what became of it is unknown".into())
            }
            (true, Some(age)) if age > patience => Ok(()),
            (true, Some(_)) => Err(format!(
                "it may still be under way; ask again {} s after it was published",
                patience.as_secs()
            )),
            (true, None) => Err(
                "neither the plan nor a result is on the streams: what became of it is unknown"
                    .into(),
            ),
        }
    }
}

/// Whether this error of a final result says that nothing was sent to the venue. What is not known here is a no.
fn surely_no_order(error: &str) -> bool {
    // A dry run has none.
    error.is_empty() || Reason::parse(error).sent() == Sent::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(31);

    fn seen() -> Seen {
        Seen {
            holder: Some("1-a.0".into()),
            receipt: false,
            open: false,
            concluded: false,
            age: Some(Duration::from_secs(3600)),
            results: Vec::new(),
            executed_by: None,
        }
    }

    fn outcomes(executed: bool, error: &str) -> Vec<Outcome> {
        let error = error.to_owned();
        vec![Outcome { executed, error }]
    }

    #[test]
    fn a_claim_is_cleared_only_where_no_order_can_exist() {
        let clear = |change: fn(&mut Seen)| {
            let mut seen = seen();
            change(&mut seen);
            seen.judge(PATIENCE, &Here::NoJournal).is_ok()
        };
        assert!(clear(|_| {}));
        assert!(clear(|s| s.results = outcomes(false, "p33_permit_denied")));
        assert!(clear(
            |s| s.results = outcomes(false, "permit_timeout_or_missing:missing_p33")
        ));
        assert!(!clear(|s| s.receipt = true));
        assert!(!clear(|s| s.open = true));
        assert!(!clear(|s| s.results = outcomes(true, "")));
        assert!(!clear(|s| s.age = Some(PATIENCE)));
        assert!(!clear(|s| s.age = None));
        assert!(!clear(|s| s.concluded = true));
        for error in [
            "order_unresolved",
            "order_rejected:-2022",
            "order_not_filled",
            "stop_unresolved",
            "permits_taken_by_other",
            "claim_lost",
            "journal_unavailable",
            "anything_new",
        ] {
            let mut seen = seen();
            seen.results = outcomes(false, error);
            assert!(seen.judge(PATIENCE, &Here::NoJournal).is_err(), "{error}");
        }
    }
}
