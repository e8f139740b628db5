//! Everything that is printed while the tests of this program run, and the search for secrets in it.

use exchange_sim::SimConfig;
use std::{
    fmt::Debug,
    io::{self, Write},
    sync::{Mutex, Once},
};
use tracing_subscriber::fmt::MakeWriter;

static PRINTED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

#[derive(Clone, Copy)]
struct Collected;

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        PRINTED.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Collected {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Collects every event of every crate in this process, whatever its level.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(Collected)
            .with_ansi(false)
            .init();
    });
}

/// Collects a value the way a careless caller would print it.
pub(crate) fn note(value: &(impl Debug + ?Sized)) {
    writeln!(Collected, "{value:?} {value:#?}").unwrap();
}

/// Fails if the key, the secret or any of `more` was ever printed by the client or its libraries.
pub(crate) fn assert_no_secret(more: &[String]) {
    let printed = PRINTED.lock().unwrap();
    // The venue under test prints what it receives; what matters is what the client's side prints.
    let ours: Vec<&str> = std::str::from_utf8(&printed)
        .unwrap()
        .lines()
        .filter(|line| !line.contains("exchange_sim"))
        .collect();
    assert!(
        ours.iter().any(|line| line.contains("exchange_client")),
        "nothing was collected"
    );
    let fixed = [SimConfig::API_KEY, SimConfig::API_SECRET, "signature="];
    for hidden in fixed.into_iter().chain(more.iter().map(String::as_str)) {
        let found = ours.iter().find(|line| line.contains(hidden));
        assert_eq!(found, None, "{hidden:?} was printed");
    }
}

/// The signatures of all orders that arrived at a venue.
pub(crate) fn signatures(sim: &exchange_sim::Sim) -> Vec<String> {
    let orders = sim.handle().orders();
    let signature = |params: &str| Some(params.split_once("signature=")?.1.to_owned());
    orders
        .iter()
        .filter_map(|order| signature(&order.params))
        .collect()
}
