//! The caller's last word on a request: after its turn and its timestamp, before its signature.

use crate::{Setup, d};
use exchange_client::{
    LastLook, Look, NotSentReason, StopIntent, StopReplacement, Submission, SubmissionStatus,
    VenueTime,
};
use exchange_sim::{Delivery, Fault, OrderRecord, When};
use std::{
    collections::VecDeque,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};

/// Plays its answers one after the other, then lets go; remembers when it was asked, and about which moment.
#[derive(Default)]
struct Watcher {
    answers: Mutex<VecDeque<Look>>,
    looks: Mutex<Vec<(Instant, Instant)>>,
    asking: Mutex<VecDeque<Result<(), String>>>,
    /// How long a look and an answer to asking again take.
    takes: Duration,
}

impl Watcher {
    fn that_says(answers: impl IntoIterator<Item = Look>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().collect()),
            ..Self::default()
        }
    }

    /// The moments it was asked about, and when.
    fn looks(&self) -> Vec<(Instant, Instant)> {
        self.looks.lock().unwrap().clone()
    }
}

impl LastLook for Watcher {
    fn look(&self, stamped: Instant) -> Look {
        self.looks.lock().unwrap().push((stamped, Instant::now()));
        thread::sleep(self.takes);
        let next = self.answers.lock().unwrap().pop_front();
        next.unwrap_or(Look::Go)
    }

    async fn ask_again(&self) -> Result<(), String> {
        sleep(self.takes).await;
        let next = self.asking.lock().unwrap().pop_front();
        next.unwrap_or(Ok(()))
    }
}

async fn submit(setup: &Setup, id: &str, look: &Watcher) -> Submission {
    let order = setup.prepare(id).await;
    let quantity = setup.rules.cut_quantity(d("0.001")).unwrap();
    setup.client.submit_after(order, quantity, look).await
}

fn stamp_of(record: &OrderRecord) -> VenueTime {
    let mut pairs = record.params.split('&').filter_map(|p| p.split_once('='));
    let (_, stamp) = pairs.find(|(name, _)| *name == "timestamp").unwrap();
    VenueTime::from_millis(stamp.parse().unwrap())
}

/// How much later than `moment` a request was stamped, as the client knows the venue's time; zero where it was earlier.
fn stamped_after(setup: &Setup, record: &OrderRecord, moment: Instant) -> Duration {
    let then = setup.client.server_time().minus(moment.elapsed());
    stamp_of(record).since(then)
}

/// Milliseconds are cut off in a timestamp and in a comparison with one.
const CUT: Duration = Duration::from_millis(2);

#[tokio::test]
async fn a_look_comes_after_the_timestamp_and_a_slow_one_makes_no_later_timestamp() {
    let setup = Setup::open().await;
    let slow = Watcher {
        takes: Duration::from_millis(200),
        ..Watcher::default()
    };
    let ending = submit(&setup, "slow-look", &slow).await;
    assert!(ending.accepted().is_some(), "{ending:?}");
    let [(stamped, looked)] = slow.looks()[..] else {
        panic!("one look, not {:?}", slow.looks());
    };
    assert!(stamped <= looked);
    let record = setup.sim.handle().orders().remove(0);
    assert!(stamped_after(&setup, &record, looked) <= CUT);
}

#[tokio::test]
async fn what_is_too_old_is_asked_about_again_and_the_order_gets_a_new_timestamp() {
    let setup = Setup::open().await;
    let twice = Watcher {
        takes: Duration::from_millis(50),
        ..Watcher::that_says([Look::AskAgain, Look::AskAgain])
    };
    let ending = submit(&setup, "again", &twice).await;
    assert!(ending.accepted().is_some(), "{ending:?}");
    let looks = twice.looks();
    assert_eq!(looks.len(), 3);
    for pair in looks.windows(2) {
        assert!(pair[1].0 >= pair[0].1 + twice.takes, "{looks:?}");
    }
    let record = setup.sim.handle().orders().remove(0);
    assert!(stamped_after(&setup, &record, looks[1].1) >= twice.takes);
    assert_eq!(record.params.matches("timestamp=").count(), 1);
    assert_eq!(setup.posts(), 1);
}

