//! What an instance does: one function for each deed, `None` where it may not.

use crate::{
    model::{Action, Deed, Scope},
    rules::{Confirm, Loser},
    state::{
        Flight, INSTANCES, Instance, Journal, NOT_HEARD, Phase, State, Step, Switch, Who, Word,
    },
};

impl Scope {
    pub(crate) fn deed(&self, state: &State, i: usize, deed: Deed) -> Option<State> {
        let mut next = *state;
        let s = &mut next;
        match (state.instances[i].phase, deed) {
            (Phase::Down, Deed::Start) => self.start(s, i),
            (Phase::Down | Phase::Absent, _) => None,
            (_, Deed::Crash) => self.crash(s, i),
            (_, Deed::Move) => self.follow(s, i),
            (_, Deed::Hear) => self.hear(s, i),
            (Phase::Idle, Deed::Call) => self.call(s, i),
            (Phase::Idle | Phase::Calling, Deed::Claim) => self.claim(s, i, true),
            (Phase::Idle, Deed::ClaimUnheard) => self.claim(s, i, false),
            (Phase::Idle | Phase::Owes, Deed::Adopt) => self.adopt(s, i),
            (Phase::Unheard, Deed::Retry) => self.retry(s, i),
            (Phase::Unheard, Deed::DropProposal) => self.drop_proposal(s, i),
            (Phase::Order, Deed::Ask) => self.ask_before(s, i),
            (Phase::Order, Deed::Journal) => journal(s, i),
            (Phase::Order, Deed::Note) => self.note(s, i),
            (Phase::Order, Deed::Take) => self.take(s, i),
            (Phase::Order, Deed::HearTake) => hear_take(s, i),
            (Phase::Order, Deed::AskAgain) => self.ask_again(s, i),
            (Phase::Order, Deed::Confirm) => self.confirm(s, i),
            (Phase::Order, Deed::Look) => self.look(s, i),
            (Phase::Order, Deed::Stamp) => self.stamp(s, i),
            (Phase::Order, Deed::GiveUp) => self.give_up(s, i),
            (Phase::Stamped, Deed::Send) => self.send(s, i),
            (Phase::Close, Deed::Ask) => self.ask_after(s, i),
            (Phase::Close, Deed::PublishNo) => self.publish_no(s, i),
            (Phase::Owes, Deed::CloseClaim) => self.close_claim(s, i),
            (Phase::Owes, Deed::SeeMark) => self.see_mark(s, i),
            (Phase::Owes, Deed::LeaveIt) => self.leave_it(s, i),
            (Phase::Publishing, Deed::PublishNo) => self.finalize_in_other_slot(s, i),
            (Phase::PublishingNo, Deed::PublishNo) => self.speak(s, i),
            (Phase::PublishingYes, Deed::PublishYes) => self.publish_yes(s, i),
            (Phase::PublishedNo | Phase::PublishedYes, Deed::ConfirmPublished) => {
                self.confirm_published(s, i)
            }
            _ => None,
        }?;
        Some(next)
    }

    // ---- generation -------------------------------------------------------------------------

    /// What a claim, adopt or publish script finds of the generation.
    fn same_generation(&self, s: &State, i: usize) -> bool {
        let (server, me) = (s.server_of(i), &s.instances[i]);
        !self.rules.generation || (self.is_valid(s, i) && server.generation == me.known)
    }

    /// Whether the store's generation was written by this run of this server.
    fn is_valid(&self, s: &State, i: usize) -> bool {
        let server = s.server_of(i);
        let by_script = self.rules.run_id && !self.rules.per_process;
        server.generation != 0 && (server.this_run || !by_script)
    }

    /// Whether a process that looks at the run id before it runs a script has yet to do so.
    fn must_look(&self, me: &Instance) -> bool {
        self.rules.run_on_connection && me.restarted
    }

