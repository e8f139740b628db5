//! `check`: everything the service needs, looked at side by side, one line each.

mod journal;
mod slots;

use super::{
    elsewhere::{Here, beside, difference},
    late::Late,
    link::Link,
    output::{Done, End, print, print_json},
    snapshot::{self, list},
    switches::Switches,
};
use crate::{ReadConfig, VenueKeys};
use apply_core::{Mode, times::millis};
use apply_exchange::StopsInPlace;
use apply_redis::{Keys, Right};
use apply_service::{
    Config, Failure,
    reviewers::{Judged, ReviewerHealth},
};
use exchange_client::{Client, ExchangeInfo, PositionMode, RequestError, Settings};
use permit_redis::{ConnectError, Meaning, Product, RedisPermitStore, WatchMode};
use redis::Value;
use serde_json::json;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, error::Elapsed, timeout};

/// How long everything may take together: below 5 s, with room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(4);

/// From this distance between two clocks on it is worth a word; from 5 s on orders are refused.
const DRIFT_WORTH_A_WORD: Duration = Duration::from_secs(1);

/// What one look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Ok(String),
    /// Not needed as things are set.
    Skipped(String),
    /// Works, and could be better.
    Note(String),
    /// Something is away; starting it fixes this.
    Away(String),
    /// A setting, here or there, has to change.
    Wrong(String),
}

/// A line of the report.
struct Line(&'static str, Found);

impl Found {
    fn mark(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Skipped(_) => "skipped",
            Self::Note(_) => "note",
            Self::Away(_) | Self::Wrong(_) => "FAIL",
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Ok(text)
            | Self::Skipped(text)
            | Self::Note(text)
            | Self::Away(text)
            | Self::Wrong(text) => text,
        }
    }
}

pub(super) async fn check(read: ReadConfig, as_json: bool) -> Done {
    let lines = match read(VenueKeys::Wanted) {
        Err(mistakes) => vec![Line("configuration", Found::Wrong(mistakes.to_string()))],
        Ok(config) => look(&config).await,
    };
    match as_json {
        true => print_json(&to_json(&lines))?,
        false => print(&to_text(&lines))?,
    }
    let any = |bad: fn(&Found) -> bool| lines.iter().any(|line| bad(&line.1));
    if any(|found| matches!(found, Found::Wrong(_))) {
        return Err(End::Failed(
            Failure::configuration("a setting has to change")
                .fix("see the lines that begin with FAIL"),
        ));
    }
    if any(|found| matches!(found, Found::Away(_))) {
        return Err(End::Failed(
            Failure::unavailable("something needed is unreachable")
                .fix("see the lines that begin with FAIL"),
        ));
    }
    Ok(())
}

const SWITCH: &str = "kill switch";

fn has(lines: &[Line], what: &str) -> bool {
    lines.iter().any(|line| line.0 == what)
}

fn to_text(lines: &[Line]) -> String {
    let line = |Line(what, found): &Line| {
        let text = found.text().replace('\n', "\n                          ");
        format!("{:<8} {what:<16} {text}\n", found.mark())
    };
    lines.iter().map(line).collect()
}

fn to_json(lines: &[Line]) -> String {
    let checks: Vec<_> = lines
        .iter()
        .map(|Line(what, found)| json!({"check": what, "result": found.mark(), "text": found.text()}))
        .collect();
    let well = !lines.iter().any(|line| line.1.mark() == "FAIL");
    json!({"ok": well, "checks": checks}).to_string()
}

async fn look(config: &Config) -> Vec<Line> {
    let until = Instant::now() + PATIENCE;
    let here = Here::of(config);
    let (mut redis, push, venue, elsewhere) = tokio::join!(
        redis(config, until),
        push(config, until),
        venue(config, until),
        difference(config.http, &here)
    );
    let mut lines = settings(config);
    lines.extend(elsewhere.map(|text| Line("service", Found::Wrong(text))));
    lines.append(&mut redis);
    if !has(&lines, SWITCH) {
        // The one in Redis could not be asked for.
        let known = Switches::here_alone(config, "it did not answer");
        lines.push(Line(SWITCH, switches(&known)));
    }
    lines.push(Line("push", push));
    lines.extend(venue);
    let journal = journal::look(&config.state.directory, config.mode);
    lines.push(Line("journal", journal));
    lines
}

