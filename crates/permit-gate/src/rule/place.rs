//! What was there instead: the sentence by which the writer of a permit finds the mistake.

use crate::foreign::escaped_bytes;

/// How many characters around a place are shown.
pub(super) const AROUND: usize = 30;

/// A value as it stands there, as far as it fits.
pub(super) fn value(text: &str) -> String {
    escaped_bytes(text.as_bytes(), AROUND)
}

/// What stands around the byte at `at`.
pub(super) fn around(text: &[u8], at: usize) -> String {
    let at = at.min(text.len());
    let from = start_of(text, at.saturating_sub(AROUND / 2));
    let before = escaped_bytes(&text[from..at], usize::MAX);
    let before: String = tail(&before, AROUND / 2);
    let to = at.saturating_add(AROUND).min(text.len());
    let room = AROUND - before.chars().count().min(AROUND / 2);
    let mut after = escaped_bytes(&text[at..to], room);
    if to < text.len() && !after.ends_with('…') {
        after.push('…');
    }
    let more = if from > 0 { "…" } else { "" };
    format!("{more}{before}{after}")
}

/// The last `most` characters.
fn tail(text: &str, most: usize) -> String {
    let all = text.chars().count();
    text.chars().skip(all.saturating_sub(most)).collect()
}

/// The start of the character that `at` lies in.
fn start_of(text: &[u8], at: usize) -> usize {
    let back =
        (0..4).find(|back| at < *back || text.get(at - back).is_none_or(|b| b & 0xc0 != 0x80));
    at.saturating_sub(back.unwrap_or(0))
}

/// What a text that does not begin as a JSON object is, by its first bytes.
pub(super) fn kind(text: &[u8]) -> &'static str {
    let trimmed = text.trim_ascii();
    if text.is_empty() {
        return "the text is empty";
    }
    if trimmed.is_empty() {
        return "there are only blanks";
    }
    let binary = BINARY.iter().find(|(start, _)| text.starts_with(start));
    if let Some((_, kind)) = binary {
        return kind;
    }
    if text.iter().skip(1).step_by(2).take(8).all(|b| *b == 0) && text.len() > 3 {
        return "this is UTF-16 without a mark: write UTF-8";
    }
    if text[0] == 0 && text.len() > 3 && text.get(2) == Some(&0) {
        return "this is UTF-16 without a mark: write UTF-8";
    }
    let known = WORDS.iter().find(|(start, _)| trimmed.starts_with(start));
    if let Some((_, kind)) = known {
        return kind;
    }
    if serialized_by_php(trimmed) {
        return "this is PHP's serialize(): write json_encode()'s text";
    }
    match text[0] {
        0x80..=0x8f | 0xde | 0xdf if !text.is_ascii() => {
            "this is a MessagePack map: write JSON text"
        }
        0xa0..=0xbf => "this is a CBOR map: write JSON text",
        _ => tail_kind(trimmed),
    }
}

fn tail_kind(trimmed: &[u8]) -> &'static str {
    match trimmed[0] {
        b'"' => "this is a JSON text inside a JSON string: it was encoded twice",
        b'\'' => "this is a text in quotes: write the object alone",
        b'[' => "this is a JSON list: write the object alone",
        b'<' => "this is XML or HTML, or the text of a program's object: write JSON text",
        b'&' | b'#' | b'%' | b'(' | b'@' => {
            "this is the text of a program's object, or of another format: write JSON text"
        }
        b'-' | b'0'..=b'9' => "this is a number or begins with one: write the whole object",
        _ if trimmed.iter().take(60).any(|b| *b == b'=') => {
            "these are names and values without JSON: write JSON text"
        }
        _ if trimmed.iter().take(60).any(|b| *b == b':') => {
            "this may be YAML, or JSON without its braces: write JSON text"
        }
        _ => "this is no JSON text",
    }
}

