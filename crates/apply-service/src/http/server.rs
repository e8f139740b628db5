//! Connections of the port, each with a bound on what it may take: of time, of memory, of slots.
//!
//! One request a connection. Who takes too long to ask or to read is cut, who comes when every slot is
//! taken gets that of the oldest, and no client delays the end of the process.

use axum::{Router, body::Body, extract::Request, http::header::CONTENT_TYPE, response::Response};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at the same time.
    pub(super) slots: usize,
    /// For the whole head of a request.
    pub(super) asking: Duration,
    /// For request and answer together; a stream has no end.
    pub(super) whole: Duration,
    /// During which a reader takes nothing, of a stream too.
    pub(super) stalled: Duration,
    /// For answers that were begun when the server stops.
    pub(super) ending: Duration,
}

pub(super) const LIMITS: Limits = Limits {
    slots: 64,
    asking: Duration::from_secs(5),
    whole: Duration::from_secs(30),
    stalled: Duration::from_secs(10),
    ending: Duration::from_secs(2),
};

/// Most bytes of a request's head, and of an answer's that are copied.
const BUFFER: usize = 16 * 1024;

/// After a connection that could not be taken: the system is short of something.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop`, and a moment longer those whose answer was begun.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut slots: Vec<ConnectionSlot> = Vec::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            // How a connection ended does not matter.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        slots.retain(|slot| !slot.connection.is_finished());
        if slots.len() >= limits.slots {
            free_slot(&mut slots);
        }
        let endless = Arc::<AtomicBool>::default();
        let connection = serve_one(
            socket,
            app.clone(),
            limits,
            Arc::clone(&endless),
            closing.clone(),
        );
        slots.push(ConnectionSlot {
            connection: connections.spawn(connection),
            endless,
        });
    }
    drop(listener);
    closing.cancel();
    let all = async { while connections.join_next().await.is_some() {} };
    // Those that are left are cut with the set.
    let _ = timeout(limits.ending, all).await;
}

/// A connection, in the order in which they came.
struct ConnectionSlot {
    connection: AbortHandle,
    /// It is answered with a stream.
    endless: Arc<AtomicBool>,
}

/// Cuts the oldest connection: who asks and reads as one should is done before he is the oldest. Streams
/// are bounded by themselves and last.
fn free_slot(slots: &mut Vec<ConnectionSlot>) {
    let oldest = slots
        .iter()
        .position(|slot| !slot.endless.load(Ordering::Relaxed));
    let slot = slots.remove(oldest.unwrap_or(0));
    slot.connection.abort();
}

async fn serve_one(
    socket: TcpStream,
    app: Router,
    limits: Limits,
    endless: Arc<AtomicBool>,
    closing: CancellationToken,
) {
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(limits.stalled));
    let app = TowerToHyperService::new(app);
    let service = service_fn(|request: Request<Incoming>| {
        let answer = app.call(request.map(Body::new));
        let endless = Arc::clone(&endless);
        async move {
            let answer = answer.await?;
            endless.store(is_stream(&answer), Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.asking)
            .keep_alive(false)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(Box::pin(socket)), service)
    );
    let mut end = pin!(sleep(limits.whole));
    let (mut limited, mut open) = (true, true);
    loop {
        tokio::select! {
            // A client that went away in the middle is no failure of ours.
            _ = connection.as_mut() => return,
            () = end.as_mut(), if limited => match endless.load(Ordering::Relaxed) {
                true => limited = false,
                false => return,
            },
            () = closing.cancelled(), if open => {
                open = false;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn is_stream(answer: &Response) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind == "text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpSocket,
        sync::oneshot,
        task::JoinHandle,
    };

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(50);

    /// Nothing ends by itself.
    const PATIENT: Limits = Limits {
        slots: 3,
        asking: LONG,
        whole: LONG,
        stalled: LONG,
        ending: SHORT,
    };

    struct Server {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        served: JoinHandle<()>,
    }

    async fn start(limits: Limits) -> Server {
        let large = || get(async || "x".repeat(64 << 20));
        let app = Router::new()
            .route("/", get(async || "hello"))
            .route("/large", large())
            .route(
                "/stream",
                large().layer(axum::middleware::map_response(as_stream)),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let served = tokio::spawn(serve(listener, app, limits, stopped));
        Server {
            address,
            stop,
            served,
        }
    }

    async fn as_stream(mut answer: Response) -> Response {
        let kind = "text/event-stream".parse().unwrap();
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    }

    async fn send(server: &Server, words: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut socket = socket.connect(server.address).await.unwrap();
        socket.write_all(words.as_bytes()).await.unwrap();
        socket
    }

    async fn ask(server: &Server, path: &str) -> TcpStream {
        send(
            server,
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        )
        .await
    }

    /// Everything that is still to come; an end by force is an end.
    async fn rest(mut socket: TcpStream) -> usize {
        let mut all = Vec::new();
        drop(socket.read_to_end(&mut all).await);
        all.len()
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_is_not_waited_for() {
        let server = start(Limits {
            asking: SHORT,
            ..PATIENT
        })
        .await;
        for words in ["", "GET", "GET / HTTP/1.1\r\nHost: localhost\r\n"] {
            let length = rest(send(&server, words).await).await;
            assert!(length < 200, "{words}: {length}");
        }
        assert!(rest(ask(&server, "/").await).await > 5);
    }

    #[tokio::test]
    async fn a_reader_that_stalls_is_cut_and_one_that_is_slow_as_well_but_no_stream() {
        for limits in [
            Limits {
                stalled: SHORT,
                ..PATIENT
            },
            Limits {
                whole: SHORT,
                ..PATIENT
            },
        ] {
            let server = start(limits).await;
            let socket = ask(&server, "/large").await;
            tokio::time::sleep(4 * SHORT).await;
            assert!(rest(socket).await < 64 << 20);
        }
        let server = start(Limits {
            whole: SHORT,
            ..PATIENT
        })
        .await;
        let socket = ask(&server, "/stream").await;
        tokio::time::sleep(4 * SHORT).await;
        assert!(rest(socket).await > 64 << 20);
    }

    #[tokio::test]
    async fn who_comes_when_every_place_is_taken_gets_that_of_the_oldest() {
        let server = start(PATIENT).await;
        let stream = ask(&server, "/stream").await;
        let oldest = send(&server, "GET").await;
        let next = send(&server, "GET").await;
        assert!(rest(ask(&server, "/").await).await > 5);
        assert_eq!(rest(oldest).await, 0);
        assert!(rest(stream).await > 64 << 20);
        drop(next);
    }

    #[tokio::test]
    async fn nobody_holds_up_the_end() {
        let server = start(PATIENT).await;
        let half = send(&server, "GET").await;
        let reader = ask(&server, "/large").await;
        let stream = ask(&server, "/stream").await;
        server.stop.send(()).unwrap();
        server.served.await.unwrap();
        drop((half, reader, stream));
    }
}