fn settings(config: &Config) -> Vec<Line> {
    let names: Vec<&str> = config.permits.permits().iter().map(|p| p.name()).collect();
    let share = config
        .share()
        .map_or_else(String::new, |share| format!(" ({share})"));
    let summary = format!(
        "{}, follows {}{share}, may execute {}, awaits {}",
        config.mode.as_str(),
        list(config.followed().iter()),
        list(config.gates.allowlist.iter()),
        names.join(" and "),
    );
    let mut lines = vec![
        Line("configuration", Found::Ok(summary)),
        Line("signatures", signatures(config)),
    ];
    for remark in &config.remarks {
        lines.push(Line("configuration", Found::Note(remark.clone())));
    }
    for symbol in config.unfollowed() {
        let text = format!(
            "{symbol} may execute (APPLY_ALLOWLIST) but is not followed: add it to SYMBOLS"
        );
        lines.push(Line("configuration", Found::Note(text)));
    }
    lines
}

/// Whether permits have to be signed, and by which keys. Ids of keys are no secrets.
fn signatures(config: &Config) -> Found {
    let Some(ring) = &config.signing else {
        return Found::Ok(
            "permits need no signature: every Redis user who may write them can grant".into(),
        );
    };
    let without = config.permits_without_key();
    if !without.is_empty() {
        return Found::Wrong(format!(
            "permits have to be signed, and APPLY_PERMIT_KEYS holds no key of {}: no plan could pass",
            without.join(" and ")
        ));
    }
    let permits = config.permits.permits().iter().map(|permit| {
        let keys: Vec<&str> = ring.of(permit.name()).map(|key| key.id()).collect();
        format!("{} by {}", permit.name(), keys.join(" or "))
    });
    let permits: Vec<String> = permits.collect();
    Found::Ok(format!("permits have to be signed: {}", permits.join(", ")))
}

async fn redis(config: &Config, until: Instant) -> Vec<Line> {
    let asked = tokio::time::timeout_at(until, async {
        let began = Instant::now();
        let mut link = Link::open(&config.redis).await?;
        let text: String = link.ask(&redis::cmd("INFO"), "read INFO").await?;
        let took = began.elapsed();
        let info = Info::read(&text);
        if info.get("loading") == "1" {
            // Whatever else it is asked it refuses for that.
            let text = format!("{} is loading its data: wait until it has", config.redis);
            return Ok(vec![Line("redis", Found::Away(text))]);
        }
        let keys = link.keys();
        let beside = environment(config, &keys, &mut link).await;
        let lines = vec![
            Line("redis", reachable(config, &text, took)),
            Line("writes", writes(config, &mut link).await),
            Line("persistence", persistence(config, &mut link, &info).await),
            Line("scripting", scripting(&mut link).await),
            Line("rights", rights(&mut link).await),
            Line("reviewers", reviewers(config, &mut link).await),
            Line("late permits", late_permits(config, &mut link).await),
            Line(
                "permit keys",
                slots::look(config, info.get("cluster_enabled") == "1"),
            ),
            Line(
                SWITCH,
                switches(&Switches::read(config, &keys, &mut link).await),
            ),
        ];
        let neighbours = link.neighbours_switch().await.describe();
        let neighbours = neighbours.map(|text| Line("neighbours", Found::Note(text)));
        let lines = lines.into_iter().chain(neighbours).chain(beside);
        Ok::<_, Failure>(lines.collect::<Vec<_>>())
    });
    match asked.await {
        Ok(Ok(lines)) => lines,
        Ok(Err(failure)) if failure.is_configuration() => {
            vec![Line("redis", Found::Wrong(failure.to_string()))]
        }
        Ok(Err(failure)) => vec![Line("redis", Found::Away(failure.to_string()))],
        Err(_) => {
            let text = format!(
                "{} does not answer within {PATIENCE:?}; start it, or correct REDIS_URL",
                config.redis
            );
            vec![Line("redis", Found::Away(text))]
        }
    }
}

/// `INFO` of Redis: `name:value` lines.
struct Info(HashMap<String, String>);

