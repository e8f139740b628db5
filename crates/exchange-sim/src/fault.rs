//! Faults scripted per request: which request, what the venue does with it, how the reply goes wrong.
//!
//! A [`Fault`] waits in a queue. Each arriving venue request is compared with the queue from its front, and
//! the first fault that matches and has runs left is used for that request; at most one fault touches a request.
//! Every fault counts its hits, so that a test can show that the path it meant to take was really taken.

use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    http::{Reply, Request},
    symbol::is_price,
};

/// Which requests a fault is for. Empty fields match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// HTTP method, upper case.
    pub method: Option<String>,
    /// Path without the query.
    pub path: Option<String>,
    /// Value of the parameter `symbol`.
    pub symbol: Option<String>,
    /// Value of `newClientOrderId`, `origClientOrderId` or `clientAlgoId`.
    pub client_id: Option<String>,
    /// Let this many matching requests pass unharmed first.
    pub skip: u32,
}

impl When {
    /// Every venue request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests with this method and path.
    pub fn request(method: &str, path: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            ..Self::default()
        }
    }

    /// New orders: `POST /fapi/v1/order`.
    pub fn order() -> Self {
        Self::request("POST", "/fapi/v1/order")
    }

    /// Order queries: `GET /fapi/v1/order`.
    pub fn query() -> Self {
        Self::request("GET", "/fapi/v1/order")
    }

    /// New conditional orders: `POST /fapi/v1/algoOrder`.
    pub fn algo_order() -> Self {
        Self::request("POST", "/fapi/v1/algoOrder")
    }

    /// Only requests for this symbol.
    #[must_use]
    pub fn symbol(mut self, symbol: impl Into<String>) -> Self {
        self.symbol = Some(symbol.into());
        self
    }

    /// Only requests that name this client id.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Lets the first `n` matching requests pass.
    #[must_use]
    pub fn skip(mut self, n: u32) -> Self {
        self.skip = n;
        self
    }

    fn matches(&self, request: &Request) -> bool {
        let same = |wanted: &Option<String>, seen: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == seen)
        };
        let parameter = |wanted: &Option<String>, names: &[&str]| {
            wanted.as_deref().is_none_or(|wanted| {
                names
                    .iter()
                    .any(|name| peek(request, name).as_deref() == Some(wanted))
            })
        };
        same(&self.method, &request.method)
            && same(&self.path, &request.path)
            && parameter(&self.symbol, &["symbol"])
            && parameter(
                &self.client_id,
                &["newClientOrderId", "origClientOrderId", "clientAlgoId"],
            )
    }
}

/// A parameter's value read leniently, for matching and for the log; the venue itself reads strictly.
pub(crate) fn peek(request: &Request, name: &str) -> Option<String> {
    [&request.query, &request.body]
        .into_iter()
        .flat_map(|part| part.split('&'))
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| crate::params::decode(value).unwrap_or_else(|| value.to_owned()))
}

/// How the venue lets go of a connection, or what it says, without having acted on the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// TCP reset (RST).
    Reset,
    /// Orderly close (FIN) without a byte of reply.
    Close,
    /// No reply and no close, until the client leaves or the venue shuts down.
    Hang,
    /// This reply.
    Reply(Canned),
}

/// How the reply of a request that was acted on goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Whole and true.
    #[default]
    Whole,
    /// TCP reset (RST) instead of the reply: it happened, and nobody says so.
    Reset,
    /// Orderly close (FIN) without a byte of reply.
    Close,
    /// No reply and no close, until the client leaves or the venue shuts down.
    Hang,
    /// Headers that promise the whole body, half of it, then an orderly close.
    Cut,
    /// The true reply, its body in pieces with this many milliseconds between them.
    Slow {
        /// Bytes in one piece; at least one.
        piece: usize,
        /// Pause after each piece.
        pause_ms: u64,
    },
    /// This reply instead of the true one.
    Reply(Canned),
}

