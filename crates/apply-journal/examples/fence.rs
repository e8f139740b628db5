//! What may be ordered is on disk before it is, and once: `cargo run --example fence`.

use apply_core::{Intent, Journal, Recorded};
use apply_journal::{JournalSettings, RedbJournal};
use std::{env, error::Error, process, time::Duration};

/// Everything needed to ask the venue later whether the order exists.
const INTENT: &str = r#"{"plan":"67e6da21fa9fe506","symbol":"BTCUSDT","step":"CLOSE_FULL",
    "order":"close","attempt":"host-1.7","at":1769301008,"trace":{"side":"SELL",
    "position_side":"BOTH","position_before":"0.0124","signed_from":1769301008000,
    "signed_until":1769301010000,"receive_window_ms":1500}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::temp_dir().join(format!("fence-{}", process::id()));
    let settings = JournalSettings::for_claims_of(Duration::from_secs(21_600));
    let intent: Intent = serde_json::from_str(INTENT)?;
    for start in ["this process", "the next one, after a crash"] {
        let journal = RedbJournal::open(&directory, settings)?;
        match journal.record_intent(&intent).await? {
            Recorded::Now => println!("{start}: send {} once", intent.client_order_id()),
            Recorded::Before(_) => println!("{start}: it may be out: ask, never send"),
        }
    }
    Ok(std::fs::remove_dir_all(directory)?)
}
