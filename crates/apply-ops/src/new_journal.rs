//! `new-journal`: the journal that was here is given up, knowingly.

use super::{
    ReadConfig,
    elsewhere::same_journal,
    link::OpsContext,
    output::{Done, confirm, print, print_json, tame},
};
use apply_journal::JournalSettings;
use apply_service::config::journal_place;
use clap::Args;
use permit_gate::MAX_ID;
use serde_json::json;

/// Whether to ask.
#[derive(Args)]
pub struct NewJournal {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl NewJournal {
    pub(super) async fn run(self, read: ReadConfig) -> Done {
        let mut ops = OpsContext::open(read).await?;
        same_journal(&ops.config).await?;
        let directory = ops.config.state.directory.clone();
        let key = format!("{}{}", ops.keys.journal, journal_place(&directory));
        let mut read = redis::cmd("GETRANGE");
        read.arg(&key).arg(0).arg(MAX_ID);
        let doing = "read which journal was here";
        let former: String = ops.link.ask(&read, doing).await?;
        let directory = directory.display();
        let report = |accepted: bool| {
            let object = json!({
                "directory": directory.to_string(),
                "former": (!former.is_empty()).then(|| tame(&former)),
                "accepted": accepted,
            });
            print_json(&object.to_string())
        };
        if former.is_empty() {
            return match self.json {
                true => report(false),
                false => print(&format!(
                    "Redis remembers no journal in {directory}: the next start opens the journal that lies there, or creates one\n"
                )),
            };
        }
        if !self.json {
            let hours = JournalSettings::for_claims_of(ops.config.dedupe_ttl).hours();
            print(&format!(
                "Redis remembers the journal {} in {directory}.\nOnly this journal knew the orders of the last {hours} hours: check them at the venue first.\n",
                tame(&former)
            ))?;
        }
        confirm(
            "Accept another journal there at the next start?",
            self.yes,
            self.json,
        )?;
        let forget = redis::cmd("DEL").arg(&key).to_owned();
        let _: u64 = ops.link.ask(&forget, "forget the former journal").await?;
        match self.json {
            true => report(true),
            false => print(
                "accepted; first stop a service that still runs with the former journal: it registers that journal again\n",
            ),
        }
    }
}
