//! The socket side: accepting, one task per connection, delivering replies or what a fault makes of them.

use crate::{
    control,
    drift::Wanderer,
    fault::{Action, Delivery, Instead, Script},
    http::{NoRequest, Reply, Request, read_request},
    log::{OrderOutcome, Verdict},
    state::{Arrival, Entry, Late, Log, Shared},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Whether a connection serves another request after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    Close,
}

/// Accepts until `shutdown` completes; then every connection ends, mid-reply ones included.
pub(crate) async fn run(
    listener: TcpListener,
    (shared, mut lates): (Arc<Shared>, mpsc::UnboundedReceiver<Late>),
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a simulated venue listens on loopback only",
        ));
    }
    // Dropping the set ends its tasks, so nothing outlives this function.
    let mut tasks = JoinSet::new();
    if let Some(drift) = shared.drift {
        tasks.spawn(Wanderer::new(drift).wander(Arc::clone(&shared)));
    }
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(_) = tasks.join_next() => {}
            Some(late) = lates.recv() => {
                tasks.spawn(act_late(late, Arc::clone(&shared)));
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tasks.spawn(serve_connection(stream, Arc::clone(&shared)));
                }
                // Out of descriptors, most likely: others must close before the next accept can work.
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
}

async fn serve_connection(mut stream: TcpStream, shared: Arc<Shared>) {
    // Replies are small and awaited; batching them only adds delay. Failing to say so harms nothing.
    let _ = stream.set_nodelay(true);
    let reset_this = {
        let mut state = shared.lock();
        let due = state.reset_next > 0;
        state.reset_next = state.reset_next.saturating_sub(1);
        due
    };
    if reset_this {
        reset(&stream);
        return;
    }
    let mut close_idle = shared.close_idle.subscribe();
    let mut buffer = Vec::with_capacity(2048);
    loop {
        if buffer.is_empty() && wait_for_bytes(&stream, &mut close_idle).await.is_err() {
            return;
        }
        let request = match read_request(&mut stream, &mut buffer).await {
            Ok(request) => request,
            Err(NoRequest::Gone) => return,
            Err(NoRequest::Bad(reply)) => {
                let _ = send(&mut stream, &reply, false).await;
                return;
            }
        };
        let next = if request.path == "/sim" || request.path.starts_with("/sim/") {
            let reply = control::answer(&shared, &request);
            send(&mut stream, &reply, request.keep_alive).await
        } else {
            serve_request(&mut stream, &shared, &request).await
        };
        match next {
            Ok(Next::Request) => {}
            Ok(Next::Close) | Err(_) => return,
        }
    }
}

/// Waits between two requests; an error where the connection is to be closed instead.
async fn wait_for_bytes(
    stream: &TcpStream,
    close_idle: &mut watch::Receiver<u64>,
) -> Result<(), ()> {
    tokio::select! {
        ready = stream.readable() => ready.map_err(drop),
        _ = close_idle.changed() => Err(()),
    }
}

async fn serve_request(
    stream: &mut TcpStream,
    shared: &Shared,
    request: &Request,
) -> io::Result<Next> {
    let (arrival, arrived) = {
        let mut state = shared.lock();
        let arrival = state.arrive(request);
        (arrival, state.orders.total())
    };
    if arrival.entry.is_some_and(|entry| entry.log == Log::Orders) {
        shared.arrived.send_replace(arrived);
    }
    let Arrival {
        fault,
        latency,
        entry,
    } = arrival;
    pause(latency).await;
    let Some((_, fault)) = fault else {
        let reply = execute(shared, request, entry, &Script::default());
        return send(stream, &reply, request.keep_alive).await;
    };
    pause(Duration::from_millis(fault.delay_before_ms)).await;
    let delivery = match fault.action {
        Action::NotExecuted(instead) => {
            settle_unexecuted(shared, entry);
            pause(Duration::from_millis(fault.delay_after_ms)).await;
            return deliver_instead(stream, instead, request.keep_alive).await;
        }
        Action::Late {
            after_ms,
            instead,
            script,
        } => {
            // The server is gone only when this connection is about to end too.
            let _ = shared.late.send(Late {
                request: request.clone(),
                entry,
                after: Duration::from_millis(after_ms),
                script,
            });
            return deliver_instead(stream, instead, request.keep_alive).await;
        }
        Action::Executed { script, delivery } => {
            let reply = execute(shared, request, entry, &script);
            pause(Duration::from_millis(fault.delay_after_ms)).await;
            (delivery, reply)
        }
    };
    deliver(stream, delivery, request.keep_alive).await
}

