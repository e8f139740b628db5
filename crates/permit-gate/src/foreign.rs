//! Text that somebody else wrote, made fit for a line of ours.

use std::borrow::Cow;

/// The most characters of foreign text that stand in a line of ours: a log line, a result, a page.
pub const MAX_FOREIGN: usize = 120;

/// Foreign text on one line: control characters and what moves the reading direction are escaped as
/// Rust does (`\n`, `\u{202e}`), a backslash is doubled, quotes stay. At most `most` characters, the
/// last one `…` where something was cut off.
pub fn escaped(text: &str, most: usize) -> String {
    escaped_bytes(text.as_bytes(), most)
}

/// A whole line that foreign text may stand in, escaped or not: what [`escaped`] would escape is, and a
/// backslash stays as it is. For what prints lines that others have put together.
pub fn printable(line: &str) -> Cow<'_, str> {
    replaced(line, shows, |c, all| match turns(c) {
        true => all.extend(c.escape_unicode()),
        false => all.extend(c.escape_debug()),
    })
}

/// The same for JSON, which has escapes of its own: `\u202e`. Line breaks stay: its texts have none.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let plain = |c| c == '\n' || shows(c);
    replaced(json, plain, |c, all| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            all.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

fn replaced(
    text: &str,
    plain: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    // Nearly every line is plain ASCII, and every one is looked at.
    let ascii = |byte: &u8| matches!(byte, b' '..=b'~');
    match text.as_bytes().iter().all(ascii) || text.chars().all(&plain) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.chars().fold(String::new(), |mut all, c| {
            match plain(c) {
                true => all.push(c),
                false => escape(c, &mut all),
            }
            all
        })),
    }
}

/// Whether the character shows itself and does nothing else.
fn shows(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || (!turns(c) && c.escape_debug().len() == 1)
}

/// As [`escaped`], for bytes that may be no text: a byte that is no UTF-8 is shown as `\xff`.
pub fn escaped_bytes(bytes: &[u8], most: usize) -> String {
    let mut line = Line {
        most,
        ..Line::default()
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            line.add(c);
            if line.full {
                return line.text;
            }
        }
        for byte in chunk.invalid() {
            line.push(&format!("\\x{byte:02x}"));
        }
    }
    line.text
}

#[derive(Default)]
struct Line {
    text: String,
    most: usize,
    length: usize,
    /// Where the text ends that still has room for the mark of a cut behind it.
    fits: usize,
    full: bool,
}

impl Line {
    fn add(&mut self, c: char) {
        match c {
            '"' | '\'' => self.push(c.encode_utf8(&mut [0; 4])),
            _ if turns(c) => self.push(&c.escape_unicode().to_string()),
            _ => self.push(&c.escape_debug().to_string()),
        }
    }

    /// Whole pieces only: half an escape would read as something else.
    fn push(&mut self, piece: &str) {
        if self.full {
            return;
        }
        let length = self.length + piece.chars().count();
        if length > self.most {
            self.full = true;
            self.text.truncate(self.fits);
            if self.most > 0 {
                self.text.push('…');
            }
            return;
        }
        self.text.push_str(piece);
        self.length = length;
        if length < self.most {
            self.fits = self.text.len();
        }
    }
}

/// Whether the character changes how what stands beside it is read, without being seen.
fn turns(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_the_cursor_or_pass_for_another_line_is_escaped() {
        for (text, shown) in [
            ("plain \"quoted\" 'text'", "plain \"quoted\" 'text'"),
            ("a\nb\r\t\0", "a\\nb\\r\\t\\0"),
            ("\x1b[2J", "\\u{1b}[2J"),
            ("\u{202e}abc\u{feff}", "\\u{202e}abc\\u{feff}"),
            ("c:\\d", "c:\\\\d"),
            ("geprüft ✓", "geprüft ✓"),
        ] {
            assert_eq!(escaped(text, 100), shown);
        }
        assert_eq!(escaped_bytes(b"gepr\xfcft", 100), "gepr\\xfcft");
    }

    #[test]
    fn a_line_shows_every_character_that_moves_turns_or_hides_as_its_number() {
        let controls = ('\0'..'\u{20}').chain('\u{7f}'..='\u{a0}');
        let directions = ['\u{61c}'].into_iter().chain('\u{200b}'..='\u{200f}');
        let directions = directions.chain('\u{202a}'..='\u{202e}');
        let directions = directions.chain('\u{2066}'..='\u{2069}');
        let others = [
            '\u{ad}',
            '\u{2028}',
            '\u{2029}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0041}',
        ];
        for c in controls.chain(directions).chain(others) {
            let text = format!("a{c}b");
            let shown = printable(&text);
            assert!(!shown.contains(c), "{c:?}");
            assert!(shown.starts_with("a\\") && shown.ends_with('b'), "{shown}");
            assert_eq!(printable(&shown), shown, "escaped once");
            assert_eq!(escaped(&text, 100), shown);
        }
        for line in ["", "it's \"so\" \\ so", "schließen, 平仓, закрыть, 😀"] {
            assert!(matches!(printable(line), Cow::Borrowed(same) if same == line));
        }
    }

    #[test]
    fn json_stays_json() {
        let json = "{\n  \"key\": \"a\u{202e}\u{e0041}\\n\u{7f}é\\\"\"\n}";
        let shown = "{\n  \"key\": \"a\\u202e\\udb40\\udc41\\n\\u007fé\\\"\"\n}";
        assert_eq!(printable_json(json), shown);
    }

    #[test]
    fn no_more_is_shown_than_was_asked_for_and_no_half_escape() {
        assert_eq!(escaped("abcdef", 6), "abcdef");
        assert_eq!(escaped("abcdefg", 6), "abcde…");
        assert_eq!(escaped("abcd\u{1b}", 6), "abcd…");
        assert_eq!(escaped("", 0), "");
        assert_eq!(escaped("ab", 0), "");
        for most in 0..200 {
            let shown = escaped_bytes(&[0xff, b'a', 0x1b, 0xc3, 0xbc].repeat(50), most);
            assert!(shown.chars().count() <= most, "{most}: {shown}");
        }
    }
}
