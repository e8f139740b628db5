//! Asking the service that runs on this machine.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// The longest body that is read.
const MOST: usize = 1 << 20;

/// What the service answered.
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body; what is not UTF-8 is replaced.
    pub(crate) body: String,
}

/// A service that listens everywhere is asked on this machine.
pub(crate) fn reachable(at: SocketAddr) -> SocketAddr {
    match at.ip().is_unspecified() {
        true => SocketAddr::from(([127, 0, 0, 1], at.port())),
        false => at,
    }
}

/// Sends one GET. `None` where nothing answers, or not in HTTP, or with more than 1 MiB.
///
/// Cancellation: the connection is closed, since its task ends with `sender`.
pub(crate) async fn get(at: SocketAddr, path: &str) -> Option<Answer> {
    let stream = TcpStream::connect(at).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, at.to_string());
    let request = request.body(Empty::<Bytes>::new()).ok()?;
    let answer = sender.send_request(request).await.ok()?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MOST)
        .collect()
        .await
        .ok()?;
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    Some(Answer { status, body })
}
