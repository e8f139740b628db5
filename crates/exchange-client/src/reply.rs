//! What the venue answered, kept for people: status, code, message and the body as it came, with secrets cut out.

use crate::codes::{self, Meaning, Submitted};
use serde::Deserialize;
use std::fmt;

/// The longest piece of a body that is kept.
pub(crate) const KEPT_BODY: usize = 2048;

/// An answer of the venue that was not the hoped-for one.
///
/// Holds what a person needs to look further and nothing a stranger may not see: should a server echo the API key or a
/// signature, they are cut out before the text is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The venue's error code, where the body carried one.
    pub code: Option<i64>,
    /// The venue's message, where the body carried one.
    pub message: Option<String>,
    /// The body as it came, at most 2 KiB of it; bytes that are not UTF-8 show as `�`.
    pub body: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: Option<i64>,
    msg: Option<String>,
}

impl Reply {
    /// Reads an answer. `secrets` are the texts that must not be kept.
    pub(crate) fn read(status: u16, body: &[u8], secrets: &[&str]) -> Self {
        let (code, message) = match serde_json::from_slice::<ErrorBody>(body) {
            Ok(read) => (read.code, read.msg.map(|text| kept(&text, secrets))),
            Err(_) => (None, None),
        };
        Self {
            status,
            code,
            message,
            body: kept(&String::from_utf8_lossy(body), secrets),
        }
    }

    /// What the code says about a submission that it answers. Code 0 is the edge's, and a refusal with its 451 only.
    pub(crate) fn means(&self, to: Submitted) -> Meaning {
        match self.code {
            Some(0) if self.status != 451 => Meaning::Unknown,
            Some(code) => codes::meaning(code, self.text(), to),
            None => Meaning::Unknown,
        }
    }

    /// The message, or the whole body where it is plain text: some of the venue's 503 answers come either way.
    pub(crate) fn text(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| self.body.trim())
    }
}

/// Cuts the secrets out first and shortens second, so that no part of one survives at the edge.
fn kept(text: &str, secrets: &[&str]) -> String {
    let mut clean = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        if clean.contains(secret) {
            clean = clean.replace(secret, "<hidden>");
        }
    }
    if clean.len() > KEPT_BODY {
        let end = (0..=KEPT_BODY)
            .rev()
            .find(|&i| clean.is_char_boundary(i))
            .unwrap_or(0);
        clean.truncate(end);
    }
    clean
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None if self.body.is_empty() => write!(f, ", no body"),
            None => {
                let start: String = self.body.chars().take(120).collect();
                write!(f, ", body {start:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_message_are_read_and_the_body_kept() {
        let reply = Reply::read(
            400,
            br#"{"code":-2022,"msg":"ReduceOnly Order is rejected."}"#,
            &[],
        );
        assert_eq!(reply.code, Some(-2022));
        assert_eq!(
            reply.message.as_deref(),
            Some("ReduceOnly Order is rejected.")
        );
        assert_eq!(
            reply.to_string(),
            "HTTP 400, code -2022: ReduceOnly Order is rejected."
        );
    }

    #[test]
    fn a_body_that_is_no_json_is_kept_as_text_and_shortened_at_a_letter() {
        let long = "ü".repeat(5000);
        let reply = Reply::read(502, long.as_bytes(), &[]);
        assert_eq!((reply.code, reply.message.as_deref()), (None, None));
        assert!(reply.body.len() <= KEPT_BODY && long.starts_with(&reply.body));
        assert_eq!(Reply::read(502, b"\xff\xfe", &[]).body, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn an_echoed_secret_is_cut_out_even_where_the_text_is_shortened() {
        let body = format!(
            "{{\"msg\":\"you sent topsecret\"}}{}topsecret",
            " ".repeat(KEPT_BODY - 40)
        );
        let reply = Reply::read(400, body.as_bytes(), &["topsecret", ""]);
        assert!(!format!("{reply:?} {reply}").contains("topsec"));
        assert!(reply.body.contains("<hidden>"));
    }
}
