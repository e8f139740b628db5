//! Kept connections to the one server there is. A request drives its connection itself: nothing else is woken for it.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service as _;

use crate::host::Host;

/// Requests under way on a lane. A thousand plans that begin at the same moment must not open a thousand connections, each
/// with its buffers and its handshake; the venue's weight allows far fewer at its usual answer times.
pub(crate) const AT_ONCE: usize = 16;

/// An idle connection that was not used for so long is not used any more. Longer than
/// [`keep_warm`](crate::Client::keep_warm) waits.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// The right to one request.
#[must_use = "the turn is over when it is dropped"]
pub(crate) struct Turn(
    #[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>,
);

/// The connections of one lane, and how new ones are made.
pub(crate) struct Connections {
    opener: Opener,
    turns: Arc<Semaphore>,
    /// The one that was used last is used next, so that what a burst left behind is not kept alive.
    idle: Mutex<Vec<Idle>>,
    kept: usize,
    /// When the latest request was sent that was answered.
    answered: Mutex<Option<Instant>>,
}

struct Idle {
    connection: Connection,
    /// When its last answer was there.
    since: Instant,
}

/// A request that came to nothing, and what it was.
pub(crate) enum Unsent {
    /// No connection could be made.
    NoConnection(String),
    /// The connection failed.
    Failed(hyper::Error),
}

impl Connections {
    /// `kept` is how many connections wait for their next request.
    pub(crate) fn new(opener: Opener, kept: usize) -> Self {
        Self {
            opener,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            idle: Mutex::default(),
            kept,
            answered: Mutex::default(),
        }
    }

    /// The right to a request, in the order of asking.
    pub(crate) async fn turn(&self) -> Turn {
        // Never closed, so there always is one.
        Turn(Arc::clone(&self.turns).acquire_owned().await.ok())
    }

    /// When the latest request was sent that one of these connections has answered.
    pub(crate) fn answered(&self) -> Option<Instant> {
        *lock(&self.answered)
    }

    /// Sends a request, and reads the answer up to its body. Where a kept connection turns out to have been closed
    /// before it took the request, the next one gets it.
    pub(crate) async fn send(&self, mut request: Request<Watched>) -> Result<Answer<'_>, Unsent> {
        let asked = Instant::now();
        loop {
            let (mut connection, kept) = match self.take().await {
                Some(connection) => (connection, true),
                None => (self.opener.open().await?, false),
            };
            match connection.send(request).await {
                Ok(response) => {
                    let mut answered = lock(&self.answered);
                    *answered = answered.max(Some(asked));
                    drop(answered);
                    return Ok(Answer {
                        response,
                        connection,
                        lane: self,
                    });
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if kept => request = unsent,
                    _ => return Err(Unsent::Failed(error.into_error())),
                },
            }
        }
    }

    /// The kept connection that was used last, if the server has not closed it.
    async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut idle = lock(&self.idle);
                let last = idle.pop()?;
                if last.is_stale() {
                    // The others are older.
                    idle.clear();
                    return None;
                }
                last.connection
            };
            if connection.is_open().await {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: Connection) {
        let mut idle = lock(&self.idle);
        idle.retain(|idle| !idle.is_stale());
        if idle.len() < self.kept {
            idle.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }
}

/// What is behind these locks is changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Idle {
    fn is_stale(&self) -> bool {
        self.since.elapsed() > LONGEST_IDLE
    }
}

/// An answer, and the connection that its body comes over.
pub(crate) struct Answer<'a> {
    pub(crate) response: Response<Incoming>,
    connection: Connection,
    lane: &'a Connections,
}