    /// Whether a question to the venue counts now, as far as the store is concerned.
    fn is_clean(&self, s: &State, i: usize) -> bool {
        let me = &s.instances[i];
        if !self.rules.wait_w || !self.rules.generation {
            return true;
        }
        if self.rules.per_process {
            return me.unclean == 0;
        }
        let age = match me.known {
            0 => return false,
            known => s.ages[usize::from(known) - 1],
        };
        age.saturating_add(me.slack) >= self.times.w
    }

    /// The instance hears of another generation: by a claim that is answered `forgot` or `too_young`,
    /// or by any other script; a missing or foreign one is written anew.
    fn hear(&self, s: &mut State, i: usize) -> Option<()> {
        if !self.rules.generation || s.instances[i].phase == Phase::Calling {
            return None;
        }
        let first = s.instances[i].unclean == NOT_HEARD;
        if self.must_look(&s.instances[i]) {
            s.instances[i].restarted = false;
            self.forgot(s, i);
            if self.rules.per_process {
                s.instances[i].unclean = self.times.w;
            }
            return Some(());
        }
        if self.same_generation(s, i) && !first {
            return None;
        }
        self.learn(s, i);
        Some(())
    }

    /// What an answer says of the generation.
    fn learn(&self, s: &mut State, i: usize) {
        if !self.is_valid(s, i) {
            let fresh = s.new_generation();
            let server = s.server_of_mut(i);
            server.generation = fresh;
            server.this_run = true;
        }
        let there = s.server_of(i).generation;
        let me = &mut s.instances[i];
        let first = me.unclean == NOT_HEARD;
        let other = me.known != 0 && me.known != there;
        me.known = there;
        me.slack = 0;
        if first || (other && self.rules.per_process && self.rules.forgot) {
            me.unclean = self.times.w;
        }
        if other {
            self.forgot(s, i);
        }
    }

    /// Every attempt without a timestamp is lost; one with a timestamp goes on to settle.
    fn forgot(&self, s: &mut State, i: usize) {
        match s.instances[i].phase {
            Phase::Order | Phase::Close | Phase::Publishing | Phase::Unheard => self.lose(s, i),
            Phase::Idle => self.republish(s, i),
            _ => {}
        }
    }

    /// What was published from here may be gone. "Not executed" is found out anew.
    fn republish(&self, s: &mut State, i: usize) {
        let me = &mut s.instances[i];
        (me.journal, me.phase) = match me.journal {
            Journal::DoneYes => (Journal::Yes, Phase::PublishingYes),
            Journal::DoneNo => (Journal::No, Phase::Owes),
            other => (other, me.phase),
        };
    }

    /// What the journal says of a result that is published.
    fn done(&self, published: Journal) -> Journal {
        match (self.rules.published_again, published) {
            (true, Journal::Yes) => Journal::DoneYes,
            (true, Journal::No) => Journal::DoneNo,
            _ => Journal::Done,
        }
    }

    fn lose(&self, s: &mut State, i: usize) {
        self.end_attempt(s, i);
        let me = &mut s.instances[i];
        // An own order may still be out: then there is something to find out first.
        if !self.rules.loser_silent && me.wait == 0 {
            me.phase = Phase::PublishingNo;
            me.journal = Journal::No;
        } else if self.rules.loser == Loser::Silent {
            me.phase = Phase::Idle;
            me.journal = Journal::Done;
        } else {
            me.phase = Phase::Owes;
        }
    }

    fn end_attempt(&self, s: &mut State, i: usize) {
        let becomes = match self.rules.own_stale_adopted {
            true => Who::Stale,
            false => Who::left_by(i),
        };
        s.retire(i, becomes);
    }

    // ---- claim ------------------------------------------------------------------------------

    fn call(&self, s: &mut State, i: usize) -> Option<()> {
        let me = &mut s.instances[i];
        if self.rules.age_from_receipt || me.journal != Journal::Nothing {
            return None;
        }
        me.phase = Phase::Calling;
        me.since = 0;
        Some(())
    }

