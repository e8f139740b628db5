//! `watch`: what `status` prints, alive. On a terminal it fits the window; elsewhere it says each change on a line.
//! Redis and the service may be unreachable for any time: that is shown, and what was seen last stays with its age.

mod lines;
mod screen;
mod view;

use crate::{
    ReadConfig, VenueKeys,
    link::OpsContext,
    output::{Done, print},
    snapshot::Snapshot,
    status::Service,
    switches::Switches,
};
use apply_service::Config;
use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch::Sender,
    time::{Instant, sleep, timeout},
};
use view::View;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long Redis may take for one look.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn watch(read: ReadConfig, once: bool) -> Done {
    if once {
        let mut ops = OpsContext::open(read).await?;
        let snapshot = Snapshot::take(&mut ops).await?;
        return print(&(snapshot.to_text(&ops) + &snapshot.results_text(10)));
    }
    let config = Arc::new(read(VenueKeys::Unused)?);
    let (shows, views) = tokio::sync::watch::channel(None);
    let draw = async {
        match draws(io::stdout().is_terminal()) {
            true => screen::show(views).await,
            false => lines::print(views).await,
        }
    };
    tokio::select! {
        done = draw => done,
        () = look(&config, &shows) => Ok(()),
    }
}

/// Whether there is a terminal that can be drawn on. A word of the terminal's and no setting of the program's, so it
/// is read here.
fn draws(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Looks again and again, and shows what it sees.
async fn look(config: &Arc<Config>, shows: &Sender<Option<View>>) {
    let mut ops = None;
    let mut last: Option<(Snapshot, Instant)> = None;
    let mut away_since = None;
    let mut down_since = None;
    loop {
        let redis = timeout(PATIENCE, snapshot(config, &mut ops));
        let (looked, (service, stops)) = tokio::join!(redis, Service::ask(config.http));
        let looked = looked.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
        let why = match looked {
            Ok(snapshot) => {
                last = Some((snapshot, Instant::now()));
                away_since = None;
                None
            }
            Err(why) => {
                // The next look makes its own connection.
                ops = None;
                away_since.get_or_insert_with(Instant::now);
                Some(why)
            }
        };
        match service {
            Service::Ready => down_since = None,
            Service::NotReady(_) | Service::Away => {
                down_since.get_or_insert_with(Instant::now);
            }
        }
        let mut view = View::of(config, &service, down_since, stops);
        if let Some((snapshot, _)) = &last {
            view.sees(config, snapshot);
        }
        if let Some(why) = why {
            let known = Switches::without_redis(config, &why).await;
            view.misses_redis(&known, &why, away_since);
            if let Some((_, at)) = &last {
                view.as_of(*at);
            }
        }
        shows.send_replace(Some(view));
        sleep(LOOK_EVERY).await;
    }
}

async fn snapshot(config: &Arc<Config>, ops: &mut Option<OpsContext>) -> Result<Snapshot, String> {
    let open = match ops.take() {
        Some(open) => open,
        None => OpsContext::connect(Arc::clone(config))
            .await
            .map_err(|failure| failure.to_string())?,
    };
    let open = ops.insert(open);
    Snapshot::take(open)
        .await
        .map_err(|failure| failure.to_string())
}
