//! Without a terminal: everything once, and then each change on a line of its own.

use super::view::View;
use crate::{
    output::{Done, print_while_read},
    time::utc,
};
use apply_core::times::millis;
use std::{
    collections::HashMap,
    pin::pin,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{signal::ctrl_c, sync::watch::Receiver};

pub(super) async fn print(mut views: Receiver<Option<View>>) -> Done {
    let mut printed = Printed::default();
    let mut stop = pin!(ctrl_c());
    loop {
        let changed = tokio::select! {
            _ = &mut stop => return Ok(()),
            changed = views.changed() => changed,
        };
        if changed.is_err() {
            return Ok(());
        }
        let lines = match views.borrow_and_update().as_ref() {
            Some(view) => printed.changes(view),
            None => continue,
        };
        for line in lines {
            print_while_read(&format!("{}  {line}\n", now()))?;
        }
    }
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    utc(since.map_or(0, millis))
}

/// What was printed last, by what it is about.
#[derive(Default)]
struct Printed(HashMap<String, String>);

impl Printed {
    /// What differs from what was printed.
    fn changes(&mut self, view: &View) -> Vec<String> {
        let switches: Vec<&str> = view
            .switches
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        // A time that grows is no change.
        let without_age = |text: &str| text.split(" for ").next().unwrap_or_default().to_owned();
        let mut lines = Vec::new();
        let facts = [
            ("service", without_age(&view.service.1), &view.service.1),
            ("redis", without_age(&view.redis.1), &view.redis.1),
        ];
        for (about, key, text) in facts {
            self.add(
                about.to_owned(),
                key,
                format!("{about}  {text}"),
                &mut lines,
            );
        }
        let switches = switches.join("; ");
        let said = format!("kill switch  {switches}");
        self.add("switch".to_owned(), switches, said, &mut lines);
        let neighbours = view.neighbours.as_ref();
        let neighbours = neighbours.map_or("its switch is off", |(_, text)| text.as_str());
        // Printed once it is there, and when it goes.
        if view.neighbours.is_some() || self.0.contains_key("neighbours") {
            let said = format!("neighbours  {neighbours}");
            self.add(
                "neighbours".to_owned(),
                neighbours.to_owned(),
                said,
                &mut lines,
            );
        }
        for row in &view.symbols {
            for (kind, entry) in [("plan", &row.plan), ("result", &row.result)] {
                if let Some((id, line)) = entry {
                    let about = format!("{kind} {}", row.symbol);
                    self.add(about, id.clone(), format!("{kind}  {line}"), &mut lines);
                }
            }
        }
        for wait in &view.waits {
            let [(_, plan), permits @ .., _] = &wait[..] else {
                continue;
            };
            let text: String = permits.iter().map(|(_, text)| text.as_str()).collect();
            let said = format!("wait  {plan}{text}");
            self.add(format!("wait {plan}"), text, said, &mut lines);
        }
        let waits = view.waits.iter().filter_map(|wait| wait.first());
        let waits: Vec<&str> = waits.map(|(_, plan)| plan.as_str()).collect();
        self.0.retain(|about, _| {
            about
                .strip_prefix("wait ")
                .is_none_or(|plan| waits.contains(&plan))
        });
        lines
    }

    fn add(&mut self, about: String, key: String, line: String, lines: &mut Vec<String>) {
        if self.0.get(&about) != Some(&key) {
            self.0.insert(about, key);
            lines.push(line);
        }
    }
}
