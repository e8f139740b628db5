//! Replies written by hand: every text that the venue's documentation gives a meaning, and a gateway's noise.

use super::venue_code;
use crate::http::Reply;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A reply written by hand, or that of a documented error code.
///
/// As JSON either `{"status","headers","body"}`, or `{"code"}` with the status and the words of that code,
/// which `"status"`, `"msg"` and `"headers"` beside it replace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Canned {
    /// HTTP status.
    pub status: u16,
    /// Headers beside `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// Body, as sent.
    pub body: String,
}

/// A reply as JSON spells it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    status: Option<u16>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    code: Option<i32>,
    msg: Option<String>,
}

impl TryFrom<Written> for Canned {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let mut canned = match (written.code, written.body, written.msg) {
            (None, body, None) => Self::raw(
                written.status.ok_or("a reply needs a status, or a code")?,
                body.as_deref().unwrap_or_default(),
            ),
            (Some(code), None, msg) => {
                let known = venue_code(code);
                let status = written.status.or(known.map(|known| known.status));
                let text = msg.as_deref().or(known.map(|known| known.text));
                match (status, text) {
                    (Some(status), Some(text)) => Self::error(status, code, text),
                    _ => {
                        return Err(format!(
                            "{code} is no documented code; give its status and msg, or see GET /sim/codes"
                        ));
                    }
                }
            }
            _ => return Err("a reply has a body, or a code (with msg), not both".to_owned()),
        };
        canned.headers.extend(written.headers);
        Ok(canned)
    }
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

    /// A documented code with its status and the venue's words; `None` for a code outside
    /// [`venue_codes`](crate::venue_codes).
    pub fn code(code: i32) -> Option<Self> {
        venue_code(code).map(|known| Self::error(known.status, known.code, known.text))
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
