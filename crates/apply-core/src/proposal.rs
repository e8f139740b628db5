//! A proposal, parsed once at the edge: what leaves here is valid or refused with a reason.

use crate::{python_float, symbol::Symbol};
use std::collections::HashMap;

/// A proposal hash as it lies in the store: field names and values as text.
pub type RawProposal = HashMap<String, String>;

/// The fields of a proposal that mean something to us. A source reads these and no others, so that
/// a rewrite of anything else is no change.
pub const PROPOSAL_FIELDS: [&str; 9] = [
    "harvest_action",
    "kill_score",
    "k_regime_flip",
    "k_sigma_spike",
    "k_ts_drop",
    "k_age_penalty",
    "new_sl_proposed",
    "R_net",
    "computed_at_utc",
];

/// Most bytes of one field of a proposal. A longer one refuses the proposal; a source should not
/// even carry it, and reads its size first.
pub const MAX_FIELD_BYTES: usize = 256;

/// What a field of the proposal said: a finite number and nothing else.
///
/// Scores are ratios, not money, and plan ids are defined over binary floats; that is why these,
/// and only these, are floats.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Number(f64);

impl Number {
    /// The value. Always finite.
    pub fn get(self) -> f64 {
        self.0
    }

    /// As the neighbours print it: `0.8`, `64000.0`, `1e-07`.
    pub fn to_wire(self) -> String {
        python_float::repr(self.0)
    }
}

/// A proposal that can be read. Whether it may be followed is decided by [`crate::plan`].
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The symbol it is for.
    pub symbol: Symbol,
    /// `harvest_action`, any text: unknown actions are named in a plan of their own.
    pub action: String,
    /// 0 calm, 1 get out. At least 0.
    pub kill_score: Number,
    /// The parts of the kill score; 0.0 where absent.
    pub k_regime_flip: Number,
    /// See [`Proposal::k_regime_flip`].
    pub k_sigma_spike: Number,
    /// See [`Proposal::k_regime_flip`].
    pub k_ts_drop: Number,
    /// See [`Proposal::k_regime_flip`].
    pub k_age_penalty: Number,
    /// The proposed stop price, where there is one.
    pub new_sl: Option<Number>,
    /// Reward so far in R, where given.
    pub r_net: Option<Number>,
    /// When the brain computed it, in the brain's own words; empty where absent.
    pub computed_at_utc: String,
}

/// Why a proposal is refused. Names the field and what was in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// A field that every proposal must have.
    #[error("proposal for {symbol}: {field} is missing; the brain must write it")]
    Missing {
        /// The symbol.
        symbol: Symbol,
        /// The field.
        field: &'static str,
    },
    /// A number that is none, or is not finite.
    #[error("proposal for {symbol}: {field} is {value:?}, which is no finite number")]
    NotANumber {
        /// The symbol.
        symbol: Symbol,
        /// The field.
        field: &'static str,
        /// What it said, cut to 60 characters.
        value: String,
    },
    /// A score below 0, which would pass every threshold.
    #[error("proposal for {symbol}: {field} is {value:?}, below 0")]
    Negative {
        /// The symbol.
        symbol: Symbol,
        /// The field.
        field: &'static str,
        /// What it said, cut to 60 characters.
        value: String,
    },
    /// A field longer than [`MAX_FIELD_BYTES`].
    #[error("proposal for {symbol}: {field} has {size} bytes, at most {MAX_FIELD_BYTES} are read")]
    TooLong {
        /// The symbol.
        symbol: Symbol,
        /// The field.
        field: &'static str,
        /// Its size in bytes.
        size: u64,
    },
    /// The key holds something else than a hash of UTF-8 text.
    #[error("proposal for {symbol} cannot be read: {why}")]
    Unreadable {
        /// The symbol.
        symbol: Symbol,
        /// What the store said.
        why: String,
    },
}

impl ProposalError {
    /// The symbol.
    pub fn symbol(&self) -> &Symbol {
        match self {
            Self::Missing { symbol, .. }
            | Self::NotANumber { symbol, .. }
            | Self::Negative { symbol, .. }
            | Self::TooLong { symbol, .. }
            | Self::Unreadable { symbol, .. } => symbol,
        }
    }

    /// The reason as one snake_case word: a metric's label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "proposal_field_missing",
            Self::NotANumber { .. } => "proposal_not_a_number",
            Self::Negative { .. } => "proposal_negative_score",
            Self::TooLong { .. } => "proposal_field_too_long",
            Self::Unreadable { .. } => "proposal_unreadable",
        }
    }
}

