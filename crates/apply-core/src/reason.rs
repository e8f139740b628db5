//! What an outcome is called: the one place where what the gate, the venue and the core itself say becomes a
//! reason of the contract.

use crate::{
    exchange::{ExchangeError, NotSent},
    last_look::HeldBack,
    order::OrderKind,
    plan::Decision,
    proposal::ProposalError,
    sizing::NoOrder,
};
use apply_wire::{Class, Reason};
use permit_gate::{Block, BlockReason, rule::Refusal};

/// Why the gate blocked a plan. The gate has names of its own for permits and refusals, which make part of a
/// code.
pub fn of_block(why: &BlockReason) -> Reason {
    match why {
        BlockReason::Missing { reason, .. } => Reason::parse(reason),
        BlockReason::Refused { permit, refusal } => of_refusal(permit, refusal),
        BlockReason::Halted => Reason::KillSwitchActive,
        BlockReason::Fenced => Reason::LiveInstanceBeside,
        BlockReason::TakenByOther => Reason::PermitsTakenByOther,
        BlockReason::NotHeld => Reason::ClaimLost,
        BlockReason::Late => Reason::PermitTakeTooLate,
        BlockReason::StoreUnavailable(_) => Reason::PermitStoreUnavailable,
        BlockReason::Unanswered => Reason::PermitTakeUnanswered,
        BlockReason::AlreadyAnswered => Reason::GateAlreadyAnswered,
    }
}

/// The same as a result spells it: there, missing permits are named behind what they led to.
pub fn of_blocked_result(block: &Block) -> Reason {
    match of_block(block.reason()) {
        Reason::PermitsMissing(missing) => Reason::PermitTimeout(missing),
        reason => reason,
    }
}

/// Why a permit that is there is not a yes. Rules are open to be added, and so are their words: one that is not
/// of the contract is [`Reason::Other`].
pub fn of_refusal(permit: &str, refusal: &Refusal) -> Reason {
    Reason::parse(&refusal.code(permit))
}

impl From<&ProposalError> for Reason {
    fn from(error: &ProposalError) -> Self {
        match error {
            ProposalError::Missing { .. } => Self::ProposalFieldMissing,
            ProposalError::NotANumber { .. } => Self::ProposalNotANumber,
            ProposalError::Negative { .. } => Self::ProposalNegativeScore,
            ProposalError::Calibration { .. } => Self::ProposalCalibrationUnreadable,
            ProposalError::NoTime { .. } => Self::ProposalTimeUnreadable,
            ProposalError::TooOld { .. } => Self::ProposalTooOld,
            ProposalError::FromTheFuture { .. } => Self::ProposalFromTheFuture,
            ProposalError::TooLong { .. } => Self::ProposalFieldTooLong,
            ProposalError::Unreadable { .. } => Self::ProposalUnreadable,
        }
    }
}

impl From<&NoOrder> for Reason {
    fn from(no: &NoOrder) -> Self {
        match no {
            NoOrder::NoPosition => Self::NoPosition,
            NoOrder::SideMismatch { .. } => Self::PositionSideMismatch,
            NoOrder::NoQuantity => Self::NoPermittedQuantity,
            NoOrder::NotOrderable { .. } => Self::QuantityNotOrderable,
            NoOrder::WrongSideOfMarket { .. } => Self::StopWrongSideOfMarket,
            NoOrder::TooFarFromMarket { .. } => Self::StopTooFarFromMarket,
            NoOrder::NoMarkPrice => Self::StopWithoutMarkPrice,
            NoOrder::TooLate => Self::NotReadyInTime,
            NoOrder::Halted { .. } => Self::KillSwitchActive,
            NoOrder::OtherIntent => Self::IntentMismatch,
            NoOrder::OtherSymbol(_) => Self::GrantSymbolMismatch,
            NoOrder::Downgraded { .. } => Self::PortfolioGateDowngraded,
            NoOrder::FinalActionUnreadable(_) => Self::PortfolioGateUnreadable,
        }
    }
}