fn execute(shared: &Shared, request: &Request, entry: Option<Entry>, script: &Script) -> Reply {
    let mut state = shared.lock();
    let now = state.venue.server_time();
    let answered = state.venue.answer(request, now, script);
    if let (Some(entry), Some(verdict)) = (entry, answered.verdict) {
        state.settle(entry, verdict);
    }
    answered.reply
}

async fn act_late(late: Late, shared: Arc<Shared>) {
    pause(late.after).await;
    execute(&shared, &late.request, late.entry, &late.script);
}

fn settle_unexecuted(shared: &Shared, entry: Option<Entry>) {
    if let Some(entry) = entry {
        shared.lock().settle(
            entry,
            Verdict {
                outcome: OrderOutcome::NotExecuted,
                executed_qty: rust_decimal::Decimal::ZERO,
                order_id: None,
            },
        );
    }
}

async fn deliver_instead(
    stream: &mut TcpStream,
    instead: Instead,
    keep_alive: bool,
) -> io::Result<Next> {
    match instead {
        Instead::Reset => {
            reset(stream);
            Ok(Next::Close)
        }
        Instead::Close => Ok(Next::Close),
        Instead::Hang => hang(stream).await,
        Instead::Reply(canned) => send(stream, &canned.into_reply(), keep_alive).await,
    }
}

async fn deliver(
    stream: &mut TcpStream,
    (delivery, reply): (Delivery, Reply),
    keep_alive: bool,
) -> io::Result<Next> {
    match delivery {
        Delivery::Whole => send(stream, &reply, keep_alive).await,
        Delivery::Reset => {
            reset(stream);
            Ok(Next::Close)
        }
        Delivery::Close => Ok(Next::Close),
        Delivery::Hang => hang(stream).await,
        Delivery::Cut => {
            let body = reply.body.as_bytes();
            let half = body.get(..body.len() / 2).unwrap_or_default();
            stream.write_all(reply.head(keep_alive).as_bytes()).await?;
            stream.write_all(half).await?;
            stream.shutdown().await?;
            Ok(Next::Close)
        }
        Delivery::Slow { piece, pause_ms } => {
            stream.write_all(reply.head(keep_alive).as_bytes()).await?;
            for piece in reply.body.as_bytes().chunks(piece.max(1)) {
                stream.write_all(piece).await?;
                pause(Duration::from_millis(pause_ms)).await;
            }
            Ok(after(keep_alive))
        }
        Delivery::Reply(canned) => send(stream, &canned.into_reply(), keep_alive).await,
        Delivery::Altered(fields) => send(stream, &reply.altered(&fields), keep_alive).await,
    }
}

async fn send(stream: &mut TcpStream, reply: &Reply, keep_alive: bool) -> io::Result<Next> {
    let mut bytes = reply.head(keep_alive);
    bytes.push_str(&reply.body);
    stream.write_all(bytes.as_bytes()).await?;
    Ok(after(keep_alive))
}

fn after(keep_alive: bool) -> Next {
    if keep_alive {
        Next::Request
    } else {
        Next::Close
    }
}

/// Makes the close that follows a reset (RST) instead of an orderly one (FIN).
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::warn!(%error, "the reset goes out as an orderly close");
    }
}

/// Says nothing until the client goes away. What the client still sends is read and forgotten.
async fn hang(stream: &mut TcpStream) -> io::Result<Next> {
    let mut sink = [0; 1024];
    while tokio::io::AsyncReadExt::read(stream, &mut sink).await? > 0 {}
    Ok(Next::Close)
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
