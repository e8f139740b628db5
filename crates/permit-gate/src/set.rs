//! Which permits are required: data, not code.

use crate::rule::Rule;
use std::{fmt, sync::Arc};

/// One required permit: its name, how operators see it, and the rule that judges its content.
#[derive(Debug, Clone)]
pub struct Permit {
    name: Arc<str>,
    label: Arc<str>,
    short: Arc<str>,
    rule: Arc<dyn Rule>,
}

impl Permit {
    /// A permit called `name` (1 to 32 characters out of `a-z 0-9 _`), judged by `rule`. Errors with
    /// [`PermitSetError::Name`] where the name is none.
    pub fn new(name: &str, rule: impl Rule + 'static) -> Result<Self, PermitSetError> {
        Self::with_rule(name, Arc::new(rule))
    }

    /// As [`Permit::new`], for a rule that is shared already.
    pub fn with_rule(name: &str, rule: Arc<dyn Rule>) -> Result<Self, PermitSetError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
            return Err(PermitSetError::Name(name.into()));
        }
        Ok(Self::known(name, rule))
    }

    /// For a name that is known to be one.
    pub(crate) fn known(name: &str, rule: Arc<dyn Rule>) -> Self {
        Self {
            name: name.into(),
            label: name.into(),
            short: name.into(),
            rule,
        }
    }

    /// The same permit under these names: `label` in sentences, `short` in log fields. Both are the
    /// permit's name where nothing else is said.
    pub fn labelled(self, label: &str, short: &str) -> Self {
        Self {
            label: label.into(),
            short: short.into(),
            ..self
        }
    }

    /// The name used in reasons and configuration: `governor`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name used in sentences: `Governor`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The name used in log fields: `gov`, as in `gov_ttl=52`.
    pub fn short(&self) -> &str {
        &self.short
    }

    /// The rule that judges this permit's content.
    pub fn rule(&self) -> &dyn Rule {
        &*self.rule
    }

    /// The same permit under a rule that wraps this one's, a signature check for instance.
    pub fn map_rule(self, wrap: impl FnOnce(Arc<dyn Rule>) -> Arc<dyn Rule>) -> Self {
        Self {
            rule: wrap(self.rule),
            ..self
        }
    }
}

/// The permits a plan needs, in a fixed order. At least one, at most 16, no name twice.
#[derive(Debug, Clone)]
pub struct PermitSet(Arc<[Permit]>);

impl PermitSet {
    /// The most permits a set may hold.
    pub const MAX: usize = 16;

    /// A set of these permits, taken and reported in this order. Errors where there are none or too
    /// many, or a name is there twice.
    pub fn new(permits: Vec<Permit>) -> Result<Self, PermitSetError> {
        if permits.is_empty() || permits.len() > Self::MAX {
            return Err(PermitSetError::Count(permits.len()));
        }
        for (i, permit) in permits.iter().enumerate() {
            if permits[..i].iter().any(|p| p.name == permit.name) {
                return Err(PermitSetError::Twice(permit.name.to_string()));
            }
        }
        Ok(Self(permits.into()))
    }

    /// For permits that are known to be a set.
    pub(crate) fn known(permits: Vec<Permit>) -> Self {
        Self(permits.into())
    }

    /// How many permits are required. Never 0.
    #[allow(clippy::len_without_is_empty)] // a set is never empty: there would be nothing to gate
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The permits, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Permit> {
        self.0.iter()
    }

    /// The place of the permit called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|p| &*p.name == name)
    }

    /// The mask with every permit in it.
    pub fn all(&self) -> PermitMask {
        PermitMask(u16::MAX >> (16 - self.len()))
    }

    /// The permits of a selection, in the set's order.
    pub fn selected(&self, mask: PermitMask) -> impl Iterator<Item = &Permit> {
        let all = self.iter().enumerate();
        all.filter(move |(index, _)| mask.contains(*index))
            .map(|(_, permit)| permit)
    }

    /// The wire's word for these missing permits: `missing_both`, `missing_p33`,
    /// `missing_governor+p26`, `missing_all`.
    pub fn missing_reason(&self, missing: PermitMask) -> String {
        match (self.len(), missing == self.all()) {
            (2, true) => "missing_both".into(),
            (3.., true) => "missing_all".into(),
            _ => {
                let names: Vec<&str> = self.selected(missing).map(Permit::name).collect();
                format!("missing_{}", names.join("+"))
            }
        }
    }
}

/// A selection of a set's permits, one bit each in the set's order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PermitMask(u16);

impl PermitMask {
    /// No permit.
    pub const NONE: Self = Self(0);

    /// Only the permit at `index`; none where `index` is beyond any set.
    pub fn only(index: usize) -> Self {
        Self(if index < PermitSet::MAX {
            1 << index
        } else {
            0
        })
    }

    /// Whether the permit at `index` is selected.
    pub fn contains(self, index: usize) -> bool {
        self.0 & Self::only(index).0 != 0
    }

    /// Both selections together.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This selection less the other one.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every permit selected here is selected in `other` too.
    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether nothing is selected.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for PermitMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PermitMask({:#b})", self.0)
    }
}

/// Why a set of permits cannot be required.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermitSetError {
    /// The name cannot stand in a reason code.
    #[error("{0:?} is no permit name: 1 to 32 characters out of a-z 0-9 _ are needed")]
    Name(String),
    /// None, or too many.
    #[error("{0} permits: at least 1 and at most {max} can be required", max = PermitSet::MAX)]
    Count(usize),
    /// The same name again.
    #[error("permit {0:?} is required twice: name each one once")]
    Twice(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rule::TokenRule, trading};

    fn third() -> Permit {
        Permit::new("p26", TokenRule::new("1")).unwrap()
    }

    #[test]
    fn missing_permits_are_named_as_the_wire_names_them() {
        let two = trading::permits();
        let (gov, p33) = (PermitMask::only(0), PermitMask::only(1));
        assert_eq!(two.missing_reason(gov), "missing_governor");
        assert_eq!(two.missing_reason(p33), "missing_p33");
        assert_eq!(two.missing_reason(two.all()), "missing_both");

        let three = PermitSet::new(vec![
            trading::governor(),
            trading::position_brain(),
            third(),
        ])
        .unwrap();
        let p26 = PermitMask::only(2);
        assert_eq!(three.missing_reason(gov.union(p26)), "missing_governor+p26");
        assert_eq!(three.missing_reason(three.all()), "missing_all");

        let one = PermitSet::new(vec![third()]).unwrap();
        assert_eq!(one.missing_reason(one.all()), "missing_p26");
    }

    #[test]
    fn a_set_holds_each_name_once_and_never_nothing() {
        assert_eq!(
            PermitSet::new(vec![]).unwrap_err(),
            PermitSetError::Count(0)
        );
        assert_eq!(
            PermitSet::new(vec![third(), third()]).unwrap_err(),
            PermitSetError::Twice("p26".into())
        );
        assert!(Permit::new("P26+x", TokenRule::new("1")).is_err());
        let full: Vec<Permit> = (0..PermitSet::MAX)
            .map(|i| Permit::new(&format!("p{i}"), TokenRule::new("1")).unwrap())
            .collect();
        assert_eq!(PermitSet::new(full).unwrap().all(), PermitMask(u16::MAX));
    }
}