#[tokio::test]
async fn an_order_that_is_held_back_is_not_sent_and_its_id_and_its_room_stay_free() {
    let setup = Setup::open().await;
    let never = Watcher {
        asking: Mutex::new([Err("the claim is lost".to_owned())].into()),
        ..Watcher::that_says([Look::Refuse("halted".into()), Look::AskAgain])
    };
    for why in ["halted", "the claim is lost"] {
        let ending = submit(&setup, "held", &never).await;
        assert!(
            matches!(&ending, Submission::NotSent(not) if not.reason == NotSentReason::HeldBack(why.into())),
            "{ending:?}"
        );
    }
    assert_eq!(setup.posts(), 0);
    assert_eq!(setup.client.usage().orders_1m, 0);
    assert_eq!(
        setup.client.status(&"held".parse().unwrap()),
        SubmissionStatus::Never
    );
    let ending = submit(&setup, "held", &never).await;
    assert!(ending.accepted().is_some(), "{ending:?}");
}

#[tokio::test]
async fn an_order_that_waits_for_its_turn_is_stamped_and_looked_at_when_it_has_it() {
    const MORE_THAN_AT_ONCE: usize = 17;
    let setup = Setup::open().await;
    let slow = Fault::executed(When::order(), Delivery::Whole);
    let slow = slow.delay_after(Duration::from_millis(300)).times(16);
    setup.sim.handle().script(slow);
    let quantity = setup.rules.cut_quantity(d("0.0001")).unwrap();
    let mut crowd = Vec::new();
    for n in 0..MORE_THAN_AT_ONCE {
        let order = setup.prepare(&format!("crowd-{n}")).await;
        crowd.push((setup.client.clone(), order, Watcher::default()));
    }
    let started = Instant::now();
    let mut under_way = JoinSet::new();
    for (client, order, look) in crowd {
        under_way.spawn(async move {
            let ending = client.submit_after(order, quantity, &look).await;
            assert!(ending.accepted().is_some(), "{ending:?}");
            look.looks()[0].0.duration_since(started)
        });
    }
    let waited = under_way.join_all().await;
    let late = waited
        .iter()
        .filter(|waited| **waited >= Duration::from_millis(300));
    assert_eq!(late.count(), MORE_THAN_AT_ONCE - 16, "{waited:?}");
}

#[tokio::test]
async fn a_stop_is_an_order_in_this_and_one_that_is_there_is_not_looked_at() {
    let setup = Setup::open().await;
    let mode = setup.client.fetch_position_mode().await.unwrap();
    let stop = StopIntent::for_position(
        &setup.position().await,
        mode,
        &setup.rules,
        d("61000"),
        "sl-1".parse().unwrap(),
    )
    .unwrap();
    let look = Watcher::that_says([Look::Refuse("halted".into()), Look::AskAgain]);
    let held = setup.client.replace_stop_after(&stop, &look).await;
    assert!(
        matches!(&held, StopReplacement::NotSent(not) if not.reason == NotSentReason::HeldBack("halted".into())),
        "{held:?}"
    );
    assert_eq!(setup.sim.handle().stops().len(), 0);
    let placed = setup.client.replace_stop_after(&stop, &look).await;
    assert!(
        matches!(placed, StopReplacement::Replaced { .. }),
        "{placed:?}"
    );
    assert_eq!(look.looks().len(), 3);
    let again = setup.client.replace_stop_after(&stop, &look).await;
    assert!(
        matches!(again, StopReplacement::Replaced { .. }),
        "{again:?}"
    );
    assert_eq!(look.looks().len(), 3);
}