impl From<&HeldBack> for Reason {
    fn from(held: &HeldBack) -> Self {
        match held {
            HeldBack::Halted { .. } => Self::KillSwitchActive,
            HeldBack::Lost { .. } => Self::ClaimLost,
            HeldBack::TooLate { .. } => Self::NotReadyInTime,
        }
    }
}

impl From<&ExchangeError> for Reason {
    fn from(error: &ExchangeError) -> Self {
        match error {
            ExchangeError::Unavailable(_) => Self::VenueUnavailable,
            ExchangeError::Unfit(_) => Self::VenueRefusesAccount,
            ExchangeError::NotListed(_) => Self::SymbolNotListed,
            ExchangeError::NotTrading { .. } => Self::SymbolNotTrading,
            ExchangeError::NoCredentials => Self::MissingBinanceCredentials,
        }
    }
}

/// Why an order of this kind did not leave.
pub fn of_not_sent(why: &NotSent, order: OrderKind) -> Reason {
    match (why, order) {
        (NotSent::HeldBack(held), OrderKind::Close | OrderKind::Stop) => held.into(),
        (NotSent::Failed(_), OrderKind::Close) => Reason::OrderNotSent,
        (NotSent::Failed(_), OrderKind::Stop) => Reason::StopNotSent,
    }
}

/// What a plan or a result that ended for this reason is decided as.
impl From<Class> for Decision {
    fn from(class: Class) -> Self {
        match class {
            Class::Passed | Class::PutOff => Self::Execute,
            Class::Skip => Self::Skip,
            Class::Blocked => Self::Blocked,
            Class::Refused | Class::Error | Class::Unresolved(_) => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use permit_gate::{Malformed, PermitMask, PermitSet, StoreError, trading};

    /// What the gate says for itself is what the contract says.
    #[test]
    fn the_gates_outcomes_keep_the_codes_of_the_contract() {
        let missing = |names: &str| BlockReason::Missing {
            reason: format!("missing_{names}"),
            permits: PermitMask::NONE,
        };
        for (why, code) in [
            (missing("both"), "missing_both"),
            (missing("governor+p26"), "missing_governor+p26"),
            (BlockReason::Halted, "kill_switch_active"),
            (BlockReason::Fenced, "live_instance_beside"),
            (BlockReason::TakenByOther, "permits_taken_by_other"),
            (BlockReason::NotHeld, "claim_lost"),
            (BlockReason::Late, "permit_take_too_late"),
            (
                BlockReason::StoreUnavailable(StoreError::Unavailable(String::new())),
                "permit_store_unavailable",
            ),
            (BlockReason::Unanswered, "permit_take_unanswered"),
            (BlockReason::AlreadyAnswered, "gate_already_answered"),
        ] {
            let reason = of_block(&why);
            assert_eq!(reason.to_string(), code);
            assert!(reason.entry().is_some(), "{code}");
        }
    }

    #[test]
    fn every_refusal_of_the_rules_that_come_along_is_known() {
        let words = permit_signature::REASON_WORDS.into_iter();
        let of_trading = [
            trading::SYMBOL_MISMATCH,
            trading::CONSUMED,
            trading::FLAT_POSITION,
        ];
        let of_permit = words
            .chain(of_trading)
            .map(|word| Refusal::of_permit(word, ""));
        let refusals = of_permit.chain([
            Refusal::Denied(None),
            Refusal::Malformed(Malformed::NotAString),
            Refusal::with_code(trading::INVALID_SAFE_CLOSE_QTY, ""),
        ]);
        let permits: PermitSet = trading::permits();
        for refusal in refusals {
            for permit in permits.iter() {
                let reason = of_refusal(permit.name(), &refusal);
                assert!(reason.entry().is_some(), "{refusal:?} is {reason:?}");
            }
        }
        let own = Refusal::of_permit("on_holiday", "");
        let own = of_refusal("p33", &own);
        assert_eq!(own, Reason::Other("p33_permit_on_holiday".into()));
        assert_eq!(Decision::from(own.class()), Decision::Blocked);
    }
}
