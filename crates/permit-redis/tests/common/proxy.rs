//! A wire between a client and its server that can be cut, silenced and held.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Clone, Copy)]
enum Then {
    Mute,
    Hold,
}

struct State {
    /// Connections older than the newest mute never get a reply again.
    mutes: watch::Sender<u64>,
    /// What is to happen, once, when a word passes.
    trigger: Mutex<Option<(&'static str, Then)>>,
    holding: watch::Sender<bool>,
    refusing: AtomicBool,
    /// Where new connections lead.
    server: AtomicU16,
    swallowing: AtomicBool,
}

impl Proxy {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            mutes: watch::Sender::new(0),
            trigger: Mutex::default(),
            holding: watch::Sender::new(false),
            refusing: AtomicBool::new(false),
            server: AtomicU16::new(server),
            swallowing: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let server = shared.server.load(Ordering::SeqCst);
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await;
                let Ok(server) = server else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(requests(from_client, to_server, Arc::clone(&shared)));
                tokio::spawn(replies(from_server, to_client, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on no connection made so far gets a reply; requests still arrive. A socket that
    /// is half open looks like this.
    pub fn mute(&self) {
        self.state.mutes.send_modify(|mutes| *mutes += 1);
    }

    /// Mutes as soon as a request with this word in it passes: it arrives, its reply does not.
    pub fn mute_on(&self, word: &'static str) {
        *self.state.trigger.lock().unwrap() = Some((word, Then::Mute));
    }

    /// Holds requests from the first one on that has this word in it.
    pub fn hold_on(&self, word: &'static str) {
        *self.state.trigger.lock().unwrap() = Some((word, Then::Hold));
    }

    /// Resolves when requests are being held.
    pub async fn holding(&self) {
        let mut holding = self.state.holding.subscribe();
        holding.wait_for(|holding| *holding).await.unwrap();
    }

    /// Requests stay in the wire until they are let go.
    pub fn hold(&self, on: bool) {
        self.state.holding.send_replace(on);
    }

    /// New connections lead to this server; those there are lead where they did.
    pub fn lead_to(&self, server: u16) {
        self.state.server.store(server, Ordering::SeqCst);
    }

    /// Pushes do not arrive, everything else does.
    pub fn swallow_pushes(&self, on: bool) {
        self.state.swallowing.store(on, Ordering::SeqCst);
    }

    /// New connections are closed at once.
    pub fn refuse(&self, on: bool) {
        self.state.refusing.store(on, Ordering::SeqCst);
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let (mut buffer, mut holding) = (vec![0; 65_536], state.holding.subscribe());
    while let Ok(got @ 1..) = from.read(&mut buffer).await {
        let triggered = {
            let mut trigger = state.trigger.lock().unwrap();
            let text = String::from_utf8_lossy(&buffer[..got]);
            trigger.take_if(|(word, _)| text.contains(*word))
        };
        match triggered {
            Some((_, Then::Mute)) => state.mutes.send_modify(|mutes| *mutes += 1),
            Some((_, Then::Hold)) => _ = state.holding.send_replace(true),
            None => {}
        }
        holding.wait_for(|holding| !holding).await.unwrap();
        if to.write_all(&buffer[..got]).await.is_err() {
            return;
        }
    }
}

async fn replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let born = *state.mutes.borrow();
    let mut buffer = vec![0; 65_536];
    while let Ok(got @ 1..) = from.read(&mut buffer).await {
        // RESP3 begins a push with this, and nothing else that is asked for here.
        if buffer[0] == b'>' && state.swallowing.load(Ordering::SeqCst) {
            continue;
        }
        if *state.mutes.borrow() == born && to.write_all(&buffer[..got]).await.is_err() {
            return;
        }
    }
}