/// First bytes that say what it is.
const BINARY: &[(&[u8], &str)] = &[
    (
        b"\x1f\x8b",
        "this is gzip: write the text as it is, or switch the client's compression off",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "this is zstd: write the text as it is, or switch the client's compression off",
    ),
    (
        b"\x04\x22\x4d\x18",
        "this is lz4: write the text as it is, or switch the client's compression off",
    ),
    (b"BZh", "this is bzip2: write the text as it is"),
    (b"\xfd7zXZ\x00", "this is xz: write the text as it is"),
    (b"\x78\x01", ZLIB),
    (b"\x78\x5e", ZLIB),
    (b"\x78\x9c", ZLIB),
    (b"\x78\xda", ZLIB),
    (
        b"\xef\xbb\xbf",
        "a byte order mark (BOM, ef bb bf) stands before the text: write UTF-8 without it",
    ),
    (
        b"\xff\xfe",
        "this is UTF-16 with a byte order mark: write UTF-8",
    ),
    (
        b"\xfe\xff",
        "this is UTF-16 with a byte order mark: write UTF-8",
    ),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
    (
        b"\xac\xed\x00\x05",
        "this is a serialized Java object: write JSON text with a String serializer",
    ),
    (
        b"\x00\x00\x00\x02",
        "this is PHP's igbinary: write json_encode()'s text without a serializer",
    ),
    (b"\x04\x08", "this is Ruby's Marshal: write JSON text"),
    (
        b"\x83",
        "this may be an Erlang term or a MessagePack map: write JSON text",
    ),
];

const ZLIB: &str = "this is zlib: write the text as it is, or switch the client's compression off";
const PICKLE: &str = "this is a Python pickle: write json.dumps()'s text";

/// First words that say what it is.
const WORDS: &[(&[u8], &str)] = &[
    (
        b"[object ",
        "this is JavaScript's text of an object: write JSON.stringify()'s",
    ),
    (
        b"undefined",
        "this is JavaScript's undefined: nothing was put into the text",
    ),
    (
        b"HASH(0x",
        "this is Perl's text of a hash: write encode_json()'s",
    ),
    (
        b"ARRAY(0x",
        "this is Perl's text of an array: write encode_json()'s",
    ),
    (
        b"Array",
        "this is PHP's text of an array: write json_encode()'s",
    ),
    (
        b"Object",
        "this is the text of a program's object: write JSON text",
    ),
    (
        b"table: 0x",
        "this is Lua's text of a table: write a JSON library's",
    ),
    (
        b"map[",
        "this is Go's text of a map: write json.Marshal()'s",
    ),
    (
        b"&{",
        "this is Go's text of a struct: write json.Marshal()'s",
    ),
    (
        b"b'",
        "this is Python's text of bytes: decode them, or write them as they are",
    ),
    (
        b"b\"",
        "this is Python's text of bytes: decode them, or write them as they are",
    ),
    (b"b64:", "this is base64: write the text as it is"),
    (b"eyJ", "this is base64: write the text as it is"),
    (b"7b22", "this is hex: write the text as it is"),
    (b"%7B", "this is URL-encoded: write the text as it is"),
    (b"#{", "this is a map of Erlang: write JSON text"),
    (b"%{", "this is a map of Elixir: write JSON text"),
    (b"null", "this is null: write the object"),
    (b"nil", "this is nil: write the object"),
    (b"None", "this is Python's None: write json.dumps()'s text"),
    (b"true", "this is true alone: write the object"),
    (b"false", "this is false alone: write the object"),
    (b"NaN", "this is NaN: write the object"),
];

/// `a:4:{`, `s:95:"`, `O:8:"`, `b:1;`, `i:1;`, `d:0.5;`.
fn serialized_by_php(text: &[u8]) -> bool {
    let [kind, b':', rest @ ..] = text else {
        return false;
    };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let next = rest.get(digits);
    digits > 0
        && match kind {
            b'a' | b's' | b'O' => next == Some(&b':'),
            b'b' | b'i' => next == Some(&b';'),
            b'd' => matches!(next, Some(b'.' | b';')),
            _ => false,
        }
}

