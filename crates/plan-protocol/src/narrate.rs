//! Traces in plain words.

use crate::{
    model::{Action, Deed},
    state::{INSTANCES, Names, Phase, State, Step, Word},
};

/// One step as a sentence: what the instances of `before` are called, and which places they have in `after`.
pub(crate) fn sentence(
    before: &State,
    action: Action,
    after: &State,
    names: &[char; INSTANCES],
    places: &Names,
) -> String {
    match action {
        Action::Tick => "one unit passes".into(),
        Action::Copy => {
            "the store's data are copied (a snapshot, or a replica is up to date)".into()
        }
        Action::Flush => "FLUSHALL".into(),
        Action::Restart => match before.copy {
            Some(_) => "the store restarts with the copy".into(),
            None => "the store restarts with nothing".into(),
        },
        Action::RestartEmpty => "the store restarts with nothing".into(),
        Action::Failover => {
            "failover: the copy becomes master, the old master stays writable".into()
        }
        Action::LoseClaim => "the store loses the claim alone".into(),
        Action::LoseEntry => "the store loses the open entry alone".into(),
        Action::LoseGeneration => "the store loses the generation alone".into(),
        Action::Expire => "claim and final mark expire".into(),
        Action::SwitchOn => "the switch in the store is turned on".into(),
        Action::SwitchOff => "the switch is turned off, by a value that says so".into(),
        Action::LayFile => "the kill-switch file is laid".into(),
        Action::Permit(server) => {
            let place = match (before.master, server) {
                (0, _) => "",
                (_, 0) => " on the old master",
                _ => " on the new master",
            };
            format!("reviewers write a full set{place}")
        }
        Action::Land(flight) => {
            let belied = before.flights[usize::from(flight)].belied;
            match belied {
                true => "an order lands, against the final that was published".into(),
                false => "an order lands".into(),
            }
        }
        Action::Do(i, deed) => {
            let i = usize::from(i);
            format!("{} {}", names[i], does(before, i, deed, after, places[i]))
        }
    }
}

fn does(before: &State, i: usize, deed: Deed, after: &State, then: usize) -> String {
    let (was, is) = (&before.instances[i], &after.instances[then]);
    let lost = is.phase == Phase::Owes
        || (is.phase == Phase::PublishingNo && was.phase != Phase::PublishingNo);
    let says_no = after.published == Word::NotExecuted;
    let text = match deed {
        Deed::Hear if was.phase == Phase::Order || was.phase == Phase::Close => {
            "hears that the store forgot, and has lost its attempt"
        }
        Deed::Hear => "hears of the store's generation",
        Deed::Call => "sends a claim, which is on its way",
        Deed::Claim if is.seen_on && !was.seen_on => "reads that the switch is on",
        Deed::Claim if is.phase == Phase::Idle => "hears of the store's generation by its claim",
        Deed::Claim if was.journal.is_done() => "claims the plan, which its journal knows",
        Deed::Claim => "claims the plan",
        Deed::ClaimUnheard => "claims the plan, and the answer is lost",
        Deed::Retry if lost => "asks for its claim again and has lost it",
        Deed::Retry => "asks for its claim again and has it",
        Deed::DropProposal => "reads another proposal meanwhile",
        Deed::Ask if is.phase == Phase::PublishingYes => "asks the venue: executed",
        Deed::Ask => "asks the venue: no such order",
        Deed::Journal => "writes the intent to its journal",
        Deed::Note if lost => "cannot note its intent: the entry is not its own",
        Deed::Note => "notes its intent",
        Deed::Take if lost => "is refused the take",
        Deed::Take if is.phase != Phase::Order => "cannot take: halted, or others took",
        Deed::Take if is.step == Step::Taking => "takes the permits, and the answer is on its way",
        Deed::Take => "takes the permits",
        Deed::HearTake => "hears that it took the permits",
        Deed::AskAgain if lost => "asks again and has lost the entry",
        Deed::AskAgain if is.phase != Phase::Order => "asks again: the switch is on",
        Deed::AskAgain => "asks again: the entry is its own, the switch is off",
        Deed::Confirm if lost => "hears that its server is not the master",
        Deed::Confirm => "hears that its server is the master",
        Deed::Look if is.phase != Phase::Order => "looks at the file, which is there",
        Deed::Look => "does its last looks: all is well",
        Deed::Stamp => "stamps the order",
        Deed::Send if after.flights == before.flights => "sends nothing, or too late to land",
        Deed::Send => "sends the order",
        Deed::GiveUp => "gives up before an order (no permits, say)",
        Deed::Adopt if before.server_of(i).entry.is_live_of_another(i) => {
            "adopts the other's open entry (its lease is gone)"
        }
        Deed::Adopt => "adopts an open entry whose attempt is over",
        Deed::CloseClaim if is.phase == Phase::PublishingNo => "finds neither entry nor mark",
        Deed::CloseClaim => "claims the plan only to close it",
        Deed::SeeMark => "sees a final mark and owes nothing more",
        Deed::LeaveIt => "leaves the result to the attempt that holds the plan",
        Deed::PublishNo if lost => "may not publish: the entry is not its own",
        Deed::PublishNo if !before.on_master(i) => {
            "publishes \"not executed\" on the old master, which is not read"
        }
        Deed::PublishNo if is.phase == Phase::Publishing => "looks whether it holds the plan: yes",
        Deed::PublishNo if is.phase == Phase::Close => "is too late to publish, and looks again",
        Deed::PublishNo if says_no => "publishes the final \"not executed\"",
        Deed::PublishNo => "has \"not executed\" dropped, and logs it as published",
        Deed::PublishYes if !before.on_master(i) => {
            "publishes \"executed\" on the old master, which is not read"
        }
        Deed::PublishYes if after.published == Word::Executed => "publishes the final \"executed\"",
        Deed::PublishYes => "has its \"executed\" dropped, and logs it as published",
        Deed::ConfirmPublished => "hears that this is still the master: published",
        Deed::Move => "moves to the new master",
        Deed::Crash => "dies",
        Deed::Start => "starts again",
    };
    text.into()
}
