//! The service as a process of its own, and what the kernel says of it.

use crate::{numbers::Samples, venue::Venue};
use apply_tests::server_that_has_been_up;
use exchange_sim::SimConfig;
use redis_harness::RedisServer;
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// `apply-layer run`, ready. Killed with its handle.
pub(crate) struct Service {
    child: Child,
    directory: PathBuf,
    /// From its start until it said that it was ready.
    pub(crate) ready_after: Duration,
}

impl Service {
    /// Starts it for these symbols and waits until it says on systemd's socket that it is ready.
    pub(crate) fn start(
        program: &Path,
        server: &RedisServer,
        venue: &Venue,
        symbols: &str,
        more: &[(&str, &str)],
    ) -> Self {
        // A machine of its own each time: Redis remembers which journal lies where.
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("apply-bench-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let socket = directory.join("notify");
        let notify = UnixDatagram::bind(&socket).unwrap();
        // As under systemd, its lines go to one place that takes them at once.
        let log = fs::File::create(directory.join("log")).unwrap();
        let started = Instant::now();
        let child = Command::new(program)
            .arg("run")
            .env_clear()
            .env("APPLY_MODE", "testnet")
            .env("REDIS_URL", server.url())
            .env("BINANCE_TESTNET_URL", venue.url())
            .env("BINANCE_TESTNET_API_KEY", SimConfig::API_KEY)
            .env("BINANCE_TESTNET_API_SECRET", SimConfig::API_SECRET)
            .env("SYMBOLS", symbols)
            .env("APPLY_ALLOWLIST", symbols)
            .env("APPLY_STATE_DIR", directory.join("state"))
            .env("APPLY_METRICS_PORT", "0")
            .env("NOTIFY_SOCKET", &socket)
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let service = |ready_after| Self {
            child,
            directory,
            ready_after,
        };
        let mut service = service(Duration::ZERO);
        notify
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut word = [0; 512];
        loop {
            let length = notify.recv(&mut word).unwrap_or_else(|_| {
                panic!("never ready:\n{}", service.log());
            });
            if String::from_utf8_lossy(&word[..length]).contains("READY=1") {
                service.ready_after = started.elapsed();
                return service;
            }
        }
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Its page under `/metrics`.
    pub(crate) fn metrics(&self) -> String {
        let log = self.log();
        let address = log
            .split_once("Metrics on http://")
            .and_then(|(_, rest)| rest.split('/').next())
            .unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        write!(
            socket,
            "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut page = String::new();
        socket.read_to_string(&mut page).unwrap();
        page
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    /// Processor time up to now, user and kernel.
    pub(crate) fn processor(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = after_name.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // The kernel counts in hundredths of a second on every Linux of today.
        Duration::from_millis(ticks * 10)
    }

    /// How often its threads let go of a processor, of themselves and because they had to.
    pub(crate) fn switches(&self) -> u64 {
        let threads = fs::read_dir(self.proc("task")).unwrap();
        let counted = threads.map(|thread| {
            let status = fs::read_to_string(thread.unwrap().path().join("status"));
            // A thread may end meanwhile.
            let status = status.unwrap_or_default();
            let lines = status.lines().filter_map(|line| {
                let (name, count) = line.split_once(':')?;
                name.ends_with("ctxt_switches").then_some(count)
            });
            lines
                .map(|count| count.trim().parse::<u64>().unwrap())
                .sum::<u64>()
        });
        counted.sum()
    }

    /// Runs a command line beside it that finds the process's number in `PID`.
    pub(crate) fn beside(&self, command: &str) -> Child {
        Command::new("sh")
            .args(["-c", command])
            .env("PID", self.child.id().to_string())
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join(file)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Starting, and what is started.
pub(crate) struct Starts {
    pub(crate) ready: Samples,
    /// Bytes of the binary.
    pub(crate) binary: u64,
}

/// So many starts on an empty state directory, with one symbol.
pub(crate) async fn starts(program: &Path, count: usize) -> Starts {
    let server = server_that_has_been_up().await;
    let venue = Venue::start(1);
    let symbol = crate::wire::symbols(1);
    let ready = (0..count)
        .map(|_| Service::start(program, &server, &venue, &symbol, &[]).ready_after)
        .collect();
    Starts {
        ready: Samples::new(ready),
        binary: fs::metadata(program).unwrap().len(),
    }
}