impl Answer<'_> {
    /// The next piece of the body; `None` at its end, after which the connection is kept.
    ///
    /// Cancellation: no piece is lost.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let body = self.response.body_mut();
            let frame = self
                .connection
                .drive(|cx| Pin::new(&mut *body).poll_frame(cx));
            match frame.await? {
                Ok(frame) => {
                    // Trailers say nothing that is needed.
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Gives the connection back. Its answer has to have been read to the end.
    pub(crate) async fn done(mut self) {
        drop(self.response);
        if self.connection.is_open().await {
            self.lane.keep(self.connection);
        }
    }
}

struct Connection {
    sender: SendRequest<Watched>,
    driver: Pin<Box<http1::Connection<Stream, Watched>>>,
    /// Polled to its end.
    over: bool,
}

impl Connection {
    async fn send(
        &mut self,
        request: Request<Watched>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Watched>>> {
        let answer = self.sender.try_send_request(request);
        let mut answer = pin!(answer);
        let (driver, over) = (&mut self.driver, &mut self.over);
        poll_fn(|cx| {
            poll_driver(driver, over, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Polls `wanted`, and the connection that it comes over.
    async fn drive<T>(&mut self, mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let (driver, over) = (&mut self.driver, &mut self.over);
        poll_fn(|cx| {
            // The connection reads once somebody wants more.
            if let Poll::Ready(got) = wanted(cx) {
                return Poll::Ready(got);
            }
            poll_driver(driver, over, cx);
            wanted(cx)
        })
        .await
    }

    /// Whether it could take a request at this moment.
    async fn is_open(&mut self) -> bool {
        let (driver, over) = (&mut self.driver, &mut self.over);
        poll_fn(|cx| {
            poll_driver(driver, over, cx);
            Poll::Ready(())
        })
        .await;
        !self.over && self.sender.is_ready()
    }
}

/// What goes wrong is told to whoever waits for the answer.
fn poll_driver(
    driver: &mut Pin<Box<http1::Connection<Stream, Watched>>>,
    over: &mut bool,
    cx: &mut Context<'_>,
) {
    if !*over {
        *over = driver.as_mut().poll(cx).is_ready();
    }
}

/// Makes connections to one host, and to no other.
#[derive(Clone)]
pub(crate) struct Opener {
    connector: HttpConnector,
    address: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    patience: Duration,
}

impl Opener {
    /// `patience` is how long a connection may take, TLS included.
    pub(crate) fn to(host: &Host, patience: Duration) -> Result<Self, String> {
        let address = host.to_string();
        let address: Uri = address.parse().map_err(|error| chain(&error))?;
        if !host.permits(&address) {
            return Err(format!("{address} is not the allowed host"));
        }
        let tls = match host.is_https() {
            true => {
                let name = address.host().unwrap_or_default().to_owned();
                let name = ServerName::try_from(name).map_err(|error| chain(&error))?;
                Some((TlsConnector::from(Arc::new(tls()?)), name))
            }
            false => None,
        };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(15)));
        connector.set_connect_timeout(Some(patience));
        Ok(Self {
            connector,
            // A name that no resolver is asked about.
            address: match host.pinned() {
                Some((_, port)) => {
                    let pinned = format!("http://127.0.0.1:{port}");
                    pinned.parse().map_err(|error| chain(&error))?
                }
                None => address,
            },
            tls,
            patience,
        })
    }

    async fn open(&self) -> Result<Connection, Unsent> {
        match timeout(self.patience, self.open_patiently()).await {
            Ok(opened) => opened.map_err(Unsent::NoConnection),
            Err(_) => Err(Unsent::NoConnection(format!(
                "no connection within {:?}",
                self.patience
            ))),
        }
    }

    async fn open_patiently(&self) -> Result<Connection, String> {
        let mut connector = self.connector.clone();
        let plain = connector.call(self.address.clone()).await;
        let plain = plain.map_err(|error| chain(&error))?;
        let stream = match &self.tls {
            None => Stream::Plain(plain),
            Some((tls, name)) => {
                let secured = tls.connect(name.clone(), plain.into_inner()).await;
                let secured = secured.map_err(|error| chain(&error))?;
                Stream::Tls(Box::new(TokioIo::new(secured)))
            }
        };
        let opened = http1::handshake(stream).await;
        let (sender, driver) = opened.map_err(|error| chain(&error))?;
        Ok(Connection {
            sender,
            driver: Box::pin(driver),
            over: false,
        })
    }
}

/// `ring` as the only cryptography. The system's certificates are read only where a certificate will be checked, so that a
/// machine without any can still speak to a simulated venue.
fn tls() -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verified = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_platform_verifier()
        .map_err(|error| error.to_string())?;
    let mut config = verified.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, from),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, from),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, from),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, from),
        }
    }
}

/// A body that notes when it is taken. The connection asks for the body after it has put the head into its buffer and
/// before it writes anything, so an unset flag proves that no byte of a request with a body has left.
pub(crate) struct Watched {
    data: Option<Bytes>,
    left: Arc<AtomicBool>,
}

impl Watched {
    /// Turns `left` true when it is taken; without data there is nothing to take.
    pub(crate) fn new(data: Option<Bytes>, left: &Arc<AtomicBool>) -> Self {
        Self {
            data,
            left: Arc::clone(left),
        }
    }
}

impl Body for Watched {
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

/// An error with its causes in one line, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
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
