//! Floats as the neighbours print them: plan ids are hashes over such text.

/// A finite float as Python's `repr` prints it: `100.2`, `64000.0`, `1e+16`, `1e-07`.
///
/// Both languages print the shortest digits that read back as the same float and change to an
/// exponent at 1e16 and below 1e-4; they differ in the exponent's spelling alone.
pub(crate) fn repr(value: f64) -> String {
    let text = format!("{value:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::repr;

    #[test]
    fn floats_are_spelled_as_python_spells_them() {
        for (value, python) in [
            (100.2, "100.2"),
            (64000.0, "64000.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e22, "1.5e+22"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e-7, "1e-07"),
            (2.5e-300, "2.5e-300"),
            (-5.5, "-5.5"),
            (-0.0, "-0.0"),
            (12345678901234567890.0, "1.2345678901234567e+19"),
        ] {
            assert_eq!(repr(value), python);
        }
    }
}
