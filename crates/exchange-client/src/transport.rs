//! The only file that touches the network. One request in, one answer or one failure out; nothing is retried here.

use crate::{credentials::Credentials, host::Host, limits::Counts, outcome::Failure};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// The exchange information is about 1 MB today. Anything far above it is not a reply worth holding in memory.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// Requests under way on a lane. A thousand plans that begin at the same moment must not open a thousand connections, each
/// with its buffers and its handshake; the venue's weight allows far fewer at its usual answer times.
const AT_ONCE: usize = 16;

/// An idle connection that was not used for so long is not used any more. Longer than
/// [`keep_warm`](crate::Client::keep_warm) waits.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

pub(crate) struct Transport {
    questions: Connections,
    orders: Connections,
    fresh: Connections,
    host: Host,
    base: Url,
    api_key: HeaderValue,
    reply_timeout: Duration,
}

/// The right to one request.
#[must_use = "the turn is over when it is dropped"]
pub(crate) struct LaneSlot(
    #[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>,
);

struct Connections {
    http: reqwest::Client,
    turns: Arc<Semaphore>,
    /// When the latest request was sent that was answered.
    answered: Mutex<Option<Instant>>,
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
pub(crate) enum Pool {
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

impl Connections {
    /// `kept` is how many connections wait for their next request.
    fn new(host: &Host, connect_timeout: Duration, kept: usize) -> Result<Self, String> {
        Ok(Self {
            http: http_client(host, connect_timeout, kept)?,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            answered: Mutex::default(),
        })
    }

    /// A request that was sent then is answered.
    fn note_answer(&self, sent: Instant) {
        let mut answered = self.answered();
        *answered = answered.max(Some(sent));
    }

    fn answered(&self) -> MutexGuard<'_, Option<Instant>> {
        // One value, always whole.
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let base = Url::parse(&host.to_string()).map_err(|error| error.to_string())?;
        Ok(Self {
            questions: Connections::new(&host, connect_timeout, AT_ONCE)?,
            orders: Connections::new(&host, connect_timeout, AT_ONCE)?,
            fresh: Connections::new(&host, connect_timeout, 0)?,
            host,
            base,
            api_key,
            reply_timeout,
        })
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The right to a request on a lane, in the order of asking; handed back by dropping it. What is asked within a turn
    /// is one request: no caller waits for a second turn while holding one.
    pub(crate) async fn turn(&self, lane: Pool) -> LaneSlot {
        // Never closed, so there always is one.
        LaneSlot(Arc::clone(&self.on(lane).turns).acquire_owned().await.ok())
    }

    /// When the latest request was sent that a connection of this lane has answered.
    pub(crate) fn answered(&self, lane: Pool) -> Option<Instant> {
        *self.on(lane).answered()
    }

    fn on(&self, lane: Pool) -> &Connections {
        match lane {
            Pool::Questions => &self.questions,
            Pool::Orders => &self.orders,
            Pool::Fresh => &self.fresh,
        }
    }

    /// Sends one request. `left` turns true the moment its first byte is handed to the connection; it is looked at to
    /// distinguish a failure before that moment from one after it. `keyed` says whether the API key goes along.
    pub(crate) async fn send(
        &self,
        path: &'static str,
        outgoing: Outgoing,
        lane: Pool,
        keyed: bool,
        left: Arc<AtomicBool>,
    ) -> Result<HttpReply, SendError> {
        let connections = self.on(lane);
        let request = self.request(path, outgoing, keyed, &left)?;
        let sent = Instant::now();
        let deadline = sent + self.reply_timeout;
        let answer = timeout_at(deadline, connections.http.execute(request)).await;
        let mut response = match answer {
            Ok(Ok(response)) => {
                connections.note_answer(sent);
                response
            }
            Ok(Err(error)) => {
                let why = chain(&error.without_url());
                return Err(SendError::Failed(if left.load(Ordering::Acquire) {
                    Failure::Broken(why)
                } else {
                    Failure::NotWritten(why)
                }));
            }
            // Whether the connection was about to take the request over cannot be seen from here.
            Err(_) => return Err(SendError::Failed(Failure::Timeout(self.reply_timeout))),
        };
        let counts = counts(response.headers());
        let retry_after = header(response.headers(), "retry-after").map(str::to_owned);
        let mut reply = HttpReply {
            status: response.status().as_u16(),
            body: Vec::new(),
            broken: None,
            counts,
            retry_after,
        };
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(piece))) => {
                    if reply.body.len() + piece.len() > LARGEST_BODY {
                        reply.broken = Some(format!("longer than {LARGEST_BODY} bytes"));
                        break;
                    }
                    reply.body.extend_from_slice(&piece);
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    reply.broken = Some(chain(&error.without_url()));
                    break;
                }
                Err(_) => {
                    reply.broken = Some(format!("not complete within {:?}", self.reply_timeout));
                    break;
                }
            }
        }
        Ok(reply)
    }

    fn request(
        &self,
        path: &'static str,
        outgoing: Outgoing,
        keyed: bool,
        left: &Arc<AtomicBool>,
    ) -> Result<reqwest::Request, SendError> {
        let mut url = self.base.clone();
        url.set_path(path);
        let (method, form) = match outgoing {
            Outgoing::Get(query) => {
                url.set_query(Some(query.as_str()).filter(|q| !q.is_empty()));
                (Method::GET, None)
            }
            Outgoing::Delete(query) => {
                url.set_query(Some(&query));
                (Method::DELETE, None)
            }
            Outgoing::Post(form) => (Method::POST, Some(form)),
        };
        if !self.host.permits(&url) {
            return Err(SendError::HostRefused);
        }
        let mut request = reqwest::Request::new(method, url);
        if keyed {
            request
                .headers_mut()
                .insert("x-mbx-apikey", self.api_key.clone());
        }
        if let Some(form) = form {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, kind);
            *request.body_mut() = Some(reqwest::Body::wrap(WatchedBody {
                data: Some(Bytes::from(form)),
                left: Arc::clone(left),
            }));
        }
        Ok(request)
    }
}

/// A body that notes when it is taken. The connection asks for the body after it has put the head into its buffer and
/// before it writes anything, so an unset flag proves that no byte has left.
struct WatchedBody {
    data: Option<Bytes>,
    left: Arc<AtomicBool>,
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.left.store(true, Ordering::Release);
        Poll::Ready(self.data.take().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}

fn http_client(
    host: &Host,
    connect_timeout: Duration,
    kept: usize,
) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(host)?)
        // A redirect would carry the API key to the host that it names.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .retry(reqwest::retry::never())
        .http1_only()
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(15))
        .connect_timeout(connect_timeout)
        // One connection of each lane is kept warm. What a burst left behind beside it is thrown away: a network may drop
        // an idle connection without a word, and that is found out only by waiting.
        .pool_idle_timeout(LONGEST_IDLE)
        .pool_max_idle_per_host(kept);
    if let Some((name, port)) = host.pinned() {
        builder = builder.resolve(name, ([127, 0, 0, 1], port).into());
    }
    builder.build().map_err(|error| chain(&error))
}

/// `ring` as the only cryptography. The system's certificates are read only where a certificate will be checked, so that a
/// machine without any can still speak to a simulated venue.
fn tls(host: &Host) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verified = if host.is_https() {
        builder
            .with_platform_verifier()
            .map_err(|error| error.to_string())?
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty())
    };
    Ok(verified.with_no_client_auth())
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

/// An error with its causes in one line, each said once. The address is taken off before: it may hold a signature.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = inner.source();
    }
    line
}
