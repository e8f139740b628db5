//! The page as one document: markup, style, scripts and what is known at this moment. A browser asks once, and says
//! whether orders can flow before any second answer has come.

use super::state::{DashboardState, json};
use crate::dashboard::view::now;
use axum::{
    body::Body,
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{convert::Infallible, sync::LazyLock};

const HTML: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const PICTURES: &str = include_str!("draw.js");
const SCRIPT: &str = include_str!("app.js");

/// Where style, knowledge and scripts stand in the markup.
const MARKS: [&str; 3] = ["<!-- style -->", "<!-- now -->", "<!-- scripts -->"];

/// The style and the scripts of this program, by their digests, and its own stream: no other script or style, no frame
/// around the page, no form in it.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = |parts: &[&str]| {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        format!("'sha256-{}'", BASE64_STANDARD.encode(hash.finalize()))
    };
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(&[PICTURES, SCRIPT]),
        digest(&[STYLE]),
    );
    // ASCII throughout; without it a browser would load nothing.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The page, with the health of this moment in it.
pub(super) fn document(live: &DashboardState) -> Response {
    #[derive(Serialize)]
    struct Now<'a, T> {
        now: u64,
        value: &'a T,
    }
    let now = json(&Now {
        now: now(),
        value: &live.health(),
    });
    // No text in it can end its element.
    let now = now.replace('<', "\\u003c");
    let [head, middle, end, tail] = markup();
    let parts = [
        head.into(),
        "<style>".into(),
        STYLE.into(),
        "</style>".into(),
        middle.into(),
        "<script type=\"application/json\" id=\"now\">".into(),
        Bytes::from(now),
        "</script>".into(),
        end.into(),
        "<script>".into(),
        PICTURES.into(),
        SCRIPT.into(),
        "</script>".into(),
        tail.into(),
    ];
    let body = stream::iter(parts.map(Ok::<Bytes, Infallible>));
    let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (kind, Body::from_stream(body)).into_response()
}

/// The markup between the marks.
fn markup() -> [&'static str; 4] {
    let mut rest = HTML;
    let parts = MARKS.map(|mark| {
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        rest = after;
        before
    });
    let [head, middle, end] = parts;
    [head, middle, end, rest]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_there_and_no_part_ends_its_element() {
        for mark in MARKS {
            assert_eq!(HTML.matches(mark).count(), 1, "{mark}");
        }
        assert!(markup().iter().all(|part| !part.is_empty()));
        for part in [PICTURES, SCRIPT, STYLE] {
            assert!(!part.contains("</"), "a part must not close an element");
        }
        assert!(POLICY.to_str().unwrap().contains("script-src 'sha256-"));
    }

    #[test]
    fn the_page_is_under_eighty_kibibytes_in_all() {
        let size: usize = [HTML, SCRIPT, PICTURES, STYLE, super::super::ICON]
            .iter()
            .map(|part| part.len())
            .sum();
        assert!(size < 80 * 1024, "{size} bytes");
    }
}
