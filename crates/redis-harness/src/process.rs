//! Processes that cannot outlive us, ports that are free, directories that go away.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Names the server program that every test and benchmark starts; `redis-server` where it is not set.
const SERVER: &str = "REDIS_SERVER";

/// The program that is started where a test asks for none by name.
pub(crate) fn server_program() -> String {
    match std::env::var(SERVER) {
        Ok(program) if !program.trim().is_empty() => program,
        _ => "redis-server".into(),
    }
}

/// Major and minor version of a program, as its `--version` prints: `Redis server v=7.0.15 …`.
pub(crate) fn version_of(program: &str) -> (u32, u32) {
    let output = Command::new(installed(program)).arg("--version").output();
    let printed = output.map_or_else(
        |error| panic!("cannot ask {program} for its version: {error}"),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    let number = printed
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="));
    let mut parts = number.unwrap_or_default().split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => panic!("{program} --version prints no version: {printed}"),
    }
}

/// How long a server may take until it answers. Far beyond what it needs: where many are started at once on a busy
/// machine, each of them is slow.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A loopback port without a listener at this moment. Another process may take it before we do, so
/// its user has to try again.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .unwrap_or_else(|error| panic!("no free loopback port: {error}"))
        .port()
}

/// A directory of its own, removed with the handle.
#[derive(Debug)]
pub(crate) struct OwnDir(PathBuf);

impl OwnDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("redis-harness-{}-{n}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // Left behind by an earlier process that was killed and had our id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot create {}: {error}", path.display()),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }
}

impl Drop for OwnDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One server process, killed with the handle.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// Why a process does not answer.
#[derive(Debug)]
pub(crate) enum NotReady {
    /// Somebody else took the port first.
    PortTaken,
    /// Anything else, in words.
    Other(String),
}

impl Process {
    /// Starts `program` and waits until it answers PING on `port`.
    pub(crate) async fn start(
        program: &str,
        args: &[String],
        port: u16,
        dir: &OwnDir,
    ) -> Result<Self, NotReady> {
        let log = dir.path().join("log");
        let mut process = Self {
            child: spawn(program, args, &log),
            log,
        };
        process.ready(port).await?;
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name. The shell's own `kill` needs neither unsafe code nor a package.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "cannot send {name} to our own process {}",
            self.pid()
        );
    }

    async fn ready(&mut self, port: u16) -> Result<(), NotReady> {
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(match log.contains("Address already in use") {
                    true => NotReady::PortTaken,
                    false => NotReady::Other(format!("it ended with {status}:\n{log}")),
                });
            }
            if answers(port, self.pid()).await {
                return Ok(());
            }
            if started.elapsed() > READY_WITHIN {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(NotReady::Other(format!("no answer to PING:\n{log}")));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the process has finished loading and answers PING. A refusal for want of a password is
/// an answer too.
///
/// Somebody else's server may be on the port, and ours about to end because of that: who answers is
/// asked as well, where it may be.
async fn answers(port: u16, pid: u32) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        socket.write_all(b"PING\r\nINFO server\r\n").await?;
        let mut reply = Vec::new();
        let ours = format!("process_id:{pid}\r\n");
        while socket.read_buf(&mut reply).await? > 0 {
            if reply.starts_with(b"-NO") {
                return Ok(true);
            }
            if !reply.starts_with(&b"+PONG"[..reply.len().min(5)]) {
                return Ok(false);
            }
            let text = String::from_utf8_lossy(&reply);
            if text.contains("process_id:") && text.contains("\r\ntcp_port:") {
                return Ok(text.contains(&ours));
            }
        }
        io::Result::Ok(false)
    };
    matches!(
        tokio::time::timeout(Duration::from_secs(1), ask).await,
        Ok(Ok(true))
    )
}

/// Starts the program so that the kernel kills it when this process dies.
///
/// The kernel ties that to the thread that starts it, and a test's thread ends long before the
/// process does: so one thread that never ends starts them all.
fn spawn(program: &str, args: &[String], log: &Path) -> Child {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });

    let log = fs::File::create(log)
        .unwrap_or_else(|error| panic!("cannot create {}: {error}", log.display()));
    let output = |file: &fs::File| file.try_clone().map_or_else(|_| Stdio::null(), Stdio::from);
    let start = |mut command: Command| {
        command
            .stdin(Stdio::null())
            .stdout(output(&log))
            .stderr(output(&log));
        let (answer, spawned) = mpsc::channel();
        let sent = SPAWNER.send((command, answer)).is_ok();
        assert!(sent, "the thread that starts servers is gone");
        spawned
            .recv()
            .unwrap_or_else(|_| panic!("the thread that starts servers is gone"))
    };

    let program = installed(program);
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "KILL"]).arg(&program).args(args);
    start(tied)
        .or_else(|_| {
            let mut bare = Command::new(&program);
            bare.args(args);
            start(bare)
        })
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()))
}

fn installed(program: &str) -> PathBuf {
    if program.contains('/') {
        let file = PathBuf::from(program);
        assert!(
            file.is_file(),
            "{program} is not there: correct {SERVER}, or fetch the servers with scripts/servers"
        );
        return file;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            let package = match program {
                "valkey-server" => "valkey-server",
                _ => "redis-server",
            };
            panic!(
                "{program} is not installed and this test needs a real one: \
                 `apt-get install {package}`, or your distribution's way to it"
            )
        })
}
