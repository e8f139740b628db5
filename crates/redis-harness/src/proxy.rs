//! A TCP proxy that can be closed and opened again, for one client of several.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A loopback port that leads to another one. Gone with its handle.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    closed: Arc<AtomicBool>,
    /// Changes whenever all connections are to end.
    cut: watch::Sender<u64>,
    /// Changes whenever all connections are to lead nowhere.
    silenced: watch::Sender<u64>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// To the server on this loopback port.
    ///
    /// # Panics
    ///
    /// Where no loopback port can be had.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap_or_else(|error| panic!("no loopback port for a proxy: {error}"));
        let port = listener
            .local_addr()
            .unwrap_or_else(|error| panic!("where does the proxy listen? {error}"))
            .port();
        let closed = Arc::new(AtomicBool::new(false));
        let cut = watch::Sender::new(0);
        let silenced = watch::Sender::new(0);
        let (shared, cuts, silences) = (Arc::clone(&closed), cut.clone(), silenced.clone());
        let listening = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if shared.load(Ordering::SeqCst) {
                    continue;
                }
                let (mut cut, mut silenced) = (cuts.subscribe(), silences.subscribe());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await
                    else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.changed() => {}
                        // Both ends stay open and hear nothing more.
                        _ = silenced.changed() => drop(cut.changed().await),
                    }
                });
            }
        });
        Self {
            port,
            closed,
            cut,
            silenced,
            listening,
        }
    }

    /// Where it begins, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections that are there lead nowhere from now on and stay open, as when a network drops them without a word. New
    /// ones are let through.
    pub fn silence(&self) {
        self.silenced.send_modify(|silenced| *silenced += 1);
    }

    /// Connections end, and no new one is let through.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.cut.send_modify(|cut| *cut += 1);
    }

    /// New connections are let through again.
    pub fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut.send_modify(|cut| *cut += 1);
    }
}
