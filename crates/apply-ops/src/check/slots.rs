//! Where the permits of a plan lie: on one server together, in a cluster by their hash slots.

use super::Found;
use apply_service::Config;
use permit_gate::PlanId;
use permit_redis::PermitKeys;

/// All permits of a plan are taken in one step, which a cluster can do within one slot only.
pub(super) fn look(config: &Config, node_of_a_cluster: bool) -> Found {
    let spoken_to = config.permit_store().is_ok_and(|store| store.is_cluster());
    judge(&config.permits, node_of_a_cluster, spoken_to)
}

/// `spoken_to`: whether the configuration says that it is a cluster.
fn judge(permits: &PermitKeys, cluster: bool, spoken_to: bool) -> Found {
    let Ok(plan) = PlanId::new("0123456789abcdef") else {
        return Found::Wrong("no example of a plan id can be made".into());
    };
    let slots: Vec<u16> = permits.keys(&plan).iter().map(|key| slot_of(key)).collect();
    let names = permits.permits().iter().map(|permit| permit.name());
    let places: Vec<String> = names
        .zip(&slots)
        .map(|(name, slot)| format!("{name} {slot}"))
        .collect();
    let together = slots.windows(2).all(|pair| pair[0] == pair[1]);
    let places = places.join(", ");
    match (cluster, together) {
        (false, true) => Found::Ok(format!(
            "on one server, so all permits of a plan are taken in one step; in a cluster they would share a slot (of plan {plan}: {places})"
        )),
        (false, false) => Found::Ok(format!(
            "on one server, so all permits of a plan are taken in one step; in a cluster they would lie apart (slots of plan {plan}: {places})"
        )),
        (true, _) if !spoken_to => Found::Wrong(format!(
            "this is a node of a cluster, which knows a part of the keys (slots of plan {plan}: {places}): set REDIS_URL=redis+cluster://host:port,host:port"
        )),
        (true, true) => Found::Ok(format!(
            "in a cluster, where they share a slot (of plan {plan}: {places})"
        )),
        (true, false) => Found::Wrong(format!(
            "in a cluster, where they lie apart (slots of plan {plan}: {places}) and cannot be taken in one step: write {{{{plan}}}} for {{plan}} in APPLY_PERMITS, and let the issuers write there"
        )),
    }
}

/// The slot of a key: CRC16 (XMODEM) of it, or of what stands between its first braces, modulo 16384
/// (the Redis cluster specification).
fn slot_of(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let hashed = match tag {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => key,
    };
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            let carry = crc & 0x8000 != 0;
            (crc << 1) ^ if carry { 0x1021 } else { 0 }
        })
    });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_that_redis_gives() {
        // As `CLUSTER KEYSLOT` answers.
        for (key, slot) in [
            ("123456789", 12_739),
            ("foo", 12_182),
            ("{user1000}.following", 3_443),
            ("{user1000}.followers", 3_443),
            ("foo{}{bar}", 8_363),
            ("", 0),
        ] {
            assert_eq!(slot_of(key), slot, "{key}");
        }
    }

    #[test]
    fn in_a_cluster_the_fix_is_reported_with_the_slots() {
        let permits = PermitKeys::default();
        let Found::Wrong(text) = judge(&permits, true, true) else {
            panic!("a cluster is no place for it");
        };
        assert!(
            text.contains("governor ") && text.contains("p33 "),
            "{text}"
        );
        let tagged = "governor=permit:{{plan}},p33=permit:p33:{{plan}}";
        let Found::Ok(text) = judge(&PermitKeys::parse(tagged).unwrap(), false, false) else {
            panic!("one server is enough");
        };
        assert!(text.contains("would share a slot"), "{text}");
        let permits = PermitKeys::parse(tagged).unwrap();
        assert!(matches!(judge(&permits, true, true), Found::Ok(_)));
        let Found::Wrong(text) = judge(&permits, true, false) else {
            panic!("one node is not the cluster");
        };
        assert!(text.contains("redis+cluster://"), "{text}");
    }
}
