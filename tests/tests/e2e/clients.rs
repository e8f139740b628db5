//! Clients of the port that hold what they were given and give nothing back.

use apply_tests::{Service, Stage, within};
use std::{net::SocketAddr, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// What a client of the port may send and leave at that.
const HALVES: [&str; 4] = [
    "",
    "GET /metr",
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\n",
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
];

async fn send(address: SocketAddr, words: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(words.as_bytes()).await.unwrap();
    socket
}

/// A client that asks and hardly reads: its own system holds little for it.
async fn ask_and_stop_reading(address: SocketAddr, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    // Now there is an answer to hold.
    let mut word = [0; 12];
    socket.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"HTTP/1.1 200", "{path}");
    socket
}

#[tokio::test]
async fn whatever_clients_do_the_service_ends_when_it_is_asked_to() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let address = service.address().await;
    let mut held = Vec::new();
    for words in HALVES {
        held.push(send(address, words).await);
    }
    for path in ["/metrics", "/events", "/"] {
        held.push(ask_and_stop_reading(address, path).await);
    }
    let asked = Instant::now();
    service.stopped_well().await;
    let took = asked.elapsed();
    println!("ended {took:?} after SIGTERM, with {} clients", held.len());
    // The bound is 5 s; a busy machine has some more.
    assert!(took.as_secs() < 15, "{took:?}");
}

#[tokio::test]
async fn while_clients_hold_every_connection_others_are_answered() {
    let stage = Stage::open().await;
    let service = stage.ready().await;
    let address = service.address().await;
    let mut held = Vec::new();
    for n in 0..300 {
        held.push(send(address, HALVES[n % HALVES.len()]).await);
    }
    assert!(service.metrics().await.contains("quantum_apply_halted"));
    service.readiness("200", "ready").await;
    let open = std::fs::read_dir(format!("/proc/{}/fd", service.id().unwrap())).unwrap();
    let open = open.count();
    println!("{open} files open with 300 clients");
    assert!(open < 150, "{open} files");
    service.stopped_well().await;
}

async fn ten_thousand_symbols(stage: &Stage) -> Service {
    let symbols: Vec<String> = (0..10_000).map(|n| format!("S{n:04}USDT")).collect();
    let all = symbols.join(",");
    let service = stage
        .service()
        .env("SYMBOLS", &all)
        .env("APPLY_ALLOWLIST", &all)
        .env("APPLY_POLL_SEC", "600");
    service.ready().await
}

#[tokio::test]
async fn sixty_slow_readers_of_ten_thousand_symbols_share_what_they_read() {
    let stage = Stage::open().await;
    let service = ten_thousand_symbols(&stage).await;
    let address = service.address().await;
    let whole = service.metrics().await;
    assert!(whole.ends_with("# EOF\n"));
    let before = service.peak_memory();
    let mut held = Vec::new();
    for (path, readers) in [("/metrics", 40), ("/api/symbols.json", 10), ("/events", 10)] {
        for _ in 0..readers {
            held.push(ask_and_stop_reading(address, path).await);
        }
    }
    let grown = service.peak_memory() - before;
    println!(
        "a page of {} KiB, {before} KiB before, {grown} KiB more with {} slow readers",
        whole.len() / 1024,
        held.len()
    );
    assert!(grown < 48 * 1024, "{grown} KiB");
    // Who reads gets the whole.
    let again = within("the page is there", service.metrics()).await;
    assert!(again.len() + 1000 > whole.len() && again.ends_with("# EOF\n"));
    drop(held);
    service.stopped_well().await;
}
