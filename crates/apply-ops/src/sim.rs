//! `apply-layer sim`: the simulated venue alone, for bots of any make.

use crate::say;
use apply_service::{Failure, config::LogFormat, logging, stop_on_signals};
use clap::Args;
use exchange_sim::{
    AccountConfig, ApiKey, Drift, Limits, PositionSide, Sim, SimConfig, SymbolSpec,
};
use rust_decimal::Decimal;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Below the command's short help.
pub const EXAMPLES: &str = "\
Example: apply-layer sim --port 9010 --position BTCUSDT=0.0124
         apply-layer sim --hedge --position BTCUSDT:LONG=0.02 --wallet 5000
         apply-layer sim --symbol DOGEUSDT=0.08 --drift 5/1000 --limits 6000,300,1200
         apply-layer sim --ed25519 my-key=public.pem --account bob=bob-key:bob-secret
`apply-layer sim --help` lists every request that is served.";

/// The examples, and everything that is served.
pub fn served() -> String {
    let mut text = format!(
        "{EXAMPLES}\n\nServed (everything else is answered with 404 and -5000, and listed by GET /sim/missing):\n"
    );
    for served in exchange_sim::served() {
        let signed = if served.signed { "  signed" } else { "" };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {:<7} {}{signed}", served.method, served.path);
    }
    text.push_str("Control, without a key: GET /sim lists every page with an example body.");
    text
}

/// What may be set for `apply-layer sim`.
#[derive(Debug, Args)]
pub struct SimArgs {
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The API key the venue knows.
    #[arg(long, default_value = "sim-key")]
    key: String,
    /// Its secret (HMAC-SHA256). Only ever used on this machine.
    #[arg(long, default_value = "sim-secret")]
    secret: String,
    /// A key that signs with Ed25519: its name and a PEM file with the public key.
    #[arg(long, value_name = "KEY=FILE", value_parser = named_file)]
    ed25519: Vec<(String, PathBuf)>,
    /// A key that signs with RSA (PKCS#1 v1.5, SHA-256): its name and a PEM file with the public key.
    #[arg(long, value_name = "KEY=FILE", value_parser = named_file)]
    rsa: Vec<(String, PathBuf)>,
    /// Another account with an HMAC key of its own.
    #[arg(long, value_name = "NAME=KEY:SECRET", value_parser = account)]
    account: Vec<(String, String, String)>,
    /// Wallet balance of every account, in USDT.
    #[arg(long, value_name = "USDT", default_value_t = SimConfig::WALLET)]
    wallet: Decimal,
    /// Start in hedge mode instead of one-way mode.
    #[arg(long)]
    hedge: bool,
    /// A position to start with: BTCUSDT=0.0124, ETHUSDT=-0.5 for a short, BTCUSDT:LONG=0.02 for a leg of hedge mode.
    #[arg(long, value_name = "SYMBOL[:LEG]=AMOUNT", value_parser = position, allow_hyphen_values = true)]
    position: Vec<(String, PositionSide, Decimal)>,
    /// A symbol to add at a price, with filters that fit the price; a listed one opens at this price.
    #[arg(long, value_name = "SYMBOL=PRICE", value_parser = priced)]
    symbol: Vec<(String, Decimal)>,
    /// A JSON file with a list of symbols and their filters, as POST /sim/symbol takes them.
    #[arg(long, value_name = "FILE")]
    symbols_file: Option<PathBuf>,
    /// Enforce limits: request weight a minute, orders in 10 s, orders a minute. Without it the test host's are only stated.
    #[arg(long, value_name = "WEIGHT,ORDERS,ORDERS", value_parser = limits)]
    limits: Option<Limits>,
    /// State no limits at all, for a client that keeps to what is stated.
    #[arg(long, conflicts_with = "limits")]
    unlimited: bool,
    /// Time between a request's arrival and its execution, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Let prices wander: ticks at most, every so many milliseconds.
    #[arg(long, value_name = "TICKS/MS", value_parser = drift)]
    drift: Option<(u32, u64)>,
    /// The seed of the wandering: the same seed takes the same path.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How far the venue's clock runs ahead of this machine's, in milliseconds (below zero: behind).
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        allow_hyphen_values = true
    )]
    clock_offset: i64,
    /// Read requests strictly, to judge one's own client: unknown parameters and the like are refused.
    #[arg(long)]
    strict: bool,
    /// Reply to new and cancelled orders with avgPrice and cumQuote, as the venue did before 2026-07.
    #[arg(long)]
    old_replies: bool,
    /// List a filter that no client knows.
    #[arg(long)]
    unknown_filter: bool,
}

