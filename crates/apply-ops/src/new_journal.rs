//! `new-journal`: the journal that was here is given up, knowingly.

use super::{
    ReadConfig,
    link::Desk,
    output::{Done, confirm, print, tame},
};
use apply_journal::JournalSettings;
use apply_service::config::journal_place;
use clap::Args;
use permit_gate::MAX_ID;

/// Whether to ask.
#[derive(Args)]
pub struct NewJournal {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl NewJournal {
    pub(super) async fn run(self, read: ReadConfig) -> Done {
        let mut desk = Desk::open(read).await?;
        let directory = desk.config.state.directory.clone();
        let key = format!("{}{}", desk.keys.journal, journal_place(&directory));
        let mut read = redis::cmd("GETRANGE");
        read.arg(&key).arg(0).arg(MAX_ID);
        let doing = "read which journal was here";
        let former: String = desk.link.ask(&read, doing).await?;
        let directory = directory.display();
        if former.is_empty() {
            return print(&format!(
                "Redis remembers no journal in {directory}: the next start takes what lies there, or begins one\n"
            ));
        }
        let hours = JournalSettings::for_claims_of(desk.config.dedupe_ttl).hours();
        print(&format!(
            "Redis remembers the journal {} in {directory}.\nWhat it knew of the orders of the last {hours} hours nobody else knows: look at the venue for them first.\n",
            tame(&former)
        ))?;
        confirm(
            "Accept another journal there at the next start?",
            self.yes,
            false,
        )?;
        let forget = redis::cmd("DEL").arg(&key).to_owned();
        let _: u64 = desk.link.ask(&forget, "forget the former journal").await?;
        print(
            "accepted; a service that runs with the former journal has to be stopped first, since it says again that it is there\n",
        )
    }
}
