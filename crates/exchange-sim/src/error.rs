//! The venue's refusals: HTTP status, code and text as its documentation gives them.

use crate::http::Reply;
use rust_decimal::Decimal;
use serde_json::json;

/// A refusal as the venue words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VenueError {
    pub(crate) status: u16,
    pub(crate) code: i32,
    pub(crate) message: String,
    /// Seconds for a `Retry-After` header.
    pub(crate) retry_after: Option<u64>,
}

impl VenueError {
    fn new(status: u16, code: i32, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    fn bad(code: i32, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub(crate) fn reply(&self) -> Reply {
        let body = json!({"code": self.code, "msg": self.message}).to_string();
        let reply = Reply::json(self.status, body);
        match self.retry_after {
            Some(seconds) => reply.header("Retry-After", seconds.to_string()),
            None => reply,
        }
    }

    pub(crate) fn over_limit(
        status: u16,
        code: i32,
        message: impl Into<String>,
        retry_after: Option<u64>,
    ) -> Self {
        Self {
            retry_after,
            ..Self::new(status, code, message)
        }
    }

    pub(crate) fn outside_window() -> Self {
        Self::bad(
            -1021,
            "Timestamp for this request is outside of the recvWindow.",
        )
    }
    pub(crate) fn ahead_of_server() -> Self {
        Self::bad(
            -1021,
            "Timestamp for this request was 1000ms ahead of the server's time.",
        )
    }
    pub(crate) fn signature() -> Self {
        Self::bad(-1022, "Signature for this request is not valid.")
    }
    pub(crate) fn duplicate_parameter() -> Self {
        Self::bad(-1101, "Duplicate values for a parameter detected.")
    }
    pub(crate) fn mandatory(name: &str) -> Self {
        Self::bad(
            -1102,
            format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."),
        )
    }
    pub(crate) fn either_mandatory(one: &str, other: &str) -> Self {
        Self::bad(
            -1102,
            format!("Param '{one}' or '{other}' must be sent, but both were empty/null!"),
        )
    }
    pub(crate) fn unread_parameters(read: usize, sent: usize) -> Self {
        Self::bad(
            -1104,
            format!(
                "Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'."
            ),
        )
    }
    pub(crate) fn empty_parameter(name: &str) -> Self {
        Self::bad(-1105, format!("Parameter '{name}' was empty."))
    }
    pub(crate) fn not_required(name: &str) -> Self {
        Self::bad(
            -1106,
            format!(
                "Parameter '{}' sent when not required.",
                name.to_lowercase()
            ),
        )
    }
    pub(crate) fn precision() -> Self {
        Self::bad(
            -1111,
            "Precision is over the maximum defined for this asset.",
        )
    }
    pub(crate) fn interval() -> Self {
        Self::bad(-1120, "Invalid interval.")
    }
    pub(crate) fn start_after_end() -> Self {
        Self::bad(-1023, "Start time is greater than end time.")
    }
    pub(crate) fn bad_combination() -> Self {
        Self::bad(-1128, "Combination of optional parameters invalid.")
    }
    pub(crate) fn response_type() -> Self {
        Self::bad(-1136, "Invalid newOrderRespType.")
    }
    pub(crate) fn margin_insufficient() -> Self {
        Self::bad(-2019, "Margin is insufficient.")
    }
    pub(crate) fn position_too_large() -> Self {
        Self::bad(
            -2027,
            "Exceeded the maximum allowable position at current leverage.",
        )
    }
    pub(crate) fn leverage_too_small() -> Self {
        Self::bad(
            -2028,
            "Leverage is smaller than permitted: insufficient margin balance.",
        )
    }
    pub(crate) fn stop_price_not_positive() -> Self {
        Self::bad(-4006, "Stop price less than zero.")
    }
    pub(crate) fn stop_price_above_max() -> Self {
        Self::bad(-4007, "Stop price greater than max price.")
    }
    pub(crate) fn price_below_min() -> Self {
        Self::bad(-4013, "Price less than min price.")
    }
    pub(crate) fn price_above_band(highest: Decimal) -> Self {
        Self::bad(
            -4016,
            format!("Limit price can't be higher than {highest}."),
        )
    }
    pub(crate) fn price_below_band(lowest: Decimal) -> Self {
        Self::bad(-4024, format!("Limit price can't be lower than {lowest}."))
    }
    pub(crate) fn depth_limit(limit: i64) -> Self {
        Self::bad(-4021, format!("'{limit}' is not valid depth limit."))
    }
    pub(crate) fn leverage(word: &str) -> Self {
        Self::bad(-4028, format!("Leverage {word} is not valid"))
    }
    pub(crate) fn working_type(word: &str) -> Self {
        Self::bad(-4031, format!("Invalid parameter working type: {word}"))
    }
    pub(crate) fn same_margin_type() -> Self {
        Self::bad(-4046, "No need to change margin type.")
    }
    pub(crate) fn margin_type_with_orders() -> Self {
        Self::bad(
            -4047,
            "Margin type cannot be changed if there exists open orders.",
        )
    }
    pub(crate) fn margin_type_with_position() -> Self {
        Self::bad(
            -4048,
            "Margin type cannot be changed if there exists position.",
        )
    }
    pub(crate) fn same_position_mode() -> Self {
        Self::bad(-4059, "No need to change position side.")
    }
    pub(crate) fn position_side_word() -> Self {
        Self::bad(-4060, "Invalid position side.")
    }
    pub(crate) fn position_mode_with_orders() -> Self {
        Self::bad(
            -4067,
            "Position side cannot be changed if there exists open orders.",
        )
    }
    pub(crate) fn position_mode_with_position() -> Self {
        Self::bad(
            -4068,
            "Position side cannot be changed if there exists position.",
        )
    }
    pub(crate) fn no_near_counterparty() -> Self {
        Self::bad(
            -4131,
            "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
        )
    }
    pub(crate) fn strategy(kind: &str) -> Self {
        Self::bad(
            -4136,
            format!("Target strategy invalid for orderType {kind},closePosition true"),
        )
    }
    pub(crate) fn reduce_only_with_close_position() -> Self {
        Self::bad(
            -4138,
            "Reduce only must be true with closePosition equals true",
        )
    }
    pub(crate) fn closed() -> Self {
        Self::bad(-4141, "Symbol is closed.")
    }
    pub(crate) fn leverage_with_isolated_position() -> Self {
        Self::bad(
            -4161,
            "Leverage reduction is not supported in Isolated Margin Mode with open positions",
        )
    }
    pub(crate) fn interval_too_long(days: i64) -> Self {
        Self::bad(-4165, format!("Maximum time interval is {days} days"))
    }
    pub(crate) fn isolated_under_multi_assets() -> Self {
        Self::bad(
            -4168,
            "Unable to adjust to isolated-margin mode under the Multi-Assets mode.",
        )
    }
    pub(crate) fn multi_assets_under_isolated() -> Self {
        Self::bad(
            -4167,
            "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode.",
        )
    }
    pub(crate) fn same_asset_mode() -> Self {
        Self::bad(
            -4171,
            "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.",
        )
    }
    pub(crate) fn limit_above_stop_band(highest: Decimal) -> Self {
        Self::bad(
            -4183,
            format!("Limit price can't be higher than {highest}."),
        )
    }
    pub(crate) fn limit_below_stop_band(lowest: Decimal) -> Self {
        Self::bad(-4184, format!("Limit price can't be lower than {lowest}."))
    }
    pub(crate) fn price_match_word() -> Self {
        Self::bad(-5037, "Invalid price match")
    }
    pub(crate) fn price_match_type() -> Self {
        Self::bad(
            -5038,
            "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT",
        )
    }
    pub(crate) fn self_trade_prevention() -> Self {
        Self::bad(-5039, "Invalid self trade prevention mode")
    }
    pub(crate) fn good_till_date() -> Self {
        Self::bad(
            -5040,
            "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than 253402300799000 (UTC 9999-12-31 23:59:59)",
        )
    }
    pub(crate) fn time_in_force() -> Self {
        Self::bad(-1115, "Invalid timeInForce.")
    }
    pub(crate) fn order_type() -> Self {
        Self::bad(-1116, "Invalid orderType.")
    }
    pub(crate) fn side() -> Self {
        Self::bad(-1117, "Invalid side.")
    }
    pub(crate) fn symbol() -> Self {
        Self::bad(-1121, "Invalid symbol.")
    }
    pub(crate) fn not_valid(name: &str) -> Self {
        Self::bad(
            -1130,
            format!("Data sent for parameter '{name}' is not valid."),
        )
    }
    pub(crate) fn recv_window() -> Self {
        Self::bad(-1131, "recvWindow must be less than 60000")
    }
    pub(crate) fn unknown_order() -> Self {
        Self::bad(-2011, "Unknown order sent.")
    }
    pub(crate) fn no_such_order() -> Self {
        Self::bad(-2013, "Order does not exist.")
    }
    pub(crate) fn key_format() -> Self {
        Self::new(401, -2014, "API-key format invalid.")
    }
    pub(crate) fn key_unknown() -> Self {
        Self::new(
            401,
            -2015,
            "Invalid API-key, IP, or permissions for action.",
        )
    }
    pub(crate) fn would_trigger() -> Self {
        Self::bad(-2021, "Order would immediately trigger.")
    }
    pub(crate) fn reduce_only() -> Self {
        Self::bad(-2022, "ReduceOnly Order is rejected.")
    }
    pub(crate) fn too_many_open() -> Self {
        Self::bad(-2025, "Reach max open order limit.")
    }
    pub(crate) fn price_not_positive() -> Self {
        Self::bad(-4001, "Price less than 0.")
    }
    pub(crate) fn price_above_max() -> Self {
        Self::bad(-4002, "Price greater than max price.")
    }
    pub(crate) fn quantity_not_positive() -> Self {
        Self::bad(-4003, "Quantity less than or equal to zero.")
    }
    pub(crate) fn quantity_below_min() -> Self {
        Self::bad(-4004, "Quantity less than min quantity.")
    }
    pub(crate) fn quantity_above_max() -> Self {
        Self::bad(-4005, "Quantity greater than max quantity.")
    }
    pub(crate) fn price_off_tick() -> Self {
        Self::bad(-4014, "Price not increased by tick size.")
    }
    pub(crate) fn client_id() -> Self {
        Self::bad(-4015, "Client order id is not valid.")
    }
    pub(crate) fn client_id_length() -> Self {
        Self::bad(-4015, "Client order id length should be less than 36 chars")
    }
    pub(crate) fn quantity_off_step() -> Self {
        Self::bad(-4023, "Quantity not increased by step size.")
    }
    pub(crate) fn too_many_stops() -> Self {
        Self::bad(-4045, "Reach max stop order limit.")
    }
    pub(crate) fn position_side() -> Self {
        Self::bad(
            -4061,
            "Order's position side does not match user's setting.",
        )
    }
    pub(crate) fn reduce_only_word() -> Self {
        Self::bad(-4062, "Invalid or improper reduceOnly value.")
    }
    pub(crate) fn duplicate_client_id() -> Self {
        Self::bad(-4116, "ClientOrderId is duplicated.")
    }
    pub(crate) fn use_algo_endpoint() -> Self {
        Self::bad(
            -4120,
            "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
        )
    }
    pub(crate) fn second_close_position() -> Self {
        Self::bad(
            -4130,
            "An open stop or take profit order with GTE and closePosition in the direction is existing.",
        )
    }
    pub(crate) fn quantity_with_close_position() -> Self {
        Self::bad(
            -4137,
            "Quantity must be zero with closePosition equals true",
        )
    }
    pub(crate) fn not_trading() -> Self {
        Self::bad(-4140, "Invalid symbol status for opening position.")
    }
    pub(crate) fn notional(least: Decimal) -> Self {
        Self::bad(
            -4164,
            format!(
                "Order's notional must be no smaller than {least} (unless you choose reduce only)."
            ),
        )
    }
    pub(crate) fn gte_without_position() -> Self {
        Self::bad(
            -4509,
            "Time in Force (TIF) GTE can only be used with open positions. Please ensure that positions are available.",
        )
    }
    /// How the test hosts answer an unknown path or method.
    pub(crate) fn not_modelled(path: &str, method: &str) -> Self {
        Self::new(
            404,
            -5000,
            format!("Path {path}, Method {method} is invalid"),
        )
    }
    pub(crate) fn fill_or_kill() -> Self {
        Self::bad(
            -5021,
            "Due to the order could not be filled immediately, the FOK order has been rejected. The order will not be recorded in the order history",
        )
    }
    pub(crate) fn post_only() -> Self {
        Self::bad(
            -5022,
            "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not be recorded in the order history",
        )
    }
}
