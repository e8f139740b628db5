//! What the venue documents and answers, as data: the one home of these facts for client, simulated venue and tests.
//!
//! | what | from |
//! |---|---|
//! | [`venue_codes`] | `data/error_codes.tsv`: every error code with its words, and what it says about an order, a stop, a question |
//! | [`WORDS`] | `data/words.csv`: every word of every enumeration |
//! | [`recorded_answers`] | `data/recorded/`: answers as they were recorded or documented; `SOURCES.md` says where each is from |

mod code;
mod recorded;

pub use code::{CodeMeaning, VenueCode, venue_code, venue_codes};
pub use recorded::{RecordedAnswer, recorded_answer, recorded_answers};

/// Every word of every enumeration of the venue: `kind,word,note,source`, one a line below the header.
pub const WORDS: &str = include_str!("../data/words.csv");
