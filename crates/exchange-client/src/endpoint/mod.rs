//! One file an endpoint: what is asked, what is answered, nothing else. No socket here.

pub(crate) mod clock;
pub(crate) mod exchange_info;
pub(crate) mod order;
pub(crate) mod position;
pub(crate) mod premium;
pub(crate) mod stop;
pub(crate) mod trades;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod recorded;

use std::fmt::Display;

/// Parameters in the order they are sent, which is the order they are signed in.
///
/// Every value is one of our own types: names, decimals, integers and fixed words. Of their alphabets only the letters of a
/// symbol that are not ASCII need percent encoding in a form, and what is encoded is what is signed. Free text has no way
/// in.
pub(crate) struct Form {
    text: String,
}

impl Form {
    pub(crate) fn new() -> Self {
        Self {
            text: String::with_capacity(256),
        }
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Display) -> Self {
        use std::fmt::Write as _;
        if !self.text.is_empty() {
            self.text.push('&');
        }
        self.text.push_str(key);
        self.text.push('=');
        let start = self.text.len();
        // Writing into a String cannot fail.
        let _ = write!(self.text, "{value}");
        if !self.text[start..].is_ascii() {
            let plain = self.text.split_off(start);
            for byte in plain.bytes() {
                let _ = match byte.is_ascii() {
                    true => write!(self.text, "{}", char::from(byte)),
                    false => write!(self.text, "%{byte:02X}"),
                };
            }
        }
        self
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_are_not_ascii_are_percent_encoded() {
        let form = Form::new().with("symbol", "币安USDT").with("limit", 5);
        assert_eq!(form.into_text(), "symbol=%E5%B8%81%E5%AE%89USDT&limit=5");
    }

    #[test]
    fn parameters_keep_their_order() {
        let form = Form::new().with("symbol", "BTCUSDT").with("limit", 5);
        assert_eq!(form.into_text(), "symbol=BTCUSDT&limit=5");
    }
}
