//! The words of the venue: symbols, ids, sides, statuses. Each is checked once, when it is made.

use std::{fmt, str::FromStr, sync::Arc};

/// A text that does not fit the form of a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct NameError {
    value: String,
    expected: &'static str,
}

fn refuse(text: &str, expected: &'static str) -> NameError {
    NameError {
        value: text.chars().take(64).collect(),
        expected,
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $longest:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as it goes over the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let allowed: fn(char) -> bool = $allowed;
                let fits = text.chars().nth($longest).is_none() && text.chars().all(allowed);
                if text.is_empty() || !fits {
                    return Err(refuse(text, $expected));
                }
                Ok(Self(Arc::from(text)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// A contract, `BTCUSDT` for instance: 1 to 32 capital letters, digits and underscores, of any script: the venue lists
    /// `币安人生USDT`, too. Cheap to clone.
    Symbol,
    "a symbol of capital letters, digits and underscores",
    32,
    |c| (c.is_alphanumeric() && !c.is_lowercase()) || c == '_'
);

name!(
    /// The id the caller gives an order, 1 to 36 of the characters `.A-Z:/a-z0-9_-` (the venue's rule for
    /// `newClientOrderId`). Cheap to clone.
    ///
    /// It is a key to ask by, not an idempotency key: the venue keeps it unique among *open* orders only, and a market
    /// order is closed at once. [`Client`](crate::Client) therefore sends at most one POST for each.
    ClientOrderId,
    "a client order id of 1 to 36 characters out of .A-Z:/a-z0-9_-",
    36,
    is_id_char
);

name!(
    /// The id the caller gives a stop order (`clientAlgoId`), same alphabet and length as [`ClientOrderId`]. Cheap to clone.
    ClientAlgoId,
    "a client algo id of 1 to 36 characters out of .A-Z:/a-z0-9_-",
    36,
    is_id_char
);

fn is_id_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '_' | '-')
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vdoc])* $variant),+
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// Reads the word on the wire; an unknown word is `None`, never a neighbour.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// Which way an order trades.
    Side {
        /// Buys: closes a short position.
        Buy = "BUY",
        /// Sells: closes a long position.
        Sell = "SELL",
    }
);

words!(
    /// Which of a symbol's positions is meant. One-way accounts have `Both` only, hedge accounts the other two.
    PositionSide {
        /// The one position of a one-way account, long or short by its sign.
        Both = "BOTH",
        /// The long position of a hedge account.
        Long = "LONG",
        /// The short position of a hedge account.
        Short = "SHORT",
    }
);

words!(
    /// Where an order stands.
    OrderStatus {
        /// Taken in, nothing filled yet.
        New = "NEW",
        /// Some of it filled, the rest still working.
        PartiallyFilled = "PARTIALLY_FILLED",
        /// All of it filled.
        Filled = "FILLED",
        /// Ended by a cancel, perhaps with a part filled.
        Canceled = "CANCELED",
        /// Refused by the matching engine.
        Rejected = "REJECTED",
        /// Ended by the venue, perhaps with a part filled.
        Expired = "EXPIRED",
        /// Ended because it would have traded against the same account.
        ExpiredInMatch = "EXPIRED_IN_MATCH",
        /// A word that no document has. It counts as open: the fills decide.
        Other = "OTHER",
    }
);

impl OrderStatus {
    /// True where nothing more can happen to the order.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::New | Self::PartiallyFilled | Self::Other)
    }
}

words!(
    /// Where a stop order stands.
    StopStatus {
        /// Waiting for its trigger.
        New = "NEW",
        /// Triggered, on its way to the matching engine.
        Triggering = "TRIGGERING",
        /// Triggered and taken in by the matching engine.
        Triggered = "TRIGGERED",
        /// The order it became has ended.
        Finished = "FINISHED",
        /// Canceled before its trigger.
        Canceled = "CANCELED",
        /// Refused by the matching engine when it triggered.
        Rejected = "REJECTED",
        /// Ended by the venue.
        Expired = "EXPIRED",
        /// A word that no document has. It counts as open, and guards nothing for certain.
        Other = "OTHER",
    }
);

words!(
    /// Which price a stop watches.
    WorkingType {
        /// The mark price: calmer, what liquidation uses.
        MarkPrice = "MARK_PRICE",
        /// The price of the last trade.
        ContractPrice = "CONTRACT_PRICE",
    }
);

/// Whether an account keeps one position a symbol or a long and a short one side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PositionMode {
    /// One position a symbol; closing orders say `reduceOnly`.
    OneWay,
    /// A long and a short position a symbol; closing orders say `positionSide`, and may not say `reduceOnly`.
    Hedge,
}

impl Side {
    /// The other side.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_keep_to_the_venues_alphabets() {
        assert_eq!("BTCUSDT".parse::<Symbol>().unwrap().as_str(), "BTCUSDT");
        assert!("BTCUSDT_251226".parse::<Symbol>().is_ok());
        assert!("币安人生USDT".parse::<Symbol>().is_ok());
        for bad in [
            "",
            "btcusdt",
            "BTC USDT",
            "BTC&side=BUY",
            "币安usdt",
            "币安\u{202e}USDT",
            &"A".repeat(33),
        ] {
            assert!(bad.parse::<Symbol>().is_err(), "{bad}");
        }
        assert!("a.B:c/1_-".parse::<ClientOrderId>().is_ok());
        for bad in ["", "a b", "a&b", "ä", &"a".repeat(37)] {
            assert!(bad.parse::<ClientOrderId>().is_err(), "{bad}");
            assert!(bad.parse::<ClientAlgoId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_word_is_no_status() {
        assert_eq!(OrderStatus::from_word("FILLED"), Some(OrderStatus::Filled));
        assert_eq!(OrderStatus::from_word("filled"), None);
        assert_eq!(OrderStatus::from_word("MOSTLY_FILLED"), None);
        assert_eq!(StopStatus::from_word(""), None);
    }
}
