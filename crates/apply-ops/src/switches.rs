//! The kill switches as the commands see them: each one, whether it is on, and what is known of who turned it.

use super::{
    elsewhere::{Elsewhere, Here},
    link::Link,
    output::tame,
    time::utc,
};
use apply_core::Halt;
use apply_redis::{Keys, SwitchState, Turned};
use apply_service::{Config, Switch, SwitchesHere};
use serde_json::json;

/// All that halt the service of this machine.
#[derive(Debug, Clone)]
pub(super) struct Switches(Vec<Switch>);

impl Switches {
    /// Those of this machine, in the order in which the service looks at them.
    fn here(config: &Config) -> Self {
        Self(config.switches_here().look())
    }

    /// Those of this machine, the file that the service itself names included, and those in Redis. What Redis does not
    /// answer is unknown.
    pub(super) async fn read(config: &Config, keys: &Keys, link: &mut Link) -> Self {
        let mut all = Self::here_and_the_services(config).await;
        all.0.extend(Switch::in_redis(link.switches(keys).await));
        all
    }

    /// The same where Redis does not answer: its switch is unknown.
    pub(super) async fn without_redis(config: &Config, why: &str) -> Self {
        let mut all = Self::here_and_the_services(config).await;
        all.0.push(Switch::unknown(why));
        all
    }

    /// Those of this machine alone; that in Redis is unknown.
    pub(super) fn here_alone(config: &Config, why: &str) -> Self {
        let mut all = Self::here(config);
        all.0.push(Switch::unknown(why));
        all
    }

    async fn here_and_the_services(config: &Config) -> Self {
        let mut all = Self::here(config);
        let elsewhere = Elsewhere::ask(config.http).await;
        if let Some(other) = elsewhere.filter(|it| it.has_other_halt_file(&Here::of(config))) {
            let there = SwitchesHere {
                halted: false,
                file: Some(other.halt_file),
            };
            all.0.extend(there.look());
        }
        all
    }

    /// A row for each that is on or unknown; one that says off where there is none. With whether it is on.
    pub(super) fn rows(&self) -> Vec<(Option<bool>, String)> {
        let on = self.on().map(|(switch, words)| {
            let words = words.map(|words| format!(" ({})", tame(&words)));
            let words = words.unwrap_or_default();
            (Some(true), format!("ON, by {}{words}", tame(&switch.name)))
        });
        let unknown = self.unknown().map(|(switch, why)| {
            let text = format!("unknown: {} ({})", tame(&switch.name), tame(why));
            (None, text)
        });
        let mut rows: Vec<_> = on.chain(unknown).collect();
        if rows.is_empty() {
            rows.push((Some(false), "off".into()));
        }
        rows
    }

    fn on(&self) -> impl Iterator<Item = (&Switch, Option<String>)> {
        self.0.iter().filter_map(|switch| match &switch.state {
            SwitchState::On(turned) => Some((switch, words(turned))),
            SwitchState::Off | SwitchState::Unknown(_) => None,
        })
    }

    fn unknown(&self) -> impl Iterator<Item = (&Switch, &str)> {
        self.0.iter().filter_map(|switch| match &switch.state {
            SwitchState::Unknown(why) => Some((switch, why.as_str())),
            SwitchState::Off | SwitchState::On(_) => None,
        })
    }

    /// Whether one is on; `None` where none that can be looked at is, and not all can be.
    pub(super) fn is_on(&self) -> Option<bool> {
        match (self.on().next(), self.unknown().next()) {
            (Some(_), _) => Some(true),
            (None, Some(_)) => None,
            (None, None) => Some(false),
        }
    }

    /// What the core is to decide by in a forecast: the first that is known to be on.
    pub(super) fn halt(&self) -> Halt {
        match self.on().next() {
            Some((switch, _)) => Halt::On {
                by: switch.name.clone(),
            },
            None => Halt::Off,
        }
    }

    /// One line: `off`, `ON, by …`, or `unknown: …`.
    pub(super) fn line(&self) -> String {
        match self.is_on() {
            Some(true) => format!("ON, {}", self.on_line()),
            None => format!("unknown: {}; no other one is on", self.named_unknown()),
            Some(false) => "off".into(),
        }
    }

    /// Where one is on: `by …`, and those that are unknown.
    pub(super) fn on_line(&self) -> String {
        let unknown = self.named_unknown();
        let also = match unknown.is_empty() {
            true => String::new(),
            false => format!("; unknown: {unknown}"),
        };
        format!(
            "by {}: nothing is executed; to end it: apply-layer resume{also}",
            self.named()
        )
    }

    fn named_unknown(&self) -> String {
        let unknown = self
            .unknown()
            .map(|(switch, why)| format!("{} ({})", tame(&switch.name), tame(why)));
        unknown.collect::<Vec<_>>().join(" and ")
    }

    /// Those that are on, each with what is known of it.
    pub(super) fn named(&self) -> String {
        let on: Vec<String> = self
            .on()
            .map(|(switch, words)| match words {
                Some(words) => format!("{} ({})", tame(&switch.name), tame(&words)),
                None => tame(&switch.name),
            })
            .collect();
        on.join(" and ")
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let each = self.0.iter().map(|switch| {
            let (state, text) = match &switch.state {
                SwitchState::Off => ("off", None),
                SwitchState::On(turned) => ("on", words(turned)),
                SwitchState::Unknown(why) => ("unknown", Some(why.clone())),
            };
            json!({"switch": switch.name, "state": state, "text": text})
        });
        each.collect()
    }
}

/// Who, when and why in words; none where nothing of it is written down.
fn words(turned: &Turned) -> Option<String> {
    match turned {
        Turned {
            at: None,
            who: None,
            why,
        } => why.clone(),
        Turned { at, who, why } => {
            let at = at.map_or_else(|| "at an unknown time".to_owned(), utc);
            let why = why.as_deref().unwrap_or_default();
            Some(match who {
                Some(who) => format!("{at} by {who}: {why}"),
                None => format!("{at} {why}"),
            })
        }
    }
}
