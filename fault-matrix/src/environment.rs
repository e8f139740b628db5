//! What one case plays in: a server, perhaps a wire to it, a venue, neighbours, and machines that
//! run the service.

use super::{
    case::Case,
    fake_services::{FakeServices, Seat, Seen},
    history::History,
    neighbours::Neighbours,
    scene::{Kept, Plans},
    script::{PlanScript, SCORE, burst_symbols},
    split::Split,
    wire::Wire,
};
use apply_tests::{Ended, Service, ServiceBuilder, Stage, apply_layer_faulty, calibrated};
use exchange_sim::FaultId;
use redis_harness::RedisServer;
use rust_decimal::Decimal;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, process::Command, task::JoinHandle, time::sleep};

/// Far beyond what a case takes; a wait of that length is in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// With a mistake in the service much is waited for in vain, and it does not matter how long.
const WITH_A_MUTANT: Duration = Duration::from_secs(12);

/// Between two polls of what cannot be subscribed to.
const LOOK: Duration = Duration::from_millis(50);

/// `SIGABRT` and `SIGKILL`: how a named step and `kill -9` end a process.
pub(crate) const ABORTED: i32 = 6;
pub(crate) const KILLED: i32 = 9;
/// `SIGXFSZ`: a file would have grown beyond what is allowed.
pub(crate) const TOO_LARGE: i32 = 25;

/// The world of one case.
pub(crate) struct Environment {
    pub(crate) case: Case,
    /// Programs around the service that misbehave. They are gone before their server is.
    pub(crate) neighbours: Neighbours,
    pub(crate) stage: Stage,
    pub(crate) wire: Option<Wire>,
    pub(crate) split: Option<Split>,
    pub(crate) fake_services: FakeServices,
    pub(crate) machines: Vec<Machine>,
    /// Faults that really happened, by their names.
    pub(crate) reached: Vec<String>,
    /// What should not have been.
    pub(crate) wrong: Vec<String>,
    /// What was done that the judge has to know of.
    pub(crate) history: History,
    /// What the brain says of each symbol at this moment: the plan, or nothing where it holds.
    standing: BTreeMap<&'static str, Option<String>>,
    /// Plans that were proposed.
    asked: Vec<String>,
    /// What the venue was made to fail at.
    pub(crate) scripted: Vec<FaultId>,
    /// What each position was before anything happened.
    pub(crate) held: BTreeMap<&'static str, Decimal>,
    /// What was looked up at some moment, by its name: open plans, or how much memory was held.
    pub(crate) remembered: Vec<(String, String)>,
    /// Connections to the service that are kept open.
    pub(crate) sockets: Vec<TcpStream>,
    /// Whether this machine kept up; see [`Environment::kept_up`].
    slowest: Arc<AtomicU64>,
    watching: JoinHandle<()>,
    patience: Duration,
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// How late a timer may be on a machine that keeps up. The service gives its Redis a quarter of a
/// second; where our own timers are late by so much, answers were, too.
pub(crate) const BUSY: Duration = Duration::from_millis(60);

/// How late a timer is at this moment.
pub(crate) async fn lag() -> Duration {
    const REST: Duration = Duration::from_millis(20);
    let before = Instant::now();
    sleep(REST).await;
    before.elapsed().saturating_sub(REST)
}

/// A state directory, and the process that runs on it.
pub(crate) struct Machine {
    how: ServiceBuilder,
    running: Option<Service>,
    /// What its processes said, the last one aside.
    said: Vec<String>,
}

impl Environment {
    /// Everything but the service, up.
    pub(crate) async fn open(case: Case, mutant: Option<&str>) -> Self {
        let mut redis = match case.scene.redis {
            Kept::Log(fsync) => RedisServer::builder().aof(fsync),
            Kept::Snapshots => RedisServer::builder(),
        };
        if case.scene.as_user {
            redis = redis.acl(&format!("{USER} on >{PASSWORD} ~* &* +@all"));
        }
        Self::open_on(redis.start().await, case, mutant).await
    }

