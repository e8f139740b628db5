//! A key with the plan's id somewhere in it.

use permit_gate::PlanId;
use std::fmt;

const PLACEHOLDER: &str = "{plan}";

/// A key name with the placeholder `{plan}` in it exactly once: `quantum:permit:p33:{plan}`.
///
/// For a cluster the id goes into a hash tag, braces and all: `quantum:permit:{{plan}}` becomes
/// `quantum:permit:{67e6da21fa9fe506}`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyTemplate {
    before: Box<str>,
    after: Box<str>,
}

/// Why a text is no key template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No placeholder, or more than one.
    #[error("it must hold {PLACEHOLDER} exactly once")]
    Placeholder,
    /// Nothing before the placeholder: the watch could not distinguish such keys from all others.
    #[error("it must begin with something fixed before {PLACEHOLDER}")]
    NoPrefix,
    /// An id's own character right beside the placeholder: two plans could share a key.
    #[error("{PLACEHOLDER} must stand between other characters than A-Z a-z 0-9 . _ -")]
    Undelimited,
    /// A space or a control character.
    #[error("it must not hold spaces or control characters")]
    Unprintable,
}

impl KeyTemplate {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let (before, after) = text
            .split_once(PLACEHOLDER)
            .ok_or(TemplateError::Placeholder)?;
        if after.contains(PLACEHOLDER) {
            return Err(TemplateError::Placeholder);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(TemplateError::Unprintable);
        }
        if before.is_empty() {
            return Err(TemplateError::NoPrefix);
        }
        if before.ends_with(is_of_an_id) || after.starts_with(is_of_an_id) {
            return Err(TemplateError::Undelimited);
        }
        Ok(Self {
            before: before.into(),
            after: after.into(),
        })
    }

    /// The key of this plan.
    pub fn key(&self, plan: &PlanId) -> String {
        [&*self.before, plan.as_str(), &*self.after].concat()
    }

    /// The plan a key would be for. What it returns need not be a plan's id.
    pub(crate) fn plan_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&*self.before)?.strip_suffix(&*self.after)
    }

    /// What every key of this template begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.before
    }
}

fn is_of_an_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PLACEHOLDER}{}", self.before, self.after)
    }
}

impl fmt::Debug for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTemplate({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_goes_where_the_placeholder_stands_and_comes_back() {
        let plan = PlanId::new("67e6").unwrap();
        for (text, key) in [
            ("quantum:permit:{plan}", "quantum:permit:67e6"),
            ("quantum:permit:{{plan}}", "quantum:permit:{67e6}"),
            ("a:{plan}:b", "a:67e6:b"),
        ] {
            let template = KeyTemplate::parse(text).unwrap();
            assert_eq!(template.key(&plan), key);
            assert_eq!(template.plan_of(key), Some("67e6"));
            assert_eq!(template.plan_of("x"), None);
            assert_eq!(template.to_string(), text);
        }
    }

    #[test]
    fn a_template_under_which_keys_could_be_confused_is_refused() {
        for (text, why) in [
            ("quantum:permit", TemplateError::Placeholder),
            ("a:{plan}:{plan}", TemplateError::Placeholder),
            ("{plan}:a", TemplateError::NoPrefix),
            ("a{plan}", TemplateError::Undelimited),
            ("a:{plan}b", TemplateError::Undelimited),
            ("a: {plan}", TemplateError::Unprintable),
            ("a:{plan}\n", TemplateError::Unprintable),
        ] {
            assert_eq!(KeyTemplate::parse(text).unwrap_err(), why, "{text:?}");
        }
    }
}
