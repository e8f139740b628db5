//! The few numbers a client can be given, each with a default that suits the test host.

use crate::error::SetupError;
use std::time::Duration;

/// How long things may take. All have defaults; change a field of [`Settings::default`] to differ.
///
/// ```
/// use std::time::Duration;
/// let mut settings = exchange_client::Settings::default();
/// settings.recv_window = Duration::from_millis(1000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How long after its timestamp the venue may still accept a request; also how long a lost order can still land.
    /// 100 ms to 5 s, 1.5 s by default.
    pub recv_window: Duration,
    /// How far this machine's wall clock may be from the venue's before orders are refused; 5 s by default. Timestamps are
    /// right whatever the wall clock says, but the permits and proposals an order rests on carry times of this machine.
    pub max_clock_offset: Duration,
    /// How old a measurement of the venue's time may be before a new one is started beside the next request; 5 min by
    /// default. One three times as old is not used at all.
    pub clock_max_age: Duration,
    /// How old the symbol rules and the position mode may be before they are fetched again; 1 h by default.
    pub rules_max_age: Duration,
    /// How long to wait for a connection, TLS included; 2 s by default.
    pub connect_timeout: Duration,
    /// How long to wait for a whole reply, connecting included; longer than `connect_timeout`, 5 s by default.
    pub reply_timeout: Duration,
    /// How long a question may wait for room under the venue's limits before it is refused; 1 s by default. Orders never wait.
    pub max_limit_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            recv_window: Duration::from_millis(1500),
            max_clock_offset: Duration::from_secs(5),
            clock_max_age: Duration::from_secs(300),
            rules_max_age: Duration::from_secs(3600),
            connect_timeout: Duration::from_secs(2),
            reply_timeout: Duration::from_secs(5),
            max_limit_wait: Duration::from_secs(1),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let refuse = |name, given, allowed| {
            Err(SetupError::Setting {
                name,
                given,
                allowed,
            })
        };
        if !(Duration::from_millis(100)..=Duration::from_secs(5)).contains(&self.recv_window) {
            return refuse("recv_window", self.recv_window, "100 ms to 5 s");
        }
        if self.connect_timeout.is_zero() {
            return refuse("connect_timeout", self.connect_timeout, "above zero");
        }
        if self.reply_timeout <= self.connect_timeout {
            return refuse(
                "reply_timeout",
                self.reply_timeout,
                "longer than connect_timeout",
            );
        }
        if self.clock_max_age.is_zero() {
            return refuse("clock_max_age", self.clock_max_age, "above zero");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outside_their_bounds_are_refused_by_name() {
        assert_eq!(Settings::default().check(), Ok(()));
        let long = Settings {
            recv_window: Duration::from_secs(60),
            ..Settings::default()
        };
        let hasty = Settings {
            reply_timeout: Duration::from_secs(1),
            ..Settings::default()
        };
        for (settings, name) in [(long, "recv_window"), (hasty, "reply_timeout")] {
            assert!(
                settings
                    .check()
                    .is_err_and(|error| error.to_string().starts_with(name))
            );
        }
    }
}
