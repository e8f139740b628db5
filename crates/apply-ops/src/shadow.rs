//! `shadow`: beside the service before this one, reading only. What ours would have decided, what the old one did,
//! and why they differ. The first step of `docs/migration.md`.

mod compare;
mod differences;
mod server;
mod wait;

use crate::{
    ReadConfig, VenueKeys,
    link::{Entry, EntryId},
    output::{Done, End, print, print_json, print_json_while_read, print_while_read, tame},
    time::{ago, utc},
};
use apply_core::times::millis;
use apply_service::{Config, Failure, history::read_span};
use apply_wire::key;
use compare::{Fields, Finding, Rules, Shadow};
use differences::{ALL, Class};
use serde_json::json;
use server::{Server, Written};
use std::{
    pin::pin,
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, sleep_until},
};

/// Reads what the old service and its neighbours write, and compares.
#[derive(clap::Args)]
pub struct Args {
    /// End after this long, as 90s, 30m, 6h or 2d; without it at Ctrl-C or SIGTERM.
    #[arg(long = "for", value_name = "DURATION", value_parser = read_span)]
    duration: Option<Duration>,
    /// Print each finding, and the count at the end, as one JSON object on a line of its own.
    #[arg(long)]
    json: bool,
}

/// What is not asked of anybody, and so not compared.
const NOT_COMPARED: &str = "not compared, since the venue is not asked: the live position (the one that a permit names stands in its place), the venue's step and its largest order, what became of orders; the file HALT of this machine is not read";

/// Everything is looked at this often, whether a write was announced or not.
const LOOK: Duration = Duration::from_secs(1);

/// After a lost connection.
const PAUSE: Duration = Duration::from_secs(1);

/// Most plans on the stream that are known from before.
const FORMER_PLANS: usize = 10_000;

/// How long the old service may take for an order.
const ORDER: Duration = Duration::from_secs(2);

impl Fields for Entry {
    fn text(&self, field: &str) -> String {
        Entry::text(self, field)
    }

    fn written(&self) -> u64 {
        self.id.millis
    }
}

