//! Who is in charge: asked of sentinels and of a cluster's masters, not of the server itself.

#![allow(clippy::unwrap_used)]

mod common;

use common::until;
use permit_redis::{InCharge, RedisConfig, RedisLink};
use redis::cmd;
use redis_harness::{Cluster, RedisServer, Sentinel};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const KEY: &str = "quantum:apply:open";

/// Says nothing at all.
const SILENT: u16 = 0;

/// A sentinel that names the master it is given.
struct Puppet {
    port: u16,
    names: Arc<AtomicU16>,
}

impl Puppet {
    async fn naming(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let names = Arc::new(AtomicU16::new(port));
        let puppet = Self {
            port: listener.local_addr().unwrap().port(),
            names: Arc::clone(&names),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(client, Arc::clone(&names)));
            }
        });
        puppet
    }

    fn name(&self, port: u16) {
        self.names.store(port, Ordering::SeqCst);
    }
}

/// Answers every command: with the name of the master where it is asked for, else with OK.
async fn answer(mut client: TcpStream, names: Arc<AtomicU16>) {
    let mut question = vec![0; 4096];
    while let Ok(got @ 1..) = client.read(&mut question).await {
        let text = String::from_utf8_lossy(&question[..got]).into_owned();
        let mut answers = String::new();
        for command in text.split("\r\n*").filter(|command| !command.is_empty()) {
            let port = names.load(Ordering::SeqCst);
            match (command.contains("get-master-addr-by-name"), port) {
                (false, _) => answers.push_str("+OK\r\n"),
                (true, SILENT) => {}
                (true, port) => {
                    let length = port.to_string().len();
                    let named = format!("*2\r\n$9\r\n127.0.0.1\r\n${length}\r\n{port}\r\n");
                    answers.push_str(&named);
                }
            }
        }
        if client.write_all(answers.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn link(sentinels: &[Puppet]) -> RedisLink {
    let hosts: Vec<String> = sentinels
        .iter()
        .map(|sentinel| format!("127.0.0.1:{}", sentinel.port))
        .collect();
    let url = format!("redis+sentinel://{}/mymaster", hosts.join(","));
    RedisLink::connect(RedisConfig::new(&url).unwrap())
        .await
        .unwrap()
}

fn asked_at(said: &InCharge) -> Instant {
    match said {
        InCharge::Confirmed { asked_at } => *asked_at,
        other => panic!("confirmed, not {other:?}"),
    }
}

fn why(said: &InCharge) -> &str {
    match said {
        InCharge::Unconfirmed { why } => why,
        other => panic!("unconfirmed, not {other:?}"),
    }
}

#[tokio::test]
async fn one_server_alone_is_always_in_charge() {
    let server = RedisServer::start().await;
    let link = RedisLink::connect(RedisConfig::new(&server.url()).unwrap())
        .await
        .unwrap();
    assert_eq!(link.in_charge(KEY), InCharge::Always);
    assert_eq!(link.confirm_in_charge(KEY).await, InCharge::Always);
}

#[tokio::test]
async fn a_master_that_calls_itself_one_is_not_in_charge_once_a_sentinel_names_another() {
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let sentinels = [
        Puppet::naming(old.port()).await,
        Puppet::naming(old.port()).await,
        Puppet::naming(old.port()).await,
    ];
    let link = link(&sentinels).await;
    let first = asked_at(&link.in_charge(KEY));
    let before = Instant::now();
    let asked = asked_at(&link.confirm_in_charge(KEY).await);
    assert!(first < before && before <= asked && asked <= Instant::now());

    // Still connected to the old one, which answers and says that it is a master.
    sentinels[2].name(new.port());
    let said = link.confirm_in_charge(KEY).await;
    assert!(why(&said).starts_with("some name 127.0.0.1:"), "{said:?}");
    for sentinel in &sentinels {
        sentinel.name(new.port());
    }
    let said = link.confirm_in_charge(KEY).await;
    let expected = format!(
        "127.0.0.1:{} is in charge, not 127.0.0.1:{}",
        new.port(),
        old.port()
    );
    assert_eq!(why(&said), expected);
    let ping = cmd("PING");
    ping.exec_async(&mut link.at(KEY)).await.unwrap();
}

#[tokio::test]
async fn what_a_majority_said_grows_old_where_it_falls_silent_and_is_gone_where_one_says_otherwise()
{
    let (old, new) = (RedisServer::start().await, RedisServer::start().await);
    let sentinels = [
        Puppet::naming(old.port()).await,
        Puppet::naming(old.port()).await,
        Puppet::naming(old.port()).await,
    ];
    let link = link(&sentinels).await;
    sentinels[0].name(SILENT);
    let two = asked_at(&link.confirm_in_charge(KEY).await);
    sentinels[1].name(SILENT);
    // One question may have been answered before they fell silent.
    let last = asked_at(&link.confirm_in_charge(KEY).await);
    assert!(last >= two);
    let again = asked_at(&link.confirm_in_charge(KEY).await);
    assert_eq!(last, again, "one of three is no majority");
    sentinels[2].name(new.port());
    let said = link.confirm_in_charge(KEY).await;
    assert_eq!(why(&said), "1 of 3 say who is in charge");
    sentinels[2].name(old.port());
    let said = link.confirm_in_charge(KEY).await;
    assert_eq!(why(&said), "1 of 3 say who is in charge");
    sentinels[0].name(old.port());
    asked_at(&link.confirm_in_charge(KEY).await);
}

/// A link that asks these sentinels for their master.
async fn led_by(sentinel: &Sentinel) -> RedisLink {
    let hosts = sentinel.urls().join(",").replace("redis://", "");
    let url = format!("redis+sentinel://{hosts}/{}", Sentinel::MASTER);
    RedisLink::connect(RedisConfig::new(&url).unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn real_sentinels_confirm_the_master_they_made_and_go_on_without_being_asked() {
    let mut sentinel = Sentinel::start_with(3).await;
    let link = led_by(&sentinel).await;
    let first = asked_at(&link.in_charge(KEY));
    until(|| matches!(link.in_charge(KEY), InCharge::Confirmed { asked_at } if asked_at > first))
        .await;
    sentinel.fail_over().await;
    let promoted = Instant::now();
    until(
        || matches!(link.in_charge(KEY), InCharge::Confirmed { asked_at } if asked_at > promoted),
    )
    .await;
    let mut role = cmd("INFO");
    role.arg("server");
    let info: String = role.query_async(&mut link.at(KEY)).await.unwrap();
    assert!(info.contains(&format!("tcp_port:{}", sentinel.replica().port())));
}

/// For up to a second after it has promoted a replica a sentinel still names the former master.
#[tokio::test]
async fn a_master_that_stands_still_and_goes_on_is_not_in_charge_once_its_replica_is_a_master() {
    let mut sentinel = Sentinel::start_with(3).await;
    let link = led_by(&sentinel).await;
    let former = sentinel.master().port();
    sentinel.master().pause();
    sentinel.is_promoted().await;
    sentinel.master().resume();
    let promoted = Instant::now();
    let mut role = cmd("INFO");
    role.arg("server");
    while promoted.elapsed() < Duration::from_millis(1500) {
        let asked = Instant::now();
        let said = link.confirm_in_charge(KEY).await;
        let at = role.query_async::<String>(&mut link.at(KEY)).await;
        let still = at.is_ok_and(|at| at.contains(&format!("tcp_port:{former}")));
        if let InCharge::Confirmed { asked_at } = said
            && asked_at >= asked
        {
            assert!(!still, "{:?} after the promotion", promoted.elapsed());
        }
    }
}

/// A key whose slot is among the third that this node serves.
async fn key_of(cluster: &Cluster, node: usize) -> String {
    let mut link = cluster.nodes()[0].connection().await;
    for n in 0..100 {
        let key = format!("key-{n}");
        let mut ask = cmd("CLUSTER");
        ask.arg("KEYSLOT").arg(&key);
        let slot: usize = ask.query_async(&mut link).await.unwrap();
        if slot * 3 / 16_384 == node {
            return key;
        }
    }
    panic!("a hundred keys spread over three nodes");
}

#[tokio::test]
async fn masters_of_a_cluster_confirm_each_other_as_long_as_most_of_them_live() {
    let mut cluster = Cluster::start(3).await;
    let hosts = cluster.urls().join(",").replace("redis://", "");
    let config = RedisConfig::new(&format!("redis+cluster://{hosts}")).unwrap();
    let link = RedisLink::connect(config).await.unwrap();
    let keys = [
        key_of(&cluster, 0).await,
        key_of(&cluster, 1).await,
        key_of(&cluster, 2).await,
    ];
    for key in &keys {
        asked_at(&link.confirm_in_charge(key).await);
    }
    cluster.nodes_mut()[0].kill();
    until(|| matches!(link.in_charge(&keys[0]), InCharge::Unconfirmed { .. })).await;
    let later = Instant::now() + Duration::from_millis(1);
    until(
        || matches!(link.in_charge(&keys[1]), InCharge::Confirmed { asked_at } if asked_at > later),
    )
    .await;
    cluster.nodes_mut()[1].kill();
    let last = asked_at(&link.confirm_in_charge(&keys[2]).await);
    let again = asked_at(&link.confirm_in_charge(&keys[2]).await);
    assert_eq!(last, again, "one of three is no majority");
}
