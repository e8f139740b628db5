//! The metrics port.

use crate::{exit::Failure, metrics::Metrics};
use axum::{
    Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get,
};
use std::{future::Future, net::SocketAddr};
use tokio::net::TcpListener;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Takes the port, or says what to do about it. The address is the one taken: port 0 takes a free one.
pub(crate) async fn listen(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let taken = async {
        let listener = TcpListener::bind(wanted).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    taken.await.map_err(|error: std::io::Error| {
        Failure::unavailable(format!(
            "cannot listen on {wanted} for metrics: {error}; stop what uses the port or set APPLY_METRICS_PORT to another one"
        ))
    })
}

/// Serves until `stop` resolves and open requests are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let app = Router::new()
        .route("/metrics", get(page))
        .with_state(metrics);
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await
        .map_err(|error| Failure::unavailable(format!("the metrics page broke down: {error}")))
}

async fn page(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPENMETRICS)], metrics.render())
}