    /// Claims the plan and puts it out for review. A plan that the journal knows is only closed.
    fn claim(&self, s: &mut State, i: usize, heard: bool) -> Option<()> {
        let rules = &self.rules;
        let knows = s.instances[i].journal.is_done();
        if s.instances[i].phase == Phase::Calling && !self.same_generation(s, i) {
            s.instances[i].slack = s.instances[i].since;
            s.instances[i].phase = Phase::Idle;
            let slack = s.instances[i].slack;
            self.learn(s, i);
            s.instances[i].slack = slack;
            return Some(());
        }
        if s.instances[i].phase == Phase::Calling {
            s.instances[i].slack = s.instances[i].since;
        } else if !rules.age_from_receipt && !knows {
            return None;
        }
        if !heard {
            if s.left.answers == 0 || knows {
                return None;
            }
            s.left.answers -= 1;
        }
        if self.must_look(&s.instances[i]) || s.instances[i].unclean == NOT_HEARD {
            return None;
        }
        let seen = s.instances[i].seen_on;
        if reads_on(s, i) {
            // The proposal is read with the switch; it becomes no plan.
            return (!seen && heard).then_some(());
        }
        if !self.same_generation(s, i)
            || (rules.claim_when_clean && !self.is_clean(s, i))
            || (rules.sticky_switch && s.instances[i].seen_on)
        {
            return None;
        }
        let server = *s.server_of(i);
        if server.claim != Who::Nobody
            || (rules.claim_sees_entry && server.entry != Who::Nobody)
            || (rules.claim_sees_mark && server.mark != Word::None)
        {
            return None;
        }
        self.hold(s, i);
        s.claimed = true;
        s.unanswered = (s.unanswered + 1).min(s.left.sets);
        let me = &mut s.instances[i];
        if !knows && rules.claim_journaled {
            me.journal = Journal::Claim;
        }
        me.since = 0;
        me.wait = 0;
        me.asked = false;
        me.sure = server.older && !rules.ask_before_early_no && !knows;
        (me.phase, me.step) = match (knows, heard) {
            (true, _) => (Phase::Close, Step::Claimed),
            // No instance can have claimed it under another generation.
            (false, true) if server.older && !rules.ask_before_order => (Phase::Order, Step::Asked),
            (false, true) => (Phase::Order, Step::Claimed),
            (false, false) => (Phase::Unheard, Step::Claimed),
        };
        me.confirmed = self.not_confirmed();
        Some(())
    }

    /// Claim and entry are this instance's.
    fn hold(&self, s: &mut State, i: usize) {
        let me = Who::live(i);
        let server = s.server_of_mut(i);
        server.claim = me;
        server.entry = me;
        server.noted = false;
        server.window = 0;
    }

    /// The claim is asked for again with the same attempt.
    fn retry(&self, s: &mut State, i: usize) -> Option<()> {
        if self.must_look(&s.instances[i]) {
            return None;
        }
        if s.server_of(i).entry != Who::live(i) || !self.same_generation(s, i) {
            self.lose(s, i);
            return Some(());
        }
        let me = &mut s.instances[i];
        me.phase = Phase::Order;
        me.step = Step::Claimed;
        me.since = 0;
        me.confirmed = self.not_confirmed();
        Some(())
    }

    /// The brain proposes something else meanwhile.
    fn drop_proposal(&self, s: &mut State, i: usize) -> Option<()> {
        if self.rules.lost_claim_settled {
            self.lose(s, i);
        } else {
            self.end_attempt(s, i);
            s.instances[i].phase = Phase::Idle;
        }
        Some(())
    }

