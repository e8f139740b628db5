//! `apply-layer demo`: needs nothing installed and says what it saw.
#![allow(clippy::unwrap_used)]

use apply_tests::{ServiceBuilder, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[tokio::test]
async fn the_demo_comes_out_as_expected_and_closes_with_a_table() {
    let ended = ServiceBuilder::command(&["demo"]).ended().await;
    let output = ended.output();
    assert_eq!(ended.code, Some(0), "{output}");
    let heading = ended
        .log
        .iter()
        .position(|line| line.starts_with("scenario") && line.contains("expected"))
        .unwrap_or_else(|| panic!("no table: {output}"));
    let no_p33 = "no order, permit_timeout_or_missing:missing_p33";
    let rows = [
        ("both permits in time", "SELL 0.009"),
        ("position permit late", "SELL 0.006"),
        ("position permit never", no_p33),
        ("position brain denies", "no order, p33_permit_denied"),
    ]
    // Expected, then seen, then the verdict.
    .map(|(scenario, outcome)| format!("{scenario:<24}{outcome:<48}{outcome:<48}ok"));
    assert_eq!(ended.log[heading + 1..], rows, "{output}");
    // What happened was printed as it happened.
    for line in [
        "[PERMIT_WAIT] Polling for permits (max_wait=1200ms)",
        "Executing step CLOSE_PARTIAL_75",
        "executed successfully on testnet",
        "Result: executed=False, error=p33_permit_denied",
    ] {
        assert!(output.contains(line), "{line} in {output}");
    }
}

#[tokio::test]
async fn the_demo_that_serves_shows_plans_come_and_go_until_sigint_and_leaves_nothing() {
    let how = ServiceBuilder::command(&["demo", "--serve"]);
    let state = how.state_directory().to_owned();
    let demo = how.start().await;
    let line = demo.line("the page: http://").await;
    let (_, rest) = line.split_once("http://").unwrap();
    let address = rest.split('/').next().unwrap().to_owned();
    let page = ask(&address, "/").await;
    assert!(
        read_until(page, "</html>")
            .await
            .starts_with("HTTP/1.1 200")
    );
    // From the stream that the page lives on: everything first, then a wait, its permits, its order.
    let events = ask(&address, "/events").await;
    let event = read_until(events, r#""executed":true"#).await;
    for part in [
        "event: snapshot",
        "event: plan",
        r#""label":"P3.3""#,
        r#""outcome":"accepted""#,
    ] {
        assert!(event.contains(part), "{part} in {event}");
    }
    demo.line("BLOCK plan=").await;

    demo.signal("INT").await;
    let ended = demo.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.output());
    assert_eq!(ended.errors, [""; 0]);
    assert!(!state.exists(), "nothing was kept");
}

#[tokio::test]
async fn a_port_of_the_demo_that_is_taken_is_reported_with_the_fix() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let demo = ServiceBuilder::command(&["demo", "--serve", "--port", &port]);
    let ended = demo.ended().await;
    assert_eq!(ended.code, Some(69), "{}", ended.output());
    assert!(ended.output().contains("set --port to another one"));
}

async fn ask(address: &str, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// What comes until this was said.
async fn read_until(mut socket: TcpStream, text: &str) -> String {
    let (mut read, mut bytes) = (Vec::new(), [0; 4096]);
    within(&format!("{text} is said"), async {
        loop {
            let count = socket.read(&mut bytes).await.unwrap();
            assert!(count > 0, "it ended without {text}");
            read.extend_from_slice(&bytes[..count]);
            let said = String::from_utf8_lossy(&read);
            if said.contains(text) {
                return said.into_owned();
            }
        }
    })
    .await
}