    /// The same on a server of one's own making.
    pub(crate) async fn open_on(redis: RedisServer, case: Case, mutant: Option<&str>) -> Self {
        let burst = case.scene.plans == Plans::Burst;
        let stage = match burst {
            true => Stage::open_for(redis, burst_symbols()).await,
            false => Stage::open_on(redis).await,
        };
        let wire = match case.scene.wired {
            true => Some(Wire::to(stage.redis.port()).await),
            false => None,
        };
        let split = match case.scene.behind_sentinels {
            true => Some(Split::of(&stage.redis, case.scene.machines).await),
            false => None,
        };
        let reviews = case.scene.reviews;
        let fake_services = FakeServices::of(stage.redis.url(), case.plans.clone(), reviews);
        let url = match (&wire, case.scene.as_user) {
            (Some(wire), _) => wire.url(),
            (None, true) => stage.redis.url_as(USER, PASSWORD),
            (None, false) => stage.redis.url(),
        };
        let machine = |n: usize| {
            let url = split.as_ref().map_or(url.clone(), |split| split.url(n));
            let mut how = stage
                .service()
                .program(apply_layer_faulty())
                .env("REDIS_URL", url)
                .env(
                    "APPLY_PERMIT_WAIT_MS",
                    case.scene.wait.as_millis().to_string(),
                )
                .env("APPLY_PERMIT_STEP_MS", "50")
                .env("APPLY_POLL_SEC", "0.05")
                .env("APPLY_LEASE_SEC", "1")
                .env("APPLY_START_WAIT_SEC", "240");
            if burst {
                let symbols = burst_symbols().join(",");
                how = how
                    .env("SYMBOLS", symbols.clone())
                    .env("APPLY_ALLOWLIST", symbols);
            }
            if let Some(mutant) = mutant {
                how = how.env("APPLY_MUTANT", mutant);
            }
            let machine = Machine {
                how,
                running: None,
                said: Vec::new(),
            };
            match &case.scene {
                scene if scene.steps_the_clock() => machine.under_a_clock(),
                scene if scene.breaks_the_disk() => machine.on_a_bad_disk(),
                _ => machine,
            }
        };
        let machines: Vec<Machine> = (0..case.scene.machines).map(machine).collect();
        let symbols = case.plans.iter().map(|plan| plan.symbol);
        let held = symbols
            .map(|symbol| (symbol, stage.venue().position(symbol)))
            .collect();
        let slowest = Arc::<AtomicU64>::default();
        let watched = Arc::clone(&slowest);
        let watching = tokio::spawn(async move {
            loop {
                let late = u64::try_from(lag().await.as_millis()).unwrap_or(u64::MAX);
                watched.fetch_max(late, Ordering::Relaxed);
            }
        });
        Self {
            case,
            stage,
            wire,
            split,
            fake_services,
            neighbours: Neighbours::default(),
            machines,
            reached: Vec::new(),
            wrong: Vec::new(),
            history: History::default(),
            standing: BTreeMap::new(),
            asked: Vec::new(),
            scripted: Vec::new(),
            held,
            remembered: Vec::new(),
            sockets: Vec::new(),
            slowest,
            watching,
            patience: mutant.map_or(PATIENCE, |_| WITH_A_MUTANT),
        }
    }

    /// Whether this machine kept up all the time. Where it did not, a store that did not answer in
    /// time is no fault of the service, and "no" was the right answer.
    pub(crate) fn kept_up(&self) -> bool {
        Duration::from_millis(self.slowest.load(Ordering::Relaxed)) < BUSY
    }

    /// The one machine, or the first of two.
    pub(crate) fn machine(&mut self) -> &mut Machine {
        &mut self.machines[0]
    }

    /// All machines, each ready.
    pub(crate) async fn all_ready(&mut self) {
        for machine in &mut self.machines {
            machine.start(&[]);
        }
        for machine in &mut self.machines {
            machine.ready().await;
        }
    }

    /// Writes every proposal of a generation, as the brain does; `round` distinguishes a repetition from the
    /// one before.
    pub(crate) async fn propose(&mut self, generation: u8, round: u32) {
        let plans = self.case.plans.clone();
        for plan in plans.iter().filter(|plan| plan.generation == generation) {
            self.propose_one(plan, round).await;
        }
    }

    /// Writes one proposal.
    pub(crate) async fn propose_one(&mut self, plan: &PlanScript, round: u32) {
        let id = plan.id();
        self.standing.insert(plan.symbol, Some(id.clone()));
        if !self.asked.contains(&id) {
            self.asked.push(id);
        }
        self.write_proposal(plan, plan.action, round).await;
    }