    fn adopt(&self, s: &mut State, i: usize) -> Option<()> {
        let rules = &self.rules;
        let server = *s.server_of(i);
        if server.entry == Who::Nobody
            || (!rules.own_stale_adopted && server.entry == Who::left_by(i))
            || self.must_look(&s.instances[i])
            || s.instances[i].unclean == NOT_HEARD
            || !self.same_generation(s, i)
        {
            return None;
        }
        s.server_of_mut(i).entry = Who::live(i);
        let window = self.times.window() - server.window.min(self.times.window());
        let me = &mut s.instances[i];
        me.asked = false;
        me.phase = Phase::Close;
        me.wait = me.wait.max(match rules.order_window {
            true => window,
            false => self.times.a,
        });
        if !rules.adopter_asks && !server.noted {
            // "Interrupted before order".
            me.asked = true;
        }
        Some(())
    }

    /// The loser's claim without a publication: it closes the plan, whatever the claim key says.
    fn close_claim(&self, s: &mut State, i: usize) -> Option<()> {
        let server = *s.server_of(i);
        if server.entry != Who::Nobody || server.mark != Word::None {
            return None;
        }
        if self.rules.loser == Loser::Speaks {
            let me = &mut s.instances[i];
            me.phase = Phase::PublishingNo;
            me.journal = Journal::No;
            return Some(());
        }
        if self.must_look(&s.instances[i])
            || s.instances[i].unclean == NOT_HEARD
            || !self.same_generation(s, i)
        {
            return None;
        }
        self.hold(s, i);
        let me = &mut s.instances[i];
        me.phase = Phase::Close;
        me.asked = false;
        if self.rules.closing_waits {
            me.wait = me.wait.max(self.times.a);
        }
        Some(())
    }

    /// A final mark: the result is published.
    fn see_mark(&self, s: &mut State, i: usize) -> Option<()> {
        let confirmed = match self.rules.confirmed_after_lag {
            true => s.on_master(i),
            false => is_named(s, i),
        };
        if self.rules.mark_confirmed && !confirmed {
            return None;
        }
        let me = &s.instances[i];
        let may_have_ordered = self.rules.asks_before_leaving && me.journal == Journal::Intent;
        match s.server_of(i).mark {
            Word::None => return None,
            Word::NotExecuted if may_have_ordered => {
                if me.wait > 0 {
                    return None;
                }
                if s.landed > 0 {
                    return self.knows_yes(s, i);
                }
            }
            _ => {}
        }
        self.stop_owing(&mut s.instances[i]);
        Some(())
    }

    /// A result that was written down before may be what the mark is of.
    fn stop_owing(&self, me: &mut Instance) {
        me.phase = Phase::Idle;
        me.journal = match me.journal {
            Journal::Nothing | Journal::Claim => Journal::Nothing,
            known => self.done(known),
        };
    }

    fn leave_it(&self, s: &mut State, i: usize) -> Option<()> {
        let entry = s.server_of(i).entry;
        let theirs = entry != Who::Nobody && entry != Who::live(i);
        if self.rules.loser != Loser::LeavesIt || !theirs {
            return None;
        }
        self.stop_owing(&mut s.instances[i]);
        Some(())
    }

    // ---- order ------------------------------------------------------------------------------

    /// The question before an order.
    fn ask_before(&self, s: &mut State, i: usize) -> Option<()> {
        if s.instances[i].step != Step::Claimed || !self.is_clean(s, i) {
            return None;
        }
        if s.landed > 0 {
            return self.knows_yes(s, i);
        }
        s.instances[i].asked = true;
        s.instances[i].step = Step::Asked;
        Some(())
    }

    /// The question about what may have been ordered.
    fn ask_after(&self, s: &mut State, i: usize) -> Option<()> {
        if s.instances[i].asked || s.instances[i].wait > 0 || !self.is_clean(s, i) {
            return None;
        }
        if s.landed > 0 {
            return self.knows_yes(s, i);
        }
        s.instances[i].asked = true;
        Some(())
    }

    /// The attempt's name stays in the store until the result is published.
    fn knows_yes(&self, s: &mut State, i: usize) -> Option<()> {
        s.instances[i].phase = Phase::PublishingYes;
        s.instances[i].journal = Journal::Yes;
        Some(())
    }