impl Info {
    fn read(text: &str) -> Self {
        let pair = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        };
        Self(text.lines().filter_map(pair).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

fn reachable(config: &Config, info: &str, took: Duration) -> Found {
    let Some(product) = Product::read(info) else {
        return Found::Note(format!("{} answers without its version", config.redis));
    };
    match product.too_old() {
        Some(why) => Found::Wrong(format!("{}: {why}", config.redis)),
        None => Found::Ok(format!(
            "{} is {product}, connected and asked within {} ms",
            config.redis,
            took.as_millis()
        )),
    }
}

/// Whether the server takes a write: a key of the check's own, which is gone after a second.
async fn writes(config: &Config, link: &mut Link) -> Found {
    let keys = link.keys();
    let key = format!("{}check-{}", keys.lease, std::process::id());
    let mut set = redis::cmd("SET");
    set.arg(key).arg(1).arg("PX").arg(1000);
    let Err(error) = link.try_ask::<Value>(&set).await else {
        return Found::Ok("taken".into());
    };
    let fix = match Meaning::of(&error) {
        Meaning::ReadOnly => "it is a replica: let REDIS_URL name the master",
        Meaning::OutOfMemory => "its memory is full: raise maxmemory, or make room in it",
        Meaning::NoReplicas => {
            "fewer replicas follow it than min-replicas-to-write wants: start them"
        }
        Meaning::DiskError => "it cannot save to its disk: make room there",
        // The rights have a line of their own.
        Meaning::Forbidden { .. } => "the user may not write",
        _ => "it has to take them before orders can flow",
    };
    Found::Away(format!("{} takes no writes; {fix}: {error}", config.redis))
}

/// What a crash of the server costs, and whether it can write at all.
async fn persistence(config: &Config, link: &mut Link, info: &Info) -> Found {
    if info.get("aof_enabled") == "1" && info.get("aof_last_write_status") == "err" {
        return Found::Away("the append-only file cannot be written: make room on its disk; until then Redis refuses writes".into());
    }
    if info.get("aof_enabled") != "1" && info.get("rdb_last_bgsave_status") == "err" {
        return Found::Away(
            "the last snapshot failed, and Redis may refuse writes: make room on its disk".into(),
        );
    }
    match link.durability().await {
        Ok(durability) if durability.evicts.is_some() => {
            Found::Wrong(durability.eviction().unwrap_or_default())
        }
        Ok(durability) if durability.append_only => Found::Ok(durability.cost().into()),
        Ok(durability) => match config.mode {
            Mode::DryRun => Found::Note(durability.cost().into()),
            Mode::Testnet => Found::Wrong(durability.cost().into()),
        },
        Err(error) => Found::Note(error.to_string()),
    }
}

async fn scripting(link: &mut Link) -> Found {
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg("return 1");
    let loaded: Result<String, _> = link.try_ask(&load).await;
    let ran: Result<i64, _> = match loaded {
        Ok(sha) => link.try_ask(redis::cmd("EVALSHA").arg(sha).arg(0)).await,
        Err(error) => Err(error),
    };
    match ran {
        Ok(1) => Found::Ok("scripts run: claims and results are written in one step".into()),
        Ok(other) => Found::Wrong(format!(
            "a script that returns 1 returned {other}; use a server that runs scripts"
        )),
        Err(error) => match Meaning::of(&error) {
            Meaning::Forbidden { .. } => Found::Wrong(format!(
                "scripts are refused: {error}; allow the user EVALSHA and SCRIPT LOAD, as deploy/redis.acl does"
            )),
            meaning => Found::Away(format!(
                "scripts are refused: {error}; {}",
                meaning
                    .advice()
                    .unwrap_or("it has to run them before plans can be claimed")
            )),
        },
    }
}

/// Whether the user may do what plans need.
async fn rights(link: &mut Link) -> Found {
    let keys = link.keys();
    let mut missing = Vec::new();
    for right in apply_redis::rights(&keys) {
        let answer: Result<Value, _> = link.try_ask(&right.probe).await;
        if answer.is_err_and(|error| Right::is_missing(&error)) {
            missing.push(right.name);
        }
    }
    match missing.is_empty() {
        true => Found::Ok("the user may do what plans need".into()),
        false => Found::Wrong(format!(
            "the user may not do what plans need; allow it {}, as deploy/redis.acl does",
            missing.join(" ")
        )),
    }
}

/// Whether a dry run and a live instance share the server; no line where they do not.
async fn environment(config: &Config, keys: &Keys, link: &mut Link) -> Option<Line> {
    let other = match beside(config, keys, link).await {
        Ok(other) => other?,
        // What the user may not read has a line of its own.
        Err(_) => return None,
    };
    let found = match other.fences() {
        true => Found::Wrong(other.to_string()),
        false => Found::Note(other.to_string()),
    };
    Some(Line("environment", found))
}

/// How those are whose permits are required.
async fn reviewers(config: &Config, link: &mut Link) -> Found {
    match snapshot::reviewers(config, link).await {
        Ok(judged) if judged.is_empty() => Found::Skipped(
            "nothing is known of those whose permits are required: none has a group, and no plan waited".into(),
        ),
        Ok(judged) => {
            let each: Vec<String> = judged.iter().map(ToString::to_string).collect();
            match judged.iter().map(Judged::health).all(|of| of == ReviewerHealth::Good) {
                true => Found::Ok(each.join("; ")),
                false => Found::Note(format!(
                    "{}: check that it runs; without its permit nothing is executed",
                    each.join("; ")
                )),
            }
        }
        Err(failure) => Found::Note(format!("unknown whether they read plans: {failure}")),
    }
}

/// Whether permits come after the wait for them.
async fn late_permits(config: &Config, link: &mut Link) -> Found {
    let keys = link.keys();
    let now = match link.micros().await {
        Ok(micros) => micros / 1000,
        Err(error) => return Found::Note(format!("not known: {error}")),
    };
    let day = millis(A_DAY);
    match Late::between(link, &keys, now.saturating_sub(day), None).await {
        Ok(late) if late.is_empty() => Found::Ok("none in the last 24 h".into()),
        Ok(late) => Found::Note(late.sentence(config, "the last 24 h")),
        Err(error) => Found::Note(format!("not known: {error}")),
    }
}

/// How far back late permits are looked for.
const A_DAY: Duration = Duration::from_secs(86_400);

/// What halts the service.
fn switches(found: &Switches) -> Found {
    match found.is_on() {
        Some(false) => Found::Ok("off".into()),
        Some(true) => Found::Note(format!("on, {}", found.on_line())),
        None => Found::Note(found.line()),
    }
}

/// Whether waits are woken by writes.
async fn push(config: &Config, until: Instant) -> Found {
    let settings = match config.permit_store() {
        Ok(settings) => settings,
        Err(error) => return Found::Wrong(error.to_string()),
    };
    let connected = tokio::time::timeout_at(until, RedisPermitStore::connect(settings)).await;
    let trouble = match &connected {
        Ok(Ok(store)) => store.watch_trouble(),
        _ => None,
    };
    match connected.map(|store| store.map(|store| store.watch_mode())) {
        Ok(Ok(WatchMode::Tracking)) => {
            Found::Ok("pushes work: writes wake waits and proposals (client tracking)".into())
        }
        Ok(Ok(WatchMode::KeyspaceNotifications)) => Found::Ok(
            "pushes work: writes wake waits and proposals (keyspace notifications)".into(),
        ),
        Ok(Ok(WatchMode::Polling)) => Found::Note(format!(
            "permits are polled every {} ms and proposals every {} s, since pushes do not work: {}; allow the user CLIENT TRACKING, as deploy/redis.acl does",
            config.wait.step.as_millis(),
            config.poll.as_secs_f64(),
            trouble.as_deref().unwrap_or("the server cannot push")
        )),
        Ok(Err(error @ (ConnectError::Config(_) | ConnectError::Unusable { .. }))) => {
            Found::Wrong(error.to_string())
        }
        Ok(Err(error)) => Found::Away(error.to_string()),
        Err(_) => Found::Away(format!("not known: {} does not answer", config.redis)),
    }
}

async fn venue(config: &Config, until: Instant) -> Vec<Line> {
    const NAMES: [&str; 6] = [
        "venue",
        "clock",
        "symbols",
        "keys",
        "position mode",
        "stops",
    ];
    let (Mode::Testnet, Some(credentials)) = (config.mode, config.credentials.clone()) else {
        let why = "a dry run asks the venue nothing and needs no keys";
        return NAMES
            .map(|name| Line(name, Found::Skipped(why.into())))
            .into();
    };
    let client = match Client::new(config.venue.clone(), credentials, Settings::default()) {
        Ok(client) => client,
        Err(error) => return vec![Line("venue", Found::Wrong(error.to_string()))],
    };
    let host = &config.venue;
    let away = |why: String| {
        let text =
            format!("{host} cannot be reached: {why}; check the network, or BINANCE_TESTNET_URL");
        vec![Line("venue", Found::Away(text))]
    };
    let left = until.saturating_duration_since(Instant::now());
    let reading = match timeout(left, client.measure_clock()).await {
        Ok(Ok(reading)) => reading,
        Ok(Err(error)) => return away(error.to_string()),
        Err(_) => return away(format!("no answer within {PATIENCE:?}")),
    };
    let answered = format!("{host} answers in {} ms", reading.round_trip.as_millis());
    let offset = reading.offset;
    let clock = match offset.size() {
        size if size > Settings::default().max_clock_offset => Found::Wrong(format!(
            "the venue's clock is {offset} from this machine's, and orders are refused: set this one by NTP"
        )),
        size if size > DRIFT_WORTH_A_WORD => Found::Note(format!(
            "the venue's clock is {offset} from this machine's: set this one by NTP"
        )),
        _ => Found::Ok(format!("the venue's is {offset} from this machine's")),
    };
    let mut lines = vec![Line("venue", Found::Ok(answered)), Line("clock", clock)];
    let left = until.saturating_duration_since(Instant::now());
    let listed = timeout(left, client.fetch_exchange_info()).await;
    lines.push(Line("symbols", symbols(config, listed)));
    let left = until.saturating_duration_since(Instant::now());
    let (keys, position) = match timeout(left, client.fetch_position_mode()).await {
        Ok(Ok(mode)) => (
            Found::Ok("accepted".into()),
            Found::Ok(position_mode(mode).into()),
        ),
        Ok(Err(RequestError::Refused(reply))) => {
            let fix = match reply.code {
                // The key is known, and what was signed with the secret does not fit it.
                Some(-1022) => {
                    "BINANCE_TESTNET_API_SECRET does not belong to BINANCE_TESTNET_API_KEY: set it to the secret of this key"
                        .to_owned()
                }
                _ => format!(
                    "set BINANCE_TESTNET_API_KEY and BINANCE_TESTNET_API_SECRET to a pair made for {host}"
                ),
            };
            let text = format!("refused by the venue ({reply}); {fix}");
            (
                Found::Wrong(text),
                Found::Skipped("not checked without keys".into()),
            )
        }
        Ok(Err(error)) => (
            Found::Away(format!("not known: {error}")),
            Found::Skipped("not known".into()),
        ),
        Err(_) => (
            Found::Away("not known: no answer".into()),
            Found::Skipped("not known".into()),
        ),
    };
    let stops = match &keys {
        Found::Ok(_) => {
            let left = until.saturating_duration_since(Instant::now());
            stops(timeout(left, StopsInPlace::fetch(&client)).await)
        }
        _ => Found::Skipped("not checked without keys".into()),
    };
    lines.push(Line("keys", keys));
    lines.push(Line("position mode", position));
    lines.push(Line("stops", stops));
    lines
}

/// Whether the host trades what is followed here.
fn symbols(
    config: &Config,
    listed: Result<Result<Arc<ExchangeInfo>, RequestError>, Elapsed>,
) -> Found {
    let info = match listed {
        Ok(Ok(info)) => info,
        Ok(Err(error)) => return Found::Away(format!("not known: {error}")),
        Err(_) => return Found::Away("not known: no answer".into()),
    };
    let (mut unlisted, mut closed, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    for symbol in config.followed() {
        let rules = match symbol.as_str().parse() {
            Ok(symbol) if info.lists(&symbol) => info.rules(&symbol),
            _ => {
                unlisted.push(symbol.to_string());
                continue;
            }
        };
        match rules {
            Ok(rules) if rules.is_trading() => {}
            Ok(rules) => closed.push(format!("{symbol} is {}", rules.status)),
            Err(error) => unreadable.push(format!("{symbol}: {error}")),
        }
    }
    if !unlisted.is_empty() {
        return Found::Wrong(format!(
            "{} does not list {}: correct SYMBOLS, its plans end as symbol_not_listed",
            config.venue,
            few(&unlisted)
        ));
    }
    if !closed.is_empty() || !unreadable.is_empty() {
        closed.append(&mut unreadable);
        return Found::Note(format!(
            "not open for trading, nothing of them is executed: {}",
            few(&closed)
        ));
    }
    Found::Ok("every symbol of SYMBOLS is listed and open for trading".into())
}

/// The first few by name, the others by number.
fn few(names: &[impl AsRef<str>]) -> String {
    const NAMED: usize = 5;
    let named: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Stops of this program, with and without a position.
fn stops(asked: Result<Result<StopsInPlace, RequestError>, Elapsed>) -> Found {
    match asked {
        Ok(Ok(stops)) if stops.without_position.is_empty() => Found::Ok(stops.to_string()),
        Ok(Ok(stops)) => Found::Note(stops.to_string()),
        Ok(Err(error)) => Found::Note(format!("not known: {error}")),
        Err(_) => Found::Note("not known: no answer".into()),
    }
}

fn position_mode(mode: PositionMode) -> &'static str {
    match mode {
        PositionMode::OneWay => "one-way",
        PositionMode::Hedge => "hedge: plans of a symbol with a long and a short side are refused",
    }
}
