//! `apply-layer chain`: both reviewers and the service in one process, for small deployments. Each
//! still reads and writes Redis as if it were alone, so any of them can move out later.

use crate::{
    config::Config,
    exit::Failure,
    logging,
    review::{Reviewer, Reviewers},
    run,
};
use tokio_util::sync::CancellationToken;

/// Runs until SIGTERM or SIGINT. The reviewers outlive the service: plans that were begun before
/// the signal still get their permits.
pub(crate) async fn chain(config: Config) -> Result<(), Failure> {
    logging::start(config.log_level, config.log_format);
    let stop = CancellationToken::new();
    let both = [Reviewer::Governor, Reviewer::P33];
    let reviewers = Reviewers::start(&config, &both, &stop).await?;
    let ran = run::run(config).await;
    stop.cancel();
    let reviewed = reviewers.join().await;
    ran.and(reviewed)
}
