//! Which permits are required and where they lie: one line of configuration.

mod slot;
mod template;

pub(crate) use slot::slot_of;
pub use template::{KeyTemplate, TemplateError};

use permit_gate::{
    Permit, PermitSet, PermitSetError, PlanId, Rule,
    rule::TokenRule,
    trading::{self, GovernorRule, PositionRule},
};
use std::{fmt, sync::Arc};

/// The required permits with a key template for each, in the same order.
///
/// Read from one line, the permits parted by commas:
///
/// | item | means |
/// |---|---|
/// | `governor`, `p33`, `p26` | a permit known to the system, under the key its issuer writes |
/// | `governor=quantum:permit:{{plan}}` | the same under another key |
/// | `desk=desk:permit:{plan}\|token:1` | a permit of one's own; after the bar the rule that judges it |
///
/// Rules: `governor` and `p33` read the neighbours' JSON, `token:<text>` wants exactly this text.
/// Rules of another kind are given in code: [`PermitKeys::new`].
///
/// ```
/// use permit_redis::PermitKeys;
///
/// let keys = PermitKeys::parse("governor,p33,p26").unwrap();
/// assert_eq!(keys.permits().len(), 3);
/// assert_eq!(keys.template("p26").unwrap().to_string(), "quantum:permit:p26:{plan}");
/// ```
#[derive(Debug, Clone)]
pub struct PermitKeys {
    permits: PermitSet,
    templates: Arc<[KeyTemplate]>,
}

/// The system's permits: name, key template.
const KNOWN: [(&str, &str); 3] = [
    ("governor", "quantum:permit:{plan}"),
    ("p33", "quantum:permit:p33:{plan}"),
    ("p26", "quantum:permit:p26:{plan}"),
];

impl PermitKeys {
    /// Reads a line as in `APPLY_PERMITS`. Every item that is wrong is reported, not only the
    /// first.
    pub fn parse(line: &str) -> Result<Self, PermitKeysError> {
        let (mut pairs, mut problems) = (Vec::new(), Vec::new());
        for item in line.split(',').map(str::trim) {
            match parse_item(item) {
                Ok(pair) => pairs.push(pair),
                Err((problem, fix)) => problems.push(KeysProblem {
                    value: item.into(),
                    problem,
                    fix,
                }),
            }
        }
        if !problems.is_empty() {
            return Err(PermitKeysError(problems));
        }
        Self::new(pairs).map_err(|error| error.about(line))
    }

    /// These permits under these keys. For rules of one's own.
    pub fn new(pairs: Vec<(Permit, KeyTemplate)>) -> Result<Self, PermitKeysError> {
        let (permits, templates): (Vec<Permit>, Vec<KeyTemplate>) = pairs.into_iter().unzip();
        for (i, template) in templates.iter().enumerate() {
            if templates[..i].contains(template) {
                return Err(PermitKeysError::one(
                    &template.to_string(),
                    "two permits lie under the same key, so one yes would count twice",
                    "give each permit a key of its own",
                ));
            }
        }
        let permits = PermitSet::new(permits).map_err(|error| {
            let fix = match error {
                PermitSetError::Count(_) => "name between 1 and 16 permits",
                PermitSetError::Twice(_) => "name each permit once",
                PermitSetError::Name(_) => "use a name of 1 to 32 characters out of a-z 0-9 _",
            };
            PermitKeysError::one("", &error.to_string(), fix)
        })?;
        Ok(Self {
            permits,
            templates: templates.into(),
        })
    }

    /// The same permits under the same keys, each rule put into another one: `wrap` is given the
    /// permit's name and its rule.
    pub fn map_rules(self, wrap: impl Fn(&str, Arc<dyn Rule>) -> Arc<dyn Rule>) -> Self {
        let permits: Vec<Permit> = self
            .permits
            .iter()
            .map(|permit| {
                let name = permit.name().to_owned();
                permit.clone().map_rule(|rule| wrap(&name, rule))
            })
            .collect();
        match PermitSet::new(permits) {
            Ok(permits) => Self { permits, ..self },
            Err(error) => unreachable!("the names are those of a set: {error}"),
        }
    }

    /// The permits.
    pub fn permits(&self) -> &PermitSet {
        &self.permits
    }

    /// The key template of the permit called `name`.
    pub fn template(&self, name: &str) -> Option<&KeyTemplate> {
        self.templates.get(self.permits.position(name)?)
    }

    /// The key templates, in the set's order.
    pub(crate) fn templates(&self) -> &[KeyTemplate] {
        &self.templates
    }

    /// The keys of this plan, in the set's order.
    pub fn keys(&self, plan: &PlanId) -> Vec<String> {
        self.templates.iter().map(|t| t.key(plan)).collect()
    }
}

/// `governor,p33`: what the running system requires.
impl Default for PermitKeys {
    fn default() -> Self {
        Self::parse("governor,p33").unwrap_or_else(|error| unreachable!("{error}"))
    }
}

type Complaint = (String, String);