    fn note(&self, s: &mut State, i: usize) -> Option<()> {
        if s.instances[i].step != Step::Journaled || self.must_look(&s.instances[i]) {
            return None;
        }
        if s.server_of(i).entry != Who::live(i) || !self.extra_generation(s, i) {
            self.lose(s, i);
            return Some(());
        }
        s.instances[i].step = Step::Noted;
        let since = s.instances[i].since;
        let server = s.server_of_mut(i);
        server.noted = true;
        server.window = since;
        Some(())
    }

    /// Generation and claim, where take and ask-again look at them, too.
    fn extra_generation(&self, s: &State, i: usize) -> bool {
        !self.rules.take_sees_generation || self.same_generation(s, i)
    }

    fn extra(&self, s: &State, i: usize) -> bool {
        let claim = !self.rules.take_sees_claim || s.server_of(i).claim == Who::live(i);
        claim && self.extra_generation(s, i)
    }

    fn take(&self, s: &mut State, i: usize) -> Option<()> {
        if s.instances[i].step != Step::Noted || self.must_look(&s.instances[i]) {
            return None;
        }
        if self.rules.confirm == Confirm::BeforeTake
            && self.servers_change()
            && s.instances[i].confirmed > self.times.d
        {
            return None;
        }
        if reads_on(s, i) {
            return self.give_up(s, i);
        }
        let server = *s.server_of(i);
        let mine = server.entry == Who::live(i) && server.noted;
        let sees = self.rules.take_sees_entry && !self.rules.cluster;
        if (sees && !mine) || !self.extra(s, i) {
            self.lose(s, i);
            return Some(());
        }
        if server.receipt != Who::Nobody {
            // Somebody else took the permits.
            return self.give_up(s, i);
        }
        if !server.permits {
            return None;
        }
        let server = s.server_of_mut(i);
        server.permits = false;
        server.receipt = Who::live(i);
        let must_ask = self.rules.cluster && self.rules.take_sees_entry;
        let never = self.yes_bound() + 1;
        let me = &mut s.instances[i];
        me.yes = if must_ask { never } else { 0 };
        me.step = match self.rules.from_sending {
            true => Step::Taken,
            false => Step::Taking,
        };
        Some(())
    }

    /// One script: the entry is still this attempt's and the switch is off.
    fn ask_again(&self, s: &mut State, i: usize) -> Option<()> {
        if !self.rules.ask_again
            || s.instances[i].step != Step::Taken
            || s.instances[i].yes == 0
            || self.must_look(&s.instances[i])
        {
            return None;
        }
        if reads_on(s, i) {
            return self.give_up(s, i);
        }
        let server = *s.server_of(i);
        let mine = server.entry == Who::live(i);
        if (self.rules.take_sees_entry && !mine) || !self.extra(s, i) {
            self.lose(s, i);
            return Some(());
        }
        s.instances[i].yes = 0;
        Some(())
    }

    /// A majority is asked who is master, or the node itself.
    fn confirm(&self, s: &mut State, i: usize) -> Option<()> {
        if !self.servers_change() || !self.confirms() || s.instances[i].confirmed == 0 {
            return None;
        }
        if self.rules.confirm == Confirm::ByRole || is_named(s, i) {
            s.instances[i].confirmed = 0;
        } else {
            self.lose(s, i);
        }
        Some(())
    }

    pub(crate) fn confirms(&self) -> bool {
        self.rules.confirm != Confirm::Never
    }

    fn not_confirmed(&self) -> u8 {
        match self.servers_change() && self.confirms() {
            true => self.times.d + 1,
            false => 0,
        }
    }

    /// How long after the yes the stamp may come.
    pub(crate) fn yes_bound(&self) -> u8 {
        match self.rules.ask_again {
            true => self.times.f,
            false => self.times.t,
        }
    }

    fn looks_before_the_stamp(&self) -> bool {
        !self.rules.stamp_first || !self.rules.file_after_stamp
    }

