//! What is served: every method and path, its request weight, and whether it has to be signed. And what is
//! documented but not modelled, so that a client that asks for it gets that answer.

use crate::{fault::peek, http::Request};
use serde::Serialize;

/// An operation of the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Ping,
    Time,
    ExchangeInfo,
    Depth,
    Trades,
    AggTrades,
    Klines,
    PriceKlines,
    PremiumIndex,
    FundingRate,
    FundingInfo,
    Ticker24h,
    TickerPrice,
    BookTicker,
    OpenInterest,
    NewOrder,
    QueryOrder,
    CancelOrder,
    TestOrder,
    OpenOrder,
    OpenOrders,
    AllOrders,
    CancelAllOrders,
    NewAlgo,
    QueryAlgo,
    CancelAlgo,
    OpenAlgos,
    AllAlgos,
    CancelAllAlgos,
    PositionRiskV2,
    PositionRiskV3,
    AccountV2,
    AccountV3,
    BalanceV2,
    BalanceV3,
    AccountConfig,
    SymbolConfig,
    PositionMode,
    SetPositionMode,
    AssetMode,
    SetAssetMode,
    SetLeverage,
    SetMarginType,
    LeverageBracket,
    UserTrades,
    Income,
    CommissionRate,
}

impl Endpoint {
    /// Whether it counts against the order limits.
    pub(super) fn places_an_order(self) -> bool {
        matches!(self, Self::NewOrder | Self::NewAlgo)
    }
}

/// What a request costs of the request weight.
#[derive(Debug, Clone, Copy)]
enum Weight {
    Flat(u32),
    /// With a `symbol`, and without.
    Symbol(u32, u32),
    /// By the number of levels that are asked for.
    Depth,
    /// By the number of candles that are asked for.
    Candles,
}

/// One method of one path.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) endpoint: Endpoint,
    pub(super) signed: bool,
    weight: Weight,
}

const fn public(path: &'static str, endpoint: Endpoint, weight: Weight) -> Route {
    Route {
        method: "GET",
        path,
        endpoint,
        signed: false,
        weight,
    }
}

const fn signed(
    method: &'static str,
    path: &'static str,
    endpoint: Endpoint,
    weight: Weight,
) -> Route {
    Route {
        method,
        path,
        endpoint,
        signed: true,
        weight,
    }
}

