//! What one case plays in: a server, perhaps a wire to it, a venue, neighbours, and machines that
//! run the service.

use super::{
    case::{Case, Scenario},
    neighbours::{Neighbours, Seat, Seen},
    script::{PlanScript, SCORE},
    wire::Wire,
};
use crate::{
    program::apply_layer_faulty,
    service::{Ended, Service, ServiceBuilder},
    stage::Stage,
};
use redis_harness::RedisServer;
use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{process::Command, task::JoinHandle, time::sleep};

/// Far beyond what a case takes; whoever waits so long waits in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// With a mistake in the service much is waited for in vain, and it does not matter how long.
const WITH_A_MUTANT: Duration = Duration::from_secs(12);

/// Between two looks at what tells nobody when it changes.
const LOOK: Duration = Duration::from_millis(50);

/// `SIGABRT` and `SIGKILL`: how a named step and `kill -9` end a process.
pub(crate) const ABORTED: i32 = 6;
pub(crate) const KILLED: i32 = 9;
/// `SIGXFSZ`: a file would have grown beyond what is allowed.
pub(crate) const TOO_LARGE: i32 = 25;

/// The world of one case.
pub(crate) struct World {
    pub(crate) case: Case,
    pub(crate) stage: Stage,
    pub(crate) wire: Option<Wire>,
    pub(crate) neighbours: Neighbours,
    pub(crate) machines: Vec<Machine>,
    /// Faults that really happened, by their names.
    pub(crate) reached: Vec<String>,
    /// What should not have been.
    pub(crate) wrong: Vec<String>,
    /// Whether this machine kept up; see [`World::kept_up`].
    slowest: Arc<AtomicU64>,
    watching: JoinHandle<()>,
    patience: Duration,
}

impl Drop for World {
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

impl World {
    /// Everything but the service, up.
    pub(crate) async fn open(case: Case, mutant: Option<&str>) -> Self {
        let redis = match &case.scenario {
            Scenario::RestartedFromAof { fsync, .. } => RedisServer::builder().aof(fsync),
            _ => RedisServer::builder(),
        };
        let count = match case.scenario {
            Scenario::TwoMachines { .. } => 2,
            _ => 1,
        };
        Self::open_on(redis.start().await, case, count, mutant).await
    }

