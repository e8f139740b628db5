//! A second judge, as plain as the contract's text. It reads JSON letter by letter into a tree and
//! looks at the tree; it is slow and does not care.
//!
//! A judge says `None` for no, `Some(limit)` for yes, where the limit is the most that may be
//! traded, written out, or nothing where the reviewer has no opinion.

pub(super) type Verdict = Option<Option<String>>;

/// The governor grants, for this symbol, to execute, and was not used before.
pub(super) fn governor(permit: &[u8], symbol: &str) -> Verdict {
    let fields = object(permit)?;
    is(&fields, "granted", &Json::Bool(true))?;
    is(&fields, "symbol", &Json::Text(symbol.into()))?;
    is(&fields, "decision", &Json::Text("EXECUTE".into()))?;
    from_zero(field(&fields, "created_at")?)?;
    if let Some(notional) = field(&fields, "computed_notional") {
        from_zero(notional)?;
    }
    if let Some(consumed) = field(&fields, "consumed")
        && *consumed != Json::Bool(false)
    {
        return None;
    }
    let quantity = from_zero(field(&fields, "computed_qty")?)?;
    Some((!quantity.is_zero()).then(|| quantity.written()))
}

/// The position brain allows a quantity above zero of this symbol.
pub(super) fn position(permit: &[u8], symbol: &str) -> Verdict {
    let fields = object(permit)?;
    is(&fields, "allow", &Json::Bool(true))?;
    is(&fields, "symbol", &Json::Text(symbol.into()))?;
    from_zero(field(&fields, "created_at")?)?;
    for signed in ["exchange_position_amt", "ledger_amt"] {
        if let Some(amount) = field(&fields, signed) {
            let amount = number(amount)?;
            if signed == "exchange_position_amt" && amount.is_zero() {
                return None;
            }
        }
    }
    if let Some(reason) = field(&fields, "reason")
        && !matches!(reason, Json::Text(_))
    {
        return None;
    }
    let quantities: Vec<Digits> = ["safe_close_qty", "safe_qty"]
        .iter()
        .filter_map(|name| field(&fields, name))
        .map(from_zero)
        .collect::<Option<_>>()?;
    let quantity = quantities.first()?;
    if quantities
        .iter()
        .any(|other| other.written() != quantity.written())
    {
        return None;
    }
    (!quantity.is_zero()).then(|| Some(quantity.written()))
}

/// The portfolio gate writes a bare 1.
pub(super) fn token(permit: &[u8]) -> Verdict {
    (permit == b"1").then_some(None)
}

#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

type Fields = Vec<(String, Json)>;

/// What is null is not there.
fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a Json> {
    fields
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value)
        .filter(|value| **value != Json::Null)
}

fn is(fields: &Fields, name: &str, wanted: &Json) -> Option<()> {
    (field(fields, name)? == wanted).then_some(())
}

fn number(value: &Json) -> Option<Digits> {
    match value {
        Json::Number(text) => Digits::of(text),
        _ => None,
    }
}

fn from_zero(value: &Json) -> Option<Digits> {
    number(value).filter(|n| !n.negative || n.is_zero())
}

/// A number as its digits: 0.d1d2d3… × 10^point.
struct Digits {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Digits {
    /// Twelve significant digits of the number, the nearest such; an exact half goes to the even.
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (plain, exponent) = match text.split_once(['e', 'E']) {
            Some((plain, exponent)) => (plain, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
        let mut digits: Vec<u8> = whole
            .bytes()
            .chain(fraction.bytes())
            .map(|b| b - b'0')
            .collect();
        let mut point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
        let leading = digits.iter().take_while(|d| **d == 0).count();
        digits.drain(..leading);
        point -= i64::try_from(leading).ok()?;
        if digits.len() > 12 {
            let rest = digits.split_off(12);
            let odd = digits[11] % 2 == 1;
            let more = rest[1..].iter().any(|d| *d > 0);
            if rest[0] > 5 || (rest[0] == 5 && (more || odd)) {
                point += i64::from(up(&mut digits));
            }
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Some(Self {
            negative,
            digits,
            point,
        })
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    fn written(&self) -> String {
        if self.point.abs() > 400 {
            return "beyond writing out".into();
        }
        let digit = |place: i64| {
            let place = usize::try_from(place).ok();
            let digit = place.and_then(|p| self.digits.get(p));
            char::from(b'0' + digit.copied().unwrap_or(0))
        };
        let mut text: String = (0..self.point).map(digit).collect();
        if text.is_empty() {
            text.push('0');
        }
        let end = i64::try_from(self.digits.len()).unwrap();
        if self.point < end {
            text.push('.');
            text.extend((self.point.min(0)..0).map(|_| '0'));
            text.extend((self.point.max(0)..end).map(digit));
        }
        text
    }
}

/// One more in the last place. Whether that made a place more in front.
fn up(digits: &mut [u8]) -> bool {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return false;
        }
        *digit = 0;
    }
    digits[0] = 1;
    true
}

/// One object, nothing after it, and nothing in it that two readers could read differently.
fn object(permit: &[u8]) -> Option<Fields> {
    let text: Vec<char> = std::str::from_utf8(permit).ok()?.chars().collect();
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.blanks();
    if reader.at < reader.text.len() {
        return None;
    }
    match value {
        Json::Object(fields) => Some(fields),
        _ => None,
    }
}

struct Reader {
    text: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, wanted: char) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        for c in word.chars() {
            self.eat(c)?;
        }
        Some(value)
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > 1000 {
            return None;
        }
        self.blanks();
        match self.peek()? {
            '{' => self.fields(depth),
            '[' => self.list(depth),
            '"' => self.string().map(Json::Text),
            't' => self.word("true", Json::Bool(true)),
            'f' => self.word("false", Json::Bool(false)),
            'n' => self.word("null", Json::Null),
            _ => self.number(),
        }
    }

    fn fields(&mut self, depth: usize) -> Option<Json> {
        let mut fields: Fields = Vec::new();
        self.eat('{')?;
        self.blanks();
        if self.peek()? == '}' {
            self.at += 1;
            return Some(Json::Object(fields));
        }
        loop {
            self.blanks();
            let name = self.string()?;
            if field(&fields, &name).is_some() {
                return None;
            }
            self.blanks();
            self.eat(':')?;
            let value = self.value(depth + 1)?;
            fields.push((name, value));
            self.blanks();
            match self.next()? {
                ',' => {}
                '}' => return Some(Json::Object(fields)),
                _ => return None,
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        let mut items = Vec::new();
        self.eat('[')?;
        self.blanks();
        if self.peek()? == ']' {
            self.at += 1;
            return Some(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.next()? {
                ',' => {}
                ']' => return Some(Json::List(items)),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        self.eat('"')?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escaped()?),
                c if c < ' ' => return None,
                c => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            '"' => '"',
            '\\' => '\\',
            '/' => '/',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.four()?;
                if (0xd800..0xdc00).contains(&first) {
                    self.eat('\\')?;
                    self.eat('u')?;
                    let second = self.four()?;
                    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low);
                }
                // Half of a pair alone is no character.
                return char::from_u32(first);
            }
            _ => return None,
        })
    }

    fn four(&mut self) -> Option<u32> {
        let mut code = 0;
        for _ in 0..4 {
            code = code * 16 + self.next()?.to_digit(16)?;
        }
        Some(code)
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.at;
        if self.peek() == Some('-') {
            self.at += 1;
        }
        if self.peek()? == '0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some('.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text: String = self.text[start..self.at].iter().collect();
        let finite = text.parse::<f64>().ok()?.is_finite();
        finite.then_some(Json::Number(text))
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}
