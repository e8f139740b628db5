//! The metrics port.

mod hosts;
mod server;
mod shared;

pub use hosts::Hosts;
pub(crate) use shared::Shared;

use crate::exit::Failure;
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::from_fn_with_state,
    response::IntoResponse,
    routing::get,
};
use std::{future::Future, net::SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// Connections take it over from the listening socket.
const SEND_BUFFER: u32 = 128 * 1024;

/// Connections that wait to be taken.
const BACKLOG: u32 = 256;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Takes the port, or says which variable to change. The address is the one taken: port 0 takes a free one.
pub async fn listen(
    wanted: SocketAddr,
    variable: &str,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let taken = async {
        let socket = match wanted.is_ipv4() {
            true => TcpSocket::new_v4(),
            false => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        // Of what a slow reader was sent the system holds so much, and not megabytes.
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(wanted)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    taken.await.map_err(|error: std::io::Error| {
        Failure::unavailable(format!(
            "cannot listen on {wanted} for metrics: {error}; stop what uses the port or set {variable} to another one"
        ))
    })
}

/// The plans and results that the page shows.
pub trait Page: Clone + Send + Sync + 'static {
    /// The page as of now, in the OpenMetrics text format.
    fn render(&self) -> String;

    /// Whether what there is to do is being done.
    fn is_ready(&self) -> bool {
        true
    }

    /// The parts and how they are, a line each, for `/readyz?verbose`.
    fn parts(&self) -> String {
        String::new()
    }
}

/// Serves until `stop` resolves, and two seconds longer those that are being answered then. A client that asks
/// under a name that is not among `hosts` is turned away.
pub async fn serve<P: Page>(
    listener: TcpListener,
    hosts: Hosts,
    metrics: P,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    serve_with(listener, hosts, metrics, Router::new(), stop).await;
}

/// The same with other routes beside it.
pub async fn serve_with<P: Page>(
    listener: TcpListener,
    hosts: Hosts,
    metrics: P,
    more: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let shared = Shared::default();
    let app = Router::new()
        .route(
            "/metrics",
            get(move |State(metrics): State<P>| page(shared.clone(), metrics)),
        )
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready::<P>))
        .with_state(metrics)
        .merge(more)
        .layer(from_fn_with_state(hosts, hosts::guard));
    server::serve(listener, app, server::LIMITS, stop).await;
}

async fn ready<P: Page>(State(page): State<P>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let (code, word) = match page.is_ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    };
    let parts = match query.as_deref() {
        Some("verbose") => page.parts(),
        _ => String::new(),
    };
    (code, parts + word)
}

async fn page<P: Page>(shared: Shared, metrics: P) -> impl IntoResponse {
    let page = shared.get(move || metrics.render()).await;
    ([(CONTENT_TYPE, OPENMETRICS)], page)
}
