//! The kill switch: what its value says. One rule for Rust and for the scripts that run on Redis.

/// What halts, as this program writes it.
pub const ON: &str = "true";
/// What ends a halt, as this program writes it.
pub const OFF: &str = "false";

/// The words that halt. Any other text halts as well, and is reported as unreadable.
pub const ON_WORDS: [&str; 3] = [ON, "1", "yes"];
/// The words that do not halt. A missing key and blanks alone do not halt either.
pub const OFF_WORDS: [&str; 3] = [OFF, "0", "no"];

/// Most bytes of a value, blanks included. A longer one is unreadable. A reader asks for one byte more than
/// this, so that it notices.
pub const MAX_BYTES: usize = 16;

/// What a kill switch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Trading goes on.
    Off,
    /// Trading is halted.
    On,
    /// The value is not one of the words. Trading is halted.
    Unreadable,
}

impl Switch {
    /// Whether trading goes on.
    pub fn is_off(self) -> bool {
        matches!(self, Self::Off)
    }
}

/// Reads the value of a kill switch; empty where there is none. The case of letters does not count, nor do
/// blanks, tabs, line ends and form feeds around the word.
pub fn read(value: &[u8]) -> Switch {
    if value.len() > MAX_BYTES {
        return Switch::Unreadable;
    }
    let word = value.trim_ascii();
    let is_one_of = |words: &[&str]| {
        words
            .iter()
            .any(|w| word.eq_ignore_ascii_case(w.as_bytes()))
    };
    if word.is_empty() || is_one_of(&OFF_WORDS) {
        Switch::Off
    } else if is_one_of(&ON_WORDS) {
        Switch::On
    } else {
        Switch::Unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_is_read_as_it_says() {
        let vectors = include_str!("../vectors/kill_switch.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        for vector in &vectors {
            let says = match read(vector["value"].as_str().unwrap().as_bytes()) {
                Switch::Off => "off",
                Switch::On => "on",
                Switch::Unreadable => "unreadable",
            };
            assert_eq!(says, vector["says"], "{vector}");
        }
        assert_eq!(read(b"\xffno"), Switch::Unreadable);
    }

    #[test]
    fn the_words_this_program_writes_are_read_as_meant() {
        assert_eq!(
            (read(ON.as_bytes()), read(OFF.as_bytes())),
            (Switch::On, Switch::Off)
        );
    }
}
