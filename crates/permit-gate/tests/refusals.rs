//! What the writer of a permit is shown: where the mistake is, what stands there, and what to do.
#![allow(clippy::unwrap_used)]

use permit_gate::{
    PlanId, Rule, Subject,
    rule::TokenRule,
    trading::{GovernorRule, PositionRule},
};
use proptest::prelude::*;

fn subject() -> Subject {
    Subject::new(PlanId::new("67e6da21fa9fe506").unwrap(), "BTCUSDT")
}

fn message(permit: &[u8]) -> String {
    PositionRule
        .judge(permit, &subject())
        .unwrap_err()
        .to_string()
}

/// A permit whose quantity is this text.
fn with(quantity: &str) -> String {
    format!(r#"{{"allow":true,"symbol":"BTCUSDT","safe_close_qty":{quantity},"created_at":1}}"#)
}

#[test]
fn a_text_that_is_no_json_is_named_by_how_it_begins() {
    for (begins, named) in [
        (&b"\x1f\x8b\x08\x00\x00\x00"[..], "gzip"),
        (b"\x28\xb5\x2f\xfd\x24", "zstd"),
        (b"\x78\x9c\xab\x56", "zlib"),
        (b"\xef\xbb\xbf{\"allow\":true}", "BOM"),
        (b"\xff\xfe{\x00\"\x00", "UTF-16"),
        (b"{\x00\"\x00a\x00", "UTF-16"),
        (b"\x00{\x00\"\x00a", "UTF-16"),
        (b"\x84\xa5allow\xc3", "MessagePack"),
        (b"\xa4eallow\xf5", "CBOR"),
        (b"\x80\x04\x95", "pickle"),
        (b"\xac\xed\x00\x05t", "Java"),
        (b"\x00\x00\x00\x02\x14", "igbinary"),
        (b"a:4:{s:5:\"allow\";b:1;}", "serialize()"),
        (b"s:95:\"{}\";", "serialize()"),
        (b"Array", "PHP"),
        (b"HASH(0x55b70992ef70)", "Perl"),
        (b"[object Object]", "JavaScript"),
        (b"undefined", "JavaScript"),
        (b"table: 0x5581", "Lua"),
        (b"map[allow:true symbol:BTCUSDT]", "Go"),
        (b"&{true BTCUSDT 0.009}", "Go"),
        (b"b'{\"allow\": true}'", "Python's text of bytes"),
        (b"\"{\\\"allow\\\":true}\"", "encoded twice"),
        (b"[{\"allow\":true}]", "list"),
        (b"eyJhbGxvdyI6dHJ1ZX0=", "base64"),
        (b"allow=true&symbol=BTCUSDT", "names and values"),
        (b"allow: true\nsymbol: BTCUSDT\n", "YAML"),
        (b"<permit allow=\"true\"/>", "XML"),
        (b"1.5", "number"),
        (b"null", "null"),
        (b"", "empty"),
        (b" \n", "blanks"),
    ] {
        let message = message(begins);
        assert!(message.contains(named), "{named}: {message}");
        assert!(message.chars().count() < 200, "{message}");
    }
    // Sixteen-bit text with a mark begins as no JSON, whatever it says.
    assert!(message(b"HASH(0x55b70992ef70)").ends_with("it begins with: HASH(0x55b70992ef70)"));
}

#[test]
fn a_place_is_counted_from_the_start_and_shown_with_its_field() {
    for (quantity, at, why) in [
        ("nan", 51, "no NaN"),
        ("-Infinity", 51, "no NaN"),
        ("None", 51, "left out or written null"),
        ("0,009", 53, "decimal comma"),
        ("1.234.567", 56, "thousands"),
        (".0093", 51, "digit before its point"),
        ("+1", 51, "no plus"),
        ("1.0d-5", 54, "exponent"),
        ("np.float64(0.0093)", 51, "its number alone"),
        ("0.1}}", 55, "behind the object"),
    ] {
        let text = with(quantity);
        let message = message(text.as_bytes());
        assert!(
            message.contains(&format!("at byte {at},")),
            "{quantity}: {message}"
        );
        assert!(
            message.contains("field \"safe_close_qty\""),
            "{quantity}: {message}"
        );
        assert!(message.contains(why), "{quantity}: {message}");
        let shown: String = quantity.chars().take(3).collect();
        assert!(message.contains(&shown), "{quantity}: {message}");
    }
    // Also where the text has several lines, and where the place lies inside a field's own object.
    let lines = "{\n  \"allow\": true,\n  \"safe_close_qty\": nan\n}";
    let at = lines.find("nan").unwrap() + 1;
    assert!(
        message(lines.as_bytes()).contains(&format!("at byte {at}, ")),
        "{}",
        message(lines.as_bytes())
    );
    let nested = r#"{"allow":false,"symbol":"BTCUSDT","context":{"a":[1e400]},"created_at":1}"#;
    let message = message(nested.as_bytes());
    assert!(
        message.contains("in or after field \"context\""),
        "{message}"
    );
    let place: usize = message
        .split("at byte ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        (nested.find("1e400").unwrap()..=nested.find(']').unwrap() + 1).contains(&place),
        "{message}"
    );
}

#[test]
fn a_value_of_the_wrong_type_is_shown() {
    for (quantity, parts) in [
        (
            "\"0.009\"",
            ["has to be a number (without quotes)", "\"0.009\""],
        ),
        ("\"NaN\"", ["no NaN", "\"NaN\""]),
        ("[0.009]", ["not in a list", "[0.009]"]),
        ("null", ["must be there", "null"]),
        ("1e400", ["no finite number", "1e400"]),
        ("0.0000", ["not above 0", "0.0000"]),
        ("-1", ["not above 0", "-1"]),
    ] {
        let message = message(with(quantity).as_bytes());
        for part in parts {
            assert!(message.contains(part), "{quantity}: {message}");
        }
    }
    let missing = message(br#"{":allow":true,":symbol":"BTCUSDT"}"#);
    assert_eq!(
        missing,
        "field \"allow\" is missing; the fields that are there: :allow, :symbol"
    );
}

#[test]
fn a_reason_of_any_length_and_shape_stays_short_and_on_one_line() {
    let reason = "x\\n\\u202e".repeat(500);
    let text =
        format!(r#"{{"allow":false,"symbol":"BTCUSDT","reason":"{reason}","created_at":1}}"#);
    let message = message(text.as_bytes());
    assert!(
        message.chars().count() <= "denied: ".len() + 120,
        "{message}"
    );
    assert!(message.is_ascii() || message.ends_with('…'), "{message}");
    let symbol = "S".repeat(4000);
    let other = format!(r#"{{"allow":true,"symbol":"{symbol}","created_at":1}}"#);
    assert!(self::message(other.as_bytes()).chars().count() < 160);
}

#[test]
fn a_token_that_is_almost_right_is_described_and_never_repeated() {
    let rule = TokenRule::new("open-sesame");
    for (text, how) in [
        ("open-sesame\n", "line break"),
        (" open-sesame", "blanks"),
        ("\"open-sesame\"", "quotes"),
        ("Open-Sesame", "case"),
    ] {
        let message = rule
            .judge(text.as_bytes(), &subject())
            .unwrap_err()
            .to_string();
        assert!(message.contains(how), "{message}");
        assert!(!message.to_lowercase().contains("sesame"), "{message}");
    }
    let other = rule
        .judge(b"open barley", &subject())
        .unwrap_err()
        .to_string();
    assert!(other.contains("open barley"), "{other}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_lies_there_is_described_in_one_short_line(
        start in prop::sample::select(vec![0_usize, 1, 2, 30, 46, 60]),
        noise in prop::collection::vec(any::<u8>(), 0..200),
        repeat in 1_usize..40,
    ) {
        let valid = with("0.009");
        let mut text = valid.as_bytes()[..start].to_vec();
        text.extend_from_slice(&noise.repeat(repeat));
        text.truncate(8192);
        for judged in [PositionRule.judge(&text, &subject()), GovernorRule.judge(&text, &subject())] {
            let message = judged.unwrap_err().to_string();
            prop_assert!(message.chars().count() <= 330, "{message}");
            prop_assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
}
