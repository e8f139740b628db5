//! The operator's page: can orders flow, what is waiting, what came of it.
//!
//! It reads and never acts: every route answers `GET` alone. Whatever it needs is in the binary,
//! and the browser is made to load nothing from elsewhere.
//!
//! `state` hears every event and keeps a bounded model, `watch` asks the parts how they are,
//! `events` passes changes on to the browsers.

mod document;
mod events;
mod gauges;
mod health_snapshot;
mod past;
mod reviewers;
mod state;
mod trends;
mod view;
mod watch;

pub use gauges::{ReviewerGauges, TradingGauges};
pub use health_snapshot::HealthSnapshot;
pub use past::{keep_past, keep_waits};
pub use state::DashboardState;
pub use view::InFlightOrder;
pub(crate) use view::{ForeignView, OrderView, PlanView, ResultView, WaitView, cut, in_words};
pub use watch::{Parts, record_settling, watch};

use crate::{
    history::{History, Past, Query, Story, Unread},
    http::Shared,
};
use axum::{
    Router,
    extract::{Path, RawQuery, Request},
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
use document::{POLICY, document};
use events::StreamState;
use permit_gate::PlanId;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

const ICON: &str = include_str!("icon.svg");

/// Plans whose order may be on its way; `halt` asks for them.
pub const IN_FLIGHT: &str = "/api/leaving.json";

/// The page, its data and its stream, until `stop`.
pub fn routes(live: &DashboardState, history: &History, stop: CancellationToken) -> Router {
    if history.is_kept() {
        live.follow_results();
    }
    let stream = StreamState::new(live.clone(), stop);
    let api = |read: fn(&DashboardState) -> String| {
        let live = live.clone();
        get(move || async move { file("application/json", read(&live)) })
    };
    let (shared, all) = (Shared::default(), live.clone());
    let (health, page, one) = (live.clone(), live.clone(), live.clone());
    let (plans, plan) = (
        (live.clone(), history.clone()),
        (live.clone(), history.clone()),
    );
    Router::new()
        .route("/", get(move || async move { document(&page) }))
        .route(
            "/plan/{id}",
            get(move |Path(id): Path<String>| async move {
                match PlanId::new(&id) {
                    Ok(_) => document(&one),
                    Err(_) => (StatusCode::NOT_FOUND, NO_PLAN_ID).into_response(),
                }
            }),
        )
        .route("/icon.svg", get(async || file("image/svg+xml", ICON)))
        .route("/events", get(move || async move { stream.subscribe() }))
        .route("/api/status.json", api(|live| state::json(&live.health())))
        .route("/api/symbols.json", get(move || symbols(shared, all)))
        .route(
            "/api/plans.json",
            get(move |RawQuery(query)| plans_json(plans.0, plans.1, query)),
        )
        .route(
            "/api/plan/{id}",
            get(move |Path(id)| plan_json(plan.0, plan.1, id)),
        )
        .route("/api/trends.json", api(DashboardState::trends))
        .route("/api/waits.json", api(DashboardState::waits))
        .route(IN_FLIGHT, api(DashboardState::in_flight))
        .route("/healthz", get(move || async move { healthz(&health) }))
        .layer(from_fn(with_care))
}

const NO_PLAN_ID: &str = "a plan's id is 16 hexadecimal digits\n";

/// An answer that says what is wrong.
fn no(code: StatusCode, why: &str) -> Response {
    #[derive(Serialize)]
    struct No<'a> {
        error: &'a str,
    }
    (
        code,
        file("application/json", state::json(&No { error: why })),
    )
        .into_response()
}

fn unread(why: &Unread) -> Response {
    no(StatusCode::SERVICE_UNAVAILABLE, &why.to_string())
}

/// Plans from the streams, the newest first; those that this process has seen with all that it saw.
async fn plans_json(live: DashboardState, history: History, query: Option<String>) -> Response {
    let query = match Query::parse(query.as_deref().unwrap_or_default(), view::now()) {
        Ok(query) => query,
        Err(wrong) => return no(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    let seen = live.plans();
    let past = match history.page(&query).await {
        Ok(past) => past,
        // Everything that there is is in the model.
        Err(Unread::NotKept) => Past {
            plans: match query.before {
                None => seen
                    .iter()
                    .rev()
                    .filter(|plan| plan.passes(&query.filter))
                    .take(query.limit)
                    .cloned()
                    .collect(),
                Some(_) => Vec::new(),
            },
            ..Past::default()
        },
        Err(why) => return unread(&why),
    };
    let plans =
        past.plans
            .into_iter()
            .map(|plan| match seen.iter().find(|seen| seen.id == plan.id) {
                Some(seen) => seen.clone().with_past(plan),
                None => plan,
            });
    let past = Past {
        plans: plans.collect(),
        ..past
    };
    file("application/json", state::json(&past)).into_response()
}

/// One plan: as the streams have it, with what this process saw of it, and what the journal of this machine says.
async fn plan_json(live: DashboardState, history: History, id: String) -> Response {
    let Ok(id) = PlanId::new(&id) else {
        return no(StatusCode::BAD_REQUEST, NO_PLAN_ID.trim_end());
    };
    let seen = live.find(&id);
    let story = match (history.story(&id).await, seen) {
        (Ok(mut story), seen) => {
            story.plan = match (seen, story.plan) {
                (Some(seen), Some(past)) => Some(seen.with_past(past)),
                (seen, past) => seen.or(past),
            };
            story
        }
        (Err(Unread::Busy), None) => return unread(&Unread::Busy),
        (Err(why), seen) => Story {
            plan: seen,
            troubles: match why {
                Unread::NotKept => Vec::new(),
                why => vec![why.to_string()],
            },
            ..Story::default()
        },
    };
    if story.plan.is_none() && story.journal.is_empty() && story.troubles.is_empty() {
        return no(
            StatusCode::NOT_FOUND,
            "neither the streams nor the journal of this machine know this plan",
        );
    }
    file("application/json", state::json(&story)).into_response()
}

/// Of ten thousand symbols it is megabytes: readers share it.
async fn symbols(shared: Shared, live: DashboardState) -> impl IntoResponse {
    file("application/json", shared.get(move || live.symbols()).await)
}

/// The status once more, with a code that a load balancer or a script can act on: 200 while the
/// service can do its work (halted or not), 503 while something needed is away.
fn healthz(live: &DashboardState) -> Response {
    let health = live.health();
    let code = match health.is_well() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, file("application/json", state::json(&health))).into_response()
}

fn file(kind: &'static str, content: impl IntoResponse) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], content)
}

async fn with_care(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in [
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
