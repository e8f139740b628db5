//! The operator's page: can orders flow, what is waiting, what came of it.
//!
//! It reads and never acts: every route answers `GET` alone. Whatever it needs is in the binary,
//! and the browser is told to load nothing from elsewhere.
//!
//! `state` hears every event and keeps a bounded model, `watch` asks the parts how they are,
//! `events` passes changes on to the browsers.

mod events;
mod gauges;
mod state;
mod view;
mod vitals;
mod watch;

pub use gauges::FlowGauges;
pub use state::Live;
pub use view::Leaving;
pub use vitals::Vitals;
pub use watch::{Parts, watch};

use crate::http::Shared;
use axum::{
    Router,
    extract::Request,
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use events::Desk;
use tokio_util::sync::CancellationToken;

const HTML: &str = include_str!("index.html");
const SCRIPT: &str = include_str!("app.js");
const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

/// Plans whose order may be on its way; `halt` asks for them.
pub const LEAVING: &str = "/api/leaving.json";

/// Its own files and its own stream; no inline script or style, no frame around it, no form in it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, its data and its stream, until `stop`.
pub fn routes(live: &Live, stop: CancellationToken) -> Router {
    let desk = Desk::new(live.clone(), stop);
    let api = |read: fn(&Live) -> String| {
        let live = live.clone();
        get(move || async move { file("application/json", read(&live)) })
    };
    let (shared, all) = (Shared::default(), live.clone());
    let health = live.clone();
    Router::new()
        .route("/", asset("text/html; charset=utf-8", HTML))
        .route("/app.js", asset("text/javascript; charset=utf-8", SCRIPT))
        .route("/style.css", asset("text/css; charset=utf-8", STYLE))
        .route("/icon.svg", asset("image/svg+xml", ICON))
        .route("/events", get(move || async move { desk.subscribe() }))
        .route("/api/status.json", api(|live| state::json(&live.vitals())))
        .route("/api/symbols.json", get(move || symbols(shared, all)))
        .route("/api/plans.json", api(Live::plans))
        .route("/api/waits.json", api(Live::waits))
        .route(LEAVING, api(Live::leaving))
        .route("/healthz", get(move || async move { healthz(&health) }))
        .layer(from_fn(with_care))
}

/// Of ten thousand symbols it is megabytes: readers share it.
async fn symbols(shared: Shared, live: Live) -> impl IntoResponse {
    file("application/json", shared.get(move || live.symbols()).await)
}

/// The status once more, with a code that a load balancer or a script can act on: 200 while the
/// service can do its work (halted or not), 503 while something needed is away.
fn healthz(live: &Live) -> Response {
    let vitals = live.vitals();
    let code = match vitals.is_well() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, file("application/json", state::json(&vitals))).into_response()
}

fn asset(kind: &'static str, content: &'static str) -> axum::routing::MethodRouter {
    get(move || async move { file(kind, content) })
}

fn file(kind: &'static str, content: impl IntoResponse) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], content)
}

async fn with_care(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_under_fifty_kibibytes_in_all() {
        let size: usize = [HTML, SCRIPT, STYLE, ICON].iter().map(|f| f.len()).sum();
        assert!(size < 50 * 1024, "{size} bytes");
    }
}