    /// The brain wants nothing of any symbol any more.
    pub(crate) async fn hold(&mut self) {
        let plans = self.case.plans.clone();
        for plan in &plans {
            self.standing.insert(plan.symbol, None);
            self.write_proposal(plan, "HOLD", 0).await;
        }
    }

    async fn write_proposal(&self, plan: &PlanScript, action: &str, round: u32) {
        let key = format!("quantum:harvest:proposal:{}", plan.symbol);
        let reward = format!("1.{round}");
        let proposed = plan.proposed.unwrap_or(action);
        let mut words = vec![
            "HSET",
            &key,
            "harvest_action",
            proposed,
            "kill_score",
            SCORE,
            "computed_at_utc",
            &plan.computed_at,
            "R_net",
            &reward,
            "last_update_epoch",
            "1769301008",
            "reason_codes",
            "ts_drop",
        ];
        if plan.proposed.is_some() {
            words.extend(calibrated(proposed, action).into_iter().flatten());
        }
        if let Some(stop) = &plan.stop {
            words.extend(["new_sl_proposed", stop]);
        }
        self.fake_services.answer_all(&words).await;
    }

    /// The ids of the plans that were proposed.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.asked.clone()
    }

    /// Until every plan is claimed.
    pub(crate) async fn claimed(&mut self) {
        let ids = self.ids();
        let all = |seen: &Seen| ids.iter().all(|id| seen.is_claimed(id));
        if !self.fake_services.until(self.patience, all).await {
            self.wrong("a plan was never claimed");
        }
    }

    /// Until every plan has a result.
    pub(crate) async fn concluded(&mut self) {
        let ids = self.ids();
        let published = |seen: &Seen, id: &String| {
            seen.results
                .iter()
                .any(|result| result.get("plan_id") == *id)
        };
        let all = |seen: &Seen| ids.iter().all(|id| published(seen, id));
        if !self.fake_services.until(self.patience, all).await {
            self.wrong("a plan never got its result");
        }
    }

    /// Until nothing is left to do: what is proposed is claimed, what is claimed has its result, and
    /// no plan is open.
    pub(crate) async fn settled(&mut self) {
        let until = Instant::now() + self.patience;
        loop {
            match self.unsettled().await {
                None => return,
                Some(what) if Instant::now() > until => return self.wrong(what),
                Some(_) => sleep(LOOK).await,
            }
        }
    }

    /// What is left to do, if anything is.
    async fn unsettled(&self) -> Option<String> {
        let open: i64 = self.fake_services.ask(&["HLEN", OPEN]).await;
        if open > 0 {
            return Some(format!("{open} plans are open in Redis"));
        }
        for (symbol, plan) in &self.standing {
            let Some(plan) = plan else { continue };
            // What has its result need not be claimed again, whatever the store forgot.
            let published = {
                let seen = self.fake_services.seen();
                seen.results.iter().any(|r| r.get("plan_id") == plan)
            };
            let proposal = format!("quantum:harvest:proposal:{symbol}");
            let there: i64 = self.fake_services.ask(&["EXISTS", &proposal]).await;
            if there == 1 && !published {
                return Some(format!("plan {plan} is proposed and has no result"));
            }
        }
        self.fake_services.catch_up().await;
        // What a former master alone had does not count.
        let standing = match self.split {
            Some(_) => Some(self.fake_services.standing().await),
            None => None,
        };
        let seen = self.fake_services.seen();
        let results = standing.as_ref().unwrap_or(&seen.results);
        let published = |plan: &&String| {
            let of_it = |result: &apply_tests::Entry| result.get("plan_id") == **plan;
            results.iter().any(of_it)
        };
        let unpublished = seen.claimed().find(|plan| !published(plan));
        unpublished.map(|plan| format!("plan {plan} is claimed and has no result"))
    }

    /// Whether some result up to now has this error.
    pub(crate) fn some_result_says(&self, error: &str) -> bool {
        let seen = self.fake_services.seen();
        let mut results = seen.results.iter();
        results.any(|result| result.get("error").starts_with(error))
    }