/// A reply written by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canned {
    /// HTTP status.
    pub status: u16,
    /// Headers beside `Content-Length`.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Body, as sent.
    #[serde(default)]
    pub body: String,
}

impl Canned {
    /// A body as the venue words its errors: `{"code":…,"msg":"…"}`.
    pub fn error(status: u16, code: i32, message: &str) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: json!({"code": code, "msg": message}).to_string(),
        }
    }

    /// Any status with a body that is taken as it is.
    pub fn raw(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// The same reply with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same reply with `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header("Retry-After", seconds.to_string())
    }

    /// 503 whose outcome is unknown: the request was passed on and no answer came in time.
    pub fn unknown_503() -> Self {
        Self::error(
            503,
            -1000,
            "Unknown error, please check your request or try again later.",
        )
    }

    /// 503 of a venue that is not there: nothing was executed.
    pub fn unavailable_503() -> Self {
        Self::error(503, 0, "Service Unavailable.")
    }

    /// 503 with -1001: nothing was executed.
    pub fn internal_503() -> Self {
        Self::error(
            503,
            -1001,
            "Internal error; unable to process your request. Please try again.",
        )
    }

    /// 503 with -1008: the request was throttled before it reached the engine.
    pub fn overloaded_503() -> Self {
        Self::error(
            503,
            -1008,
            "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again.",
        )
    }

    /// -1000: outcome unknown.
    pub fn unknown_1000() -> Self {
        Self::error(
            400,
            -1000,
            "An unknown error occured while processing the request.",
        )
    }

    /// -1006: outcome unknown.
    pub fn unexpected_response_1006() -> Self {
        Self::error(
            400,
            -1006,
            "An unexpected response was received from the message bus. Execution status unknown.",
        )
    }

    /// -1007: outcome unknown.
    pub fn timeout_1007() -> Self {
        Self::error(
            408,
            -1007,
            "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        )
    }

    /// 429 with -1003, without `Retry-After`.
    pub fn too_many_requests_429() -> Self {
        Self::error(
            429,
            -1003,
            "Too many requests; current limit of IP(127.0.0.1) is 6000 requests per minute. Please use the websocket for live updates to avoid polling the API.",
        )
    }

    /// 418 with -1003; the message says until when, in milliseconds of the server's clock.
    pub fn banned_418(until_ms: i64) -> Self {
        Self::error(
            418,
            -1003,
            &format!(
                "Way too many requests; IP(127.0.0.1) banned until {until_ms}. Please use the websocket for live updates to avoid bans."
            ),
        )
    }

    /// 429 with -1015, without `Retry-After`.
    pub fn too_many_orders_429() -> Self {
        Self::error(
            429,
            -1015,
            "Too many new orders; current limit is 300 orders per 10 SECOND.",
        )
    }

    /// -1021 of the gateway.
    pub fn outside_window_1021() -> Self {
        Self::error(
            400,
            -1021,
            "Timestamp for this request is outside of the recvWindow.",
        )
    }

    /// -5028 of the matching engine.
    pub fn outside_window_5028() -> Self {
        Self::error(
            400,
            -5028,
            "Timestamp for this request is outside of the ME recvWindow.",
        )
    }

    /// A bare 408, as a gateway sends it.
    pub fn request_timeout_408() -> Self {
        Self::raw(408, "")
    }

    /// 307 to another address.
    pub fn redirect_307(location: &str) -> Self {
        Self::raw(307, "").header("Location", location)
    }

    /// 200 with a body that is no JSON.
    pub fn garbage_200() -> Self {
        Self::raw(200, "\u{1}\u{2}<<<not json>>>{\"orderId\":")
            .header("Content-Type", "application/json")
    }

    /// The HTML page of a gateway in front of the venue.
    pub fn gateway_html(status: u16) -> Self {
        Self::raw(
            status,
            "<html>\r\n<head><title>gateway</title></head>\r\n<body><center><h1>gateway</h1></center></body>\r\n</html>\r\n",
        )
        .header("Content-Type", "text/html")
    }

    pub(crate) fn into_reply(self) -> Reply {
        Reply {
            status: self.status,
            headers: self.headers,
            body: self.body,
        }
    }
}

