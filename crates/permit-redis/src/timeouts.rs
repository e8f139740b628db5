//! Where a server is, and how long it is waited for.

use redis::AsyncConnectionConfig;
use std::time::Duration;

/// Host and port.
pub(crate) type Address = (String, u16);

/// How long to be patient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) response: Duration,
    pub(crate) sentinel: Duration,
    pub(crate) ping_every: Duration,
}

pub(crate) fn config(timeouts: Timeouts) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeouts.connect))
        .set_response_timeout(Some(timeouts.response))
        // The default of 50 makes a crowd wait for the writer in small groups.
        .set_pipeline_buffer_size(1024)
}
