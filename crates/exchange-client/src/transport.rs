//! The only file that touches the network. One request in, one answer or one failure out; nothing is retried here.

use crate::{credentials::Credentials, host::Host, limits::Counts, outcome::Failure};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri,
    header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER},
    uri::{self, Authority, PathAndQuery, Scheme},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        self,
        connect::{
            HttpConnector,
            dns::{GaiResolver, Name},
        },
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::{
    error::Error,
    future::{self, Future},
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tower_service::Service;

static API_KEY: HeaderName = HeaderName::from_static("x-mbx-apikey");
static WEIGHT: HeaderName = HeaderName::from_static("x-mbx-used-weight-1m");
static ORDERS_10S: HeaderName = HeaderName::from_static("x-mbx-order-count-10s");
static ORDERS_1M: HeaderName = HeaderName::from_static("x-mbx-order-count-1m");

/// The exchange information is about 1 MB today. Anything far above it is not a reply worth holding in memory.
const LARGEST_BODY: usize = 32 * 1024 * 1024;

/// Requests under way on a lane. A thousand plans that begin at the same moment must not open a thousand connections, each
/// with its buffers and its handshake; the venue's weight allows far fewer at its usual answer times.
const AT_ONCE: usize = 16;

/// An idle connection that was not used for so long is not used any more. Longer than
/// [`keep_warm`](crate::Client::keep_warm) waits.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// After so long without a byte the system asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A connection is given up after this long without an acknowledgement of what was sent.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const LONGEST_UNACKNOWLEDGED: Duration = Duration::from_secs(30);

pub(crate) struct Transport {
    questions: Connections,
    orders: Connections,
    fresh: Connections,
    host: Host,
    scheme: Scheme,
    authority: Authority,
    host_header: HeaderValue,
    api_key: HeaderValue,
    reply_timeout: Duration,
}

/// The right to one request.
#[must_use = "the turn is over when it is dropped"]
pub(crate) struct LaneSlot(
    #[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>,
);

struct Connections {
    http: legacy::Client<Connector, WatchedBody>,
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
        let base: Uri = host
            .to_string()
            .parse()
            .map_err(|error| format!("{host}: {error}"))?;
        let base = base.into_parts();
        let (Some(scheme), Some(authority)) = (base.scheme, base.authority) else {
            return Err(format!("{host} is no address"));
        };
        let host_header =
            HeaderValue::from_str(authority.as_str()).map_err(|error| error.to_string())?;
        Ok(Self {
            questions: Connections::new(&host, connect_timeout, AT_ONCE)?,
            orders: Connections::new(&host, connect_timeout, AT_ONCE)?,
            fresh: Connections::new(&host, connect_timeout, 0)?,
            host,
            scheme,
            host_header,
            authority,
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

    /// Sends one request. `left` turns true the moment the first byte of a POST is handed to the connection; it is looked at to
    /// distinguish a failure before that moment from one after it. A question may be asked again either way, and leaves it
    /// unset. `keyed` says whether the API key goes along.
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
        let mut begun = None;
        let exchange = async {
            let mut response = connections.http.request(request).await?;
            connections.note_answer(sent);
            let reply = begun.insert(HttpReply {
                status: response.status().as_u16(),
                body: Vec::new(),
                broken: None,
                counts: counts(response.headers()),
                retry_after: header(response.headers(), &RETRY_AFTER).map(str::to_owned),
            });
            reply.broken = read(response.body_mut(), &mut reply.body).await.err();
            Ok::<_, legacy::Error>(())
        };
        // One timer for head and body: the first one that is set wakes the thread that waits for sockets.
        let ended = timeout_at(sent + self.reply_timeout, exchange).await;
        match (begun, ended) {
            (Some(reply), Ok(_)) => Ok(reply),
            (Some(mut reply), Err(_)) => {
                reply.broken = Some(format!("not complete within {:?}", self.reply_timeout));
                Ok(reply)
            }
            (None, Ok(Err(error))) if left.load(Ordering::Acquire) => {
                Err(SendError::Failed(Failure::Broken(chain(&error))))
            }
            (None, Ok(Err(error))) => Err(SendError::Failed(Failure::NotWritten(chain(&error)))),
            // Whether the connection was about to take the request over cannot be seen from here.
            (None, Ok(Ok(())) | Err(_)) => {
                Err(SendError::Failed(Failure::Timeout(self.reply_timeout)))
            }
        }
    }

    fn request(
        &self,
        path: &'static str,
        outgoing: Outgoing,
        keyed: bool,
        left: &Arc<AtomicBool>,
    ) -> Result<Request<WatchedBody>, SendError> {
        let (method, target, form) = match outgoing {
            Outgoing::Get(query) => (Method::GET, with_query(path, &query), None),
            Outgoing::Delete(query) => (Method::DELETE, with_query(path, &query), None),
            Outgoing::Post(form) => (
                Method::POST,
                Ok(PathAndQuery::from_static(path)),
                Some(form),
            ),
        };
        let address = target.and_then(|target| {
            let mut parts = uri::Parts::default();
            parts.scheme = Some(self.scheme.clone());
            parts.authority = Some(self.authority.clone());
            parts.path_and_query = Some(target);
            Ok(Uri::from_parts(parts)?)
        });
        let Some(address) = address.ok().filter(|address| self.host.permits(address)) else {
            return Err(SendError::HostRefused);
        };
        let posts = form.is_some();
        let mut request = Request::new(WatchedBody {
            data: form.map(Bytes::from),
            left: Arc::clone(left),
        });
        *request.method_mut() = method;
        *request.uri_mut() = address;
        let headers = request.headers_mut();
        if keyed {
            headers.insert(&API_KEY, self.api_key.clone());
        }
        if posts {
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, kind);
        }
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(HOST, self.host_header.clone());
        Ok(request)
    }
}

fn with_query(path: &'static str, query: &str) -> Result<PathAndQuery, http::Error> {
    match query.is_empty() {
        true => Ok(PathAndQuery::from_static(path)),
        false => Ok(PathAndQuery::try_from(format!("{path}?{query}"))?),
    }
}

/// Reads a body to its end; what has come stays where it ends early.
async fn read(from: &mut Incoming, body: &mut Vec<u8>) -> Result<(), String> {
    while let Some(frame) = from.frame().await {
        let frame = frame.map_err(|error| chain(&error))?;
        if let Some(piece) = frame.data_ref() {
            if body.len() + piece.len() > LARGEST_BODY {
                return Err(format!("longer than {LARGEST_BODY} bytes"));
            }
            body.extend_from_slice(piece);
        }
    }
    Ok(())
}

/// A body that notes when it is taken. The connection asks for the body after it has put the head into its buffer and
/// before it writes anything, so an unset flag proves that no byte has left. For an empty body, a question's, it never asks.
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

/// The connections are hyper-util's: which one is alive, when one may be used again, what a half-read answer leaves behind.
/// It follows no redirect, which would carry the API key to the host that it names, takes no proxy, and sends a request
/// again only where none of it was written.
fn http_client(
    host: &Host,
    connect_timeout: Duration,
    kept: usize,
) -> Result<legacy::Client<Connector, WatchedBody>, String> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver {
        pinned: host.pinned().map(|(name, _)| name),
        system: GaiResolver::new(),
    });
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(3));
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    tcp.set_tcp_user_timeout(Some(LONGEST_UNACKNOWLEDGED));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(host)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        // One connection of each lane is kept warm. What a burst left behind beside it is thrown away: a network may drop
        // an idle connection without a word, and that is found out only by waiting.
        .pool_idle_timeout(LONGEST_IDLE)
        .pool_max_idle_per_host(kept)
        .build(Connector {
            connector,
            connect_timeout,
        }))
}

/// Opens connections, TLS included, within the time for it.
#[derive(Clone)]
struct Connector {
    connector: HttpsConnector<HttpConnector<Resolver>>,
    connect_timeout: Duration,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Boxed<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connected = timeout(self.connect_timeout, self.connector.call(address));
        Box::pin(async move {
            match connected.await {
                Ok(connected) => connected,
                Err(_) => Err("connecting took too long".into()),
            }
        })
    }
}

/// The system's, but for a name that it is not asked about.
#[derive(Clone)]
struct Resolver {
    /// Is 127.0.0.1, whatever a resolver says.
    pinned: Option<&'static str>,
    system: GaiResolver,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Boxed<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.system.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if self.pinned == Some(name.as_str()) {
            // The port comes from the address that is asked for.
            let here = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
            return Box::pin(future::ready(Ok(here.into_iter())));
        }
        let resolved = self.system.call(name);
        Box::pin(async move { Ok(resolved.await?.collect::<Vec<_>>().into_iter()) })
    }
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
        weight: count(&WEIGHT),
        orders_10s: count(&ORDERS_10S),
        orders_1m: count(&ORDERS_1M),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// An error with its causes in one line, each said once.
fn chain(error: &dyn Error) -> String {
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