    /// Until both permits of a plan are in Redis.
    pub(crate) async fn permits_are_there(&self, plan: &str) {
        let [one, other] = Seat::BOTH.map(|seat| seat.key(plan));
        while self
            .fake_services
            .ask::<i64>(&["EXISTS", &one, &other])
            .await
            < 2
        {
            sleep(LOOK).await;
        }
    }

    /// Ends every process as an operator does; each has to end well.
    pub(crate) async fn stop(&mut self) {
        for index in 0..self.machines.len() {
            if let Some(ended) = self.machines[index].stop().await
                && ended.code != Some(0)
            {
                let how = (ended.code, ended.signal);
                self.wrong(format!("SIGTERM ended the service with {how:?}"));
            }
        }
    }

    /// Nothing is lost unseen: what stands on the streams is read, and no more is written, before
    /// the server dies or forgets.
    pub(crate) async fn freeze(&mut self) {
        let () = self
            .fake_services
            .ask(&["CLIENT", "PAUSE", "60000", "WRITE"])
            .await;
        self.fake_services.catch_up().await;
    }

    pub(crate) fn reach(&mut self, what: impl Into<String>) {
        self.reached.push(what.into());
    }

    pub(crate) fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    /// What all processes said.
    pub(crate) fn logs(&self) -> String {
        self.lines().map(|line| format!("  {line}\n")).collect()
    }

    /// The same line by line, each with its machine.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.machines.iter().enumerate().flat_map(|(n, machine)| {
            let now = machine.running.as_ref().map(Service::log);
            let said = machine.said.iter().cloned();
            let all: Vec<String> = said.chain(now.into_iter().flatten()).collect();
            all.into_iter()
                .map(move |line| format!("machine {n}: {line}"))
        })
    }
}

/// The user of [`Scene::as_user`].
const USER: &str = "worker";
const PASSWORD: &str = "secret";

/// The hash of plans without a final result.
pub(crate) const OPEN: &str = apply_wire::key::OPEN;

impl Machine {
    /// Starts the service with more in its environment.
    pub(crate) fn start(&mut self, more: &[(&str, &str)]) {
        self.start_by(self.how.clone(), more);
    }

    /// The same where writing to a file of this many blocks of 512 bytes fails, or kills where
    /// no handler listens for the signal.
    pub(crate) fn start_limited(&mut self, blocks: Option<u64>, survives: bool) {
        let trap = if survives { "trap '' XFSZ; " } else { "" };
        let limit = blocks.map_or(String::new(), |blocks| format!("ulimit -S -f {blocks}; "));
        let shell = format!("{trap}{limit}exec \"$0\" \"$@\"");
        self.start_by(self.how.clone().through(&["/bin/sh", "-c", &shell]), &[]);
    }

    fn start_by(&mut self, mut how: ServiceBuilder, more: &[(&str, &str)]) {
        for (name, value) in more {
            how = how.env(name, *value);
        }
        self.running = Some(Service::spawn(how));
    }

    /// Until it follows the proposals; no where it ended before.
    pub(crate) async fn ready(&mut self) -> bool {
        match &self.running {
            Some(service) => service.says("Ready: following").await,
            None => false,
        }
    }

    /// Until it listens for signals: it has said its first line by then.
    pub(crate) async fn listens(&mut self) {
        if let Some(service) = &self.running {
            let _ = service.says("Metrics on").await;
        }
    }