impl Proposal {
    /// Reads a hash. Optional fields may be absent or empty; nothing that is there and cannot be
    /// read is passed over.
    pub fn parse(symbol: &Symbol, raw: &RawProposal) -> Result<Self, ProposalError> {
        let fields = Fields { symbol, raw };
        for field in PROPOSAL_FIELDS {
            fields.check_size(field)?;
        }
        let kill_score = fields.required("kill_score")?;
        if kill_score.0 < 0.0 {
            return Err(ProposalError::Negative {
                symbol: symbol.clone(),
                field: "kill_score",
                value: cut(fields.text("kill_score").unwrap_or_default()),
            });
        }
        Ok(Self {
            symbol: symbol.clone(),
            action: fields
                .text("harvest_action")
                .map(str::to_owned)
                .ok_or_else(|| fields.missing("harvest_action"))?,
            kill_score,
            k_regime_flip: fields.part("k_regime_flip")?,
            k_sigma_spike: fields.part("k_sigma_spike")?,
            k_ts_drop: fields.part("k_ts_drop")?,
            k_age_penalty: fields.part("k_age_penalty")?,
            new_sl: fields.optional("new_sl_proposed")?,
            r_net: fields.optional("R_net")?,
            computed_at_utc: fields
                .text("computed_at_utc")
                .unwrap_or_default()
                .to_owned(),
        })
    }
}

struct Fields<'a> {
    symbol: &'a Symbol,
    raw: &'a RawProposal,
}

impl<'a> Fields<'a> {
    fn check_size(&self, field: &'static str) -> Result<(), ProposalError> {
        let size = self.raw.get(field).map_or(0, String::len);
        match size <= MAX_FIELD_BYTES {
            true => Ok(()),
            false => Err(ProposalError::TooLong {
                symbol: self.symbol.clone(),
                field,
                size: u64::try_from(size).unwrap_or(u64::MAX),
            }),
        }
    }

    /// The field's text; an empty one is how the brain writes "none".
    fn text(&self, field: &str) -> Option<&'a str> {
        self.raw
            .get(field)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    fn optional(&self, field: &'static str) -> Result<Option<Number>, ProposalError> {
        let Some(text) = self.text(field) else {
            return Ok(None);
        };
        match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(Number(value))),
            _ => Err(ProposalError::NotANumber {
                symbol: self.symbol.clone(),
                field,
                value: cut(text),
            }),
        }
    }

    fn required(&self, field: &'static str) -> Result<Number, ProposalError> {
        self.optional(field)?.ok_or_else(|| self.missing(field))
    }

    fn part(&self, field: &'static str) -> Result<Number, ProposalError> {
        Ok(self.optional(field)?.unwrap_or(Number(0.0)))
    }

    fn missing(&self, field: &'static str) -> ProposalError {
        ProposalError::Missing {
            symbol: self.symbol.clone(),
            field,
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(fields: &[(&str, &str)]) -> RawProposal {
        let mut raw: RawProposal = [("harvest_action", "PARTIAL_75"), ("kill_score", "0.539")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        for (field, value) in fields {
            raw.insert((*field).to_owned(), (*value).to_owned());
        }
        raw
    }

    fn parse(fields: &[(&str, &str)]) -> Result<Proposal, ProposalError> {
        Proposal::parse(&"BTCUSDT".parse().unwrap(), &raw(fields))
    }

    #[test]
    fn absent_parts_are_zero_and_absent_numbers_stay_absent() {
        let proposal = parse(&[("new_sl_proposed", "")]).unwrap();
        assert_eq!(proposal.k_ts_drop.to_wire(), "0.0");
        assert_eq!((proposal.new_sl, proposal.r_net), (None, None));
        assert_eq!(proposal.computed_at_utc, "");
    }

    #[test]
    fn a_number_that_is_not_finite_is_refused_wherever_it_stands() {
        let fields = [
            "kill_score",
            "k_regime_flip",
            "k_sigma_spike",
            "k_ts_drop",
            "k_age_penalty",
            "new_sl_proposed",
            "R_net",
        ];
        for field in fields {
            for value in [
                "nan", "NaN", "inf", "-inf", "Infinity", "1e999", "None", "0,5", "abc", "0.5.5",
                " ", "1_0",
            ] {
                let error = parse(&[(field, value)]).unwrap_err();
                assert_eq!(error.code(), "proposal_not_a_number", "{field}={value}");
                assert!(error.to_string().contains(field) && error.to_string().contains("BTCUSDT"));
            }
        }
    }

    #[test]
    fn a_proposal_without_action_or_score_is_refused_by_name() {
        for (field, value) in [("harvest_action", ""), ("kill_score", "")] {
            let error = parse(&[(field, value)]).unwrap_err();
            assert!(matches!(error, ProposalError::Missing { field: named, .. } if named == field));
        }
    }

    #[test]
    fn a_field_that_is_too_long_is_refused_with_its_size_and_the_limit() {
        let longest = "x".repeat(MAX_FIELD_BYTES);
        assert!(parse(&[("harvest_action", &longest)]).is_ok());
        let longer = "x".repeat(MAX_FIELD_BYTES + 1);
        for field in PROPOSAL_FIELDS {
            let error = parse(&[(field, &longer)]).unwrap_err();
            assert_eq!(error.code(), "proposal_field_too_long");
            let told = error.to_string();
            for part in [field, "BTCUSDT", "257", "256"] {
                assert!(told.contains(part), "{told}");
            }
            assert!(!told.contains("xxx"), "{told}");
        }
    }

    #[test]
    fn a_negative_score_would_pass_every_threshold_and_is_refused() {
        assert_eq!(
            parse(&[("kill_score", "-0.1")]).unwrap_err().code(),
            "proposal_negative_score"
        );
    }
}
