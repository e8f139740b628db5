//! Reports to the service manager how the service is: systemd's `sd_notify`, on the socket that it names. Why not by a crate:
//! `docs/decisions/0012-own-code-beside-a-crate.md`.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::Arc,
};
use tracing::warn;

/// The service manager's socket, where there is one.
#[derive(Debug, Clone)]
pub(crate) struct SystemdNotifier(Option<Arc<(UnixDatagram, SocketAddr)>>);

impl SystemdNotifier {
    /// The socket of this name; a leading `@` is a name without a file (systemd's convention).
    pub(crate) fn at(name: Option<&str>) -> Self {
        let open = |name: &str| {
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name.as_bytes()),
                None => SocketAddr::from_pathname(name),
            }?;
            Ok::<_, std::io::Error>(Arc::new((UnixDatagram::unbound()?, address)))
        };
        Self(name.and_then(|name| match open(name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                warn!("cannot reach the service manager: {error}");
                None
            }
        }))
    }

    /// Reports a state to it: `READY=1`, `WATCHDOG=1`, `STOPPING=1`.
    pub(crate) fn notify(&self, state: &str) {
        if let Some(to) = &self.0
            && let Err(error) = to.0.send_to_addr(state.as_bytes(), &to.1)
        {
            warn!("cannot send {state} to the service manager: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_under_both_kinds_of_name() {
        let file = std::env::temp_dir().join(format!("apply-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&file);
        let abstract_name = format!("apply-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(abstract_name.as_bytes()).unwrap();
        for (name, socket) in [
            (file.display().to_string(), UnixDatagram::bind(&file)),
            (
                format!("@{abstract_name}"),
                UnixDatagram::bind_addr(&address),
            ),
        ] {
            let socket = socket.unwrap();
            SystemdNotifier::at(Some(&name)).notify("READY=1");
            let mut heard = [0; 32];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1");
        }
        std::fs::remove_file(&file).unwrap();
    }
}
