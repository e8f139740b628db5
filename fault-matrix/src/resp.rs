//! As much of Redis' protocol as it takes to distinguish one command or reply from the next.

/// How long the first whole frame is; `None` while it is not all there. What cannot be understood
/// counts as not all there: a wire that stands still is noticed, one that guesses is not.
pub(crate) fn first_frame(bytes: &[u8]) -> Option<usize> {
    let (line, mut at) = first_line(bytes)?;
    let number = || -> Option<usize> {
        let text = std::str::from_utf8(&line[1..]).ok()?;
        // A nil has the length -1, and nothing follows it.
        Some(text.parse::<i64>().ok()?.max(0).unsigned_abs() as usize)
    };
    match line[0] {
        b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => Some(at),
        b'$' | b'=' | b'!' if line.get(1) == Some(&b'-') => Some(at),
        b'$' | b'=' | b'!' => {
            let end = at + number()? + 2;
            (bytes.len() >= end).then_some(end)
        }
        b'*' | b'~' | b'>' | b'%' => {
            let items = number()? * if line[0] == b'%' { 2 } else { 1 };
            for _ in 0..items {
                at += first_frame(&bytes[at..])?;
            }
            Some(at)
        }
        _ => None,
    }
}

/// The words of a command, as clients send it: an array of bulk strings.
pub(crate) fn words(frame: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    let Some((_, mut at)) = first_line(frame) else {
        return words;
    };
    while let Some((line, start)) = frame.get(at..).and_then(first_line) {
        let length = std::str::from_utf8(&line[1..])
            .ok()
            .and_then(|text| text.parse::<usize>().ok());
        let (start, Some(length)) = (at + start, length) else {
            break;
        };
        let Some(word) = frame.get(start..start + length) else {
            break;
        };
        words.push(word);
        at = start + length + 2;
    }
    words
}

/// Whether a reply is one that no command asked for.
pub(crate) fn is_push(frame: &[u8]) -> bool {
    frame.first() == Some(&b'>')
}

/// Whether a script's reply says that it did what it was asked for: 1, or a list that begins with it or
/// with a word that means it.
pub(crate) fn is_done(frame: &[u8]) -> bool {
    const WORDS: [&[u8]; 3] = [b"$3\r\nwon\r\n", b"$9\r\npublished\r\n", b":1\r\n"];
    match first_line(frame) {
        Some((b":1", _)) => true,
        Some((line, at)) if line[0] == b'*' => {
            WORDS.iter().any(|word| frame[at..].starts_with(word))
        }
        _ => false,
    }
}

/// The first line without its end, and where the next one begins.
fn first_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    (end > 0).then(|| (&bytes[..end], end + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_where_it_ends_and_half_of_it_is_none() {
        for whole in [
            &b"+OK\r\n"[..],
            b":12\r\n",
            b"$-1\r\n",
            b"$2\r\n\r\n\r\n",
            b"*-1\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            b"%1\r\n+a\r\n_\r\n",
            b">2\r\n$10\r\ninvalidate\r\n_\r\n",
        ] {
            let two = [whole, whole].concat();
            assert_eq!(first_frame(&two), Some(whole.len()), "{whole:?}");
            for cut in 0..whole.len() {
                assert_eq!(first_frame(&whole[..cut]), None, "{cut} of {whole:?}");
            }
        }
        assert_eq!(first_frame(b"moon\r\n"), None);
    }

    #[test]
    fn a_command_is_read_word_by_word() {
        let command = b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n";
        assert_eq!(first_frame(command), Some(command.len()));
        assert_eq!(words(command), [&b"SET"[..], b"", b"a\r\nb"]);
    }

    #[test]
    fn a_script_that_did_it_is_distinguished_from_one_that_did_not() {
        for (reply, done) in [
            (&b":1\r\n"[..], true),
            (b":0\r\n", false),
            (b":10\r\n", false),
            (b"*2\r\n:1\r\n$1\r\na\r\n", true),
            (b"*2\r\n$3\r\nwon\r\n:1\r\n", true),
            (b"*2\r\n$5\r\ntaken\r\n:1\r\n", false),
            (b"*2\r\n:0\r\n$7\r\nmissing\r\n", false),
            (b"-NOSCRIPT none\r\n", false),
        ] {
            assert_eq!(is_done(reply), done, "{reply:?}");
        }
    }
}