/// Keeps something out of sight after it happened: until the time has passed and the queries are used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Veil {
    /// Milliseconds of the server's clock.
    pub for_ms: u64,
    /// This many queries that would have shown it see nothing.
    pub for_queries: u32,
}

impl Veil {
    /// Hidden for a time.
    pub fn time(time: Duration) -> Self {
        Self {
            for_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            for_queries: 0,
        }
    }

    /// Hidden from the next `n` queries.
    pub fn queries(n: u32) -> Self {
        Self {
            for_ms: 0,
            for_queries: n,
        }
    }
}

/// What becomes of the part of an order that a script leaves unfilled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// The order ends as `EXPIRED`.
    #[default]
    Expired,
    /// The order stays open as `NEW` or `PARTIALLY_FILLED`; [`SimHandle::fill_open_order`](crate::SimHandle::fill_open_order) fills it.
    Open,
}

/// How a MARKET order fills, when not whole and at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// At most this much fills, in the base asset; `None`: all of it.
    #[serde(default, with = "rust_decimal::serde::str_option")]
    pub quantity: Option<Decimal>,
    /// Price of the fill in USDT; `None`: the mark price.
    #[serde(default, with = "rust_decimal::serde::str_option")]
    pub price: Option<Decimal>,
    /// In how many trades; as many as there are steps at most.
    #[serde(default = "one")]
    pub trades: u32,
    /// What becomes of the rest.
    #[serde(default)]
    pub rest: Rest,
}

fn one() -> u32 {
    1
}

impl Default for Fill {
    fn default() -> Self {
        Self {
            quantity: None,
            price: None,
            trades: 1,
            rest: Rest::Expired,
        }
    }
}

impl Fill {
    /// Fills this much and lets the rest expire.
    pub fn only(quantity: Decimal) -> Self {
        Self {
            quantity: Some(quantity),
            ..Self::default()
        }
    }

    /// Fills nothing: the order ends as `EXPIRED`.
    pub fn nothing() -> Self {
        Self::only(Decimal::ZERO)
    }

    /// Fills everything in `n` trades.
    pub fn in_trades(n: u32) -> Self {
        Self {
            trades: n,
            ..Self::default()
        }
    }

    /// The same fill at this price.
    #[must_use]
    pub fn at(mut self, price: Decimal) -> Self {
        self.price = Some(price);
        self
    }

    /// The same fill, with the rest left open.
    #[must_use]
    pub fn rest_open(mut self) -> Self {
        self.rest = Rest::Open;
        self
    }
}

/// What a request's execution is bent to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// How a MARKET order fills.
    pub fill: Option<Fill>,
    /// The order (or conditional order) exists, but queries say -2013.
    pub hide_order: Option<Veil>,
    /// The trades exist, but `userTrades` leaves them out.
    pub hide_trades: Option<Veil>,
    /// The position has moved, but `positionRisk` shows it as it was.
    pub hide_position: Option<Veil>,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The venue never acts on it.
    NotExecuted(Instead),
    /// The venue acts on it (and may still refuse it by its own rules).
    Executed {
        /// How the execution is bent.
        #[serde(default)]
        script: Script,
        /// How the reply goes out.
        #[serde(default)]
        delivery: Delivery,
    },
    /// The client gets this at once, and the venue acts on the request only later: by then it is judged anew,
    /// its receive window included.
    Late {
        /// Milliseconds between what the client gets and the execution.
        after_ms: u64,
        /// What the client gets.
        instead: Instead,
        /// How the execution is bent.
        #[serde(default)]
        script: Script,
    },
}

