//! The connections to all servers, and a take over them.

use crate::{
    cluster::Cluster,
    config::{ConfigError, RedisConfig, Topology},
    endpoint::{Endpoint, Timeouts},
    failure::Failure,
    keys::slot_of,
    mastership::{Appointers, Charge, InCharge},
    node::{Trouble, TroubleKind},
    product::Product,
    sentinels::Sentinels,
    server::{Context, Server},
    stats::Counters,
    take::{Hold, Holder, HolderAt, TakeRequest, count},
    watch::{Registry, WatchStatus},
};
use permit_gate::{PlanId, Reply, StoreError, Take};
use redis::{RedisError, from_redis_value};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

pub(crate) struct Connections {
    pub(crate) config: RedisConfig,
    pub(crate) servers: Servers,
    /// Who says which server is in charge; `None` where there is but one.
    charge: Option<Charge>,
    pub(crate) status: Arc<WatchStatus>,
    pub(crate) counters: Arc<Counters>,
    /// Turns for takes, so that a crowd waits here and not in a socket's queue, where its
    /// time-outs would already run.
    pub(crate) turns: Semaphore,
}

pub(crate) enum Servers {
    One(Server),
    Cluster(Cluster),
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration cannot work, now or later.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Redis could not be reached. Trying again may help.
    #[error("cannot reach Redis at {at}: {why}")]
    Unreachable {
        /// Hosts and ports.
        at: String,
        /// What the last try ended with.
        why: String,
    },
    /// Redis answers, and does not serve us as it is: it loads, is a replica, knows no such user. Trying
    /// again helps once that is fixed.
    #[error("Redis at {at} does not serve us: {why}")]
    Unfit {
        /// Hosts and ports.
        at: String,
        /// What it said, and the fix.
        why: String,
    },
    /// The server will never do.
    #[error("Redis at {at} cannot be used: {why}")]
    Unusable {
        /// Hosts and ports.
        at: String,
        /// What it is, and what to use instead.
        why: String,
    },
}

impl ConnectError {
    /// Of a connection to `at` that could not be set up, where an answer may take as long as `response`.
    pub fn of(at: String, error: &RedisError, response: Duration) -> Self {
        Self::new(at, Trouble::of(error, response))
    }

    /// Of a server at `at` that is too old to be used; `None` where it is not.
    pub fn too_old(at: String, product: &Product) -> Option<Self> {
        Trouble::too_old(product).map(|trouble| Self::new(at, trouble))
    }

    fn new(at: String, Trouble { why, kind }: Trouble) -> Self {
        match kind {
            TroubleKind::Away => Self::Unreachable { at, why },
            TroubleKind::Unfit => Self::Unfit { at, why },
            TroubleKind::Unusable => Self::Unusable { at, why },
        }
    }
}

impl Connections {
    /// Connects to what the configuration names, whatever lies there.
    pub(crate) async fn connect(config: RedisConfig) -> Result<Self, ConnectError> {
        let counters = Arc::new(Counters::default());
        let (keys, switch) = (config.keys.clone(), config.kill_switch.key.clone());
        let followed = config.followed.clone();
        let registry = Registry::new(keys, switch, followed, Arc::clone(&counters));
        let status = WatchStatus::new(registry, Arc::clone(&counters));
        let context = Context {
            timeouts: Timeouts {
                connect: config.connect_timeout,
                response: config.response_timeout,
                sentinel: config.sentinel_timeout,
                ping_every: config.ping_every,
            },
            counters: Arc::clone(&counters),
            status: Arc::clone(&status),
            watching: config.watching,
        };
        let in_charge_patience = context.timeouts;
        let (servers, sentinels) = Servers::start(config.topology.clone(), context);
        let timeouts = config.start_timeout.unwrap_or(config.connect_timeout);
        let ready = servers.ready(timeouts).await;
        ready.map_err(|trouble| ConnectError::new(config.topology.to_string(), trouble))?;
        let appointers = match (&servers, sentinels) {
            (Servers::Cluster(cluster), _) => Some(Appointers::Masters(cluster.masters())),
            (Servers::One(server), Some(sentinels)) => Some(Appointers::Sentinels {
                sentinels,
                node: server.node.handle(),
            }),
            (Servers::One(_), None) => None,
        };
        let charge = appointers.map(|all| Charge::start(all, in_charge_patience));
        if let Some(charge) = &charge {
            // So that the first plan finds an answer; without one it asks itself.
            charge.ask().await;
        }
        Ok(Self {
            turns: Semaphore::new(config.max_in_flight),
            config,
            servers,
            charge,
            status,
            counters,
        })
    }

    /// Whether the server of a slot is in charge, as far as was heard.
    pub(crate) fn in_charge(&self, slot: u16) -> InCharge {
        let Some(charge) = &self.charge else {
            return InCharge::Always;
        };
        let at = match &self.servers {
            Servers::One(server) => server.node.at(),
            Servers::Cluster(cluster) => cluster.at(slot),
        };
        charge.of(slot, at.as_ref())
    }

    /// Asks those who appoint it.
    pub(crate) async fn ask_who_is_in_charge(&self) {
        if let Some(charge) = &self.charge {
            charge.ask().await;
        }
    }

    /// Sends a take once.
    pub(crate) async fn take(&self, take: &Take) -> Result<Reply, StoreError> {
        let reply = match &self.servers {
            Servers::One(server) => self.take_at(server, take).await,
            Servers::Cluster(cluster) => self.take_in(cluster, take).await,
        };
        self.look_for_pushes(&take.plan, &reply);
        if let Err(StoreError::Unsettled(_)) = reply {
            self.counters.unsettled.add();
        }
        reply
    }