/// Those that trading bots ask for most stand first: the table is searched from its front.
#[rustfmt::skip]
pub(super) static ROUTES: &[Route] = &[
    signed("POST", "/fapi/v1/order", Endpoint::NewOrder, Weight::Flat(0)),
    signed("GET", "/fapi/v1/order", Endpoint::QueryOrder, Weight::Flat(1)),
    signed("DELETE", "/fapi/v1/order", Endpoint::CancelOrder, Weight::Flat(1)),
    signed("GET", "/fapi/v3/positionRisk", Endpoint::PositionRiskV3, Weight::Flat(5)),
    signed("GET", "/fapi/v2/positionRisk", Endpoint::PositionRiskV2, Weight::Flat(5)),
    signed("GET", "/fapi/v1/userTrades", Endpoint::UserTrades, Weight::Flat(5)),
    public("/fapi/v1/time", Endpoint::Time, Weight::Flat(1)),
    public("/fapi/v1/ping", Endpoint::Ping, Weight::Flat(1)),
    public("/fapi/v1/exchangeInfo", Endpoint::ExchangeInfo, Weight::Flat(1)),
    public("/fapi/v1/premiumIndex", Endpoint::PremiumIndex, Weight::Symbol(1, 10)),
    signed("GET", "/fapi/v1/openOrders", Endpoint::OpenOrders, Weight::Symbol(1, 40)),
    signed("POST", "/fapi/v1/algoOrder", Endpoint::NewAlgo, Weight::Flat(0)),
    signed("GET", "/fapi/v1/algoOrder", Endpoint::QueryAlgo, Weight::Flat(1)),
    signed("DELETE", "/fapi/v1/algoOrder", Endpoint::CancelAlgo, Weight::Flat(1)),
    signed("GET", "/fapi/v1/openAlgoOrders", Endpoint::OpenAlgos, Weight::Symbol(1, 40)),
    signed("GET", "/fapi/v1/allAlgoOrders", Endpoint::AllAlgos, Weight::Flat(5)),
    signed("DELETE", "/fapi/v1/algoOpenOrders", Endpoint::CancelAllAlgos, Weight::Flat(1)),
    signed("POST", "/fapi/v1/order/test", Endpoint::TestOrder, Weight::Flat(0)),
    signed("GET", "/fapi/v1/openOrder", Endpoint::OpenOrder, Weight::Flat(1)),
    signed("GET", "/fapi/v1/allOrders", Endpoint::AllOrders, Weight::Flat(5)),
    signed("DELETE", "/fapi/v1/allOpenOrders", Endpoint::CancelAllOrders, Weight::Flat(1)),
    signed("GET", "/fapi/v2/account", Endpoint::AccountV2, Weight::Flat(5)),
    signed("GET", "/fapi/v3/account", Endpoint::AccountV3, Weight::Flat(5)),
    signed("GET", "/fapi/v2/balance", Endpoint::BalanceV2, Weight::Flat(5)),
    signed("GET", "/fapi/v3/balance", Endpoint::BalanceV3, Weight::Flat(5)),
    signed("GET", "/fapi/v1/accountConfig", Endpoint::AccountConfig, Weight::Flat(5)),
    signed("GET", "/fapi/v1/symbolConfig", Endpoint::SymbolConfig, Weight::Flat(5)),
    signed("GET", "/fapi/v1/positionSide/dual", Endpoint::PositionMode, Weight::Flat(30)),
    signed("POST", "/fapi/v1/positionSide/dual", Endpoint::SetPositionMode, Weight::Flat(1)),
    signed("GET", "/fapi/v1/multiAssetsMargin", Endpoint::AssetMode, Weight::Flat(30)),
    signed("POST", "/fapi/v1/multiAssetsMargin", Endpoint::SetAssetMode, Weight::Flat(1)),
    signed("POST", "/fapi/v1/leverage", Endpoint::SetLeverage, Weight::Flat(1)),
    signed("POST", "/fapi/v1/marginType", Endpoint::SetMarginType, Weight::Flat(1)),
    signed("GET", "/fapi/v1/leverageBracket", Endpoint::LeverageBracket, Weight::Flat(1)),
    signed("GET", "/fapi/v1/income", Endpoint::Income, Weight::Flat(30)),
    signed("GET", "/fapi/v1/commissionRate", Endpoint::CommissionRate, Weight::Flat(20)),
    public("/fapi/v1/depth", Endpoint::Depth, Weight::Depth),
    public("/fapi/v1/klines", Endpoint::Klines, Weight::Candles),
    public("/fapi/v1/markPriceKlines", Endpoint::PriceKlines, Weight::Candles),
    public("/fapi/v1/indexPriceKlines", Endpoint::PriceKlines, Weight::Candles),
    public("/fapi/v1/trades", Endpoint::Trades, Weight::Flat(5)),
    public("/fapi/v1/aggTrades", Endpoint::AggTrades, Weight::Flat(20)),
    public("/fapi/v1/ticker/24hr", Endpoint::Ticker24h, Weight::Symbol(1, 40)),
    public("/fapi/v1/ticker/price", Endpoint::TickerPrice, Weight::Symbol(1, 2)),
    public("/fapi/v2/ticker/price", Endpoint::TickerPrice, Weight::Symbol(1, 2)),
    public("/fapi/v1/ticker/bookTicker", Endpoint::BookTicker, Weight::Symbol(2, 5)),
    public("/fapi/v1/fundingRate", Endpoint::FundingRate, Weight::Flat(1)),
    public("/fapi/v1/fundingInfo", Endpoint::FundingInfo, Weight::Flat(0)),
    public("/fapi/v1/openInterest", Endpoint::OpenInterest, Weight::Flat(1)),
];

