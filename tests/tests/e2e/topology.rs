//! Other arrangements of Redis than one server.

use crate::d;
use apply_redis::Keys;
use apply_tests::{
    Entry, PLANS, RESULTS, Stage, computed_now, eventually, governor_permit, has_been_up,
    position_permit,
};
use redis::{FromRedisValue, aio::MultiplexedConnection};
use redis_harness::{Cluster, Sentinel};
use std::collections::BTreeSet;

const TAGGED: &str = "governor=quantum:permit:{{plan}},p33=quantum:permit:p33:{{plan}}";

#[tokio::test]
async fn a_failover_in_the_middle_of_a_wait_ends_the_plan_without_an_order_and_the_next_one_goes_on()
 {
    let mut sentinel = Sentinel::start_with(3).await;
    let mut stage = Stage::open().await;
    let hosts = sentinel.urls().join(",").replace("redis://", "");
    stage.move_to(&sentinel.master().url()).await;
    stage.has_been_up().await;
    let service = stage
        .service()
        .env("REDIS_URL", format!("redis+sentinel://{hosts}/mymaster"))
        .env("APPLY_PERMIT_WAIT_MS", "60000")
        .ready()
        .await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    service.line("[PERMIT_WAIT] Polling for permits").await;
    // The plan and its claim are with the replica: what comes later is, and writes keep their order.
    let _: String = stage.command(&["SET", "fence", "1"]).await;
    let have: i64 = stage.command(&["WAIT", "1", "30000"]).await;
    assert_eq!(have, 1);
    sentinel.fail_over().await;
    stage.move_to(&sentinel.replica().url()).await;
    // The former master may have given its word for it: that is not relied on, and the venue is asked.
    stage.approve(&plan, "0.05").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(
        (result.get("executed"), result.get("error")),
        ("False", "claim_lost")
    );
    assert_eq!(stage.orders(), []);
    // And as ever afterwards, on the new master.
    stage.propose("ETHUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("ETHUSDT").await;
    stage.approve(&plan, "0.05").await;
    let result = stage.result_of(plan.get("plan_id")).await;
    assert_eq!(result.get("executed"), "True");
    service.stopped_well().await;
    stage.only_order();
    assert_eq!(stage.entries(RESULTS).await.len(), 2);
}

/// The master stands still for long enough to be replaced, and then goes on as if nothing had happened, until its sentinels
/// make a replica of it. The permits lie on both sides.
#[tokio::test]
async fn a_master_that_was_replaced_and_goes_on_costs_no_second_order_and_no_true_word() {
    let mut sentinel = Sentinel::start_with(3).await;
    let mut stage = Stage::open().await;
    let hosts = sentinel.urls().join(",").replace("redis://", "");
    stage.move_to(&sentinel.master().url()).await;
    stage.has_been_up().await;
    let how = |stage: &Stage| {
        let url = format!("redis+sentinel://{hosts}/mymaster");
        let how = stage.service().env("REDIS_URL", url);
        how.env("APPLY_PERMIT_WAIT_MS", "15000")
            .env("APPLY_LEASE_SEC", "1")
    };
    let owner = how(&stage).ready().await;
    stage.propose("BTCUSDT", "PARTIAL_75").await;
    let plan = stage.only_plan("BTCUSDT").await;
    owner.line("[PERMIT_WAIT] Polling for permits").await;
    let _: String = stage.command(&["SET", "fence", "1"]).await;
    let have: i64 = stage.command(&["WAIT", "1", "30000"]).await;
    assert_eq!(have, 1, "the replica has the claim");
    sentinel.master().pause();
    sentinel.is_promoted().await;
    sentinel.master().resume();
    // The owner takes them where it is.
    stage.approve(&plan, "0.05").await;
    owner.line("[PERMIT_WAIT] OK").await;
    stage.move_to(&sentinel.replica().url()).await;
    stage.approve(&plan, "0.05").await;
    let heir = how(&stage).ready().await;

    stage.result_of(plan.get("plan_id")).await;
    owner.stopped_well().await;
    heir.stopped_well().await;
    // One may have left on the word that was given just before the master stood still.
    let executed = match stage.orders().len() {
        0 => "False",
        1 => "True",
        more => panic!("{more} orders"),
    };
    let results = stage.entries(RESULTS).await;
    let words: Vec<&str> = results
        .iter()
        .map(|executed| executed.get("executed"))
        .collect();
    assert_eq!(words, [executed], "{results:?}");
}

#[tokio::test]
async fn on_a_cluster_with_tagged_permits_a_proposal_becomes_an_order() {
    let cluster = OnCluster::start().await;
    let stage = Stage::open().await;
    let service = stage
        .service()
        .env("REDIS_URL", &cluster.url)
        .env("APPLY_PERMITS", TAGGED)
        .env("APPLY_POLL_SEC", "3600")
        .ready()
        .await;
    service.line("noticed by tracking").await;
    for (n, symbol) in ["BTCUSDT", "ETHUSDT", "SOLUSDT"].into_iter().enumerate() {
        let key = format!("quantum:harvest:proposal:{symbol}");
        let propose = ["HSET", &key, "harvest_action", "PARTIAL_75"];
        let all = [&propose[..], &["kill_score", "0.5"]].concat();
        let _: i64 = cluster.command(&all).await;
        let plan = cluster.entry(PLANS, n).await;
        assert_eq!(plan.get("symbol"), symbol);
        let id = plan.get("plan_id");
        cluster.approve(id, symbol).await;
        cluster.executed(id, n).await;
        // Nothing is left over but what has to be remembered.
        let receipt = format!("quantum:apply:inflight:{{{id}}}");
        let open = "quantum:apply:open:{quantum:stream:apply.plan}";
        let claim = format!("quantum:apply:dedupe:{id}");
        let left = async || {
            let receipt: i64 = cluster.command(&["EXISTS", &receipt]).await;
            let open: i64 = cluster.command(&["HLEN", open]).await;
            let claim: i64 = cluster.command(&["EXISTS", &claim]).await;
            (receipt, open, claim)
        };
        while left().await != (0, 0, 1) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    service.stopped_well().await;
    eventually("three orders are in the log", || stage.orders().len() == 3).await;
    let filled = stage.orders().into_iter().map(|order| order.executed_qty);
    assert!(filled.into_iter().all(|quantity| quantity == d("0.05")));
}

/// Valkey 9 has them; on every other server a start says that there is none.
#[tokio::test]
async fn in_a_numbered_database_of_a_cluster_proposals_become_orders_or_the_start_is_refused() {
    const DATABASE: usize = 3;
    let stage = Stage::open().await;
    let how = |url: &str| {
        let how = stage.service().env("REDIS_URL", url);
        how.env("APPLY_PERMITS", TAGGED)
            .env("APPLY_POLL_SEC", "3600")
    };
    if !Cluster::has_numbered_databases() {
        let cluster = OnCluster::start().await;
        let how = how(&format!("{}/{DATABASE}", cluster.url));
        // At once: no wait gives a server more of them.
        let ended = how.env("APPLY_START_WAIT_SEC", "3600").ended().await;
        assert_eq!(ended.code, Some(78), "{}", ended.output());
        let fix =
            "correct the number at the end of REDIS_URL; a cluster before Valkey 9 has 0 only";
        assert!(ended.output().contains(fix), "{}", ended.output());
        return;
    }
    let cluster = OnCluster::start_in(DATABASE).await;
    let service = how(&cluster.url).ready().await;
    service.line("noticed by tracking").await;
    for (n, symbol) in ["BTCUSDT", "ETHUSDT", "SOLUSDT"].into_iter().enumerate() {
        let key = format!("quantum:harvest:proposal:{symbol}");
        let propose = ["HSET", &key, "harvest_action", "PARTIAL_75"];
        let all = [&propose[..], &["kill_score", "0.5"]].concat();
        let _: i64 = cluster.command(&all).await;
        let plan = cluster.entry(PLANS, n).await;
        assert_eq!(plan.get("symbol"), symbol);
        let id = plan.get("plan_id");
        // What lies in another database is no permit.
        for node in cluster.cluster.nodes() {
            for (permit, says) in [
                (format!("quantum:permit:{{{id}}}"), governor_permit(symbol)),
                (
                    format!("quantum:permit:p33:{{{id}}}"),
                    position_permit(symbol, "9"),
                ),
            ] {
                let mut set = redis::cmd("SETEX");
                set.arg(&permit).arg(60).arg(&says);
                // Two of the three do not have the key.
                let _ = set.exec_async(&mut node.connection().await).await;
            }
        }
        cluster.approve(id, symbol).await;
        cluster.executed(id, n).await;
    }
    service.stopped_well().await;
    let quantities: BTreeSet<String> = stage
        .orders()
        .iter()
        .map(|order| order.executed_qty.to_string())
        .collect();
    assert_eq!(stage.orders().len(), 3);
    assert_eq!(quantities, BTreeSet::from(["0.05".to_owned()]));
}

#[tokio::test]
async fn on_a_cluster_two_instances_make_one_order_and_one_result_of_every_proposal() {
    const PROPOSALS: usize = 9;
    let cluster = OnCluster::start().await;
    let stage = Stage::open().await;
    let service = || {
        stage
            .service()
            .env("REDIS_URL", &cluster.url)
            .env("APPLY_PERMITS", TAGGED)
            .ready()
    };
    let (one, other) = tokio::join!(service(), service());
    for n in 0..PROPOSALS {
        let symbol = ["BTCUSDT", "ETHUSDT", "SOLUSDT"][n % 3];
        let key = format!("quantum:harvest:proposal:{symbol}");
        let at = computed_now(n as u64);
        let propose = ["HSET", &key, "harvest_action", "PARTIAL_75"];
        let all = [&propose[..], &["kill_score", "0.5", "computed_at_utc", &at]].concat();
        let _: i64 = cluster.command(&all).await;
        let plan = cluster.entry(PLANS, n).await;
        let id = plan.get("plan_id");
        cluster.approve(id, symbol).await;
        cluster.executed(id, n).await;
        // The second instance has noticed.
        let duplicate =
            format!("Plan {id} skipped (decision=SKIP, symbol={symbol}) reason=duplicate_plan");
        tokio::select! {
            _ = one.line(&duplicate) => {}
            _ = other.line(&duplicate) => {}
        }
    }
    one.stopped_well().await;
    other.stopped_well().await;
    for stream in [PLANS, RESULTS] {
        let entries: usize = cluster.command(&["XLEN", stream]).await;
        assert_eq!(entries, PROPOSALS, "{stream}");
    }
    let orders: BTreeSet<_> = stage
        .orders()
        .into_iter()
        .map(|order| order.client_order_id)
        .collect();
    assert_eq!((orders.len(), stage.orders().len()), (PROPOSALS, PROPOSALS));
}

#[tokio::test]
async fn on_a_cluster_that_splits_the_permits_the_start_is_refused_with_the_fix() {
    let cluster = OnCluster::start().await;
    let stage = Stage::open().await;
    let ended = stage.service().env("REDIS_URL", &cluster.url).ended().await;
    assert_eq!(ended.code, Some(78), "{}", ended.output());
    for part in ["different slots", "quantum:permit:{{plan}}"] {
        assert!(ended.output().contains(part), "{}", ended.output());
    }
}

#[tokio::test]
async fn on_a_cluster_nothing_starts_that_would_write_positions() {
    let cluster = OnCluster::start().await;
    let stage = Stage::open().await;
    let how = stage
        .service()
        .env("REDIS_URL", &cluster.url)
        .env("APPLY_LEDGER", "write");
    let ended = how.ended().await;
    assert_eq!(ended.code, Some(78), "{}", ended.output());
    for part in [
        "APPLY_LEDGER=write",
        "different slots",
        "use book-once or off",
    ] {
        assert!(ended.output().contains(part), "{}", ended.output());
    }
}

struct OnCluster {
    url: String,
    nodes: Vec<MultiplexedConnection>,
    cluster: Cluster,
}

impl OnCluster {
    async fn start() -> Self {
        Self::of(Cluster::start(3).await).await
    }

    /// The same where everybody works in a database of this number.
    async fn start_in(database: usize) -> Self {
        let mut started = Self::of(Cluster::start_numbered(3, database + 1).await).await;
        for node in &mut started.nodes {
            let select = redis::cmd("SELECT").arg(database).exec_async(node).await;
            select.unwrap();
        }
        has_been_up(&mut started.nodes, &Keys::default().on_a_cluster()).await;
        started.url = format!("{}/{database}", started.url);
        started
    }

    async fn of(cluster: Cluster) -> Self {
        let hosts = cluster.urls().join(",").replace("redis://", "");
        let mut nodes = Vec::new();
        for node in cluster.nodes() {
            nodes.push(node.connection().await);
        }
        has_been_up(&mut nodes, &Keys::default().on_a_cluster()).await;
        Self {
            url: format!("redis+cluster://{hosts}"),
            nodes,
            cluster,
        }
    }

    /// A command where its key lies.
    async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        command.arg(words);
        for node in &self.nodes {
            match command.query_async(&mut node.clone()).await {
                Err(error) if error.code() == Some("MOVED") => {}
                answer => return answer.unwrap(),
            }
        }
        panic!("no node has the key of {words:?}");
    }

    /// Both permits of a plan.
    async fn approve(&self, id: &str, symbol: &str) {
        for (prefix, permit) in [
            ("quantum:permit:", governor_permit(symbol)),
            ("quantum:permit:p33:", position_permit(symbol, "0.05")),
        ] {
            let key = format!("{prefix}{{{id}}}");
            let _: String = self.command(&["SETEX", &key, "60", &permit]).await;
        }
    }

    /// The result at this place says that this plan was executed.
    async fn executed(&self, id: &str, index: usize) {
        let result = self.entry(RESULTS, index).await;
        assert_eq!(
            (result.get("plan_id"), result.get("executed")),
            (id, "True")
        );
    }

    /// The entry at this place of a stream, once it is there.
    async fn entry(&self, stream: &str, index: usize) -> Entry {
        apply_tests::within(&format!("{stream} has {} entries", index + 1), async {
            loop {
                let range = self.command(&["XRANGE", stream, "-", "+"]).await;
                if let Some(entry) = Entry::of_range(range).into_iter().nth(index) {
                    return entry;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await
    }
}