impl SimArgs {
    fn config(&self) -> Result<SimConfig, Failure> {
        let mut config = SimConfig::default()
            .port(self.port)
            .key(ApiKey::hmac(&self.key, &self.secret))
            .wallet(self.wallet)
            .latency(Duration::from_millis(self.latency))
            .clock_offset_ms(self.clock_offset);
        if self.hedge {
            config = config.hedge_mode();
        }
        if self.strict {
            config = config.strict();
        }
        if self.old_replies {
            config = config.old_replies();
        }
        if self.unknown_filter {
            config = config.unknown_filter();
        }
        if self.unlimited {
            config = config.unlimited();
        }
        if let Some(limits) = self.limits {
            config = config.limits(limits);
        }
        if let Some((max_ticks, every)) = self.drift {
            config = config.drift(Drift {
                every: Duration::from_millis(every),
                max_ticks,
                seed: self.seed,
            });
        }
        for (key, file) in &self.ed25519 {
            config = config.key(ApiKey::ed25519_pem(key, &text_of(file)?).map_err(wrong(file))?);
        }
        for (key, file) in &self.rsa {
            config = config.key(ApiKey::rsa_pem(key, &text_of(file)?).map_err(wrong(file))?);
        }
        for (name, key, secret) in &self.account {
            let mut account = AccountConfig::new(name).wallet(self.wallet);
            if self.hedge {
                account = account.hedge_mode();
            }
            config = config
                .account(account)
                .key(ApiKey::hmac(key, secret).on(name));
        }
        if let Some(file) = &self.symbols_file {
            let specs: Vec<SymbolSpec> = serde_json::from_str(&text_of(file)?)
                .map_err(|error| wrong(file)(error.to_string()))?;
            config = specs.into_iter().fold(config, SimConfig::symbol);
        }
        for (symbol, price) in &self.symbol {
            let spec = match symbol.as_str() {
                "BTCUSDT" => SymbolSpec::btcusdt().at(*price),
                "ETHUSDT" => SymbolSpec::ethusdt().at(*price),
                "SOLUSDT" => SymbolSpec::solusdt().at(*price),
                _ => SymbolSpec::priced(symbol, *price),
            };
            config = config.symbol(spec);
        }
        for (symbol, leg, amount) in &self.position {
            config = config.leg(symbol, *leg, *amount);
        }
        Ok(config)
    }
}

/// Serves the simulated venue until a signal.
pub async fn sim(args: SimArgs) -> Result<(), Failure> {
    logging::start(tracing::Level::WARN, LogFormat::Text);
    let config = args.config()?;
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let sim = Sim::start(config)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => Failure::configuration(error.to_string()),
            _ => Failure::unavailable(format!(
                "cannot open the simulated venue: {error}; choose another --port"
            )),
        })?;
    say(&format!(
        "simulated venue on {} (API key {}); what arrived: {}/sim/orders",
        sim.url(),
        args.key,
        sim.url()
    ));
    stop.cancelled().await;
    sim.shutdown()
        .await
        .map_err(|error| Failure::mismatch(format!("the simulated venue failed: {error}")))
}

fn text_of(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| wrong(file)(error.to_string()))
}

fn wrong(file: &Path) -> impl Fn(String) -> Failure {
    let name = file.display().to_string();
    move |mistake| Failure::configuration(format!("{name}: {mistake}"))
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((key, file)) if !key.is_empty() && !file.is_empty() => {
            Ok((key.to_owned(), file.into()))
        }
        _ => Err("KEY=FILE is needed, as in my-key=public.pem".to_owned()),
    }
}

fn account(text: &str) -> Result<(String, String, String), String> {
    let parts = text
        .split_once('=')
        .and_then(|(name, pair)| Some((name, pair.split_once(':')?)));
    match parts {
        Some((name, (key, secret))) if ![name, key, secret].contains(&"") => {
            Ok((name.to_owned(), key.to_owned(), secret.to_owned()))
        }
        _ => Err("NAME=KEY:SECRET is needed, as in bob=bob-key:bob-secret".to_owned()),
    }
}

