//! Starting and stopping a venue.

use crate::{config::SimConfig, handle::SimHandle, server, state::Shared};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A simulated venue that runs in this process, on the runtime that started it.
///
/// Dropping it stops it: the listener closes and every connection ends. [`Sim::shutdown`] does the same and
/// waits until it has happened.
#[derive(Debug)]
pub struct Sim {
    address: SocketAddr,
    handle: SimHandle,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<io::Result<()>>,
}

impl Sim {
    /// Opens a venue on `127.0.0.1`. When this returns, it accepts connections.
    ///
    /// # Errors
    /// Where the port cannot be taken; `InvalidInput` where no venue could be run with this configuration.
    ///
    /// # Cancellation
    /// Dropped half-way, nothing is left running.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        check(&config)?;
        let listener = TcpListener::bind(("127.0.0.1", config.port)).await?;
        let address = listener.local_addr()?;
        let (shared, lates) = Shared::new(&config);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server::run(listener, (Arc::clone(&shared), lates), async {
            // A sender that is gone means the same as a word from it.
            let _ = stopped.await;
        }));
        Ok(Self {
            address,
            handle: SimHandle::new(shared),
            stop: Some(stop),
            server,
        })
    }

    /// `http://127.0.0.1:<port>`, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the venue listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The inside view.
    pub fn handle(&self) -> &SimHandle {
        &self.handle
    }

    /// Stops the venue and waits until its port is free and its connections have ended. Logs stay readable
    /// through a [`SimHandle`] taken before.
    ///
    /// # Errors
    /// What ended the accept loop earlier, if something did.
    ///
    /// # Cancellation
    /// Dropped half-way, the venue stops all the same.
    pub async fn shutdown(mut self) -> io::Result<()> {
        drop(self.stop.take());
        (&mut self.server).await.map_err(io::Error::other)?
    }
}

/// Serves a venue on a listener of the caller's, until `shutdown` completes. For programs that host it alone;
/// its logs and screws are then under `/sim` over HTTP.
///
/// # Errors
/// `InvalidInput` where the listener is not on a loopback address (a simulated venue has no business on a
/// network) or no venue could be run with this configuration.
///
/// # Cancellation
/// Dropping the future stops the venue.
pub async fn serve(
    listener: TcpListener,
    config: SimConfig,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    check(&config)?;
    server::run(listener, Shared::new(&config), shutdown).await
}

fn check(config: &SimConfig) -> io::Result<()> {
    config
        .check()
        .map_err(|mistake| io::Error::new(io::ErrorKind::InvalidInput, mistake))
}
