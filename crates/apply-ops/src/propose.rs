//! `propose`: a fresh proposal for a test, written as the brain writes them.

use super::{
    ReadConfig,
    link::OpsContext,
    output::{Done, print, print_json},
    switches::Switches,
    time::iso_micros,
};
use apply_core::{Plan, Proposal, RawProposal, Share, Step, Symbol};
use apply_service::Failure;
use clap::{Args, builder::PossibleValuesParser};
use serde_json::json;

/// What to propose.
#[derive(Args)]
pub struct Propose {
    /// The symbol.
    symbol: Symbol,
    /// What the brain would propose.
    #[arg(value_parser = PossibleValuesParser::new(actions()))]
    action: String,
    /// Kill score from 0 (normal) to 1 (close now).
    #[arg(long, default_value = "0.1", value_parser = score)]
    kill_score: String,
    /// The new stop price, for UPDATE_SL.
    #[arg(long, value_parser = price)]
    new_sl: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The actions that can be proposed.
fn actions() -> impl Iterator<Item = &'static str> {
    let closes = Share::ALL.iter().map(|share| share.action());
    closes.chain([Step::MOVE_STOP, "HOLD"])
}

impl Propose {
    pub(super) async fn run(self, read: ReadConfig) -> Done {
        let mut ops = OpsContext::open(read).await?;
        let micros = ops.link.micros().await?;
        let raw = self.raw(micros);
        let proposal = Proposal::parse(&self.symbol, &raw).map_err(|error| {
            Failure::mismatch(error.to_string()).fix("correct the value; see propose --help")
        })?;
        let switches = Switches::read(&ops.config, &ops.keys, &mut ops.link).await;
        let plan = Plan::decide(proposal, &ops.config.gates, &switches.halt());
        self.write(&mut ops, &raw).await?;
        let followed = ops.config.symbols.contains(&self.symbol);
        if self.json {
            let object = json!({
                "plan_id": plan.id.as_str(),
                "symbol": self.symbol.as_str(),
                "decision": plan.decision.as_str(),
                "reason_codes": plan.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "followed": followed,
            });
            return print_json(&object.to_string());
        }
        let mut why = plan.reason_codes();
        if !why.is_empty() {
            why.insert(0, ' ');
        }
        let mut page = format!(
            "plan {}, to be decided as {}{why}\n",
            plan.id, plan.decision
        );
        if switches.is_on() != Some(false) {
            page += &format!("kill switch {}\n", switches.line());
        }
        if !followed {
            page += &format!(
                "{} is not in SYMBOLS: the service does not read it\n",
                self.symbol
            );
        } else if !ops.config.shard.holds(&self.symbol) {
            page += &format!(
                "{} is not in shard {}: the instance of its shard reads it\n",
                self.symbol, ops.config.shard
            );
        }
        print(&page)
    }

    fn raw(&self, micros: u64) -> RawProposal {
        let mut raw: RawProposal = [
            ("harvest_action", self.action.clone()),
            ("kill_score", self.kill_score.clone()),
            // What makes it a plan of its own, whatever stood there before.
            ("computed_at_utc", iso_micros(micros)),
            ("last_update_epoch", (micros / 1_000_000).to_string()),
            ("reason_codes", "proposed_by_operator".into()),
        ]
        .map(|(field, value)| (field.to_owned(), value))
        .into();
        if let Some(price) = &self.new_sl {
            raw.insert("new_sl_proposed".into(), price.clone());
        }
        raw
    }

    /// Replaces the proposal in one step, so that no reader gets half of it and half of the old one.
    async fn write(&self, ops: &mut OpsContext, raw: &RawProposal) -> Result<(), Failure> {
        let key = format!("{}{}", ops.keys.proposal, self.symbol);
        let mut replace = redis::pipe();
        replace.atomic().cmd("DEL").arg(&key).ignore();
        replace.cmd("HSET").arg(&key);
        for (field, value) in raw {
            replace.arg(field).arg(value);
        }
        replace.ignore();
        ops.link.ask_all(&replace, "write the proposal").await
    }
}

fn score(text: &str) -> Result<String, String> {
    match text.parse::<f64>() {
        Ok(score) if (0.0..=1.0).contains(&score) => Ok(text.to_owned()),
        _ => Err("a number from 0 to 1 is needed".into()),
    }
}

fn price(text: &str) -> Result<String, String> {
    match text.parse::<f64>() {
        Ok(price) if price.is_finite() && price > 0.0 => Ok(text.to_owned()),
        _ => Err("a price above 0 is needed".into()),
    }
}
