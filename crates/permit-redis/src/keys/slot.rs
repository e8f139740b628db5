//! Which of a cluster's slots a key falls into.

/// A cluster has this many.
pub(crate) const SLOTS: u16 = 16_384;

/// CRC-16/XMODEM of the key, or of its hash tag where it has one, modulo the number of slots.
///
/// Source: Redis cluster specification, "Key distribution model" and "Hash tags".
pub(crate) fn slot_of(key: &str) -> u16 {
    let crc = tag_of(key).bytes().fold(0_u16, |mut crc, byte| {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
        }
        crc
    });
    crc % SLOTS
}

/// What is between the first `{` and the first `}` after it, where that is not empty.
fn tag_of(key: &str) -> &str {
    key.split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty())
        .unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_a_server_gives() {
        // CLUSTER KEYSLOT of redis-server 7.0.15.
        for (key, slot) in [
            ("123456789", 12_739),
            ("foo", 12_182),
            ("foo{hash_tag}", 2_515),
            ("bar{hash_tag}", 2_515),
            ("foo{}{bar}", 8_363),
            ("", 0),
        ] {
            assert_eq!(slot_of(key), slot, "{key}");
        }
        assert_eq!(slot_of("foo{{bar}}zap"), slot_of("{bar"));
        assert_eq!(slot_of("a:{67e6}"), slot_of("67e6"));
    }
}
