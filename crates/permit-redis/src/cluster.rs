//! Which node of a cluster to ask. Where a node points elsewhere we go there ourselves: it says so
//! before it executes anything, so the same question is never executed twice.

use crate::{
    background::{Background, Backoff},
    config::at_address,
    endpoint::{Address, Endpoint},
    failure::{Failure, not_sent},
    keys::slot_of,
    meaning::{Meaning, Redirect, explain},
    node::{Trouble, TroubleKind},
    server::{Context, Server},
    slots::{SlotRange, read_slots},
    take::{Answer, Hold, Holder, TakeRequest},
};
use redis::{
    ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value, cmd,
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// How often the map of slots is fetched even without an error.
const REFRESH: Duration = Duration::from_secs(5);

/// Nodes a question may be sent on to, one after the other.
const HOPS: usize = 5;

/// A cluster, its map of slots kept up to date.
pub(crate) struct Cluster {
    shared: Arc<Shared>,
    _refresher: Background,
}

struct Shared {
    seeds: Vec<ConnectionInfo>,
    context: Context,
    map: RwLock<Map>,
    stale: Notify,
    /// Whether there is a map; what is wrong where there is none.
    state: watch::Sender<Result<(), Trouble>>,
}

#[derive(Default)]
struct Map {
    /// First slot, last slot, owner.
    ranges: Vec<(u16, u16, Arc<Server>)>,
    /// Slots that a node has pointed elsewhere since, which a map that was fetched may not know yet.
    moved: HashMap<u16, (Arc<Server>, Instant)>,
    servers: HashMap<Address, Arc<Server>>,
    /// Under which address each node was last said to be.
    known: HashMap<String, Address>,
}

/// How long a node's word about a slot counts for more than the map.
const WORD_COUNTS: Duration = Duration::from_secs(2);

/// The masters of a cluster, as far as its map is known.
pub(crate) struct Masters(Arc<Shared>);

impl Masters {
    /// Each with the host it is reached under.
    pub(crate) fn all(&self) -> Vec<(String, Arc<Server>)> {
        let each =
            |((host, _), server): (&Address, &Arc<Server>)| (host.clone(), Arc::clone(server));
        self.0.read(|map| map.servers.iter().map(each).collect())
    }
}

impl Cluster {
    pub(crate) fn start(seeds: Vec<ConnectionInfo>, context: Context) -> Self {
        let shared = Arc::new(Shared {
            seeds,
            context,
            map: RwLock::default(),
            stale: Notify::new(),
            state: watch::Sender::new(Err(Trouble::away("the cluster was not asked yet"))),
        });
        Self {
            _refresher: Background::spawn(keep_fresh(Arc::clone(&shared))),
            shared,
        }
    }

    /// Waits until every master can be asked.
    pub(crate) async fn ready(&self, timeouts: Duration) -> Result<(), Trouble> {
        let mut state = self.shared.state.subscribe();
        // What is known is under a lock, which must not be held over the await below.
        {
            let decided = |state: &Result<(), Trouble>| match state {
                Ok(()) => true,
                Err(trouble) => trouble.is_for_good(),
            };
            let known = tokio::time::timeout(timeouts, state.wait_for(decided)).await;
            if !matches!(known, Ok(Ok(known)) if known.is_ok()) {
                return self.shared.state.borrow().clone();
            }
        }
        let servers: Vec<Arc<Server>> = self.shared.read(|map| {
            let servers = map.servers.values();
            servers.cloned().collect()
        });
        for server in servers {
            server.ready(timeouts).await?;
        }
        Ok(())
    }

    /// Takes the order's permits where they lie, or none.
    pub(crate) async fn take(&self, order: &TakeRequest) -> Result<Answer, Failure> {
        let mut server = self.owner(order.slot())?;
        for _ in 0..HOPS {
            match server.node.take(order).await {
                Err(failure) => server = self.follow(failure, &server).await?,
                answer => return answer,
            }
        }
        Err(pointing_at_each_other())
    }

    /// The first bytes of a key in `slot`, as [`Node::read`] reads them.
    pub(crate) async fn read(
        &self,
        key: &str,
        at_most: usize,
        slot: u16,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut server = self.owner(slot)?;
        for _ in 0..HOPS {
            match server.node.read(key, at_most).await {
                Err(failure) => server = self.follow(failure, &server).await?,
                answer => return answer,
            }
        }
        Err(pointing_at_each_other())
    }

    /// What the holders say of a plan, where they lie.
    pub(crate) async fn hold(&self, holder: &Holder) -> Result<Hold, Failure> {
        let mut server = self.owner(slot_of(&holder.hash))?;
        for _ in 0..HOPS {
            match server.node.hold(holder).await {
                Err(failure) => server = self.follow(failure, &server).await?,
                answer => return answer,
            }
        }
        Err(pointing_at_each_other())
    }

    /// One command, where its slot lies.
    pub(crate) async fn send(&self, slot: u16, command: &redis::Cmd) -> RedisResult<Value> {
        let mut server = self.owner(slot).map_err(not_sent)?;
        for _ in 0..HOPS {
            let answer = server.node.send(command).await;
            let failure = match &answer {
                Ok(Value::ServerError(error)) => Failure::of_write(&error.clone().into()),
                Ok(_) => return answer,
                Err(error) => Failure::of_write(error),
            };
            match failure {
                Failure::Moved { .. } => {
                    server = self.follow(failure, &server).await.map_err(not_sent)?;
                }
                failure => {
                    if failure.is_suspect() {
                        self.doubt();
                    }
                    return answer;
                }
            }
        }
        Err(not_sent(pointing_at_each_other()))
    }

    /// Several commands, where their slot lies. They are sent on where nothing of them was executed; where a
    /// part was, the caller sees the rest fail, and finds a newer map the next time.
    pub(crate) async fn send_all(
        &self,
        slot: u16,
        commands: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut server = self.owner(slot).map_err(not_sent)?;
        for _ in 0..HOPS {
            let answers = server.node.send_all(commands, offset, count).await;
            let (moved, nothing_done) = match &answers {
                Ok(answers) => {
                    let meanings = answers.iter().map(|answer| match answer {
                        Value::ServerError(error) => Some(Meaning::of_reply(error)),
                        _ => None,
                    });
                    let meanings: Vec<_> = meanings.collect();
                    let is_moved =
                        |meaning: &Option<Meaning>| matches!(meaning, Some(Meaning::Moved { .. }));
                    if meanings.iter().any(Option::is_some) {
                        self.doubt();
                    }
                    let all = meanings.iter().all(is_moved);
                    (
                        meanings
                            .into_iter()
                            .flatten()
                            .find(|meaning| matches!(meaning, Meaning::Moved { .. })),
                        all,
                    )
                }
                Err(error) => {
                    self.doubt();
                    let aborted = error.kind() == ErrorKind::Server(ServerErrorKind::ExecAbort);
                    (Some(Meaning::of(error)), aborted)
                }
            };
            let Some(Meaning::Moved { slot, to }) = moved else {
                return answers;
            };
            let next = self.follow(Failure::Moved { slot, to }, &server).await;
            match (nothing_done, next) {
                (true, Ok(next)) => server = next,
                _ => return answers,
            }
        }
        Err(not_sent(pointing_at_each_other()))
    }

    /// The database everything lies in.
    pub(crate) fn db(&self) -> i64 {
        self.shared
            .seeds
            .first()
            .map_or(0, |seed| seed.redis_settings().db())
    }

    /// Everybody who serves slots.
    pub(crate) fn masters(&self) -> Masters {
        Masters(Arc::clone(&self.shared))
    }

    /// Where the server of a slot is; `None` while it is not connected.
    pub(crate) fn at(&self, slot: u16) -> Option<Address> {
        let owner = self.owner(slot).ok()?;
        if !owner.node.is_live() {
            return None;
        }
        self.shared.read(|map| {
            let mut servers = map.servers.iter();
            let found = servers.find(|(_, server)| Arc::ptr_eq(server, &owner));
            found.map(|(at, _)| at.clone())
        })
    }

    /// The map may be old.
    pub(crate) fn doubt(&self) {
        self.shared.stale.notify_one();
    }

    pub(crate) fn owner(&self, slot: u16) -> Result<Arc<Server>, Failure> {
        let owner = self.shared.read(|map| {
            if let Some((server, _)) = map.moved.get(&slot) {
                return Some(Arc::clone(server));
            }
            let mut ranges = map.ranges.iter();
            let range = ranges.find(|(first, last, _)| (*first..=*last).contains(&slot));
            range.map(|(_, _, server)| Arc::clone(server))
        });
        owner.ok_or_else(|| {
            self.shared.stale.notify_one();
            Failure::Refused(format!("no master of the cluster serves slot {slot}"))
        })
    }

    /// Where a failure of this server points; the failure itself where it points nowhere.
    async fn follow(&self, failure: Failure, from: &Server) -> Result<Arc<Server>, Failure> {
        let Failure::Moved { slot, to } = failure else {
            if failure.is_suspect() {
                self.shared.stale.notify_one();
            }
            return Err(failure);
        };
        let shared = &self.shared;
        shared.context.counters.redirects.add();
        let at = match to {
            Redirect::To(host, port) => Some((host, port)),
            Redirect::SameHost(port) => from.node.address().map(|(host, _)| (host, port)),
            Redirect::Unknown => None,
        };
        let server = match at {
            Some(at) => shared.moved(slot, at),
            // The map may have an address for a node without a name.
            None => {
                let ranges = fetch(shared)
                    .await
                    .map_err(|why| Failure::Refused(why.why))?;
                shared.adopt(ranges);
                let owner = self.owner(slot)?;
                if std::ptr::eq(&*owner, from) {
                    return Err(Failure::Refused(format!(
                        "the cluster does not say where slot {slot} went: give its nodes a cluster-announce-hostname, or set cluster-preferred-endpoint-type to ip"
                    )));
                }
                owner
            }
        };
        shared.stale.notify_one();
        let timeouts = shared.context.timeouts.connect;
        let ready = server.node.ready(timeouts).await;
        ready.map_err(|trouble| Failure::Refused(trouble.why))?;
        Ok(server)
    }
}

fn pointing_at_each_other() -> Failure {
    Failure::Refused("the cluster's nodes keep pointing at each other".into())
}

impl Shared {
    fn read<T>(&self, look: impl FnOnce(&Map) -> T) -> T {
        look(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The server at this address, to which a node has pointed for this slot; a new one where we have none yet.
    fn moved(&self, slot: u16, address: Address) -> Arc<Server> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let server = Arc::clone(self.server_in(&mut map.servers, address));
        map.moved
            .insert(slot, (Arc::clone(&server), Instant::now()));
        server
    }

    fn server_in<'a>(
        &self,
        servers: &'a mut HashMap<Address, Arc<Server>>,
        address: Address,
    ) -> &'a Arc<Server> {
        let (host, port) = address.clone();
        servers.entry(address).or_insert_with(|| {
            // All nodes are spoken to like the first seed: same user, same TLS.
            let info = at_address(&self.seeds[0], &host, port);
            Arc::new(Server::start(Endpoint::Fixed(info), &self.context))
        })
    }

    /// Takes over a new map. Servers that own nothing any more are let go. A node without an address
    /// any more is where it was.
    fn adopt(&self, ranges: Vec<SlotRange>) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let placed: Vec<(u16, u16, Address, String)> = ranges
            .into_iter()
            .filter_map(|range| {
                let at = range.at.or_else(|| map.known.get(&range.id).cloned())?;
                Some((range.first, range.last, at, range.id))
            })
            .collect();
        if placed.is_empty() {
            // Nothing that can be reached: what was known is better.
            return;
        }
        map.moved.retain(|slot, (server, since)| {
            let mut owner = placed
                .iter()
                .filter(|(first, last, ..)| (*first..=*last).contains(slot));
            let agrees = owner.next().is_some_and(|(.., at, _)| server.is_at(at));
            !agrees && since.elapsed() < WORD_COUNTS
        });
        let mut servers = std::mem::take(&mut map.servers);
        let mut kept: HashMap<Address, Arc<Server>> = HashMap::new();
        for (server, _) in map.moved.values() {
            let at = servers.iter().find(|(_, other)| Arc::ptr_eq(other, server));
            if let Some((at, server)) = at {
                kept.insert(at.clone(), Arc::clone(server));
            }
        }
        map.known.clear();
        map.ranges.clear();
        for (first, last, at, id) in placed {
            let server = Arc::clone(self.server_in(&mut servers, at.clone()));
            if !id.is_empty() {
                map.known.insert(id, at.clone());
            }
            kept.insert(at, Arc::clone(&server));
            map.ranges.push((first, last, server));
        }
        map.servers = kept;
    }
}

