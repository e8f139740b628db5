//! The harness keeps its promises, or no test that uses it means anything.

#![allow(clippy::unwrap_used)]

use redis::{AsyncCommands, cmd};
use redis_harness::{Cluster, RedisServer, Sentinel};
use std::{net::TcpStream, path::Path, time::Duration};

#[tokio::test]
async fn two_servers_do_not_share_anything() {
    let (a, b) = (RedisServer::start().await, RedisServer::start().await);
    let () = a.connection().await.set("k", 1).await.unwrap();
    let there: bool = b.connection().await.exists("k").await.unwrap();
    assert!(!there);
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let server = RedisServer::start().await;
    let (port, proc) = (server.port(), format!("/proc/{}", server.pid()));
    assert!(Path::new(&proc).exists());
    drop(server);
    assert!(!Path::new(&proc).exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn a_server_outlives_the_thread_that_started_it() {
    let server = std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(RedisServer::start())
    })
    .join()
    .unwrap();
    let pong: String = cmd("PING")
        .query_async(&mut server.connection().await)
        .await
        .unwrap();
    assert_eq!(pong, "PONG");
}

#[tokio::test]
async fn a_restart_keeps_the_port_and_only_what_was_asked_to_be_kept() {
    for (mut server, kept) in [
        (RedisServer::start().await, false),
        (RedisServer::builder().aof("always").start().await, true),
    ] {
        let port = server.port();
        let () = server.connection().await.set("k", 1).await.unwrap();
        server.kill();
        server.restart().await;
        assert_eq!(server.port(), port);
        let there: bool = server.connection().await.exists("k").await.unwrap();
        assert_eq!(there, kept);
    }
}

#[tokio::test]
async fn a_paused_server_answers_only_when_resumed() {
    let server = RedisServer::start().await;
    let link = server.connection().await;
    server.pause();
    let asked = tokio::spawn(async move {
        let mut link = link.clone();
        link.set_response_timeout(Duration::from_secs(30));
        cmd("PING").query_async::<String>(&mut link).await
    });
    let state = format!("/proc/{}/stat", server.pid());
    while !std::fs::read_to_string(&state).unwrap().contains(") T ") {
        tokio::task::yield_now().await;
    }
    assert!(!asked.is_finished());
    server.resume();
    assert_eq!(asked.await.unwrap().unwrap(), "PONG");
}

#[tokio::test]
async fn an_acl_user_may_do_what_its_line_says() {
    let server = RedisServer::builder()
        .acl("worker on >secret ~* +get +client +hello")
        .start()
        .await;
    let client = redis::Client::open(server.url_as("worker", "secret")).unwrap();
    let mut link = client.get_multiplexed_async_connection().await.unwrap();
    let nothing: Option<String> = link.get("k").await.unwrap();
    assert_eq!(nothing, None);
    let refused = link.set::<_, _, ()>("k", 1).await.unwrap_err();
    assert_eq!(refused.code(), Some("NOPERM"));
}

#[tokio::test]
async fn a_cluster_takes_every_key() {
    let cluster = Cluster::start(3).await;
    let mut owners = 0;
    for node in cluster.nodes() {
        let answer = node.connection().await.set::<_, _, ()>("k", 1).await;
        owners += usize::from(answer.is_ok());
    }
    assert_eq!(owners, 1, "one node owns the key, the others point at it");
}

#[tokio::test]
async fn sentinels_promote_the_replica() {
    let mut sentinel = Sentinel::start_with(3).await;
    let port = sentinel.replica().port();
    sentinel.fail_over().await;
    let mut link = sentinel.replica().connection().await;
    let () = link.set("k", 1).await.unwrap();
    assert_eq!(sentinel.replica().port(), port);
}

#[tokio::test]
async fn a_tls_server_speaks_tls_under_its_own_authority() {
    let server = RedisServer::builder().tls().start().await;
    assert!(server.certificates().ca_pem().contains("BEGIN CERTIFICATE"));
    assert!(server.tls_url().starts_with("rediss://127.0.0.1:"));
    // A TLS port hangs up on plain text; the handshake itself is tested where a client does one.
    let mut socket = TcpStream::connect(server.tls_url().replace("rediss://", "")).unwrap();
    std::io::Write::write_all(&mut socket, b"PING\r\n").unwrap();
    let mut reply = Vec::new();
    let _ = std::io::Read::read_to_end(&mut socket, &mut reply);
    assert!(!reply.starts_with(b"+PONG"));
}