/// One scripted fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests.
    #[serde(default)]
    pub when: When,
    /// For how many of them; `u32::MAX` is as good as always.
    #[serde(default = "one")]
    pub times: u32,
    /// Milliseconds between arrival and execution.
    #[serde(default)]
    pub delay_before_ms: u64,
    /// Milliseconds between execution and reply.
    #[serde(default)]
    pub delay_after_ms: u64,
    /// What happens.
    pub action: Action,
}

impl Fault {
    /// The venue does not act; the client gets this instead of a reply.
    pub fn not_executed(when: When, instead: Instead) -> Self {
        Self::new(when, Action::NotExecuted(instead))
    }

    /// The venue acts, and the reply goes out like this.
    pub fn executed(when: When, delivery: Delivery) -> Self {
        Self::new(
            when,
            Action::Executed {
                script: Script::default(),
                delivery,
            },
        )
    }

    /// The venue acts as scripted and answers truly.
    pub fn scripted(when: When, script: Script) -> Self {
        Self::new(
            when,
            Action::Executed {
                script,
                delivery: Delivery::Whole,
            },
        )
    }

    /// The client gets this at once; the venue acts after this time, if the request's receive window lasts so long.
    pub fn late(when: When, after: Duration, instead: Instead) -> Self {
        Self::new(
            when,
            Action::Late {
                after_ms: millis(after),
                instead,
                script: Script::default(),
            },
        )
    }

    /// A reply written by hand; `executes` says whether the venue acts before it is sent.
    pub fn reply(when: When, executes: bool, canned: Canned) -> Self {
        if executes {
            Self::executed(when, Delivery::Reply(canned))
        } else {
            Self::not_executed(when, Instead::Reply(canned))
        }
    }

    /// A new order fills like this.
    pub fn fill(when: When, fill: Fill) -> Self {
        Self::scripted(
            when,
            Script {
                fill: Some(fill),
                ..Script::default()
            },
        )
    }

    /// For the first `n` matching requests instead of one.
    #[must_use]
    pub fn times(mut self, n: u32) -> Self {
        self.times = n;
        self
    }

    /// For every matching request.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// Waits between arrival and execution.
    #[must_use]
    pub fn delay_before(mut self, delay: Duration) -> Self {
        self.delay_before_ms = millis(delay);
        self
    }

    /// Waits between execution and reply.
    #[must_use]
    pub fn delay_after(mut self, delay: Duration) -> Self {
        self.delay_after_ms = millis(delay);
        self
    }

    /// Queries say -2013 for a while. No effect on a fault that does not execute.
    #[must_use]
    pub fn hide_order(mut self, veil: Veil) -> Self {
        if let Some(script) = self.script_mut() {
            script.hide_order = Some(veil);
        }
        self
    }

    /// `userTrades` leaves the trades out for a while. No effect on a fault that does not execute.
    #[must_use]
    pub fn hide_trades(mut self, veil: Veil) -> Self {
        if let Some(script) = self.script_mut() {
            script.hide_trades = Some(veil);
        }
        self
    }

    /// `positionRisk` shows the old position for a while. No effect on a fault that does not execute.
    #[must_use]
    pub fn hide_position(mut self, veil: Veil) -> Self {
        if let Some(script) = self.script_mut() {
            script.hide_position = Some(veil);
        }
        self
    }

    /// Whether it can be carried out; otherwise what is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let price = match &self.action {
            Action::NotExecuted(_) => None,
            Action::Executed { script, .. } | Action::Late { script, .. } => {
                script.fill.as_ref().and_then(|fill| fill.price)
            }
        };
        match price {
            Some(price) if !is_price(price) => Err(format!("no fill can have the price {price}")),
            _ => Ok(()),
        }
    }

    fn script_mut(&mut self) -> Option<&mut Script> {
        match &mut self.action {
            Action::NotExecuted(_) => None,
            Action::Executed { script, .. } | Action::Late { script, .. } => Some(script),
        }
    }

    fn new(when: When, action: Action) -> Self {
        Self {
            when,
            times: 1,
            delay_before_ms: 0,
            delay_after_ms: 0,
            action,
        }
    }
}

fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)
}

/// Names a fault that was put into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// A fault and how often it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultStatus {
    /// Its name.
    pub id: FaultId,
    /// How many requests it touched.
    pub hits: u32,
    /// As it was queued.
    pub fault: Fault,
}

/// The queue. A fault stays after its last run so that its hits can be read; [`Faults::clear`] empties it.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next_id: u64,
    queued: Vec<Queued>,
}

#[derive(Debug)]
struct Queued {
    status: FaultStatus,
    passed: u32,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) -> FaultId {
        self.next_id += 1;
        let id = FaultId(self.next_id);
        self.queued.push(Queued {
            status: FaultStatus { id, hits: 0, fault },
            passed: 0,
        });
        id
    }

    pub(crate) fn clear(&mut self) {
        self.queued.clear();
    }

    pub(crate) fn statuses(&self) -> impl Iterator<Item = &FaultStatus> {
        self.queued.iter().map(|queued| &queued.status)
    }

    /// The fault for this request, counted as a hit.
    pub(crate) fn take_for(&mut self, request: &Request) -> Option<(FaultId, Fault)> {
        for Queued { status, passed } in &mut self.queued {
            if status.hits >= status.fault.times || !status.fault.when.matches(request) {
                continue;
            }
            if *passed < status.fault.when.skip {
                *passed += 1;
                continue;
            }
            status.hits += 1;
            return Some((status.id, status.fault.clone()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn order(parameters: &str) -> Request {
        Request {
            method: "POST".into(),
            path: "/fapi/v1/order".into(),
            body: parameters.into(),
            ..Request::default()
        }
    }

    #[test]
    fn the_first_fault_that_matches_is_used_as_often_as_it_says() {
        let mut faults = Faults::default();
        let eth = faults.add(Fault::not_executed(
            When::order().symbol("ETHUSDT"),
            Instead::Reset,
        ));
        let any = faults.add(Fault::executed(When::order(), Delivery::Cut).times(2));
        let mut used = |parameters: &str| faults.take_for(&order(parameters)).map(|(id, _)| id);
        assert_eq!(used("symbol=BTCUSDT"), Some(any));
        assert_eq!(used("symbol=ETHUSDT"), Some(eth));
        assert_eq!(used("symbol=ETHUSDT"), Some(any));
        assert_eq!(used("symbol=ETHUSDT"), None);
    }

    #[test]
    fn a_fault_may_let_requests_pass_and_may_name_a_client_id() {
        let mut faults = Faults::default();
        faults.add(Fault::not_executed(
            When::order().client_id("a:1").skip(1),
            Instead::Close,
        ));
        assert!(faults.take_for(&order("newClientOrderId=b")).is_none());
        assert!(faults.take_for(&order("newClientOrderId=a%3A1")).is_none());
        assert!(faults.take_for(&order("newClientOrderId=a%3A1")).is_some());
        assert_eq!(faults.statuses().next().unwrap().hits, 1);
    }

    #[test]
    fn a_fault_travels_as_json_and_a_misspelt_one_is_refused() {
        let fault = Fault::fill(When::order(), Fill::only(Decimal::new(1, 3)))
            .hide_order(Veil::queries(2))
            .delay_after(Duration::from_millis(5));
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
        let short: Fault =
            serde_json::from_str(r#"{"action":{"executed":{"delivery":"reset"}}}"#).unwrap();
        assert_eq!(short, Fault::executed(When::any(), Delivery::Reset));
        for misspelt in [
            r#"{"action":{"executed":{"delivry":"reset"}}}"#,
            r#"{"when":{"methd":"POST"},"action":{"not_executed":"reset"}}"#,
            r#"{"tims":2,"action":{"not_executed":"reset"}}"#,
            r#"{"action":{"not_executed":"whole"}}"#,
        ] {
            assert!(
                serde_json::from_str::<Fault>(misspelt).is_err(),
                "{misspelt}"
            );
        }
    }
}