    /// The same on a server of one's own making, with so many machines.
    pub(crate) async fn open_on(
        redis: RedisServer,
        case: Case,
        machines: usize,
        mutant: Option<&str>,
    ) -> Self {
        let stage = Stage::open_on(redis).await;
        let wire = match &case.scenario {
            Scenario::AnswerLost { .. } => Some(Wire::to(stage.redis.port()).await),
            _ => None,
        };
        let neighbours = Neighbours::of(stage.redis.url(), case.plans.clone());
        let url = wire.as_ref().map_or(stage.redis.url(), Wire::url);
        let machine = || {
            let mut how = stage
                .service()
                .program(apply_layer_faulty())
                .env("REDIS_URL", url.clone())
                .env("APPLY_PERMIT_WAIT_MS", case.wait.as_millis().to_string())
                .env("APPLY_PERMIT_STEP_MS", "50")
                .env("APPLY_POLL_SEC", "0.05")
                .env("APPLY_LEASE_SEC", "1")
                .env("APPLY_START_WAIT_SEC", "240");
            if let Some(mutant) = mutant {
                how = how.env("APPLY_MUTANT", mutant);
            }
            Machine {
                how,
                running: None,
                said: Vec::new(),
            }
        };
        let machines = (0..machines).map(|_| machine()).collect();
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
            neighbours,
            machines,
            reached: Vec::new(),
            wrong: Vec::new(),
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

    /// Writes every proposal, as the brain does; `round` tells a repetition from the one before.
    pub(crate) async fn propose(&mut self, round: u32) {
        for plan in &self.case.plans {
            self.propose_one(plan, round).await;
        }
    }

    /// Writes one proposal.
    pub(crate) async fn propose_one(&self, plan: &PlanScript, round: u32) {
        let key = format!("quantum:harvest:proposal:{}", plan.symbol);
        let reward = format!("1.{round}");
        let mut words = vec![
            "HSET",
            &key,
            "harvest_action",
            plan.action,
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
        if let Some(stop) = &plan.stop {
            words.extend(["new_sl_proposed", stop]);
        }
        let _: i64 = self.neighbours.ask(&words).await;
    }

    /// The ids of the case's plans.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.case.plans.iter().map(|plan| plan.id()).collect()
    }

    /// Until every plan is claimed.
    pub(crate) async fn claimed(&mut self) {
        let ids = self.ids();
        let all = |seen: &Seen| ids.iter().all(|id| seen.claimed.contains(id));
        if !self.neighbours.until(self.patience, all).await {
            self.wrong("a plan was never claimed");
        }
    }

    /// Until every plan has a result.
    pub(crate) async fn concluded(&mut self) {
        let ids = self.ids();
        let told = |seen: &Seen, id: &String| {
            seen.results
                .iter()
                .any(|result| result.get("plan_id") == *id)
        };
        let all = |seen: &Seen| ids.iter().all(|id| told(seen, id));
        if !self.neighbours.until(self.patience, all).await {
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
        let open: i64 = self.neighbours.ask(&["HLEN", OPEN]).await;
        if open > 0 {
            return Some(format!("{open} plans are open in Redis"));
        }
        // A proposal is what stands there now: the last one of its symbol.
        let mut newest: BTreeMap<&str, &PlanScript> = BTreeMap::new();
        newest.extend(self.case.plans.iter().map(|plan| (plan.symbol, plan)));
        for plan in newest.into_values() {
            let proposal = format!("quantum:harvest:proposal:{}", plan.symbol);
            let claim = format!("quantum:apply:dedupe:{}", plan.id());
            let there: i64 = self.neighbours.ask(&["EXISTS", &proposal]).await;
            let claimed: i64 = self.neighbours.ask(&["EXISTS", &claim]).await;
            if there == 1 && claimed == 0 {
                return Some(format!("plan {} is proposed and not claimed", plan.id()));
            }
        }
        self.neighbours.catch_up().await;
        let seen = self.neighbours.seen();
        let told = |plan: &&String| {
            let of_it = |result: &crate::Entry| result.get("plan_id") == **plan;
            seen.results.iter().any(of_it)
        };
        let untold = seen.claimed.iter().find(|plan| !told(plan));
        untold.map(|plan| format!("plan {plan} is claimed and has no result"))
    }

    /// Whether all results up to now tell of this error.
    pub(crate) fn every_result_says(&self, error: &str) -> bool {
        let seen = self.neighbours.seen();
        seen.results
            .iter()
            .all(|result| result.get("error") == error)
    }

    /// Until both permits of a plan are in Redis.
    pub(crate) async fn permits_are_there(&self, plan: &str) {
        let [one, other] = Seat::BOTH.map(|seat| seat.key(plan));
        while self.neighbours.ask::<i64>(&["EXISTS", &one, &other]).await < 2 {
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
            .neighbours
            .ask(&["CLIENT", "PAUSE", "60000", "WRITE"])
            .await;
        self.neighbours.catch_up().await;
    }

    pub(crate) fn reach(&mut self, what: impl Into<String>) {
        self.reached.push(what.into());
    }

    pub(crate) fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    /// What all processes said.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for (n, machine) in self.machines.iter().enumerate() {
            let now = machine.running.as_ref().map(Service::log);
            for line in machine.said.iter().chain(now.iter().flatten()) {
                text.push_str(&format!("  machine {n}: {line}\n"));
            }
        }
        text
    }
}

/// The hash of plans without a final result.
pub(crate) const OPEN: &str = "quantum:apply:open";

impl Machine {
    /// Starts the service with more in its environment.
    pub(crate) fn start(&mut self, more: &[(&str, &str)]) {
        self.start_by(self.how.clone(), more);
    }

    /// The same where writing to a file of this many blocks of 512 bytes fails, or kills where
    /// nobody listens for the signal.
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

    /// The kill switch's file.
    pub(crate) fn halt_file(&self) -> std::path::PathBuf {
        self.how.state_directory().join("HALT")
    }
}
