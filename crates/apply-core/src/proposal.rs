//! A proposal, parsed once at the edge: what leaves here is valid or refused with a reason.

use crate::{days::utc_millis, python_float, symbol::Symbol};
use apply_wire::{Reason, field};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use std::{collections::HashMap, time::Duration};

/// A proposal hash as it lies in the store: field names and values as text.
pub type RawProposal = HashMap<String, String>;

/// The fields of a proposal that mean something to us. A source reads these and no others, so that
/// a rewrite of anything else is no change.
pub const PROPOSAL_FIELDS: [&str; 12] = [
    field::HARVEST_ACTION,
    field::CALIBRATED,
    field::ACTION,
    field::KILL_SCORE,
    field::K_REGIME_FLIP,
    field::K_SIGMA_SPIKE,
    field::K_TS_DROP,
    field::K_AGE_PENALTY,
    field::NEW_SL,
    field::R_NET,
    field::COMPUTED_AT,
    field::UPDATED_AT,
];

/// How far ahead of this machine's clock a brain's may be.
const FUTURE_TOLERANCE: Duration = Duration::from_secs(5);

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
    /// The action that counts: a calibrated `action`, else `harvest_action`. Any text: unknown actions are named in
    /// a plan of their own.
    pub action: String,
    /// From 0 (normal) to 1 (close now). At least 0.
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
    /// When the brain last wrote it, in the brain's own words; empty where absent.
    pub last_update_epoch: String,
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
    /// A calibration that is neither there nor absent.
    #[error(
        "proposal for {symbol}: {} is {value:?}, neither {} nor {}",
        field::CALIBRATED,
        field::CALIBRATED_WORDS.0,
        field::CALIBRATED_WORDS.1
    )]
    Calibration {
        /// The symbol.
        symbol: Symbol,
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
    /// A moment that is none.
    #[error(
        "proposal for {symbol}: {field} is {value:?}, which is no time, so that its age is not known"
    )]
    NoTime {
        /// The symbol.
        symbol: Symbol,
        /// The field.
        field: &'static str,
        /// What it said, cut to 60 characters.
        value: String,
    },
    /// A proposal that is older than the operator follows.
    #[error("proposal for {symbol}: it is {} s old by {field}, more than the {} s allowed", age.as_secs(), limit.as_secs())]
    TooOld {
        /// The symbol.
        symbol: Symbol,
        /// The field.
        field: &'static str,
        /// How old it is.
        age: Duration,
        /// How old it may be.
        limit: Duration,
    },
    /// A proposal of a brain whose clock is ahead of this machine's: its age means nothing.
    #[error(
        "proposal for {symbol}: {field} is {} s ahead of this machine's clock; set both clocks",
        ahead.as_secs()
    )]
    FromTheFuture {
        /// The symbol.
        symbol: Symbol,
        /// The field.
        field: &'static str,
        /// By how much.
        ahead: Duration,
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
            | Self::Calibration { symbol, .. }
            | Self::NoTime { symbol, .. }
            | Self::TooOld { symbol, .. }
            | Self::FromTheFuture { symbol, .. }
            | Self::TooLong { symbol, .. }
            | Self::Unreadable { symbol, .. } => symbol,
        }
    }

    /// Its reason code.
    pub fn reason(&self) -> Reason {
        self.into()
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
        let kill_score = fields.required(field::KILL_SCORE)?;
        if kill_score.0 < 0.0 {
            return Err(ProposalError::Negative {
                symbol: symbol.clone(),
                field: field::KILL_SCORE,
                value: cut(fields.text(field::KILL_SCORE).unwrap_or_default()),
            });
        }
        Ok(Self {
            symbol: symbol.clone(),
            action: fields.action()?.to_owned(),
            kill_score,
            k_regime_flip: fields.part(field::K_REGIME_FLIP)?,
            k_sigma_spike: fields.part(field::K_SIGMA_SPIKE)?,
            k_ts_drop: fields.part(field::K_TS_DROP)?,
            k_age_penalty: fields.part(field::K_AGE_PENALTY)?,
            new_sl: fields.optional(field::NEW_SL)?,
            r_net: fields.optional(field::R_NET)?,
            computed_at_utc: fields
                .text(field::COMPUTED_AT)
                .unwrap_or_default()
                .to_owned(),
            last_update_epoch: fields
                .text(field::UPDATED_AT)
                .unwrap_or_default()
                .to_owned(),
        })
    }

    /// Whether it is no older than `limit` at `now` (seconds since 1970), by when the brain says that it
    /// computed it, or where it does not say, last wrote it. What is not known is too old.
    pub fn check_age(&self, limit: Duration, now: u64) -> Result<(), ProposalError> {
        let symbol = || self.symbol.clone();
        let (field, text, at) = match (&*self.computed_at_utc, &*self.last_update_epoch) {
            ("", "") => {
                return Err(ProposalError::Missing {
                    symbol: symbol(),
                    field: field::COMPUTED_AT,
                });
            }
            ("", text) => (field::UPDATED_AT, text, seconds_since_1970(text)),
            (text, _) => (field::COMPUTED_AT, text, moment(text)),
        };
        let Some(at) = at else {
            return Err(ProposalError::NoTime {
                symbol: symbol(),
                field,
                value: cut(text),
            });
        };
        let ahead = Duration::from_secs(at.saturating_sub(now));
        if ahead > FUTURE_TOLERANCE {
            return Err(ProposalError::FromTheFuture {
                symbol: symbol(),
                field,
                ahead,
            });
        }
        let age = Duration::from_secs(now.saturating_sub(at));
        match age <= limit {
            true => Ok(()),
            false => Err(ProposalError::TooOld {
                symbol: symbol(),
                field,
                age,
                limit,
            }),
        }
    }
}