    /// Whether a process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.running
            .as_mut()
            .is_some_and(|service| !service.is_over())
    }

    /// Waits until it has died by itself.
    pub(crate) async fn died(&mut self) -> Option<Ended> {
        let ended = self.running.take()?.ended().await;
        self.said.extend(ended.log.iter().cloned());
        self.said.extend(ended.errors.iter().cloned());
        self.said.push(format!(
            "— ended: code {:?}, signal {:?}",
            ended.code, ended.signal
        ));
        Some(ended)
    }

    /// SIGKILL; what ended it, where it was not that.
    pub(crate) async fn kill(&mut self) -> Option<Ended> {
        self.signal("KILL").await;
        self.died().await
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self) -> Option<Ended> {
        self.signal("TERM").await;
        self.died().await
    }

    /// A signal by name; a process that has just ended does not mind.
    pub(crate) async fn signal(&mut self, name: &str) {
        let Some(id) = self.running.as_ref().and_then(Service::id) else {
            return;
        };
        let _ = Command::new("/bin/sh")
            .args(["-c", &format!("kill -{name} {id}")])
            .stderr(Stdio::null())
            .status()
            .await;
    }

    /// From now on nothing can be written to a file, or again, for the process that runs.
    pub(crate) async fn limit_files(&mut self, full: bool) {
        let Some(id) = self.running.as_ref().and_then(Service::id) else {
            return;
        };
        let soft = if full { "0" } else { "unlimited" };
        let status = Command::new("prlimit")
            .args(["--pid", &id.to_string(), &format!("--fsize={soft}:")])
            .status()
            .await;
        assert!(
            status.is_ok_and(|status| status.success()),
            "prlimit (util-linux) is needed to fill a disk for one process"
        );
    }

    /// What the process that runs holds: resident memory in KiB, and open files; nothing where none
    /// runs or the system does not say.
    pub(crate) fn holds(&self) -> Option<(u64, u64)> {
        let id = self.running.as_ref().and_then(Service::id)?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let memory = line.split_whitespace().next()?.parse().ok()?;
        let files = std::fs::read_dir(format!("/proc/{id}/fd")).ok()?.count();
        Some((memory, u64::try_from(files).unwrap_or(u64::MAX)))
    }

    /// The most resident memory that the process which runs ever had, in KiB.
    pub(crate) fn peak(&self) -> Option<u64> {
        let id = self.running.as_ref().and_then(Service::id)?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// So that the wall clock it sees can be stepped, by what Debian calls `faketime`.
    fn under_a_clock(mut self) -> Self {
        self.write_clock(0);
        let file = self.clock_file().display().to_string();
        self.how = self
            .how()
            .env("LD_PRELOAD", faketime().display().to_string())
            .env("FAKETIME_TIMESTAMP_FILE", file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        self
    }

    fn clock_file(&self) -> PathBuf {
        self.how.state_directory().with_extension("clock")
    }

    /// Steps the wall clock to so many seconds beside the true one.
    pub(crate) fn write_clock(&self, seconds: i64) {
        let file = self.clock_file();
        write_whole(&file, &format!("{seconds:+}\n"));
    }

    /// So that its journal's disk can be made to fail.
    fn on_a_bad_disk(mut self) -> Self {
        self.write_disk("works");
        let file = self.disk_file().display().to_string();
        self.how = self.how().env("APPLY_FAULT_DISK", file);
        self
    }

    fn disk_file(&self) -> PathBuf {
        self.how.state_directory().with_extension("disk")
    }

    /// What the journal's disk does from now on.
    pub(crate) fn write_disk(&self, word: &str) {
        write_whole(&self.disk_file(), word);
    }

    /// The process that runs.
    pub(crate) fn service(&self) -> Option<&Service> {
        self.running.as_ref()
    }

    /// Where the journal lies.
    pub(crate) fn state_directory(&self) -> &Path {
        self.how.state_directory()
    }

    /// How it is started, for a command beside it.
    pub(crate) fn how(&self) -> ServiceBuilder {
        self.how.clone()
    }

    /// The kill switch's file.
    pub(crate) fn halt_file(&self) -> PathBuf {
        self.how.state_directory().join("HALT")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Most machines have neither.
        let _ = std::fs::remove_file(self.clock_file());
        let _ = std::fs::remove_file(self.disk_file());
    }
}

/// A reader of the same moment never sees half of it.
fn write_whole(file: &Path, text: &str) {
    let draft = file.with_extension("draft");
    let written = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, file));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
}

/// The library that steps a process's wall clock.
fn faketime() -> PathBuf {
    let mut places: Vec<PathBuf> = ["/usr/lib/faketime", "/usr/lib64/faketime"]
        .map(PathBuf::from)
        .into();
    let arches = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
    places.extend(arches.map(|arch| Path::new("/usr/lib").join(arch).join("faketime")));
    let files = places.iter().map(|place| place.join("libfaketime.so.1"));
    files
        .into_iter()
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!(
                "libfaketime is not installed and this test steps a clock with it: \
             `apt-get install faketime`, or your distribution's way to it"
            )
        })
}
