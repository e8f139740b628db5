//! `permits ls | show | judge | grant | revoke`.

use super::{
    link::{Entry, OpsContext},
    output::{Done, End, confirm, print, print_json},
    time::ago,
};
use crate::{ReadConfig, VenueKeys, signing::sign};
use apply_core::{Symbol, plan_id};
use apply_service::{Config, Failure, SystemClock};
use apply_wire::Exit;
use clap::{Args, Subcommand};
use permit_gate::{
    Malformed, Permit, PlanId, Refusal, Subject, Terms, Timer,
    foreign::{MAX_FOREIGN, escaped, escaped_bytes},
    rule::{MAX_PERMIT_BYTES, StrictObject},
};
use permit_signature::KeyRing;
use redis::Value;
use rust_decimal::Decimal;
use serde_json::json;
use std::{
    io::{self, Read},
    time::Duration,
};

/// Look at permits, judge them, write one for a test, take one back.
#[derive(Subcommand)]
pub enum Permits {
    /// Every permit there is, by plan, with the time it has left.
    #[command(after_help = "Example: apply-layer permits ls")]
    Ls {
        /// Print one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show the permits of one plan, and judge them by the rules the service judges by.
    #[command(after_help = "Example: apply-layer permits show 67e6da21fa9fe506")]
    Show {
        /// The plan's id: 16 hex digits.
        #[arg(value_parser = plan_id::read)]
        plan: PlanId,
        /// The plan's symbol, where the plan is no longer on its stream.
        #[arg(long)]
        symbol: Option<Symbol>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Judge a permit from standard input as the gate would, before an issuer ever writes it to Redis.
    ///
    /// Without NAME the text is judged as every permit of APPLY_PERMITS. Redis is not asked, unless
    /// permits have to be signed: then --plan names the published plan that the text is signed for.
    #[command(after_help = "Example: apply-layer permits judge p33 --symbol BTCUSDT < permit.json")]
    Judge {
        /// The permit's name, as in APPLY_PERMITS: governor, p33, …
        name: Option<String>,
        /// The plan's symbol. Without it the permit is judged for the symbol that it names.
        #[arg(long)]
        symbol: Option<Symbol>,
        /// The plan's id: 16 hex digits.
        #[arg(long, value_parser = plan_id::read)]
        plan: Option<PlanId>,
        /// Print one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Write a permit as its issuer would, for 60 seconds. Never over one that is there. Signed
    /// where APPLY_PERMIT_KEYS is set.
    #[command(after_help = "Example: apply-layer permits grant 67e6da21fa9fe506 p33 --qty 0.008")]
    Grant {
        /// The plan's id: 16 hex digits.
        #[arg(value_parser = plan_id::read)]
        plan: PlanId,
        /// The permit's name, as in APPLY_PERMITS: governor, p33, …
        name: String,
        /// The plan's symbol, where the plan is not on its stream.
        #[arg(long)]
        symbol: Option<Symbol>,
        /// The most that may be closed, in base units. Needed for p33.
        #[arg(long, value_parser = quantity)]
        qty: Option<Decimal>,
        /// The exact content, for a permit with a rule of its own.
        #[arg(long, conflicts_with = "qty")]
        content: Option<String>,
        /// How it is asked for and printed.
        #[command(flatten)]
        how: How,
    },
    /// Delete the permits of one plan, or one of them.
    #[command(after_help = "Example: apply-layer permits revoke 67e6da21fa9fe506 p33 --yes")]
    Revoke {
        /// The plan's id: 16 hex digits.
        #[arg(value_parser = plan_id::read)]
        plan: PlanId,
        /// Only the permit of this name.
        name: Option<String>,
        /// How it is asked for and printed.
        #[command(flatten)]
        how: How,
    },
}

/// How a change is asked for and printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct How {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object. Nothing is asked then: --yes is needed.
    #[arg(long)]
    json: bool,
}

impl Permits {
    pub(super) async fn run(self, read: ReadConfig) -> Done {
        match self {
            Self::Ls { json } => ls(read, json).await,
            Self::Show { plan, symbol, json } => show(read, &plan, symbol, json).await,
            Self::Judge {
                name,
                symbol,
                plan,
                json,
            } => judge_input(read, name.as_deref(), symbol, plan, json).await,
            Self::Grant {
                plan,
                name,
                symbol,
                qty,
                content,
                how,
            } => grant(read, &plan, &name, symbol, qty, content, how).await,
            Self::Revoke { plan, name, how } => revoke(read, &plan, name.as_deref(), how).await,
        }
    }
}

fn quantity(text: &str) -> Result<Decimal, String> {
    match Decimal::from_str_exact(text) {
        Ok(quantity) if quantity > Decimal::ZERO => Ok(quantity),
        _ => Err("a decimal number above 0 is needed, as in 0.008".into()),
    }
}

async fn ls(read: ReadConfig, as_json: bool) -> Done {
    let mut ops = OpsContext::open(read).await?;
    let mut found = Vec::new();
    for permit in ops.config.permits.clone().permits().iter() {
        let Some(template) = ops.config.permits.template(permit.name()).cloned() else {
            continue;
        };
        // Templates nest: what lies under `quantum:permit:` may be the governor's or another's. An
        // id holds no colon, by which they are distinguished.
        let (before, after) = around(&template.to_string());
        let pattern = format!("{}*{}", as_pattern(&before), as_pattern(&after));
        for key in ops.link.scan(&pattern).await? {
            let id = String::from_utf8(key).ok().and_then(|key| {
                let id = key.strip_prefix(&*before)?.strip_suffix(&*after)?;
                PlanId::new(id).ok()
            });
            let Some(plan) = id else { continue };
            let ttl: i64 = ops
                .link
                .ask(
                    redis::cmd("PTTL").arg(template.key(&plan)),
                    "read a permit's time",
                )
                .await?;
            if ttl != GONE {
                found.push((plan, permit.name().to_owned(), ttl));
            }
        }
    }
    found.sort_unstable_by(|a, b| (a.0.as_str(), &a.1).cmp(&(b.0.as_str(), &b.1)));
    if as_json {
        let list: Vec<_> = found
            .iter()
            .map(|(plan, name, ttl)| json!({"plan_id": plan.as_str(), "permit": name, "ttl_ms": ttl}))
            .collect();
        return print_json(&json!(list).to_string());
    }
    if found.is_empty() {
        return print("no permits\n");
    }
    let lines: String = found
        .iter()
        .map(|(plan, name, ttl)| format!("{plan}  {name:<10} {}\n", left(*ttl)))
        .collect();
    print(&lines)
}

/// PTTL's word for: no such key.
const GONE: i64 = -2;

/// A permit as it lies there.
pub(super) struct Seen {
    pub(super) name: String,
    /// Milliseconds; -1 for ever, -2 not there.
    pub(super) ttl: i64,
    /// `None` where it is missing.
    pub(super) judged: Option<Result<Terms, Refusal>>,
    /// What lies there, escaped and cut; `None` where it is missing or no string.
    pub(super) content: Option<String>,
}

impl Seen {
    pub(super) fn verdict(&self) -> String {
        match &self.judged {
            None => "missing".into(),
            Some(judged) => verdict(&self.name, judged),
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let refused = self
            .judged
            .as_ref()
            .and_then(|judged| judged.as_ref().err());
        json!({
            "permit": self.name,
            "ttl_ms": self.ttl,
            "present": self.judged.is_some(),
            "yes": matches!(self.judged, Some(Ok(_))),
            "reason": refused.map(|refusal| refusal.code(&self.name)),
            "detail": self.verdict(),
            "content": self.content,
        })
    }
}

/// A yes with what it allows, or a no with its reason. Refusals stay on one line by themselves.
fn verdict(name: &str, judged: &Result<Terms, Refusal>) -> String {
    match judged {
        Ok(terms) => match terms.limit {
            Some(quantity) => format!("yes, at most {quantity}"),
            None => "yes".into(),
        },
        Err(refusal) => format!("no: {refusal} ({})", refusal.code(name)),
    }
}

/// The plan's permits, judged for this symbol.
pub(super) async fn look(
    ops: &mut OpsContext,
    plan: &PlanId,
    symbol: &Symbol,
) -> Result<Vec<Seen>, Failure> {
    let subject = subject_of(ops, plan, symbol.as_str()).await?;
    let mut seen = Vec::new();
    for (permit, key) in ops
        .config
        .permits
        .permits()
        .iter()
        .zip(ops.config.permits.keys(plan))
    {
        let mut both = redis::pipe();
        both.cmd("PTTL")
            .arg(&key)
            .cmd("GETRANGE")
            .arg(&key)
            .arg(0)
            .arg(MAX_PERMIT_BYTES)
            .ignore_errors();
        let (ttl, content): (i64, Value) = ops.link.ask_all(&both, "read the permits").await?;
        let content = match content {
            _ if ttl == GONE => None,
            Value::BulkString(content) => Some(Ok(content)),
            _ => Some(Err(Malformed::NotAString)),
        };
        seen.push(Seen {
            name: permit.name().to_owned(),
            ttl,
            judged: content.as_ref().map(|content| match content {
                Ok(content) => judge_now(permit, content, &subject),
                Err(malformed) => Err(malformed.clone().into()),
            }),
            content: content.and_then(|content| content.ok().map(|c| shown(&c))),
        });
    }
    Ok(seen)
}

/// A permit's own text on one line.
fn shown(content: &[u8]) -> String {
    escaped_bytes(content, MAX_FOREIGN)
}

/// As the service would at this moment.
fn judge_now(permit: &Permit, content: &[u8], subject: &Subject) -> Result<Terms, Refusal> {
    match SystemClock.since_1970() {
        Some(now) => permit.rule().judge_at(content, subject, now),
        None => permit.rule().judge(content, subject),
    }
}

/// What the permits of a plan have to be about. Where they are signed that is what was published of
/// it last, as far as it is still on its stream.
async fn subject_of(ops: &mut OpsContext, plan: &PlanId, symbol: &str) -> Result<Subject, Failure> {
    let subject = Subject::new(plan.clone(), symbol);
    if ops.config.signing.is_none() {
        return Ok(subject);
    }
    Ok(match find_published(ops, plan).await? {
        Some(entry) => subject.of_content(entry.digest()),
        None => subject,
    })
}

async fn show(read: ReadConfig, plan: &PlanId, symbol: Option<Symbol>, as_json: bool) -> Done {
    let mut ops = OpsContext::open(read).await?;
    let symbol = symbol_of(&mut ops, plan, symbol).await?;
    let seen = look(&mut ops, plan, &symbol).await?;
    if as_json {
        let permits: Vec<_> = seen.iter().map(Seen::to_json).collect();
        let object =
            json!({"plan_id": plan.as_str(), "symbol": symbol.as_str(), "permits": permits});
        return print_json(&object.to_string());
    }
    let mut page = format!("plan {plan}, {symbol}\n");
    for permit in &seen {
        let time = match permit.judged {
            None => String::new(),
            Some(_) => left(permit.ttl),
        };
        page += &format!("  {:<10} {:<14} {}\n", permit.name, time, permit.verdict());
        if let Some(content) = &permit.content {
            page += &format!("  {:<10} {content}\n", "");
        }
    }
    print(&page)
}

async fn judge_input(
    read: ReadConfig,
    name: Option<&str>,
    symbol: Option<Symbol>,
    plan: Option<PlanId>,
    as_json: bool,
) -> Done {
    let config = read(VenueKeys::Unused)?;
    let permits = config.permits.permits().clone();
    let asked: Vec<&Permit> = permits
        .iter()
        .filter(|permit| name.is_none_or(|name| name == permit.name()))
        .collect();
    if asked.is_empty() {
        return Err(no_such_permit(&config, name.unwrap_or_default()).into());
    }
    let mut text = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_PERMIT_BYTES as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| {
            Failure::unavailable(format!("cannot read standard input: {error}"))
                .fix("give the permit on standard input, as in … < permit.json")
        })?;
    let symbol = symbol.map_or_else(|| symbol_in(&text), |symbol| symbol.as_str().to_owned());
    let mut subject = Subject::new(UNSAID.parse().map_err(unsaid)?, symbol.as_str());
    match (plan, config.signing.is_some()) {
        (Some(plan), true) => {
            let mut ops = OpsContext::open(read).await?;
            subject = subject_of(&mut ops, &plan, &symbol).await?;
        }
        (Some(plan), false) => subject.plan = plan,
        (None, true) => {
            let text = "permits have to be signed (APPLY_PERMIT_KEYS), and a signature is for one publication of a plan";
            return Err(Failure::new(Exit::Usage, text).fix("add --plan").into());
        }
        (None, false) => {}
    }
    let judged: Vec<(&str, Result<Terms, Refusal>)> = asked
        .iter()
        .map(|permit| (permit.name(), judge_now(permit, &text, &subject)))
        .collect();
    if as_json {
        let list: Vec<_> = judged
            .iter()
            .map(|(name, judged)| {
                json!({
                    "permit": name,
                    "symbol": symbol,
                    "yes": judged.is_ok(),
                    "limit": judged.as_ref().ok().and_then(|terms| terms.limit).map(|limit| limit.to_string()),
                    "reason": judged.as_ref().err().map(|refusal| refusal.code(name)),
                    "detail": verdict(name, judged),
                    "content": shown(&text),
                })
            })
            .collect();
        print_json(&json!(list).to_string())?;
    } else {
        let mut page = String::new();
        for (name, judged) in &judged {
            page += &format!("{name:<10} {}\n", verdict(name, judged));
        }
        page += &format!("{:<10} {}\n", "read:", shown(&text));
        print(&page)?;
    }
    match judged.iter().any(|(_, judged)| judged.is_ok()) {
        true => Ok(()),
        false => Err(Failure::mismatch("the gate would say no")
            .fix("correct what the verdict names; docs/writing-permits.md has each field")
            .into()),
    }
}

/// The plan of a permit that is judged for none.
const UNSAID: &str = "unsaid";

fn unsaid(error: permit_gate::IdError) -> Failure {
    Failure::mismatch(error.to_string()).fix("report it: this is a defect")
}

/// The symbol a permit names; empty where it names none.
fn symbol_in(text: &[u8]) -> String {
    let named = StrictObject::parse(text).and_then(|permit| permit.string("symbol"));
    named.unwrap_or_default()
}

async fn grant(
    read: ReadConfig,
    plan: &PlanId,
    name: &str,
    symbol: Option<Symbol>,
    qty: Option<Decimal>,
    content: Option<String>,
    how: How,
) -> Done {
    let mut ops = OpsContext::open(read).await?;
    let key = key_of(&ops, plan, name)?;
    let symbol = symbol_of(&mut ops, plan, symbol).await?;
    let micros = ops.link.micros().await?;
    let content = match content {
        Some(content) => content,
        None => content_of(name, &symbol, qty, micros)?,
    };
    let subject = subject_of(&mut ops, plan, symbol.as_str()).await?;
    let content = match &ops.config.signing {
        Some(ring) => signed(ring, name, &content, &subject, micros)?,
        None => content,
    };
    let Some(permit) = ops
        .config
        .permits
        .permits()
        .iter()
        .find(|p| p.name() == name)
    else {
        return Err(no_such_permit(&ops.config, name).into());
    };
    if let Err(refusal) = judge_now(permit, content.as_bytes(), &subject) {
        return Err(Failure::mismatch(format!(
            "{name} would refuse this permit: {refusal}; nothing was written"
        ))
        .fix("correct the content; docs/writing-permits.md has each field")
        .into());
    }
    if !how.json {
        print(&format!("{key}\n  {}\n", escaped(&content, usize::MAX)))?;
    }
    confirm("Write this permit for 60 s?", how.yes, how.json)?;
    let mut set = redis::cmd("SET");
    set.arg(&key).arg(&content).arg("EX").arg(60).arg("NX");
    let written: Option<String> = ops.link.ask(&set, "write the permit").await?;
    match written {
        Some(_) if how.json => {
            let object = json!({
                "plan_id": plan.as_str(),
                "permit": name,
                "key": key,
                "content": content,
                "seconds": 60,
            });
            print_json(&object.to_string())
        }
        Some(_) => print("written; it lasts 60 s\n"),
        None => Err(Failure::mismatch(format!(
            "a {name} permit is there already; nothing was written"
        ))
        .fix(format!(
            "`permits show {plan}` judges it, `permits revoke {plan} {name} --yes` removes it"
        ))
        .into()),
    }
}

/// The permit under its issuer's first key, for what was published of the plan last.
fn signed(
    ring: &KeyRing,
    name: &str,
    permit: &str,
    subject: &Subject,
    micros: u64,
) -> Result<String, Failure> {
    let Some(key) = ring.of(name).next() else {
        return Err(Failure::configuration(format!(
            "permits are signed, and APPLY_PERMIT_KEYS holds no key of {name}"
        ))
        .fix(format!("add the key of {name} to APPLY_PERMIT_KEYS")));
    };
    let Some(content) = &subject.content else {
        return Err(Failure::not_found(format!(
            "a signed permit is for one publication of a plan, and {} is not on the stream of plans",
            subject.plan
        ))
        .fix("take a plan that apply-layer plans tail shows"));
    };
    let issued = Duration::from_micros(micros);
    sign(key, permit, &subject.plan, content, issued).map_err(|why| {
        Failure::mismatch(format!("{name} cannot be signed: {why}"))
            .fix("correct the content; docs/permits-signing.md says what is signed")
    })
}

/// What the permit's issuer would write.
fn content_of(
    name: &str,
    symbol: &Symbol,
    qty: Option<Decimal>,
    micros: u64,
) -> Result<String, End> {
    let at = format!("{}.{:03}", micros / 1_000_000, micros / 1000 % 1000);
    match (name, qty) {
        ("governor", qty) => Ok(format!(
            r#"{{"granted":true,"symbol":"{symbol}","decision":"EXECUTE","computed_qty":{},"computed_notional":0.0,"created_at":{at},"consumed":false}}"#,
            qty.map_or("0.0".into(), |qty| qty.to_string()),
        )),
        ("p33", Some(qty)) => Ok(format!(
            r#"{{"allow":true,"symbol":"{symbol}","safe_close_qty":{qty},"created_at":{at},"reason":"granted_by_operator"}}"#,
        )),
        ("p33", None) => Err(Failure::new(Exit::Usage, "p33 says how much may be closed")
            .fix("add --qty, in base units, as in --qty 0.008")
            .into()),
        ("p26", _) => Ok("1".into()),
        (other, _) => Err(Failure::new(
            Exit::Usage,
            format!("the form of the permit {other} is unknown"),
        )
        .fix("give it with --content")
        .into()),
    }
}

async fn revoke(read: ReadConfig, plan: &PlanId, name: Option<&str>, how: How) -> Done {
    let mut ops = OpsContext::open(read).await?;
    let names: Vec<String> = match name {
        Some(name) => vec![name.to_owned()],
        None => {
            let permits = ops.config.permits.permits();
            permits.iter().map(|p| p.name().to_owned()).collect()
        }
    };
    let keys = names.iter().map(|name| key_of(&ops, plan, name));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let question = format!(
        "Delete the {} permit of plan {plan}? A plan that waits for it is then blocked.",
        names.join(" and the ")
    );
    confirm(&question, how.yes, how.json)?;
    let mut revoked = Vec::new();
    for (name, key) in names.iter().zip(keys) {
        let deleted: u64 = ops
            .link
            .ask(redis::cmd("DEL").arg(&key), "delete the permit")
            .await?;
        revoked.push((name, deleted > 0));
    }
    if how.json {
        let permits = revoked.iter();
        let permits: Vec<_> = permits
            .map(|(name, deleted)| json!({"permit": name, "deleted": deleted}))
            .collect();
        let object = json!({"plan_id": plan.as_str(), "permits": permits});
        return print_json(&object.to_string());
    }
    let line = |(name, deleted): &(&String, bool)| {
        let what = if *deleted { "deleted" } else { "was not there" };
        format!("{name:<10} {what}\n")
    };
    print(&revoked.iter().map(line).collect::<String>())
}

fn key_of(ops: &OpsContext, plan: &PlanId, name: &str) -> Result<String, Failure> {
    match ops.config.permits.template(name) {
        Some(template) => Ok(template.key(plan)),
        None => Err(no_such_permit(&ops.config, name)),
    }
}

fn no_such_permit(config: &Config, name: &str) -> Failure {
    let permits = config.permits.permits();
    let names: Vec<&str> = permits.iter().map(|p| p.name()).collect();
    Failure::not_found(format!(
        "no permit is called {name:?}; APPLY_PERMITS names {}",
        names.join(", ")
    ))
    .fix("use one of these names, or add it to APPLY_PERMITS")
}

/// The plan's symbol: as the plan stream says, or as the operator does; never two different ones.
async fn symbol_of(
    ops: &mut OpsContext,
    plan: &PlanId,
    said: Option<Symbol>,
) -> Result<Symbol, Failure> {
    let entry = find_plan(ops, plan).await?;
    let written = entry.and_then(|entry| entry.text("symbol").parse::<Symbol>().ok());
    match (written, said) {
        (Some(written), Some(said)) if written != said => Err(Failure::mismatch(format!(
            "plan {plan} is for {written}, not for {said}"
        ))
        .fix(format!("leave --symbol out, or say --symbol {written}"))),
        (Some(symbol), _) | (None, Some(symbol)) => Ok(symbol),
        (None, None) => Err(Failure::not_found(format!(
            "plan {plan} is not on {}",
            ops.keys.plans
        ))
        .fix("add --symbol where you are sure of it")),
    }
}

/// The newest entry of the plan on its stream.
pub(super) async fn find_plan(
    ops: &mut OpsContext,
    plan: &PlanId,
) -> Result<Option<Entry>, Failure> {
    let of_plan = |entry: &Entry| entry.text("plan_id") == plan.as_str();
    let found = ops.link.newest_that(&ops.keys.plans, WHOLE_STREAM, of_plan);
    Ok(found.await?.pop())
}

/// The newest publication of the plan that is to be executed.
async fn find_published(ops: &mut OpsContext, plan: &PlanId) -> Result<Option<Entry>, Failure> {
    let published = |entry: &Entry| {
        entry.text("plan_id") == plan.as_str() && entry.text("decision") == "EXECUTE"
    };
    let found = ops
        .link
        .newest_that(&ops.keys.plans, WHOLE_STREAM, published);
    Ok(found.await?.pop())
}

/// More than the streams keep.
pub(super) const WHOLE_STREAM: usize = 20_000;

/// The time a key has left.
fn left(ttl: i64) -> String {
    match u64::try_from(ttl) {
        Ok(millis) => format!("{} left", ago(millis)),
        Err(_) => "never expires".into(),
    }
}

/// What stands before and after the plan's id in a template.
pub(super) fn around(template: &str) -> (String, String) {
    let (before, after) = template.split_once("{plan}").unwrap_or((template, ""));
    (before.to_owned(), after.to_owned())
}

/// A text as a pattern that fits nothing else.
fn as_pattern(text: &str) -> String {
    let special = |c| matches!(c, '*' | '?' | '[' | ']' | '\\' | '^');
    text.chars().fold(String::new(), |mut pattern, c| {
        if special(c) {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use permit_gate::trading;

    #[test]
    fn what_is_written_for_an_issuer_is_a_yes_by_its_rule() {
        let symbol: Symbol = "BTCUSDT".parse().unwrap();
        let subject = Subject::new(PlanId::new("67e6da21fa9fe506").unwrap(), "BTCUSDT");
        let qty = Decimal::new(8, 3);
        for permit in trading::permits().iter() {
            let text =
                content_of(permit.name(), &symbol, Some(qty), 1_769_301_008_977_123).unwrap();
            let terms = permit.rule().judge(text.as_bytes(), &subject).unwrap();
            assert_eq!(terms.limit, Some(qty), "{text}");
            assert!(text.contains(r#""created_at":1769301008.977"#), "{text}");
        }
    }

    #[test]
    fn a_template_with_special_characters_is_looked_for_as_it_is() {
        assert_eq!(as_pattern("a*b[c]?"), r"a\*b\[c\]\?");
        assert_eq!(around("q:{{plan}}"), ("q:{".into(), "}".into()));
    }
}