    /// Whether the ages allow a stamp now.
    fn in_time(&self, s: &State, i: usize) -> bool {
        let me = &s.instances[i];
        let yes = self.rules.order_window || me.yes <= self.yes_bound();
        let confirmed = !self.servers_change()
            || matches!(self.rules.confirm, Confirm::Never | Confirm::BeforeTake)
            || me.confirmed <= self.times.d;
        yes && confirmed
    }

    /// The looks, where they come before the stamp.
    fn look(&self, s: &mut State, i: usize) -> Option<()> {
        if !self.looks_before_the_stamp() || s.instances[i].step != Step::Taken {
            return None;
        }
        if !self.rules.file_after_stamp && s.file {
            return self.give_up(s, i);
        }
        if !self.rules.stamp_first && !self.in_time(s, i) {
            return None;
        }
        s.instances[i].step = Step::Looked;
        Some(())
    }

    fn stamp(&self, s: &mut State, i: usize) -> Option<()> {
        let (rules, times) = (&self.rules, &self.times);
        let me = s.instances[i];
        let ready = match self.looks_before_the_stamp() {
            true => Step::Looked,
            false => Step::Taken,
        };
        if me.step != ready
            || (rules.order_window && me.since > times.t)
            || (rules.stamp_first && !self.in_time(s, i))
            || (rules.sticky_switch && me.seen_on)
        {
            return None;
        }
        let on = |server: usize| s.servers[server].switch == Switch::On;
        let (mine, master) = (usize::from(me.server), usize::from(s.master));
        let late = (on(mine) && s.on_for > times.f)
            || (mine != master && on(master) && s.on_for > times.d)
            || me.seen_on
            || s.file;
        let me = &mut s.instances[i];
        me.phase = Phase::Stamped;
        me.wait = times.own();
        me.late = late;
        Some(())
    }

    fn send(&self, s: &mut State, i: usize) -> Option<()> {
        let stops = self.rules.file_after_stamp && s.file;
        let me = &mut s.instances[i];
        me.phase = Phase::Close;
        me.asked = false;
        if stops {
            return Some(());
        }
        let flight = Flight {
            left: me.wait,
            belied: s.no_stands && me.wait > 0,
        };
        s.late_order |= me.late;
        if flight.left > 0 {
            // One for each is enough: the journal knows a plan that was ordered.
            *s.flights.iter_mut().find(|flight| flight.left == 0)? = flight;
        }
        Some(())
    }

    /// No permits, no position, too late, halted: whatever blocks a plan before its stamp.
    fn give_up(&self, s: &mut State, i: usize) -> Option<()> {
        let me = &mut s.instances[i];
        me.phase = Phase::Close;
        me.wait = 0;
        me.asked |= !self.rules.ask_before_no || me.sure;
        Some(())
    }

    // ---- result -----------------------------------------------------------------------------

    /// "Not executed", by the attempt that holds the plan.
    fn publish_no(&self, s: &mut State, i: usize) -> Option<()> {
        if !s.instances[i].asked {
            return None;
        }
        if !self.rules.publish_checks {
            return self.speak(s, i);
        }
        if self.must_look(&s.instances[i]) || !self.same_generation(s, i) {
            // Answered `forgot`, which is to hear of it.
            return None;
        }
        if s.server_of(i).entry != Who::live(i) {
            self.lose(s, i);
            return Some(());
        }
        if self.rules.cluster {
            s.instances[i].phase = Phase::Publishing;
            s.instances[i].since = 0;
            return Some(());
        }
        self.finalize_not_executed(s, i)
    }

    /// The second half, where entry and mark lie in different slots.
    fn finalize_in_other_slot(&self, s: &mut State, i: usize) -> Option<()> {
        if self.rules.published_in_time && s.instances[i].since > self.times.f {
            // It looks again.
            s.instances[i].phase = Phase::Close;
            s.instances[i].asked = true;
            return Some(());
        }
        self.finalize_not_executed(s, i)
    }

