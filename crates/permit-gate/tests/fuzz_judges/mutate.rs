//! Permits as neighbours write them, bent in one to four ways.

/// Which judge a permit goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Governor,
    Position,
    Token,
}

type Fields = Vec<(String, String)>;

/// An endless row of permits; the same seed gives the same row.
pub(super) struct Mutator(u64);

const GOVERNOR: &[(&str, &str)] = &[
    ("granted", "true"),
    ("symbol", "\"BTCUSDT\""),
    ("decision", "\"EXECUTE\""),
    ("computed_qty", "0.0"),
    ("computed_notional", "0.0"),
    ("created_at", "1769301008.977"),
    ("consumed", "false"),
];

const POSITION: &[(&str, &str)] = &[
    ("allow", "true"),
    ("symbol", "\"BTCUSDT\""),
    ("safe_close_qty", "0.009000000000000001"),
    ("exchange_position_amt", "0.0124"),
    ("ledger_amt", "0.0124"),
    ("created_at", "1769301009.1"),
    ("reason", "\"sanity_checks_passed\""),
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-0.0",
    "0.0",
    "0e5",
    "1",
    "-1",
    "0.008",
    "-0.008",
    "9e-3",
    "9.000000000000001e-03",
    "1E2",
    "1e+2",
    "0.19999999999999998",
    "0.009000000000000001",
    "12345678901234567890",
    "1e16",
    "1e28",
    "1e29",
    "1e308",
    "1e309",
    "-1e309",
    "1e999",
    "-1e999",
    "1e-28",
    "1e-29",
    "1e-400",
    "0.0000000000000000000000000001",
    "0.00000000000000000000000000001",
    "0.00000000000000000000000000009",
    "79228162514264337593543950335",
    "79228162514264337593543950336",
    "0.1234567890125",
    "0.12345678901250000000000000000000000001",
    "0.12345678901249999999999999999999999999",
    "0.999999999999500001",
    "NaN",
    "nan",
    "Infinity",
    "-Infinity",
    "inf",
    "+1",
    "01",
    "-01",
    ".5",
    "5.",
    "1.e2",
    "1e",
    "1e+",
    "0x1",
    "1_000",
    "1,5",
    "١",
    "--1",
    "- 1",
    "1 2",
    "1e99999999999",
    "1e-99999999999",
    "0e99999999999",
    "0.0e-99999999999",
];

const VALUES: &[&str] = &[
    "true",
    "false",
    "null",
    "\"true\"",
    "\"false\"",
    "True",
    "TRUE",
    "tru",
    "1",
    "0",
    "[]",
    "{}",
    "[true]",
    "{\"a\":1}",
    "\"\"",
    "\"EXECUTE\"",
    "\"EXECUTE \"",
    "\"execute\"",
    "\"SKIP\"",
    "\"BTCUSDT\"",
    "\"btcusdt\"",
    "\"BTCUSDT\\u0000\"",
    "\"\\u0042TCUSDT\"",
    "\"BTC\\u0055SDT\"",
    "\"ETHUSDT\"",
    "\" BTCUSDT\"",
    "\"ВTCUSDT\"",
    "\"BTCUSDT",
    "'BTCUSDT'",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\udc00\\ud800\"",
    "\"\\x41\"",
    "\"a\tb\"",
    "\"0.008\"",
    "{\"a\":1,\"a\":2}",
    "{\"a\":{\"b\":1e999}}",
    "[1,2,1e400]",
    "[1,]",
    "[,1]",
    "{\"a\":NaN}",
    "{\"k\":[{\"x\":1,\"\\u0078\":2}]}",
    "[[[[[[[[[[]]]]]]]]]]",
    "{\"reason\":\"\\ud800\"}",
    "\"\u{7f}\"",
    "\"\u{2028}\"",
];

const NAMES: &[&str] = &[
    "granted",
    "allow",
    "symbol",
    "decision",
    "computed_qty",
    "computed_notional",
    "created_at",
    "consumed",
    "safe_close_qty",
    "safe_qty",
    "exchange_position_amt",
    "ledger_amt",
    "reason",
    "context",
    "x",
    "",
    "Granted",
    "allow ",
    "\\u0061llow",
    "gr\\u0061nted",
    "s\\u0079mbol",
    "\\ud800",
    "a\\\"b",
    "consume\\u0064",
];

