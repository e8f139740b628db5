//! Priorities for the system's journal: `<4>` before a line says "warning" (sd-daemon(3)). The
//! journal takes it off again, so what `journalctl` prints is the line as it would be elsewhere.

use std::{borrow::Cow, fmt, fs::File, os::fd::AsFd, os::unix::fs::MetadataExt};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Before a line that reports a failure.
pub(crate) const ERROR: &str = "<3>";

/// Whether what is written there arrives in the journal: the service manager names the stream it
/// connected by device and inode (systemd.exec(5)); one that was redirected since is another.
/// Where that cannot be found out it does not, and lines stay as they are.
pub(crate) fn receives(stream: impl AsFd) -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stream = stream.as_fd().try_clone_to_owned().map(File::from);
    stream
        .and_then(|stream| stream.metadata())
        .is_ok_and(|meta| format!("{}:{}", meta.dev(), meta.ino()) == named)
}

fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => ERROR,
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// A format whose lines are printable, whatever foreign words are in them, each with the event's priority before
/// it where that is wanted.
pub(super) struct Printable<F> {
    pub(super) format: F,
    pub(super) with_priority: bool,
    /// [`printable`] or [`printable_json`].
    ///
    /// [`printable`]: permit_gate::foreign::printable
    /// [`printable_json`]: permit_gate::foreign::printable_json
    pub(super) escape: fn(&str) -> Cow<'_, str>,
}

impl<S, N, F> FormatEvent<S, N> for Printable<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.format
            .format_event(context, Writer::new(&mut text), event)?;
        let priority = match self.with_priority {
            true => priority(*event.metadata().level()),
            false => "",
        };
        writeln!(writer, "{priority}{}", (self.escape)(text.trim_end()))
    }
}