    /// A permit that was not there before and is now was pushed, or the watch is blind.
    fn look_for_pushes(&self, plan: &PlanId, reply: &Result<Reply, StoreError>) {
        let bit = |permit: usize| 1_u32 << permit;
        let there: u32 = match reply {
            Ok(Reply::Missing(slots)) => {
                let there = slots.iter().enumerate();
                let there = there.filter(|(_, slot)| slot.content.is_some());
                there.map(|(permit, _)| bit(permit)).sum()
            }
            Ok(Reply::Taken(contents)) => (0..contents.len()).map(bit).sum(),
            _ => return,
        };
        self.status.saw(plan, there, self.config.response_timeout);
    }

    async fn take_at(&self, server: &Server, take: &Take) -> Result<Reply, StoreError> {
        let holder = Holder::of(&self.config, take).map_or(HolderAt::Nowhere, HolderAt::Here);
        let order = TakeRequest::new(&self.config, take, false, holder);
        server.node.take(&order).await?.into_reply(&order)
    }

    /// On a cluster the kill switch, the fence and the holders usually lie in other slots, out of the atomic step's
    /// reach. Then they are read before the take, so that nothing is taken while it must not be, and once
    /// more after it, so that nothing is granted that was halted, fenced or lost meanwhile.
    async fn take_in(&self, cluster: &Cluster, take: &Take) -> Result<Reply, StoreError> {
        let probe = TakeRequest::new(&self.config, take, true, HolderAt::Nowhere);
        let switch = slot_of(&self.config.kill_switch.key);
        let switch = (switch != probe.slot()).then_some(switch);
        let (mut here, mut elsewhere) = (HolderAt::Nowhere, None);
        match Holder::of(&self.config, take) {
            Some(holder) if slot_of(&holder.hash) != probe.slot() => elsewhere = Some(holder),
            Some(holder) => here = HolderAt::Here(holder),
            None => {}
        }
        let halting = self.config.halting_keys();
        let look = || async {
            let halted = async {
                let switch = async {
                    match switch {
                        Some(slot) => self.is_halted(cluster, slot).await,
                        None => Ok(false),
                    }
                };
                let (switch, there) = tokio::try_join!(switch, is_any_there(cluster, &halting))?;
                Ok(switch || there)
            };
            let fenced = is_any_there(cluster, self.config.fence.as_slice());
            let hold = async {
                match &elsewhere {
                    Some(holder) => cluster.hold(holder).await,
                    None => Ok(Hold::Ready),
                }
            };
            tokio::try_join!(halted, fenced, hold)
        };
        let ready = match look().await? {
            (true, _, _) => return Ok(Reply::Halted),
            (false, true, _) => return Ok(Reply::Fenced),
            (false, false, Hold::Lost) => return Ok(Reply::NotHeld),
            (false, false, hold) => hold == Hold::Ready,
        };
        if elsewhere.is_some() {
            here = HolderAt::Elsewhere { ready };
        }
        let order = TakeRequest::new(&self.config, take, switch.is_some(), here);
        let reply = cluster.take(&order).await?.into_reply(&order)?;
        let nothing_beside = halting.is_empty() && self.config.fence.is_none();
        let looked_at_here = switch.is_none() && elsewhere.is_none() && nothing_beside;
        if !matches!(reply, Reply::Taken(_)) || looked_at_here {
            return Ok(reply);
        }
        // The permits are gone: a switch that cannot be read now counts as on, a holder as lost.
        Ok(match look().await {
            Ok((false, false, Hold::Ready)) => reply,
            Ok((true, _, _)) | Err(_) => Reply::Halted,
            Ok((false, true, _)) => Reply::Fenced,
            Ok((false, false, _)) => Reply::NotHeld,
        })
    }

    async fn is_halted(&self, cluster: &Cluster, slot: u16) -> Result<bool, Failure> {
        let switch = &self.config.kill_switch;
        let word = cluster.read(&switch.key, switch.off.at_most(), slot);
        Ok(switch.halts(word.await?.as_deref()))
    }
}

/// Whether one of these keys is there.
async fn is_any_there(cluster: &Cluster, keys: &[String]) -> Result<bool, Failure> {
    for key in keys {
        let ask = count(std::slice::from_ref(key));
        let answer = cluster.send(slot_of(key), &ask).await;
        let there = answer.and_then(|there| Ok(from_redis_value::<i64>(there.extract_error()?)?));
        if there.map_err(|error| Failure::of_read(&error))? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Servers {
    fn start(topology: Topology, context: Context) -> (Self, Option<Sentinels>) {
        let (endpoint, sentinels) = match topology {
            Topology::Cluster(seeds) => {
                return (Self::Cluster(Cluster::start(seeds, context)), None);
            }
            Topology::Single(info) => (Endpoint::Fixed(info), None),
            Topology::Sentinel {
                sentinels,
                master,
                server,
            } => {
                let sentinels = Sentinels::new(&sentinels, &master);
                let endpoint = Endpoint::Master {
                    sentinels: sentinels.clone(),
                    server,
                };
                (endpoint, Some(sentinels))
            }
        };
        (Self::One(Server::start(endpoint, &context)), sentinels)
    }

    async fn ready(&self, timeouts: Duration) -> Result<(), Trouble> {
        match self {
            Self::One(server) => server.ready(timeouts).await,
            Self::Cluster(cluster) => cluster.ready(timeouts).await,
        }
    }
}