async fn keep_fresh(shared: Arc<Shared>) {
    let mut backoff = Backoff::new();
    loop {
        match fetch(&shared).await {
            Ok(ranges) => {
                shared.adopt(ranges);
                shared.state.send_modify(|state| *state = Ok(()));
                backoff = Backoff::new();
                tokio::select! {
                    () = shared.stale.notified() => {}
                    () = tokio::time::sleep(REFRESH) => {}
                }
            }
            Err(why) => {
                tracing::warn!(error = %why.why, "no node of the cluster answers CLUSTER SLOTS, trying again");
                shared.state.send_if_modified(|state| {
                    let unknown = state.is_err();
                    if unknown {
                        *state = Err(why);
                    }
                    unknown
                });
            }
        }
        // Complaints come in crowds; one answer serves them all.
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Asks the nodes we know, then the seeds.
async fn fetch(shared: &Arc<Shared>) -> Result<Vec<SlotRange>, Trouble> {
    let slots = || {
        let mut slots = cmd("CLUSTER");
        slots.arg("SLOTS");
        slots
    };
    for (host, server) in Masters(Arc::clone(shared)).all() {
        if let Ok(answer) = server.node.ask(&slots()).await
            && let Some(ranges) = read_slots(answer, &host)
        {
            return Ok(ranges);
        }
    }
    let mut last = Trouble::away("no node of the cluster is known");
    for seed in &shared.seeds {
        let asked = async {
            let endpoint = Endpoint::Fixed(seed.clone());
            let mut connection = endpoint.open(shared.context.timeouts).await?;
            slots().query_async::<Value>(&mut connection).await
        };
        match asked.await {
            Ok(answer) => match read_slots(answer, &host_of(seed)) {
                Some(ranges) => return Ok(ranges),
                None => {
                    last = unfit("it serves no slots: assign them with CLUSTER ADDSLOTS".into())
                }
            },
            Err(error) if says_no_cluster(&error) => {
                last = unfit("the server is no cluster: write redis:// for one server".into());
            }
            Err(error) => last = unfit_or_away(&error),
        }
    }
    Err(last)
}

fn unfit(why: String) -> Trouble {
    Trouble {
        why,
        kind: TroubleKind::Unfit,
    }
}

fn unfit_or_away(error: &RedisError) -> Trouble {
    match Meaning::of(error) {
        Meaning::TimedOut | Meaning::NoAnswer => Trouble::away(explain(error)),
        // How many a server has is settled when it starts.
        Meaning::NoDatabase => Trouble {
            why: explain(error),
            kind: TroubleKind::Unusable,
        },
        _ => unfit(explain(error)),
    }
}

fn says_no_cluster(error: &RedisError) -> bool {
    error.to_string().contains("cluster support disabled")
}

fn host_of(seed: &ConnectionInfo) -> String {
    let at = Endpoint::Fixed(seed.clone()).address();
    at.map(|(host, _)| host).unwrap_or_default()
}