fn parse_item(item: &str) -> Result<(Permit, KeyTemplate), Complaint> {
    let (name, rest) = match item.split_once('=') {
        Some((name, rest)) => (name.trim(), Some(rest.trim())),
        None => (item, None),
    };
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    let (template, rule) = match (rest, known) {
        (None, Some((_, template))) => (*template, None),
        (None, None) => return Err(unknown(name)),
        (Some(rest), _) => match rest.split_once('|') {
            Some((template, rule)) => (template.trim(), Some(rule.trim())),
            None => (rest, None),
        },
    };
    let permit = match (name, rule) {
        (_, Some(rule)) => relabelled(name, parse_rule(rule)?)?,
        ("governor", None) => trading::governor(),
        ("p33", None) => trading::position_brain(),
        ("p26", None) => relabelled(name, Arc::new(TokenRule::new("1")))?,
        _ => {
            return Err((
                format!("permit {name:?} has no rule"),
                format!("say how it is judged: {name}={template}|token:1, |governor or |p33"),
            ));
        }
    };
    let template = KeyTemplate::parse(template).map_err(|error| {
        (
            format!("{template:?} is no key template: {error}"),
            format!("write {name}=some:key:{{plan}}|rule"),
        )
    })?;
    Ok((permit, template))
}

/// A known name keeps the labels its log lines have, whatever judges it.
fn relabelled(name: &str, rule: Arc<dyn Rule>) -> Result<Permit, Complaint> {
    match name {
        "governor" => Ok(trading::governor().map_rule(|_| rule)),
        "p33" => Ok(trading::position_brain().map_rule(|_| rule)),
        _ => Permit::with_rule(name, rule).map_err(|error| {
            let fix = "use a name of 1 to 32 characters out of a-z 0-9 _";
            (error.to_string(), fix.to_owned())
        }),
    }
}

fn parse_rule(text: &str) -> Result<Arc<dyn Rule>, Complaint> {
    match text {
        "governor" => Ok(Arc::new(GovernorRule)),
        "p33" => Ok(Arc::new(PositionRule)),
        _ => match text.strip_prefix("token:") {
            Some(token) if !token.is_empty() => Ok(Arc::new(TokenRule::new(token))),
            _ => Err((
                format!("{text:?} is no rule"),
                "use governor, p33 or token:<the exact text>".into(),
            )),
        },
    }
}

fn unknown(name: &str) -> Complaint {
    let fix = "use governor, p33 or p26, or define it: name=some:key:{plan}|token:1";
    match name {
        "" => ("an item is empty".into(), fix.into()),
        _ => (format!("no permit is called {name:?}"), fix.into()),
    }
}

/// Everything that is wrong with a line of permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitKeysError(Vec<KeysProblem>);

/// One thing that is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysProblem {
    /// The part of the line it is about.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
}

impl PermitKeysError {
    /// The problems, in the line's order. Never none.
    pub fn problems(&self) -> &[KeysProblem] {
        &self.0
    }

    pub(crate) fn one(value: &str, problem: &str, fix: &str) -> Self {
        Self(vec![KeysProblem {
            value: value.into(),
            problem: problem.into(),
            fix: fix.into(),
        }])
    }

    fn about(mut self, line: &str) -> Self {
        for problem in &mut self.0 {
            if problem.value.is_empty() {
                problem.value = line.into();
            }
        }
        self
    }
}

impl fmt::Display for KeysProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}; {}", self.value, self.problem, self.fix)
    }
}

impl fmt::Display for PermitKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permits: ")?;
        for (i, problem) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { ". " };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PermitKeysError {}

#[cfg(test)]
mod tests {
    use super::*;
    use permit_gate::Subject;

    fn judge(keys: &PermitKeys, name: &str, content: &[u8]) -> bool {
        let subject = Subject::new(PlanId::new("p").unwrap(), "BTCUSDT");
        let permit = keys.permits().iter().find(|p| p.name() == name).unwrap();
        permit.rule().judge(content, &subject).is_ok()
    }

    #[test]
    fn a_third_permit_is_one_line() {
        let keys = PermitKeys::parse(" governor, p33 ,p26").unwrap();
        let plan = PlanId::new("67e6").unwrap();
        let lie = [
            "quantum:permit:67e6",
            "quantum:permit:p33:67e6",
            "quantum:permit:p26:67e6",
        ];
        assert_eq!(keys.keys(&plan), lie);
        assert!(judge(&keys, "p26", b"1") && !judge(&keys, "p26", b"0"));
        let labels: Vec<&str> = keys.permits().iter().map(|p| p.short()).collect();
        assert_eq!(labels, ["gov", "p33", "p26"]);
    }

    #[test]
    fn a_permit_of_ones_own_brings_its_key_and_its_rule() {
        let keys = PermitKeys::parse("governor={x}:{plan},desk=desk:{plan}|token:yes|no").unwrap();
        assert_eq!(keys.template("governor").unwrap().to_string(), "{x}:{plan}");
        assert!(judge(&keys, "desk", b"yes|no") && !judge(&keys, "desk", b"yes"));
    }

    #[test]
    fn every_wrong_item_is_named_with_what_to_write_instead() {
        let error = PermitKeys::parse("governor,p99,desk=d:{plan},x=nokey|token:1,y=y:{plan}|magic,,A=a:{plan}|p33,z=z:{plan}|token:")
            .unwrap_err();
        let values: Vec<&str> = error.problems().iter().map(|p| &*p.value).collect();
        let wrong = [
            "p99",
            "desk=d:{plan}",
            "x=nokey|token:1",
            "y=y:{plan}|magic",
            "",
            "A=a:{plan}|p33",
            "z=z:{plan}|token:",
        ];
        assert_eq!(values, wrong);
        assert!(error.to_string().contains("governor, p33 or p26"));
        assert!(error.problems().iter().all(|p| !p.fix.is_empty()));
    }

    #[test]
    fn one_yes_never_counts_twice() {
        for line in [
            "governor,governor",
            "governor,p33=quantum:permit:{plan}",
            "",
        ] {
            assert!(PermitKeys::parse(line).is_err(), "{line:?}");
        }
    }
}
