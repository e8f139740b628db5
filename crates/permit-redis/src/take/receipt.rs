//! The receipt a take leaves behind: who took, when, and what.

use permit_gate::AttemptId;

/// `1 <attempt> <server microseconds> <length>,<length>…\n<contents>`
///
/// The first figure is the format's version. The script writes the same text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    attempt: Vec<u8>,
    contents: Vec<Vec<u8>>,
}

impl Receipt {
    /// Reads a receipt for a set of `permits` permits; `None` where it is none.
    pub(crate) fn read(text: &[u8], permits: usize) -> Option<Self> {
        let end = text.iter().position(|b| *b == b'\n')?;
        let (head, mut rest) = (std::str::from_utf8(&text[..end]).ok()?, &text[end + 1..]);
        let mut words = head.split(' ');
        if words.next()? != "1" {
            return None;
        }
        let attempt = AttemptId::new(words.next()?).ok()?;
        words.next()?.parse::<u64>().ok()?;
        let mut contents = Vec::new();
        for length in words.next()?.split(',') {
            let (content, after) = rest.split_at_checked(length.parse().ok()?)?;
            contents.push(content.to_vec());
            rest = after;
        }
        let whole = words.next().is_none() && rest.is_empty() && contents.len() == permits;
        whole.then(|| Self {
            attempt: attempt.as_str().into(),
            contents,
        })
    }

    /// Writes one.
    pub(crate) fn write(attempt: &AttemptId, now: i64, contents: &[Vec<u8>]) -> Vec<u8> {
        let lengths: Vec<String> = contents.iter().map(|c| c.len().to_string()).collect();
        let head = format!("1 {attempt} {now} {}\n", lengths.join(","));
        [head.into_bytes(), contents.concat()].concat()
    }

    /// What was taken, where it was this attempt that took it.
    pub(crate) fn of(self, attempt: &AttemptId) -> Option<Vec<Vec<u8>>> {
        (self.attempt == attempt.as_str().as_bytes()).then_some(self.contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_gives_back_what_went_in_to_its_own_attempt_only() {
        let (mine, other) = (AttemptId::new("a.1").unwrap(), AttemptId::new("b").unwrap());
        let contents = vec![(0..=255).collect::<Vec<u8>>(), Vec::new(), b"1\n".to_vec()];
        let text = Receipt::write(&mine, 1_769_301_008_000_000, &contents);
        let read = || Receipt::read(&text, 3).unwrap();
        assert_eq!(read().of(&mine), Some(contents.clone()));
        assert_eq!(read().of(&other), None);
        assert_eq!(Receipt::read(&text, 2), None, "another set of permits");
    }

    #[test]
    fn what_is_no_receipt_is_not_read_as_one() {
        for text in [
            &b""[..],
            b"1 a 5 1",
            b"1 a 5 1\n",
            b"1 a 5 1\nxy",
            b"2 a 5 1\nx",
            b"1 a x 1\nx",
            b"1 a:b 5 1\nx",
            b"1 a 5 1 1\nx",
            b"1 a 5 -1\nx",
            b"1 a 5 99999999999999999999\nx",
            b"1 \xff 5 1\nx",
        ] {
            assert_eq!(Receipt::read(text, 1), None, "{text:?}");
        }
        assert!(Receipt::read(b"1 a 5 1\nx", 1).is_some());
    }
}
