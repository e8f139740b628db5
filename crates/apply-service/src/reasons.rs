//! The reasons that can be known before anything happens: each is a series from the start.

use apply_wire::{Class, Reason};
use permit_gate::{Malformed, PermitMask, PermitSet, Refusal, trading};

/// Up to so many permits, every combination of missing ones has its own series.
const COMBINED: usize = 4;

/// Why a proposal may be refused.
pub(crate) fn refusals() -> impl Iterator<Item = &'static str> {
    let refused = Reason::ENTRIES
        .iter()
        .filter(|entry| entry.class == Class::Refused);
    refused.map(|entry| entry.code)
}

/// Why the gate may block a plan that needs these permits. Codes of custom rules are not among them.
pub(crate) fn blocks(permits: &PermitSet) -> Vec<String> {
    let of_the_gate = [
        Reason::KillSwitchActive,
        Reason::LiveInstanceBeside,
        Reason::PermitsTakenByOther,
        Reason::PermitTakeTooLate,
        Reason::PermitStoreUnavailable,
        Reason::PermitTakeUnanswered,
        Reason::GateAlreadyAnswered,
        Reason::InvalidSafeCloseQty,
    ];
    let refused = permits.iter().flat_map(|permit| {
        let name = permit.name();
        [
            Refusal::Denied(None).code(name),
            Refusal::of_permit(trading::SYMBOL_MISMATCH, "").code(name),
            Refusal::of_permit(trading::CONSUMED, "").code(name),
            Refusal::of_permit(trading::FLAT_POSITION, "").code(name),
            Refusal::Malformed(Malformed::NotAString).code(name),
        ]
    });
    let missing = combinations(permits)
        .into_iter()
        .map(|mask| permits.missing_reason(mask));
    of_the_gate
        .into_iter()
        .map(|reason| reason.to_string())
        .chain(refused)
        .chain(missing)
        .collect()
}

/// Every set of permits that may be missing; of many permits the single ones and all of them.
fn combinations(permits: &PermitSet) -> Vec<PermitMask> {
    let single = (0..permits.len()).map(PermitMask::only);
    if permits.len() > COMBINED {
        return single.chain([permits.all()]).collect();
    }
    let mut all: Vec<PermitMask> = Vec::new();
    for one in single {
        let with: Vec<PermitMask> = all.iter().map(|mask| mask.union(one)).collect();
        all.extend(with);
        all.push(one);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_codes_are_all_there_and_each_once() {
        let mut codes = blocks(&trading::permits());
        for code in [
            "missing_both",
            "missing_governor",
            "missing_p33",
            "p33_permit_denied",
            "governor_permit_denied",
            "invalid_p33_permit_format",
            "invalid_governor_permit_format",
            "invalid_safe_close_qty",
            "kill_switch_active",
            "live_instance_beside",
        ] {
            assert!(codes.iter().any(|known| known == code), "{code}");
        }
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }
}
