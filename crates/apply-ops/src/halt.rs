//! The two commands that turn the kill switch: the file on this machine together with the one in Redis.

use crate::{leaving, say};
use apply_redis::{BoardConfig, Lifted, Recorded, RedisBoard, Turn};
use apply_service::{Failure, HaltFile, complain, config::RedisUrl};
use serde_json::json;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// What `halt` and `resume` need; nothing else may keep them from halting.
#[derive(Debug, Clone)]
pub struct HaltConfig {
    /// The switch on this machine.
    pub file: PathBuf,
    /// Where turns are recorded, a JSON object a line.
    pub log: PathBuf,
    /// Where the journal lies.
    pub state: PathBuf,
    /// Where the service is asked; none where that is not to be read, which keeps nobody from halting.
    pub service: Option<SocketAddr>,
    /// Where the switch of all machines is.
    pub redis: RedisUrl,
    /// As the system knows the operator: who called `sudo`, or else whose session it is, or else the number of the
    /// user; and from where, where the session came over the network.
    pub who: String,
}

/// `apply-layer halt` and `resume`: the file first, because it needs no other program; then Redis; both turns
/// recorded. Nothing is printed before all of this is done, and what cannot be printed changes nothing. Fails
/// where one of the two could not be turned, or not be recorded on this machine, and says which. Once the file
/// halts, it lists the orders that had their timestamp before.
pub async fn turn(
    config: HaltConfig,
    on: bool,
    reason: String,
    file_only: bool,
) -> Result<(), Failure> {
    let turn = Turn {
        on,
        reason,
        who: config.who.clone(),
        at: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    };
    let word = if on { "halted" } else { "resumed" };
    let (mut done, mut remarks) = (Vec::new(), Vec::new());
    let (mut failed, mut unrecorded) = (Vec::new(), Vec::new());
    match HaltFile::at(config.file.clone()).turn(&turn) {
        Ok(words) => {
            done.push(format!("{word} by {}", config.file.display()));
            if let Err(error) = words {
                unrecorded.push(format!("{}: {error}", config.file.display()));
            }
        }
        Err(error) => failed.push(format!("{}: {error}", config.file.display())),
    }
    if !file_only {
        match in_redis(&config, &turn).await {
            Ok((recorded, lifted)) => {
                match lifted {
                    Lifted::Keys(keys) => done.extend(
                        keys.iter().map(|key| format!("disarm lifted: {key} is deleted")),
                    ),
                    Lifted::NotSeen { why } => remarks.push(format!(
                        "whether the governor has disarmed cannot be seen ({why}); apply-layer status tells"
                    )),
                }
                done.push(format!("{word} in Redis at {}", config.redis));
                if let Recorded::No { why } = recorded {
                    remarks.push(format!(
                        "Redis keeps no record of it ({why}); the one in {} counts",
                        config.log.display()
                    ));
                }
            }
            Err(error) => failed.push(error),
        }
    }
    if let Err(error) = note(&config.log, &turn) {
        unrecorded.push(format!("{}: {error}", config.log.display()));
    }
    done.iter().for_each(|line| say(line));
    remarks.iter().for_each(|line| complain("", line));
    if on && HaltFile::at(config.file.clone()).look().is_on() {
        leaving::tell(config.service, &config.state).await;
    }
    match (failed.is_empty(), unrecorded.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(Failure::unavailable(format!(
            "{word}, but not recorded: {}; make room on the disk",
            unrecorded.join("; ")
        ))),
        (false, _) => {
            failed.extend(unrecorded);
            Err(Failure::unavailable(format!(
                "not everything was {word}: {}; do it again, or use --file-only where Redis is away",
                failed.join("; ")
            )))
        }
    }
}

async fn in_redis(config: &HaltConfig, turn: &Turn) -> Result<(Recorded, Lifted), String> {
    let told = |error: apply_core::PortError| error.to_string();
    let board = RedisBoard::connect(BoardConfig::new(config.redis.reveal()))
        .await
        .map_err(told)?;
    // The switch last: what it says counts from then on.
    let lifted = match turn.on {
        true => Lifted::Keys(Vec::new()),
        false => board.lift_disarm().await.map_err(told)?,
    };
    Ok((board.turn_switch(turn).await.map_err(told)?, lifted))
}

/// One JSON object a line, beside the journal.
fn note(log: &Path, turn: &Turn) -> io::Result<()> {
    log.parent().map_or(Ok(()), fs::create_dir_all)?;
    let line = json!({
        "halted": turn.on,
        "reason": turn.reason,
        "who": turn.who,
        "timestamp": turn.at,
    });
    let mut file = OpenOptions::new().create(true).append(true).open(log)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}
