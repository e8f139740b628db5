//! `apply-layer chain`: both reviewers and the service in one process, for small deployments. Each
//! still reads and writes Redis as if it were alone, so any of them can move out later.

use crate::config::Settings;
use apply_ops::review::{Reviewer, Reviewers};
use apply_service::{Failure, logging, run};
use tokio_util::sync::CancellationToken;

/// Runs until SIGTERM or SIGINT. The reviewers outlive the service: plans that were begun before
/// the signal still get their permits.
pub(crate) async fn chain(settings: Settings) -> Result<(), Failure> {
    let Settings {
        service: config,
        review,
    } = settings;
    logging::start(config.log_level, config.log_format);
    let stop = CancellationToken::new();
    let both = [Reviewer::Governor, Reviewer::P33];
    let reviewers = Reviewers::start(&config, &review, &both, &stop).await?;
    let ran = run(config).await;
    stop.cancel();
    let reviewed = reviewers.join().await;
    ran.and(reviewed)
}
