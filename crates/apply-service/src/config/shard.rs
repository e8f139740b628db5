//! Which part of the symbols an instance follows.

use apply_core::Symbol;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// One of several equal parts: `2/4` is the second of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// What to write instead of something that is no shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoShard;

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    const MOST: u64 = 1024;

    /// Which one it is, from 1 on.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many there are.
    pub fn count(self) -> u64 {
        self.count
    }

    /// Whether the symbol is in this one. It is in exactly one of them, and which one depends on its
    /// name and their number alone: the first 8 bytes of the name's SHA-256, the highest first,
    /// modulo the number, and 1. Other releases and other machines say the same.
    pub fn holds(self, symbol: &Symbol) -> bool {
        let hash = Sha256::digest(symbol.as_str());
        let (first, _) = hash.split_at(8);
        let number = first.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        number % self.count + 1 == self.index
    }

    /// Whether it is one of several.
    pub fn is_part(self) -> bool {
        self.count > 1
    }
}

impl FromStr for Shard {
    type Err = NoShard;

    fn from_str(text: &str) -> Result<Self, NoShard> {
        let (index, count) = text.split_once('/').ok_or(NoShard)?;
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u64>().map_err(|_| NoShard),
            false => Err(NoShard),
        };
        let (index, count) = (number(index)?, number(count)?);
        match (1..=Self::MOST).contains(&count) && (1..=count).contains(&index) {
            true => Ok(Self { index, count }),
            false => Err(NoShard),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl fmt::Display for NoShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "write which of how many this instance is, as in 2/4 for the second of four; at most {}",
            Shard::MOST
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(count: u64) -> Vec<Shard> {
        (1..=count)
            .map(|index| format!("{index}/{count}").parse().unwrap())
            .collect()
    }

    #[test]
    fn every_symbol_is_in_one_shard_and_they_are_about_as_large() {
        for count in [1, 2, 3, 4, 16] {
            let shards = all(count);
            let mut sizes = vec![0_u64; shards.len()];
            for n in 0..1000 {
                let symbol: Symbol = format!("S{n:03}USDT").parse().unwrap();
                let mut holders = (0..shards.len()).filter(|i| shards[*i].holds(&symbol));
                sizes[holders.next().unwrap()] += 1;
                assert_eq!(holders.next(), None, "{symbol} is in two of {count}");
            }
            let fair = 1000 / count;
            assert!(
                sizes
                    .iter()
                    .all(|size| (fair * 2 / 3..=fair * 4 / 3).contains(size)),
                "{sizes:?}"
            );
        }
    }

    /// By `printf BTCUSDT | sha256sum`: a release that moved them would have two instances follow a
    /// symbol during its roll-out, or none.
    #[test]
    fn symbols_stay_where_they_are_from_release_to_release() {
        let homes = |count| {
            let home = |symbol: &str| {
                let symbol = symbol.parse().unwrap();
                let shard = all(count).into_iter().find(|shard| shard.holds(&symbol));
                shard.unwrap().index()
            };
            ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "ADAUSDT"].map(home)
        };
        assert_eq!(homes(1), [1, 1, 1, 1, 1]);
        assert_eq!(homes(2), [2, 1, 2, 1, 2]);
        assert_eq!(homes(3), [2, 2, 3, 2, 3]);
        assert_eq!(homes(4), [2, 3, 2, 1, 4]);
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in [
            "",
            "x",
            "1",
            "/",
            "1/",
            "0/4",
            "5/4",
            "1/0",
            "0/0",
            "-1/2",
            "+1/2",
            "1 /2",
            "1/1025",
            "a/b",
            "1/2/3",
            "1/18446744073709551617",
        ] {
            assert_eq!(text.parse::<Shard>(), Err(NoShard), "{text:?}");
        }
        assert_eq!("1/1".parse(), Ok(Shard::WHOLE));
    }
}
