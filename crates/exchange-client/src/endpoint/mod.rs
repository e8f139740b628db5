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

use std::fmt::Display;

/// Parameters in the order they are sent, which is the order they are signed in.
///
/// Every value is one of our own types whose alphabet needs no percent encoding in a form: names, decimals, integers and
/// fixed words. Free text has no way in.
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
        // Writing into a String cannot fail.
        let _ = write!(self.text, "{key}={value}");
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
    fn parameters_keep_their_order() {
        let form = Form::new().with("symbol", "BTCUSDT").with("limit", 5);
        assert_eq!(form.into_text(), "symbol=BTCUSDT&limit=5");
    }
}
