//! What stands between a service and Redis to see when the answer to a take goes out.

use crate::wire::unix;
use redis_harness::RedisServer;
use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Hands on everything, on as many connections as come. Ends with the process.
pub(crate) struct Relay {
    port: u16,
    granted: Arc<Mutex<HashMap<String, u64>>>,
}

const PERMIT: &[u8] = b"quantum:permit:";
/// Hexadecimal digits of a plan's id.
const ID: usize = 16;

impl Relay {
    pub(crate) fn start(server: &RedisServer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (port, redis) = (listener.local_addr().unwrap().port(), server.port());
        let granted = Arc::<Mutex<HashMap<String, u64>>>::default();
        let grants = Arc::clone(&granted);
        thread::spawn(move || {
            for client in listener.incoming() {
                serve(client.unwrap(), redis, &grants);
            }
        });
        Self { port, granted }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// When the last answer to a take of each plan was sent, in nanoseconds since 1970. A plan that
    /// was granted asks no more, so this was its grant.
    pub(crate) fn granted(&self) -> HashMap<String, u64> {
        self.granted.lock().unwrap().clone()
    }
}

fn serve(client: TcpStream, redis: u16, granted: &Arc<Mutex<HashMap<String, u64>>>) {
    let server = TcpStream::connect(("127.0.0.1", redis)).unwrap();
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
    }
    // The plan whose permits were asked for last on this connection.
    let asked = Arc::<Mutex<Option<String>>>::default();
    let (from_client, to_client) = (client.try_clone().unwrap(), client);
    let (from_server, to_server) = (server.try_clone().unwrap(), server);
    let ask = Arc::clone(&asked);
    pass(from_client, to_server, move |bytes| {
        if let Some(plan) = plan_in(bytes) {
            *ask.lock().unwrap() = Some(plan);
        }
    });
    let granted = Arc::clone(granted);
    pass(from_server, to_client, move |_| {
        let now = u64::try_from(unix().as_nanos()).unwrap();
        if let Some(plan) = asked.lock().unwrap().take() {
            granted.lock().unwrap().insert(plan, now);
        }
    });
}

/// Hands on what comes, after it was looked at.
fn pass(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8]) + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            look(&buffer[..length]);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn plan_in(bytes: &[u8]) -> Option<String> {
    let mut places = bytes.windows(PERMIT.len()).enumerate();
    let (at, _) = places.find(|(_, window)| *window == PERMIT)?;
    let id = bytes.get(at + PERMIT.len()..at + PERMIT.len() + ID)?;
    id.iter()
        .all(u8::is_ascii_hexdigit)
        .then(|| String::from_utf8_lossy(id).into_owned())
}