fn decimal(text: &str) -> Result<Decimal, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no decimal number"))
}

fn position(text: &str) -> Result<(String, PositionSide, Decimal), String> {
    let (name, amount) = text
        .split_once('=')
        .ok_or("SYMBOL=AMOUNT is needed, as in BTCUSDT=0.0124")?;
    let (symbol, leg) = match name.split_once(':') {
        None => (name, PositionSide::Both),
        Some((symbol, "LONG")) => (symbol, PositionSide::Long),
        Some((symbol, "SHORT")) => (symbol, PositionSide::Short),
        Some((_, leg)) => return Err(format!("{leg:?} is no leg; LONG or SHORT is")),
    };
    Ok((symbol.to_owned(), leg, decimal(amount)?))
}

fn priced(text: &str) -> Result<(String, Decimal), String> {
    let (symbol, price) = text
        .split_once('=')
        .ok_or("SYMBOL=PRICE is needed, as in DOGEUSDT=0.08")?;
    Ok((symbol.to_owned(), decimal(price)?))
}

fn limits(text: &str) -> Result<Limits, String> {
    let figures: Result<Vec<u32>, _> = text.split(',').map(str::parse).collect();
    match figures.as_deref() {
        Ok(&[weight_per_minute, orders_per_10s, orders_per_minute]) => Ok(Limits {
            weight_per_minute,
            orders_per_10s,
            orders_per_minute,
            ..Limits::test_host()
        }),
        _ => Err("three whole numbers are needed, as in 6000,300,1200".to_owned()),
    }
}

fn drift(text: &str) -> Result<(u32, u64), String> {
    let figures = text
        .split_once('/')
        .and_then(|(ticks, every)| Some((ticks.parse().ok()?, every.parse().ok()?)));
    figures
        .filter(|(_, every)| *every > 0)
        .ok_or_else(|| "ticks and milliseconds are needed, as in 5/1000".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        sim: SimArgs,
    }

    fn args(line: &str) -> Result<SimArgs, String> {
        Alone::try_parse_from(std::iter::once("sim").chain(line.split_whitespace()))
            .map(|alone| alone.sim)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_the_flags_say_is_what_the_venue_starts_with() {
        let line = "--hedge --wallet 500 --position BTCUSDT:SHORT=-0.02 --symbol DOGEUSDT=0.08 --symbol BTCUSDT=50000 \
            --limits 60,3,12 --latency 1 --drift 5/1000 --clock-offset -20 --strict --old-replies \
            --unknown-filter --account bob=bob-key:bob-secret";
        let sim = Sim::start(args(line).unwrap().config().unwrap())
            .await
            .unwrap();
        let handle = sim.handle();
        assert_eq!(
            handle.leg("BTCUSDT", PositionSide::Short),
            "-0.02".parse().unwrap()
        );
        assert_eq!(handle.price("DOGEUSDT"), Some("0.08".parse().unwrap()));
        assert_eq!(handle.price("BTCUSDT"), Some(50_000.into()));
        assert_eq!(handle.wallet(), 500.into());
        assert_eq!(handle.on("bob").unwrap().wallet(), 500.into());
        sim.shutdown().await.unwrap();
    }

    #[test]
    fn a_flag_that_is_not_understood_is_refused_with_an_example() {
        for (line, message) in [
            ("--position BTCUSDT", "BTCUSDT=0.0124"),
            ("--position BTCUSDT:UP=1", "LONG or SHORT"),
            ("--symbol DOGEUSDT=cheap", "no decimal number"),
            ("--limits 6000,300", "6000,300,1200"),
            ("--drift 5", "5/1000"),
            ("--drift 5/0", "5/1000"),
            ("--account bob", "bob=bob-key:bob-secret"),
            ("--ed25519 key", "my-key=public.pem"),
            ("--limits 1,1,1 --unlimited", "cannot be used with"),
        ] {
            let refused = args(line).unwrap_err();
            assert!(refused.contains(message), "{line}: {refused}");
        }
        let missing = args("--rsa key=/nonexistent/key.pem")
            .unwrap()
            .config()
            .unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/key.pem"));
    }

    #[test]
    fn the_long_help_lists_what_is_served() {
        let text = served();
        assert!(text.contains("POST    /fapi/v1/algoOrder  signed"));
        assert!(text.contains("GET /sim/missing"));
    }
}