impl Route {
    pub(super) fn weight(&self, request: &Request) -> u32 {
        let limit = |otherwise: u32| {
            peek(request, "limit")
                .and_then(|text| text.parse().ok())
                .unwrap_or(otherwise)
        };
        match self.weight {
            Weight::Flat(weight) => weight,
            Weight::Symbol(one, _) if peek(request, "symbol").is_some() => one,
            Weight::Symbol(_, all) => all,
            Weight::Depth => match limit(500) {
                0..=50 => 2,
                51..=100 => 5,
                101..=500 => 10,
                _ => 20,
            },
            Weight::Candles => match limit(500) {
                0..100 => 1,
                100..500 => 2,
                500..=1000 => 5,
                _ => 10,
            },
        }
    }
}

/// The route of a request, where it is modelled.
pub(super) fn find(method: &str, path: &str) -> Option<&'static Route> {
    ROUTES
        .iter()
        .find(|route| route.path == path && route.method == method)
}

/// One operation that the venue serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Served {
    /// HTTP method.
    pub method: &'static str,
    /// Path without the query.
    pub path: &'static str,
    /// Whether the request has to carry key, time and signature.
    pub signed: bool,
}

/// Every operation that is modelled. Everything else is answered as an unknown path: 404 with -5000.
pub fn served() -> impl Iterator<Item = Served> {
    ROUTES.iter().map(|route| Served {
        method: route.method,
        path: route.path,
        signed: route.signed,
    })
}

/// What is known of a path that is not modelled.
pub(super) fn why_missing(method: &str, path: &str) -> &'static str {
    const STREAMS: &str = "web sockets and user streams are not modelled";
    match path {
        "/fapi/v1/batchOrders" => "batch orders are not modelled",
        "/fapi/v1/listenKey" => STREAMS,
        "/fapi/v1/order" if method == "PUT" => {
            "changing an order is not modelled: cancel it and place another"
        }
        "/fapi/v1/countdownCancelAll" => "the countdown that cancels orders is not modelled",
        "/fapi/v1/positionMargin" | "/fapi/v1/positionMargin/history" => {
            "moving isolated margin is not modelled"
        }
        _ if path.starts_with("/ws") || path.starts_with("/stream") || path.contains("ws-fapi") => {
            STREAMS
        }
        _ if path.starts_with("/dapi/") => "COIN-M futures are not modelled",
        _ if path.starts_with("/eapi/") => "options are not modelled",
        _ if path.starts_with("/api/") => "the spot market is not modelled",
        _ if path.starts_with("/sapi/") || path.starts_with("/papi/") => {
            "the wallet and portfolio interfaces are not modelled"
        }
        _ if path.starts_with("/futures/data/") => "statistics are not modelled",
        _ if ROUTES.iter().any(|route| route.path == path) => "this path has no such method here",
        _ if path.starts_with("/fapi/") => "this path is not modelled; GET /sim lists what is",
        _ => "this path is none of the venue's",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_method_of_a_path_stands_once() {
        for (index, route) in ROUTES.iter().enumerate() {
            let again = ROUTES
                .iter()
                .skip(index + 1)
                .any(|other| (other.method, other.path) == (route.method, route.path));
            assert!(!again, "{} {}", route.method, route.path);
        }
    }

    #[test]
    fn weights_follow_what_is_asked_for() {
        let weight = |path: &str, query: &str| {
            let request = Request {
                query: query.into(),
                ..Request::default()
            };
            find("GET", path).unwrap().weight(&request)
        };
        assert_eq!(weight("/fapi/v1/openAlgoOrders", "symbol=BTCUSDT"), 1);
        assert_eq!(weight("/fapi/v1/openAlgoOrders", ""), 40);
        assert_eq!(weight("/fapi/v1/depth", "limit=1000"), 20);
        assert_eq!(weight("/fapi/v1/klines", ""), 5);
        assert_eq!(weight("/fapi/v1/klines", "limit=99"), 1);
    }
}
