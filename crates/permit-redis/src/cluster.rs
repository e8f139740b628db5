//! Which node of a cluster to ask. Where a node points elsewhere we go there ourselves: it says so
//! before it executes anything, so the same question is never executed twice.

use crate::{
    background::{Background, Backoff},
    charge::{SlotRange, read_slots},
    config::at_address,
    endpoint::{Address, Endpoint},
    failure::Failure,
    keys::slot_of,
    link::untold,
    server::{Context, Server},
    take::{Answer, Hold, Holder, Order},
};
use redis::{ConnectionInfo, RedisResult, Value, cmd};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// How often the map of slots is fetched even if nobody complains.
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
    state: watch::Sender<Result<(), String>>,
}

#[derive(Default)]
struct Map {
    /// First slot, last slot, owner.
    ranges: Vec<(u16, u16, Arc<Server>)>,
    servers: HashMap<Address, Arc<Server>>,
}

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
            state: watch::Sender::new(Err("the cluster was not asked yet".into())),
        });
        Self {
            _refresher: Background::spawn(keep_fresh(Arc::clone(&shared))),
            shared,
        }
    }

    /// Waits until every master can be asked.
    pub(crate) async fn ready(&self, patience: Duration) -> Result<(), String> {
        let mut state = self.shared.state.subscribe();
        let known = tokio::time::timeout(patience, state.wait_for(Result::is_ok)).await;
        if !matches!(known, Ok(Ok(_))) {
            return self.shared.state.borrow().clone();
        }
        let servers: Vec<Arc<Server>> = self.shared.read(|map| {
            let servers = map.servers.values();
            servers.cloned().collect()
        });
        for server in servers {
            server.ready(patience).await?;
        }
        Ok(())
    }

    /// Takes the order's permits where they lie, or none.
    pub(crate) async fn take(&self, order: &Order) -> Result<Answer, Failure> {
        let mut server = self.owner(order.slot())?;
        for _ in 0..HOPS {
            match server.node.take(order).await {
                Err(failure) => server = self.follow(failure).await?,
                answer => return answer,
            }
        }
        Err(Failure::Refused(
            "the cluster's nodes keep pointing at each other".into(),
        ))
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
                Err(failure) => server = self.follow(failure).await?,
                answer => return answer,
            }
        }
        Err(Failure::Refused(
            "the cluster's nodes keep pointing at each other".into(),
        ))
    }

    /// What the holders say of a plan, where they lie.
    pub(crate) async fn hold(&self, holder: &Holder) -> Result<Hold, Failure> {
        let mut server = self.owner(slot_of(&holder.hash))?;
        for _ in 0..HOPS {
            match server.node.hold(holder).await {
                Err(failure) => server = self.follow(failure).await?,
                answer => return answer,
            }
        }
        Err(Failure::Refused(
            "the cluster's nodes keep pointing at each other".into(),
        ))
    }

    /// One command, where its slot lies.
    pub(crate) async fn send(&self, slot: u16, command: &redis::Cmd) -> RedisResult<Value> {
        let mut server = self.owner(slot).map_err(untold)?;
        for _ in 0..HOPS {
            let answer = server.node.send(command).await;
            let failure = match &answer {
                Ok(Value::ServerError(error)) => Failure::of_write(&error.clone().into()),
                Ok(_) => return answer,
                Err(error) => Failure::of_write(error),
            };
            match failure {
                Failure::Moved { .. } => server = self.follow(failure).await.map_err(untold)?,
                failure => {
                    if failure.is_suspect() {
                        self.doubt();
                    }
                    return answer;
                }
            }
        }
        Err(untold(Failure::Refused(
            "the cluster's nodes keep pointing at each other".into(),
        )))
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
            let mut ranges = map.ranges.iter();
            let range = ranges.find(|(first, last, _)| (*first..=*last).contains(&slot));
            range.map(|(_, _, server)| Arc::clone(server))
        });
        owner.ok_or_else(|| {
            self.shared.stale.notify_one();
            Failure::Refused(format!("no master of the cluster serves slot {slot}"))
        })
    }

    /// Where a failure points; the failure itself where it points nowhere.
    async fn follow(&self, failure: Failure) -> Result<Arc<Server>, Failure> {
        let Failure::Moved { host, port } = failure else {
            if failure.is_suspect() {
                self.shared.stale.notify_one();
            }
            return Err(failure);
        };
        self.shared.context.counters.redirects.add();
        self.shared.stale.notify_one();
        let server = self.shared.server((host, port));
        let patience = self.shared.context.patience.connect;
        server
            .node
            .ready(patience)
            .await
            .map_err(Failure::Refused)?;
        Ok(server)
    }
}

impl Shared {
    fn read<T>(&self, look: impl FnOnce(&Map) -> T) -> T {
        look(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The server at this address; a new one where we have none yet.
    fn server(&self, address: Address) -> Arc<Server> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(self.server_in(&mut map.servers, address))
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

    /// Takes over a new map. Servers that own nothing any more are let go.
    fn adopt(&self, ranges: Vec<SlotRange>) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut servers = std::mem::take(&mut map.servers);
        let mut kept = HashMap::new();
        map.ranges = ranges
            .into_iter()
            .map(|range| {
                let server = Arc::clone(self.server_in(&mut servers, range.at.clone()));
                kept.insert(range.at, Arc::clone(&server));
                (range.first, range.last, server)
            })
            .collect();
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
                tracing::warn!(error = %why, "no node of the cluster tells its slots, trying on");
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
async fn fetch(shared: &Arc<Shared>) -> Result<Vec<SlotRange>, String> {
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
    let mut last = String::new();
    for seed in &shared.seeds {
        let asked = async {
            let endpoint = Endpoint::Fixed(seed.clone());
            let mut connection = endpoint.open(shared.context.patience).await?;
            slots().query_async::<Value>(&mut connection).await
        };
        match asked.await {
            Ok(answer) => match read_slots(answer, &host_of(seed)) {
                Some(ranges) => return Ok(ranges),
                None => last = "it serves no slots".into(),
            },
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn host_of(info: &ConnectionInfo) -> String {
    let addr = info.addr().to_string();
    let host = addr.rsplit_once(':').map(|(host, _)| host.to_owned());
    host.unwrap_or(addr)
}