pub(super) async fn shadow(read: ReadConfig, args: Args) -> Done {
    let config = read(VenueKeys::Unused)?;
    if config.signing.is_some() {
        let text = "the old service's plans cannot be signed for";
        return Err(Failure::configuration(text)
            .fix("unset APPLY_PERMIT_KEYS for the shadow")
            .into());
    }
    let began = Instant::now();
    let mut watch = Watch {
        shadow: Shadow::new(rules(&config), began),
        began,
        last: (EntryId::START, EntryId::START),
        args,
        config,
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let end = watch.args.duration.map(|span| watch.began + span);
    {
        let watching = pin!(watch.keep_watching());
        let over = async {
            match end {
                Some(end) => sleep_until(end.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = watching => match ended {
                // How it ends hangs on what was found, not on who reads it.
                Ok(()) | Err(End::ReaderGone) => {}
                failed => return failed,
            },
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = over => {}
        }
    }
    watch.shadow.handle_end(Instant::now());
    match watch.print() {
        Ok(()) | Err(End::ReaderGone) => watch.summary(),
        failed => failed,
    }
}

fn no_signals(error: std::io::Error) -> Failure {
    Failure::unavailable(format!("cannot listen for signals: {error}")).fix("start it again")
}

/// What ours decides by, from the same settings as the service's.
fn rules(config: &Config) -> Rules {
    let symbols = u32::try_from(config.symbols.len()).unwrap_or(u32::MAX);
    // One after the other, each with a whole wait: the longest round of the old service, twice.
    let round = config.poll + (config.wait.wait + config.wait.step + ORDER) * symbols;
    Rules {
        gates: config.gates.clone(),
        permits: config.permits.permits().clone(),
        wait: config.wait,
        max_age: config.proposal_max_age,
        patience: round * 2,
    }
}

struct Watch {
    config: Config,
    args: Args,
    shadow: Shadow,
    began: Instant,
    /// The last plan and the last result that were read.
    last: (EntryId, EntryId),
}

impl Watch {
    /// Ends with an error alone: the first connection fails, or the reader of its output is gone.
    async fn keep_watching(&mut self) -> Done {
        let mut server = Server::open(&self.config).await?;
        self.start(&mut server).await?;
        loop {
            let Err(failure) = self.watch(&mut server).await? else {
                continue;
            };
            self.print_blindness(Some(&failure))?;
            self.shadow.handle_blindness(Instant::now(), true);
            server = loop {
                sleep(PAUSE).await;
                let Ok(mut server) = Server::open(&self.config).await else {
                    continue;
                };
                if self.look(&mut server, Written::everything()).await.is_ok() {
                    break server;
                }
            };
            self.shadow.handle_blindness(Instant::now(), false);
            self.print_blindness(None)?;
        }
    }

    async fn start(&mut self, server: &mut Server) -> Done {
        let now = Instant::now();
        let stream = server.plans().to_owned();
        for plan in server.newest(&stream, FORMER_PLANS).await? {
            self.last.0 = plan.id;
            self.shadow.handle_former_plan(now, &plan);
        }
        let stream = server.results().to_owned();
        for result in server.newest(&stream, 1).await? {
            self.last.1 = result.id;
        }
        self.look(server, Written::everything()).await?;
        self.shadow.begin();
        let symbols = self.config.symbols.iter().map(|symbol| symbol.as_str());
        let symbols: Vec<&str> = symbols.collect();
        if self.args.json {
            return print_json(
                &json!({"watching": symbols, "not_compared": NOT_COMPARED}).to_string(),
            );
        }
        print(&format!(
            "watching {} on {}, reading only; Ctrl-C ends\n{NOT_COMPARED}\n\n{}\n",
            symbols.join(", "),
            self.config.redis,
            row("when", "symbol", "plan", "what", "ours", "old", "")
        ))
    }

    /// Watches until the server cannot be read.
    async fn watch(&mut self, server: &mut Server) -> Result<Result<(), Failure>, End> {
        loop {
            let changed = tokio::select! {
                () = server.changed() => true,
                () = sleep(LOOK) => false,
            };
            let mut written = server.written();
            written.all |= !changed;
            if written.gone {
                let text = "the server has closed the connection";
                return Ok(Err(Failure::unavailable(text).fix("start it again")));
            }
            if let Err(failure) = self.look(server, written).await {
                return Ok(Err(failure));
            }
            self.shadow.handle_time(Instant::now());
            self.print()?;
        }
    }

    /// Reads what was written.
    async fn look(&mut self, server: &mut Server, mut written: Written) -> Result<(), Failure> {
        self.look_at_keys(server, &written).await?;
        let (plans, results) = (server.plans().to_owned(), server.results().to_owned());
        while written.has(&plans) {
            let page = server.after(&plans, self.last.0).await?;
            let Some(last) = page.last() else { break };
            self.last.0 = last.id;
            self.hear(server, &mut written).await?;
            for plan in &page {
                self.shadow.handle_plan(Instant::now(), plan);
            }
        }
        while written.has(&results) {
            let page = server.after(&results, self.last.1).await?;
            let Some(last) = page.last() else { break };
            self.last.1 = last.id;
            self.hear(server, &mut written).await?;
            // A result's plan was published before it.
            let published = server.after(&plans, self.last.0).await?;
            if let Some(last) = published.last() {
                self.last.0 = last.id;
                self.hear(server, &mut written).await?;
            }
            for plan in &published {
                self.shadow.handle_plan(Instant::now(), plan);
            }
            for result in &page {
                match result.is_filler() || result.foreign().is_some() {
                    true => self.shadow.counts.foreign += 1,
                    false => self.shadow.handle_result(Instant::now(), result),
                }
            }
        }
        Ok(())
    }

    /// Catches up with what was written meanwhile.
    async fn hear(&mut self, server: &mut Server, written: &mut Written) -> Result<(), Failure> {
        let later = server.heard().await?;
        self.look_at_keys(server, &later).await?;
        written.add(later);
        Ok(())
    }

    /// Reads permits, switches and proposals. Permits first: the old service takes them.
    async fn look_at_keys(
        &mut self,
        server: &mut Server,
        written: &Written,
    ) -> Result<(), Failure> {
        let permits: Vec<(String, (String, usize))> = written
            .keys
            .iter()
            .filter_map(|key| Some((key.clone(), server.permit_of(key)?)))
            .collect();
        if !permits.is_empty() {
            let keys: Vec<String> = permits.iter().map(|(key, _)| key.clone()).collect();
            let contents = server.permits(&keys).await?;
            let now = Instant::now();
            for ((_, (plan, index)), content) in permits.into_iter().zip(contents) {
                self.shadow.handle_permit(now, &plan, index, content);
            }
        }
        if written.has(key::KILL_SWITCH) || written.has(key::GOVERNOR_DISARM.as_str()) {
            let switches = server.switches(self.config.kill_switch).await?;
            self.shadow.handle_switches(Instant::now(), switches);
        }
        for symbol in &self.config.symbols {
            if !written.all && !written.keys.contains(&key::PROPOSAL.of(symbol)) {
                continue;
            }
            let read = server.proposal(symbol).await?;
            let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let seconds = since_1970.unwrap_or_default().as_secs();
            let now = Instant::now();
            if written.keys.contains(&key::PROPOSAL.of(symbol)) {
                self.shadow.handle_written(now, symbol);
            }
            self.shadow.handle_proposal(now, seconds, symbol, read);
        }
        Ok(())
    }

    /// Prints that the server cannot be read, and why; or that it can be again.
    fn print_blindness(&self, why: Option<&Failure>) -> Done {
        let why = why.map(ToString::to_string);
        if self.args.json {
            return print_json_while_read(&json!({"blind": why.is_some(), "why": why}).to_string());
        }
        print_while_read(&match why {
            Some(why) => format!("blind: {why}; trying again\n"),
            None => "sees again\n".to_owned(),
        })
    }

    /// Prints what was found.
    fn print(&mut self) -> Done {
        while let Some(finding) = self.shadow.poll() {
            if finding.again {
                continue;
            }
            match self.args.json {
                true => print_json_while_read(&finding.to_json(now_millis()).to_string())?,
                false => print_while_read(&(finding.to_text(now_millis()) + "\n"))?,
            }
        }
        Ok(())
    }

    /// The count at the end.
    fn summary(&self) -> Done {
        let counts = &self.shadow.counts;
        let [explained, unexplained, not_compared] =
            [Class::Explained, Class::Unexplained, Class::NotCompared]
                .map(|class| counts.of(class));
        let lasted = millis(self.began.elapsed());
        if self.args.json {
            let object = json!({
                "summary": {
                    "seconds": lasted / 1000,
                    "proposals": counts.proposals,
                    "plans": counts.plans,
                    "results": counts.results,
                    "foreign": counts.foreign,
                    "same": counts.same,
                    "explained": explained,
                    "unexplained": unexplained,
                    "not_compared": not_compared,
                    "differences": counts.differences,
                },
            });
            print_json(&object.to_string())?;
        } else {
            let mut page = format!(
                "\n{} of watching: {} proposals, {} plans, {} results, {} entries of others\nsame {}, explained {explained}, unexplained {unexplained}, not compared {not_compared}\n",
                ago(lasted),
                counts.proposals,
                counts.plans,
                counts.results,
                counts.foreign,
                counts.same,
            );
            for class in [Class::Unexplained, Class::Explained, Class::NotCompared] {
                for one in ALL.iter().filter(|one| one.class == class) {
                    if let Some(count) = counts.differences.get(one.name) {
                        let class = class.word();
                        page += &format!("{count:>8}  {class:<13} {:<24} {}\n", one.name, one.why);
                    }
                }
            }
            if counts.plans == 0 {
                page += "no plan of the old service was seen: does it run, on this Redis?\n";
            }
            print(&page)?;
        }
        match unexplained {
            0 => Ok(()),
            _ => {
                let text = format!("{unexplained} differences are unexplained");
                Err(Failure::mismatch(text)
                    .fix("look at each; docs/shadow.md says what they can come from")
                    .into())
            }
        }
    }
}

fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    millis(since.unwrap_or_default())
}

fn row(
    when: &str,
    symbol: &str,
    plan: &str,
    what: &str,
    ours: &str,
    old: &str,
    why: &str,
) -> String {
    format!("{when:<20}  {symbol:<10} {plan:<16}  {what:<8}  {ours:<30} {old:<40} {why}")
        .trim_end()
        .to_owned()
}

impl Finding {
    fn to_text(&self, at: u64) -> String {
        let why = match self.difference {
            None => "same".to_owned(),
            Some(one) => format!("{}: {}", one.class.word(), one.name),
        };
        row(
            &utc(at),
            &tame(&self.symbol),
            &tame(&self.plan),
            self.about.word(),
            &tame(&self.ours),
            &tame(&self.old),
            &why,
        )
    }

    fn to_json(&self, at: u64) -> serde_json::Value {
        json!({
            "at": utc(at),
            "about": self.about.word(),
            "symbol": self.symbol,
            "plan_id": self.plan,
            "ours": self.ours,
            "old": self.old,
            "class": self.difference.map_or("same", |one| one.class.word()),
            "difference": self.difference.map(|one| one.name),
            "why": self.difference.map(|one| one.why),
        })
    }
}