    fn finalize_not_executed(&self, s: &mut State, i: usize) -> Option<()> {
        if s.server_of(i).mark == Word::None {
            self.write(s, i, Word::NotExecuted);
        }
        self.close_entry(s, i);
        self.after(s, i, Journal::No, Phase::PublishedNo)
    }

    /// "Not executed" without looking at the entry.
    fn speak(&self, s: &mut State, i: usize) -> Option<()> {
        if s.server_of(i).mark == Word::None {
            self.write(s, i, Word::NotExecuted);
        }
        let server = s.server_of_mut(i);
        server.entry = Who::Nobody;
        server.receipt = Who::Nobody;
        self.after(s, i, Journal::No, Phase::PublishedNo)
    }

    fn publish_yes(&self, s: &mut State, i: usize) -> Option<()> {
        if self.must_look(&s.instances[i]) {
            return None;
        }
        let server = *s.server_of(i);
        let mine = server.entry == Who::live(i);
        let stands = match server.mark {
            Word::None => false,
            Word::NotExecuted => !self.rules.correction,
            Word::Executed => true,
        };
        if !stands {
            self.write(s, i, Word::Executed);
        }
        if !self.rules.publish_checks {
            let server = s.server_of_mut(i);
            server.entry = Who::Nobody;
            server.receipt = Who::Nobody;
        } else if mine {
            self.close_entry(s, i);
        }
        self.after(s, i, Journal::Yes, Phase::PublishedYes)
    }

    fn close_entry(&self, s: &mut State, i: usize) {
        let me = Who::live(i);
        let server = s.server_of_mut(i);
        server.entry = Who::Nobody;
        if server.receipt == me {
            server.receipt = Who::Nobody;
        }
    }

    /// A final on the stream, and its mark.
    fn write(&self, s: &mut State, i: usize, word: Word) {
        s.server_of_mut(i).mark = word;
        // On an old master it is not read.
        if !s.on_master(i) {
            return;
        }
        s.published = word;
        s.no_stands = word == Word::NotExecuted;
        if word == Word::NotExecuted {
            s.false_final |= s.landed > 0;
            for flight in &mut s.flights {
                flight.belied |= flight.left > 0;
            }
        }
    }

    fn after(&self, s: &mut State, i: usize, journal: Journal, phase: Phase) -> Option<()> {
        self.end_attempt(s, i);
        let me = &mut s.instances[i];
        me.wait = match self.rules.confirmed_after_lag {
            true => self.times.lag,
            false => 0,
        };
        (me.journal, me.phase) = match self.rules.publish_confirmed {
            true => (journal, phase),
            false => (self.done(journal), Phase::Idle),
        };
        Some(())
    }

    fn confirm_published(&self, s: &mut State, i: usize) -> Option<()> {
        if !is_named(s, i) || s.instances[i].wait > 0 {
            return None;
        }
        let me = &mut s.instances[i];
        me.phase = Phase::Idle;
        me.journal = self.done(me.journal);
        Some(())
    }

    // ---- process ----------------------------------------------------------------------------

    /// The instance finds the new master.
    fn follow(&self, s: &mut State, i: usize) -> Option<()> {
        if s.on_master(i) {
            return None;
        }
        s.instances[i].server = s.master;
        if self.rules.per_process {
            s.instances[i].restarted = self.rules.run_on_connection;
        }
        match s.instances[i].phase {
            Phase::PublishedYes => s.instances[i].phase = Phase::PublishingYes,
            Phase::PublishedNo => self.owe(s, i),
            Phase::Calling => s.instances[i].phase = Phase::Idle,
            _ if self.rules.server_change_loses => self.forgot(s, i),
            _ => {}
        }
        Some(())
    }

    /// A "not executed" that the new master does not have is found out anew.
    fn owe(&self, s: &mut State, i: usize) {
        let me = &mut s.instances[i];
        match self.rules.loser {
            Loser::Silent => me.phase = Phase::Idle,
            _ => me.phase = Phase::Owes,
        }
    }

