//! What the value of a kill switch says.

use std::sync::Arc;

/// The values of a kill switch that let takes go on. Every other value halts.
///
/// A value says off where it is one of the words, in letters of either case, with blanks, tabs, line ends and
/// form feeds around it or none, or where there is nothing else in it. One that is longer than allowed halts: no
/// more than that and one byte is ever read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffWords {
    /// Parted by blanks, and between two of them.
    words: Arc<str>,
    max_bytes: usize,
}

/// `false`, `0` and `no`, in at most 16 bytes.
impl Default for OffWords {
    fn default() -> Self {
        Self::new(&["false", "0", "no"], 16)
    }
}

impl OffWords {
    /// These words, each without blanks, in a value of at most so many bytes.
    pub fn new(words: &[&str], max_bytes: usize) -> Self {
        Self {
            words: format!(" {} ", words.join(" ").to_ascii_lowercase()).into(),
            max_bytes,
        }
    }

    /// Whether a value says off; empty where there is none. The script says the same.
    pub fn is_off(&self, value: &[u8]) -> bool {
        let word = value.trim_ascii();
        let mut words = self.words.split_ascii_whitespace();
        value.len() <= self.max_bytes
            && (word.is_empty() || words.any(|off| word.eq_ignore_ascii_case(off.as_bytes())))
    }

    /// How many bytes of a value are worth reading.
    pub(crate) fn at_most(&self) -> usize {
        self.max_bytes.saturating_add(1)
    }

    /// The words as the script reads them.
    pub(crate) fn line(&self) -> &str {
        &self.words
    }
}

/// A kill switch: where it lies, and which values say off.
#[derive(Debug, Clone)]
pub(crate) struct Switch {
    pub(crate) key: String,
    pub(crate) off: OffWords,
}

impl Switch {
    /// Whether one that begins like this halts; `None` is a key of another type.
    pub(crate) fn halts(&self, content: Option<&[u8]>) -> bool {
        content.is_none_or(|content| !self.off.is_off(content))
    }
}
