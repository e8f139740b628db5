//! What happens around the instances: time, the store that forgets, reviewers, the venue, the switch.

use crate::{
    model::{Action, Scope},
    state::{Flight, NOT_HEARD, Phase, Server, State, Step, Switch, Who, Word},
};

impl Scope {
    pub(crate) fn befall(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Tick => self.tick(&mut next),
            Action::Copy => {
                if next.copy.is_some() && !next.used {
                    return None;
                }
                next.copy = Some(*next.master());
                next.used = false;
            }
            Action::Flush => {
                next.forget(|_, server| *server = Server::default());
            }
            Action::Restart | Action::RestartEmpty => {
                let found = next.copy.filter(|_| action == Action::Restart);
                next.forget(|_, server| *server = as_restored(found));
                next.used |= found.is_some();
                let master = next.master;
                for instance in &mut next.instances {
                    if instance.server == master && instance.known != 0 {
                        instance.restarted = self.rules.run_on_connection;
                    }
                }
            }
            Action::Failover => {
                if next.master == 1 {
                    return None;
                }
                let was_on = next.master().switch == Switch::On;
                let on_for = next.on_for;
                next.master = 1;
                next.misnamed = self.times.lag;
                next.forget(|copy, server| *server = as_restored(copy));
                next.used = next.copy.is_some();
                if was_on {
                    next.on_for = on_for;
                }
            }
            Action::LoseClaim => next.lose_key(|server| server.claim = Who::Nobody),
            Action::LoseEntry => next.lose_key(|server| server.entry = Who::Nobody),
            Action::LoseGeneration => next.lose_key(|server| {
                server.generation = 0;
                server.this_run = false;
                server.older = false;
            }),
            Action::Expire => {
                let open = next.master().entry != Who::Nobody;
                if open || next.flights.iter().any(|flight| flight.left > 0) {
                    return None;
                }
                next.forget(|_, server| {
                    server.claim = Who::Nobody;
                    server.mark = Word::None;
                    // A rule that knows how long marks last counts the plan as older from now on.
                    server.older &= !self.rules.old_plans_in_doubt;
                });
            }
            Action::SwitchOn => {
                next.left.switch -= 1;
                next.on_for = 0;
                next.master_mut().switch = Switch::On;
            }
            Action::SwitchOff => {
                if next.master().switch != Switch::On {
                    return None;
                }
                next.on_for = 0;
                next.master_mut().switch = Switch::Off;
            }
            Action::LayFile => {
                next.left.file -= 1;
                next.file = true;
            }
            Action::Permit(server) => {
                let server = &mut next.servers[usize::from(server)];
                if server.permits {
                    return None;
                }
                server.permits = true;
                next.unanswered -= 1;
                next.left.sets -= 1;
            }
            Action::Land(flight) => {
                let flight = std::mem::take(&mut next.flights[usize::from(flight)]);
                next.landed += 1;
                next.false_final |= flight.belied;
            }
            Action::Do(..) => return None,
        }
        Some(next)
    }

    fn tick(&self, next: &mut State) {
        let (rules, times) = (&self.rules, &self.times);
        let older = |age: &mut u8, until: u8| *age = (*age + 1).min(until);
        for age in &mut next.ages {
            older(age, times.w);
        }
        let copy = next.copy.as_mut();
        for server in next.servers.iter_mut().chain(copy) {
            if rules.order_window && server.entry != Who::Nobody {
                older(&mut server.window, times.window());
            }
        }
        for instance in &mut next.instances {
            instance.wait = instance.wait.saturating_sub(1);
            if instance.unclean != NOT_HEARD {
                instance.unclean = instance.unclean.saturating_sub(1);
            }
            match instance.phase {
                Phase::Order => {
                    if instance.step >= Step::Taken {
                        older(&mut instance.yes, self.yes_bound() + 1);
                    }
                    if self.servers_change() && self.confirms() {
                        older(&mut instance.confirmed, times.d + 1);
                    }
                    if rules.order_window {
                        older(&mut instance.since, times.t + 1);
                    }
                }
                Phase::Publishing => older(&mut instance.since, times.f + 1),
                Phase::Calling => older(&mut instance.since, times.w),
                _ => {}
            }
        }
        next.misnamed = next.misnamed.saturating_sub(1);
        for flight in &mut next.flights {
            if flight.left > 0 {
                flight.left -= 1;
            }
            if flight.left == 0 {
                *flight = Flight::default();
            }
        }
        if next
            .servers
            .iter()
            .any(|server| server.switch == Switch::On)
        {
            older(&mut next.on_for, times.f.max(times.d) + 1);
        }
    }
}

/// Data that another run of the server finds: the generation in it was written under another run id.
fn as_restored(copy: Option<Server>) -> Server {
    Server {
        this_run: false,
        older: false,
        ..copy.unwrap_or_default()
    }
}

impl State {
    pub(crate) fn master(&self) -> &Server {
        &self.servers[usize::from(self.master)]
    }

    fn master_mut(&mut self) -> &mut Server {
        &mut self.servers[usize::from(self.master)]
    }

    fn lose_key(&mut self, how: impl FnOnce(&mut Server)) {
        self.left.keys -= 1;
        self.forget(|_, server| how(server));
    }

    fn forget(&mut self, how: impl FnOnce(Option<Server>, &mut Server)) {
        self.left.forgets -= 1;
        let copy = self.copy;
        let master = self.master_mut();
        let was_on = master.switch == Switch::On;
        how(copy, master);
        if master.switch == Switch::On && !was_on {
            self.on_for = 0;
        }
        if self.master().mark == Word::None {
            self.no_stands = false;
        }
    }
}