    fn crash(&self, s: &mut State, i: usize) -> Option<()> {
        if s.left.crashes == 0 {
            return None;
        }
        s.left.crashes -= 1;
        s.orphan(i);
        let old = s.instances[i];
        s.instances[i] = Instance {
            phase: Phase::Down,
            journal: old.journal,
            server: old.server,
            seen_on: old.seen_on,
            known: 0,
            unclean: 0,
            ..Instance::new(&self.rules, &self.times)
        };
        Some(())
    }

    fn start(&self, s: &mut State, i: usize) -> Option<()> {
        let me = &mut s.instances[i];
        me.unclean = Instance::unclean_at_start(&self.rules, &self.times);
        me.wait = self.times.a;
        if self.rules.order_window {
            me.wait = self.times.window();
        }
        me.phase = match (me.journal, self.rules.restart_holds) {
            (Journal::Nothing | Journal::Done | Journal::DoneYes | Journal::DoneNo, _) => {
                Phase::Idle
            }
            (Journal::Yes, _) => Phase::PublishingYes,
            (Journal::No, false) => Phase::PublishingNo,
            (Journal::Intent | Journal::Claim, false) => Phase::Close,
            (Journal::Intent | Journal::Claim | Journal::No, true) => Phase::Owes,
        };
        self.republish(s, i);
        Some(())
    }

    /// Nothing is left that has to happen: everybody is up and idle, or waits for something that need
    /// not come.
    pub(crate) fn at_rest(&self, s: &State) -> bool {
        let idle = s
            .instances
            .iter()
            .all(|i| matches!(i.phase, Phase::Idle | Phase::Absent));
        let flying = s.flights.iter().any(|flight| flight.left > 0);
        // Others adopt an entry only once its owner's lease is gone.
        let entry = s.master().entry;
        let waits = entry == Who::Nobody || (0..INSTANCES).any(|i| entry == Who::left_by(i));
        (idle && s.master == 0 && !flying && waits) || self.is_stuck(s)
    }

    fn is_stuck(&self, s: &State) -> bool {
        let busy =
            |i: &Instance| matches!(i.phase, Phase::Down | Phase::Stamped | Phase::PublishingYes);
        if s.instances.iter().any(busy) || self.step(s, Action::Tick).is_some() {
            return false;
        }
        let must = |i: usize, deed: Deed| match deed {
            // No instance has to propose, to die or to lose its lease.
            Deed::Claim | Deed::ClaimUnheard | Deed::Call | Deed::Crash => false,
            Deed::Adopt => {
                s.server_of(i).entry == Who::Stale || s.server_of(i).entry == Who::left_by(i)
            }
            _ => true,
        };
        !(0..INSTANCES as u8).any(|i| {
            let deeds = Deed::of(s.instances[usize::from(i)].phase);
            deeds.iter().any(|deed| {
                must(usize::from(i), *deed) && self.step(s, Action::Do(i, *deed)).is_some()
            })
        })
    }
}

/// Those who name the master name this instance's server.
fn is_named(s: &State, i: usize) -> bool {
    s.on_master(i) || s.misnamed > 0
}

/// The switch in the store is read: a missing key says nothing.
fn reads_on(s: &mut State, i: usize) -> bool {
    match s.server_of(i).switch {
        Switch::Missing => {}
        Switch::On => s.instances[i].seen_on = true,
        Switch::Off => s.instances[i].seen_on = false,
    }
    s.server_of(i).switch == Switch::On
}

fn journal(s: &mut State, i: usize) -> Option<()> {
    if s.instances[i].step != Step::Asked {
        return None;
    }
    s.instances[i].step = Step::Journaled;
    s.instances[i].journal = Journal::Intent;
    Some(())
}

fn hear_take(s: &mut State, i: usize) -> Option<()> {
    if s.instances[i].step != Step::Taking {
        return None;
    }
    s.instances[i].step = Step::Taken;
    s.instances[i].yes = 0;
    Some(())
}