const BYTES: &[u8] = b"{}[]\",:\\ \t\n\r+-.eE0123456789truefalsn\x00\x01\x1f\x7f\x80\xc3\xa9\xed\xa0\xef\xbb\xbf\xff'/*u";

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next_permit(&mut self) -> (Kind, Vec<u8>) {
        let kind = match self.below(20) {
            0 => Kind::Token,
            i if i % 2 == 0 => Kind::Governor,
            _ => Kind::Position,
        };
        let mut fields = match kind {
            Kind::Governor => owned(GOVERNOR),
            Kind::Position => owned(POSITION),
            Kind::Token => {
                let mut bytes = b"1".to_vec();
                for _ in 0..self.below(3) {
                    self.bend_bytes(&mut bytes);
                }
                return (kind, bytes);
            }
        };
        for _ in 0..self.below(4) {
            self.bend_fields(&mut fields);
        }
        let mut bytes = self.written(&fields).into_bytes();
        if self.below(3) == 0 {
            for _ in 0..=self.below(3) {
                self.bend_bytes(&mut bytes);
            }
        }
        (kind, bytes)
    }

    fn bend_fields(&mut self, fields: &mut Fields) {
        if fields.is_empty() {
            return;
        }
        let (i, j) = (self.index(fields.len()), self.index(fields.len()));
        match self.below(14) {
            0..=2 => fields[i].1 = self.pick(NUMBERS).to_string(),
            3 => fields[i].1 = self.pick(VALUES).to_string(),
            4 => fields[i].1 = self.any_number(),
            5 => {
                fields.remove(i);
            }
            6 => fields.push((self.pick(NAMES).to_string(), self.pick(VALUES).to_string())),
            7 => fields.insert(
                i,
                (self.pick(NAMES).to_string(), self.pick(NUMBERS).to_string()),
            ),
            8 => fields.insert(j, fields[i].clone()),
            9 => {
                let value = fields[i].1.clone();
                fields[i].1 = std::mem::replace(&mut fields[j].1, value);
            }
            10 => fields.swap(i, j),
            11 => fields[i].0 = self.escaped(&fields[i].0.clone()),
            12 => fields[i].1 = self.escaped_inside(&fields[i].1.clone()),
            _ => fields[i].0 = self.pick(NAMES).to_string(),
        }
    }

    fn bend_bytes(&mut self, bytes: &mut Vec<u8>) {
        let at = self.index(bytes.len().max(1)).min(bytes.len());
        let byte = BYTES[self.index(BYTES.len())];
        match self.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = byte,
            2 => bytes.insert(at, byte),
            3 => bytes.truncate(at),
            4 => {
                let end = (at + 1 + self.index(4)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let end = (at + 1 + self.index(20)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                let to = self.index(bytes.len() + 1);
                bytes.splice(to..to, again);
            }
            6 => bytes.push(byte),
            _ => bytes.insert(0, byte),
        }
    }

    /// As Python writes it, as a tidy writer does, or with blanks thrown in.
    fn written(&mut self, fields: &Fields) -> String {
        let style = self.below(3);
        let mut blank = || match style {
            0 => "",
            1 => " ",
            _ => ["", " ", "\n", "\t", "\r\n"][self.index(5)],
        };
        let mut text = String::from("{");
        for (i, (name, value)) in fields.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            text += &format!("{comma}{}\"{name}\"{}:{}{value}", blank(), blank(), blank());
        }
        text + blank() + "}"
    }

    /// Digits at random, with a sign, a point and an exponent at random.
    fn any_number(&mut self) -> String {
        let mut text = String::new();
        if self.below(8) == 0 {
            text.push('-');
        }
        text += &self.below(1000).to_string();
        if self.below(4) > 0 {
            text.push('.');
            for _ in 0..=self.below(36) {
                text.push(char::from(b'0' + self.below(10) as u8));
            }
        }
        if self.below(4) == 0 {
            text += &format!("e{}{}", ["", "-", "+"][self.index(3)], self.below(40));
        }
        text
    }

    /// One of its letters as `\u....`.
    fn escaped(&mut self, text: &str) -> String {
        let letters: Vec<char> = text.chars().collect();
        if letters.is_empty() || text.contains('\\') {
            return text.to_owned();
        }
        let at = self.index(letters.len());
        let write = |(i, c): (usize, &char)| match i == at {
            true => format!("\\u{:04x}", u32::from(*c)),
            false => c.to_string(),
        };
        letters.iter().enumerate().map(write).collect()
    }

    fn escaped_inside(&mut self, value: &str) -> String {
        match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
            Some(inside) => format!("\"{}\"", self.escaped(inside)),
            None => value.to_owned(),
        }
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.index(from.len())]
    }

    fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random() % limit
    }

    /// A counter, stirred: small, and every seed gives a full period.
    fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn owned(fields: &[(&str, &str)]) -> Fields {
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    fields.iter().map(owned).collect()
}