/// What may be meant by what stands at a place where JSON is broken off.
pub(super) fn hint(text: &[u8], at: usize, what: &str) -> Option<&'static str> {
    let rest = text.get(at..).unwrap_or_default();
    let value = value_at(text, at);
    let first = value.first().copied().unwrap_or(b' ');
    let word = |words: &[&str]| {
        let lower = value.to_ascii_lowercase();
        words.iter().any(|word| lower.starts_with(word.as_bytes()))
    };
    if at >= text.len() {
        return Some("the text ends too early: it was cut");
    }
    if rest.starts_with(b"\0") || text.get(at.saturating_sub(1)..at) == Some(b"\0") {
        return Some("a NUL byte stands behind the text: write its length without it");
    }
    if what == "trailing characters" {
        return Some("something stands behind the object");
    }
    if around_arrow(text, at) {
        return Some("this is Ruby's text of a hash: write to_json()'s");
    }
    if is_decimal_comma(text, at) {
        return Some(
            "a decimal comma or a thousands separator: numbers have a point and digits only",
        );
    }
    if value.contains(&b'(') {
        return Some("this is the text of a program's object: write its number alone");
    }
    if word(&[
        "nan", "-nan", "+nan", "inf", "-inf", "+inf", "na,", "na}", "1.0inf", "1.5nan",
    ]) || value.ends_with(b"Inf")
        || value == b"NA"
    {
        return Some("JSON has no NaN and no infinity: where there is no number, say no");
    }
    if word(&["none", "nil", "undefined", "null", "unset"]) {
        return Some("what is absent is left out or written null");
    }
    if word(&[
        "true", "false", "yes", "no", "on", "off", ".true", ".false", "#t", "#f",
    ]) {
        return Some("yes and no are written true and false");
    }
    if first == b'\'' || rest.starts_with(b"'") {
        return Some(
            "this is Python's text of a dict, or text in single quotes: write json.dumps()'s",
        );
    }
    if first == b'.' || value.starts_with(b"-.") {
        return Some("a number needs a digit before its point, as in 0.0093");
    }
    if first == b'+' {
        return Some("a number has no plus before it");
    }
    if value.iter().filter(|b| **b == b'.').count() > 1 {
        return Some("thousands separators: numbers have a point and digits only");
    }
    if first.is_ascii_digit() && value.iter().any(|b| matches!(b, b'd' | b'D')) {
        return Some("an exponent is written with e, as in 1.5e-5");
    }
    if first == b'0' && value.get(1).is_some_and(u8::is_ascii_digit) {
        return Some("a number has no zeros before it");
    }
    if first.is_ascii_digit() || first == b'-' {
        return Some("this is no JSON number: digits, one point, digits");
    }
    if rest.starts_with(b"}") || rest.starts_with(b"]") {
        return Some("a comma without a field behind it");
    }
    if rest.starts_with(b"/") {
        return Some("JSON has no comments");
    }
    if first.is_ascii_alphabetic() && text.get(at).is_some_and(u8::is_ascii_alphabetic) {
        return Some("names and texts stand in double quotes");
    }
    None
}

/// What to do about a value of the wrong type, in brackets behind what is expected.
pub(super) fn hint_of_type(expected: &str, found: &str) -> &'static str {
    let first = found.bytes().next().unwrap_or(b' ');
    match (expected, first) {
        (_, b'n') => " (null counts as left out, and this field must be there)",
        (_, b'[') => " (alone, not in a list)",
        ("a number", b'"') if is_word_for_no_number(found) => NO_NUMBER,
        ("a number", b'"') => " (without quotes)",
        ("true or false", b'"') => " (without quotes)",
        ("true or false", b'0'..=b'9') => " (not 1 or 0)",
        ("a string", _) => " (in double quotes)",
        _ => "",
    }
}

const NO_NUMBER: &str = " (JSON has no NaN and no infinity: where there is no number, say no)";

fn is_word_for_no_number(json: &str) -> bool {
    !json.contains(|c: char| c.is_ascii_digit())
}

/// Where the value begins that the place lies in.
pub(super) fn start_of_value(text: &[u8], at: usize) -> usize {
    let value = value_at(text, at);
    let start = (value.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    match value.is_empty() {
        true => at,
        false => start,
    }
}

/// The value that the place lies in: from the last colon, comma or bracket to the next one.
fn value_at(text: &[u8], at: usize) -> &[u8] {
    let ends = |b: &u8| matches!(b, b':' | b',' | b'[' | b'{' | b'}' | b']' | b'\n' | b'"');
    let at = at.min(text.len());
    let before = text[..at].iter().rposition(|b| ends(b) && *b != b'}');
    let from = before.map_or(0, |before| before + 1);
    let to = text[at..]
        .iter()
        .position(ends)
        .map_or(text.len(), |to| at + to);
    text[from.min(to)..to].trim_ascii()
}

/// Whether `=>` stands at the place.
fn around_arrow(text: &[u8], at: usize) -> bool {
    let near = &text[at.saturating_sub(2)..(at + 2).min(text.len())];
    near.windows(2).any(|two| two == b"=>")
}

/// Whether the last comma before the place stands between two digits: `0,009`.
fn is_decimal_comma(text: &[u8], at: usize) -> bool {
    let upto = &text[..(at + 1).min(text.len())];
    let Some(comma) = upto.iter().rposition(|b| *b == b',') else {
        return false;
    };
    let digit = |at: Option<usize>| {
        at.and_then(|at| text.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    digit(comma.checked_sub(1)) && digit(comma.checked_add(1))
}
