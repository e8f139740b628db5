//! Plans that wait for permits that never come: what they cost while nothing happens.

use crate::{
    process::Service,
    venue::Venue,
    wire::{self, connect},
};
use apply_tests::{PLANS, server_that_has_been_up};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Long enough that all of them wait at once, and then are looked at.
const WAIT_MS: &str = "60000";
const LOOK: Duration = Duration::from_secs(8);

/// What so many cost.
pub(crate) struct Waiting {
    pub(crate) plans: usize,
    /// KiB.
    pub(crate) resident: u64,
    /// Of one core.
    pub(crate) share: f64,
}

pub(crate) async fn measure(program: &Path, plans: usize) -> Waiting {
    let server = server_that_has_been_up().await;
    let symbols = plans.max(1);
    let venue = Venue::start(symbols);
    let names = wire::symbols(symbols);
    let service = Service::start(
        program,
        &server,
        &venue,
        &names,
        &[("APPLY_PERMIT_WAIT_MS", WAIT_MS)],
    );
    let mut connection = connect(&server).await;
    let mut pipe = redis::pipe();
    for number in 0..plans {
        pipe.add_command(wire::proposal(&wire::symbol(number), 0))
            .ignore();
    }
    if plans > 0 {
        let () = pipe.query_async(&mut connection).await.unwrap();
    }
    let started = Instant::now();
    loop {
        let announced: usize = redis::cmd("XLEN")
            .arg(PLANS)
            .query_async(&mut connection)
            .await
            .unwrap();
        if announced >= plans {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(40),
            "{announced} of {plans} plans were announced"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What announcing them cost is over, and their positions have been asked for.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (processor, at) = (service.processor(), Instant::now());
    tokio::time::sleep(LOOK).await;
    let share = (service.processor() - processor).as_secs_f64() / at.elapsed().as_secs_f64();
    Waiting {
        plans,
        resident: service.resident(),
        share,
    }
}
