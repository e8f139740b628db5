//! A wire between the service and its Redis that loses one chosen answer.

use super::resp::{first_frame, is_done, is_push, words};
use std::{
    collections::HashSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Which of the service's scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// The claim of a plan.
    Claim,
    /// The note of an intent beside its claim.
    Note,
    /// The take of its permits.
    Consume,
    /// The publication of a result.
    Publish,
}

/// How an answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The server acted; the connection closes before the answer.
    ReplyThenClose,
    /// The server acted; the connection stays open and says nothing any more.
    ReplyThenSilence,
    /// The connection closes before the server has heard of it.
    Request,
}

impl Script {
    /// By its first key: no other script begins with that, but for the note's, which brings a noted entry.
    fn is(self, command: &[&[u8]]) -> bool {
        let first_key: &[u8] = match self {
            Self::Claim => b"quantum:apply:dedupe:",
            Self::Note => b"quantum:apply:open",
            Self::Consume => b"quantum:permit:",
            Self::Publish => b"quantum:apply:result_published:",
        };
        let evaluates = command
            .first()
            .is_some_and(|word| word.eq_ignore_ascii_case(b"EVALSHA"));
        let noted = || {
            let entry = command.get(6).copied().unwrap_or_default();
            entry.windows(7).any(|word| word == b" noted ")
        };
        evaluates
            && command.get(3).is_some_and(|key| key.starts_with(first_key))
            && (self != Self::Note || noted())
    }
}

/// A running wire; cut with its handle.
#[derive(Debug)]
pub(crate) struct Wire {
    port: u16,
    plan: Arc<Mutex<Option<Plan>>>,
    lost: watch::Receiver<u32>,
    listening: JoinHandle<()>,
}

/// What is still to be lost.
#[derive(Debug, Clone, Copy)]
struct Plan {
    script: Script,
    loss: Loss,
    left: u32,
}

/// What both directions of one connection know.
struct Connection {
    plan: Arc<Mutex<Option<Plan>>>,
    lost: watch::Sender<u32>,
    /// Commands whose answer may be the one, by their number.
    chosen: Mutex<HashSet<u64>>,
    closed: watch::Sender<bool>,
}

impl Wire {
    /// To the server on this loopback port.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap_or_else(|error| panic!("no loopback port for a wire: {error}"));
        let port = listener
            .local_addr()
            .unwrap_or_else(|error| panic!("where does the wire begin? {error}"))
            .port();
        let plan: Arc<Mutex<Option<Plan>>> = Arc::default();
        let (count, lost) = watch::channel(0);
        let shared = Arc::clone(&plan);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A server that is away is a connection that ends.
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let connection = Arc::new(Connection {
                    plan: Arc::clone(&shared),
                    lost: count.clone(),
                    chosen: Mutex::default(),
                    closed: watch::Sender::new(false),
                });
                tokio::spawn(connection.clone().requests(from_client, to_server));
                tokio::spawn(connection.replies(from_server, to_client));
            }
        });
        Self {
            port,
            plan,
            lost,
            listening,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on: the next `times` answers of this script are lost.
    pub(crate) fn lose(&self, script: Script, loss: Loss, times: u32) {
        *open(&self.plan) = Some(Plan {
            script,
            loss,
            left: times,
        });
    }

    /// How many were lost.
    pub(crate) fn lost(&self) -> u32 {
        *self.lost.borrow()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Connection {
    async fn requests(self: Arc<Self>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut closed = self.closed.subscribe();
        let (mut pending, mut number) = (Vec::new(), 0_u64);
        loop {
            let got = tokio::select! {
                _ = closed.wait_for(|closed| *closed) => return,
                got = from.read_buf(&mut pending) => got,
            };
            if !matches!(got, Ok(1..)) {
                return self.close();
            }
            while let Some(length) = first_frame(&pending) {
                let frame: Vec<u8> = pending.drain(..length).collect();
                number += 1;
                match self.wanted(&frame) {
                    Some(Loss::Request) => {
                        self.count();
                        return self.close();
                    }
                    Some(_) => drop(open(&self.chosen).insert(number)),
                    None => {}
                }
                if to.write_all(&frame).await.is_err() {
                    return self.close();
                }
            }
        }
    }

    async fn replies(self: Arc<Self>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut closed = self.closed.subscribe();
        let (mut pending, mut number, mut silent) = (Vec::new(), 0_u64, false);
        loop {
            let got = tokio::select! {
                _ = closed.wait_for(|closed| *closed) => return,
                got = from.read_buf(&mut pending) => got,
            };
            if !matches!(got, Ok(1..)) {
                return self.close();
            }
            while let Some(length) = first_frame(&pending) {
                let frame: Vec<u8> = pending.drain(..length).collect();
                if !is_push(&frame) {
                    number += 1;
                }
                match self.loses(number, &frame) {
                    Some(Loss::ReplyThenSilence) => silent = true,
                    Some(_) => return self.close(),
                    None => {}
                }
                if !silent && to.write_all(&frame).await.is_err() {
                    return self.close();
                }
            }
        }
    }

    /// What is to happen to this command or its answer.
    fn wanted(&self, frame: &[u8]) -> Option<Loss> {
        let mut plan = open(&self.plan);
        let plan = plan.as_mut().filter(|plan| plan.left > 0)?;
        if !plan.script.is(&words(frame)) {
            return None;
        }
        if plan.loss == Loss::Request {
            plan.left -= 1;
        }
        Some(plan.loss)
    }

    /// An answer is lost where it was chosen and says that something happened.
    fn loses(&self, number: u64, frame: &[u8]) -> Option<Loss> {
        if is_push(frame) || !open(&self.chosen).remove(&number) || !is_done(frame) {
            return None;
        }
        let mut plan = open(&self.plan);
        let plan = plan.as_mut().filter(|plan| plan.left > 0)?;
        plan.left -= 1;
        let loss = plan.loss;
        self.count();
        Some(loss)
    }

    fn count(&self) {
        self.lost.send_modify(|lost| *lost += 1);
    }

    fn close(&self) {
        self.closed.send_replace(true);
    }
}

fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
