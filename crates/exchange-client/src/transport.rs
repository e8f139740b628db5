//! One request in, one answer or one failure out. Nothing is retried here but what no connection had taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};
use tokio::time::{Instant, timeout_at};

use crate::connections::{AT_ONCE, Connections, Opener, Turn, Unsent, Watched, chain};
use crate::credentials::Credentials;
use crate::host::Host;
use crate::limits::Counts;
use crate::outcome::Failure;

/// The exchange information is about 1 MB today. Anything far above it is not a reply worth holding in memory.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

pub(crate) struct Transport {
    questions: Connections,
    orders: Connections,
    fresh: Connections,
    host: Host,
    named: HeaderValue,
    api_key: HeaderValue,
    reply_timeout: Duration,
}

/// An answer of the server, its body read as far as it came.
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Why the body ended early, where it did.
    pub(crate) broken: Option<String>,
    pub(crate) counts: Counts,
    pub(crate) retry_after: Option<String>,
}

/// Which connections a request goes over. Orders have theirs to themselves: a slow answer to a question would otherwise
/// hold the warm connection, and the order would wait for a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Questions,
    Orders,
    /// A connection that is made for this question alone: one that waits in the pool may be dead already.
    Fresh,
}

/// What goes out.
pub(crate) enum Outgoing {
    Get(String),
    Delete(String),
    /// A form body, so that neither parameters nor signature ever stand in an address.
    Post(String),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("refusing to send to an address that is not the allowed host")]
    HostRefused,
    #[error("the request failed")]
    Failed(Failure),
}

impl Transport {
    pub(crate) fn new(
        host: Host,
        credentials: &Credentials,
        connect_timeout: Duration,
        reply_timeout: Duration,
    ) -> Result<Self, String> {
        let mut api_key =
            HeaderValue::from_str(credentials.api_key()).map_err(|error| error.to_string())?;
        api_key.set_sensitive(true);
        let address = host.to_string();
        let (_, authority) = address.split_once("://").unwrap_or_default();
        let named = HeaderValue::from_str(authority).map_err(|error| error.to_string())?;
        let opener = Opener::to(&host, connect_timeout)?;
        Ok(Self {
            questions: Connections::new(opener.clone(), AT_ONCE),
            orders: Connections::new(opener.clone(), AT_ONCE),
            fresh: Connections::new(opener, 0),
            host,
            named,
            api_key,
            reply_timeout,
        })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The right to a request on a lane, in the order of asking; handed back by dropping it. What is asked within a turn
    /// is one request: nobody waits for a second turn while holding one.
    pub(crate) async fn turn(&self, lane: Lane) -> Turn {
        self.on(lane).turn().await
    }

    /// When the latest request on a lane was sent that was answered.
    pub(crate) fn answered(&self, lane: Lane) -> Option<Instant> {
        self.on(lane).answered()
    }

    fn on(&self, lane: Lane) -> &Connections {
        match lane {
            Lane::Questions => &self.questions,
            Lane::Orders => &self.orders,
            Lane::Fresh => &self.fresh,
        }
    }

    /// Sends one request. `left` turns true the moment its first byte is handed to the connection; it is looked at to
    /// tell a failure before that moment from one after it. `keyed` says whether the API key goes along.
    pub(crate) async fn send(
        &self,
        path: &'static str,
        outgoing: Outgoing,
        lane: Lane,
        keyed: bool,
        left: Arc<AtomicBool>,
    ) -> Result<HttpReply, SendError> {
        let request = self.request(path, outgoing, keyed, &left)?;
        let mut reply = None;
        let exchange = exchange(self.on(lane), request, &mut reply);
        let ended = timeout_at(Instant::now() + self.reply_timeout, exchange).await;
        match (reply, ended) {
            (Some(reply), Ok(Ok(()))) => Ok(reply),
            (Some(reply), Ok(Err(why))) => Ok(HttpReply {
                broken: Some(why),
                ..reply
            }),
            (Some(reply), Err(_)) => Ok(HttpReply {
                broken: Some(format!("not complete within {:?}", self.reply_timeout)),
                ..reply
            }),
            (None, Ok(Err(why))) => Err(SendError::Failed(match left.load(Ordering::Acquire) {
                true => Failure::Broken(why),
                false => Failure::NotWritten(why),
            })),
            // Whether the connection was about to take the request over cannot be told from here.
            (None, _) => Err(SendError::Failed(Failure::Timeout(self.reply_timeout))),
        }
    }

    fn request(
        &self,
        path: &'static str,
        outgoing: Outgoing,
        keyed: bool,
        left: &Arc<AtomicBool>,
    ) -> Result<Request<Watched>, SendError> {
        let (method, address, form) = match outgoing {
            Outgoing::Get(query) => (Method::GET, with_query(path, &query), None),
            Outgoing::Delete(query) => (Method::DELETE, with_query(path, &query), None),
            Outgoing::Post(form) => (Method::POST, Ok(Uri::from_static(path)), Some(form)),
        };
        // A path alone: the connections lead to the host and nowhere else.
        let address = address.ok().filter(|address| address.host().is_none());
        let mut request = Request::new(Watched::new(form.map(Bytes::from), left));
        *request.uri_mut() = address.ok_or(SendError::HostRefused)?;
        let has_form = method == Method::POST;
        *request.method_mut() = method;
        let headers = request.headers_mut();
        headers.reserve(4);
        headers.insert(HOST, self.named.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if keyed {
            headers.insert("x-mbx-apikey", self.api_key.clone());
        }
        if has_form {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, kind);
        }
        Ok(request)
    }
}

fn with_query(path: &'static str, query: &str) -> Result<Uri, hyper::http::uri::InvalidUri> {
    match query {
        "" => Ok(Uri::from_static(path)),
        query => {
            let mut whole = String::with_capacity(path.len() + 1 + query.len());
            whole.push_str(path);
            whole.push('?');
            whole.push_str(query);
            Uri::from_maybe_shared(Bytes::from(whole))
        }
    }
}

/// What has come of the answer stands in `reply`, also where this is dropped half way. An error says why there is no more.
async fn exchange(
    lane: &Connections,
    request: Request<Watched>,
    reply: &mut Option<HttpReply>,
) -> Result<(), String> {
    let mut answer = match lane.send(request).await {
        Ok(answer) => answer,
        Err(Unsent::NoConnection(why)) => return Err(why),
        Err(Unsent::Failed(error)) => return Err(chain(&error)),
    };
    let headers = answer.response.headers();
    let reply = reply.insert(HttpReply {
        status: answer.response.status().as_u16(),
        body: Vec::new(),
        broken: None,
        counts: counts(headers),
        retry_after: header(headers, "retry-after").map(str::to_owned),
    });
    while let Some(piece) = answer.piece().await {
        let piece = piece.map_err(|error| chain(&error))?;
        if reply.body.len() + piece.len() > LARGEST_BODY {
            return Err(format!("longer than {LARGEST_BODY} bytes"));
        }
        reply.body.extend_from_slice(&piece);
    }
    answer.done().await;
    Ok(())
}

fn counts(headers: &HeaderMap) -> Counts {
    let count = |name| header(headers, name).and_then(|text| text.parse().ok());
    Counts {
        weight: count("x-mbx-used-weight-1m"),
        orders_10s: count("x-mbx-order-count-10s"),
        orders_1m: count("x-mbx-order-count-1m"),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