impl Proposal {
    /// When the brain computed it, in whole seconds since 1970; `None` where it does not say so in ISO 8601.
    /// A time without an offset is in UTC, as its name says.
    pub fn computed_at(&self) -> Option<u64> {
        moment(&self.computed_at_utc)
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

    fn present(&self, field: &'static str) -> Result<&'a str, ProposalError> {
        self.text(field).ok_or_else(|| self.missing(field))
    }

    /// The action that counts. A calibrated one may be `HOLD` where the brain proposes a full close: nothing that
    /// is unclear about it may let the brain's pass.
    fn action(&self) -> Result<&'a str, ProposalError> {
        let proposed = self.present(field::HARVEST_ACTION)?;
        let (yes, no) = field::CALIBRATED_WORDS;
        match self.text(field::CALIBRATED) {
            None => Ok(proposed),
            Some(word) if word == no => Ok(proposed),
            Some(word) if word == yes => self.present(field::ACTION),
            Some(other) => Err(ProposalError::Calibration {
                symbol: self.symbol.clone(),
                value: cut(other),
            }),
        }
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

/// Whole seconds since 1970 of a moment as brains write it: `2026-01-25T00:43:29.041200+00:00`, with
/// `Z`, or as UTC without either.
fn moment(text: &str) -> Option<u64> {
    utc_millis(text).map(|millis| millis / 1000)
}

/// A number of seconds since 1970, with or without a fraction.
fn seconds_since_1970(text: &str) -> Option<u64> {
    let seconds = Decimal::from_str_exact(text.trim()).ok()?;
    seconds.trunc().to_u64()
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
                assert_eq!(
                    error.reason().to_string(),
                    "proposal_not_a_number",
                    "{field}={value}"
                );
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
    fn a_calibrated_action_counts_in_the_place_of_the_brains() {
        let action = |fields: &[(&str, &str)]| parse(fields).map(|proposal| proposal.action);
        let hold = ("action", "HOLD");
        assert_eq!(action(&[("calibrated", "1"), hold]).unwrap(), "HOLD");
        for no in [
            &[hold][..],
            &[("calibrated", "0"), hold],
            &[("calibrated", ""), hold],
        ] {
            assert_eq!(action(no).unwrap(), "PARTIAL_75", "{no:?}");
        }
    }

    #[test]
    fn a_calibration_that_cannot_be_read_refuses_the_proposal() {
        for word in ["2", "yes", "true", "01", "1.0", " 1"] {
            let error = parse(&[("calibrated", word), ("action", "HOLD")]).unwrap_err();
            assert_eq!(
                error.reason(),
                Reason::ProposalCalibrationUnreadable,
                "{word}"
            );
            let message = error.to_string();
            assert!(
                message.contains("calibrated") && message.contains(word),
                "{message}"
            );
        }
        for without in [
            &[("calibrated", "1")][..],
            &[("calibrated", "1"), ("action", "")],
        ] {
            let error = parse(without).unwrap_err();
            assert!(
                matches!(
                    error,
                    ProposalError::Missing {
                        field: "action",
                        ..
                    }
                ),
                "{error}"
            );
        }
    }

    #[test]
    fn a_field_that_is_too_long_is_refused_with_its_size_and_the_limit() {
        let longest = "x".repeat(MAX_FIELD_BYTES);
        assert!(parse(&[("harvest_action", &longest)]).is_ok());
        let longer = "x".repeat(MAX_FIELD_BYTES + 1);
        for field in PROPOSAL_FIELDS {
            let error = parse(&[(field, &longer)]).unwrap_err();
            assert_eq!(error.reason().to_string(), "proposal_field_too_long");
            let message = error.to_string();
            for part in [field, "BTCUSDT", "257", "256"] {
                assert!(message.contains(part), "{message}");
            }
            assert!(!message.contains("xxx"), "{message}");
        }
    }

    const NOW: u64 = 1_769_301_008; // 2026-01-25T00:30:08Z

    fn aged(fields: &[(&str, &str)]) -> Result<(), ProposalError> {
        let proposal = parse(fields).unwrap();
        proposal.check_age(Duration::from_secs(600), NOW)
    }

    #[test]
    fn a_proposal_is_as_old_as_its_brain_says_in_any_of_its_ways_to_write_a_moment() {
        for text in [
            "2026-01-25T00:20:08Z",
            "2026-01-25T00:20:08.999Z",
            "2026-01-25T00:20:08.041200+00:00",
            "2026-01-25T01:20:08+01:00",
            "2026-01-25T00:20:08",
            "2026-01-25T00:20:08.041200",
            "2026-01-25 00:20:08",
            "2026-01-25T00:30:13Z",
        ] {
            assert_eq!(aged(&[("computed_at_utc", text)]), Ok(()), "{text}");
        }
        for text in [
            "2026-01-25T00:20:07.999Z",
            "2026-01-25T00:20:07",
            "1999-12-31T23:59:59Z",
        ] {
            let error = aged(&[("computed_at_utc", text)]).unwrap_err();
            assert_eq!(error.reason().to_string(), "proposal_too_old", "{text}");
        }
        let error = aged(&[("computed_at_utc", "2026-01-25T00:30:14Z")]).unwrap_err();
        assert_eq!(error.reason().to_string(), "proposal_from_the_future");
    }

    #[test]
    fn without_its_computation_it_is_as_old_as_its_last_write() {
        for (text, code) in [
            ("1769300408", ""),
            ("1769300408.75", ""),
            ("1769301013", ""),
            ("1769300407", "proposal_too_old"),
            ("0", "proposal_too_old"),
            ("1769301014", "proposal_from_the_future"),
            ("99999999999999999999", "proposal_time_unreadable"),
            ("-5", "proposal_time_unreadable"),
            ("yesterday", "proposal_time_unreadable"),
        ] {
            let age = aged(&[("last_update_epoch", text)]);
            assert_eq!(
                age.map_or_else(|error| error.reason().to_string(), |()| String::new()),
                code,
                "{text}"
            );
        }
        let fresh = ("last_update_epoch", "1769301008");
        let error = aged(&[("computed_at_utc", "2026-01-24T00:30:08Z"), fresh]).unwrap_err();
        assert_eq!(
            error.reason().to_string(),
            "proposal_too_old",
            "written anew is not computed anew"
        );
    }

    #[test]
    fn a_proposal_whose_age_is_not_known_is_refused_by_name() {
        for text in [
            "soon",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1769301008",
            "25.01.2026",
        ] {
            let error = aged(&[("computed_at_utc", text)]).unwrap_err();
            assert_eq!(
                error.reason().to_string(),
                "proposal_time_unreadable",
                "{text}"
            );
            assert!(error.to_string().contains("computed_at_utc"));
        }
        assert_eq!(
            aged(&[]).unwrap_err().reason().to_string(),
            "proposal_field_missing"
        );
    }

    #[test]
    fn a_negative_score_would_pass_every_threshold_and_is_refused() {
        assert_eq!(
            parse(&[("kill_score", "-0.1")])
                .unwrap_err()
                .reason()
                .to_string(),
            "proposal_negative_score"
        );
    }
}
