//! Which requests a fault is for.

use crate::http::Request;
use serde::{Deserialize, Serialize};

/// Which requests a fault is for. Empty fields match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// HTTP method, upper case.
    pub method: Option<String>,
    /// Path without the query.
    pub path: Option<String>,
    /// Value of the parameter `symbol`.
    pub symbol: Option<String>,
    /// Value of `newClientOrderId`, `origClientOrderId` or `clientAlgoId`.
    pub client_id: Option<String>,
    /// Let this many matching requests pass unharmed first.
    pub skip: u32,
}

impl When {
    /// Every venue request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests with this method and path.
    pub fn request(method: &str, path: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            ..Self::default()
        }
    }

    /// New orders: `POST /fapi/v1/order`.
    pub fn order() -> Self {
        Self::request("POST", "/fapi/v1/order")
    }

    /// Order queries: `GET /fapi/v1/order`.
    pub fn query() -> Self {
        Self::request("GET", "/fapi/v1/order")
    }

    /// New conditional orders: `POST /fapi/v1/algoOrder`.
    pub fn algo_order() -> Self {
        Self::request("POST", "/fapi/v1/algoOrder")
    }

    /// Only requests for this symbol.
    #[must_use]
    pub fn symbol(mut self, symbol: impl Into<String>) -> Self {
        self.symbol = Some(symbol.into());
        self
    }

    /// Only requests that name this client id.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Lets the first `n` matching requests pass.
    #[must_use]
    pub fn skip(mut self, n: u32) -> Self {
        self.skip = n;
        self
    }

    pub(super) fn matches(&self, request: &Request) -> bool {
        let same = |wanted: &Option<String>, seen: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == seen)
        };
        let parameter = |wanted: &Option<String>, names: &[&str]| {
            wanted.as_deref().is_none_or(|wanted| {
                names
                    .iter()
                    .any(|name| peek(request, name).as_deref() == Some(wanted))
            })
        };
        same(&self.method, &request.method)
            && same(&self.path, &request.path)
            && parameter(&self.symbol, &["symbol"])
            && parameter(
                &self.client_id,
                &["newClientOrderId", "origClientOrderId", "clientAlgoId"],
            )
    }
}

/// A parameter's value read leniently, for matching and for the log; the venue itself reads strictly.
pub(crate) fn peek(request: &Request, name: &str) -> Option<String> {
    [&request.query, &request.body]
        .into_iter()
        .flat_map(|part| part.split('&'))
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| crate::params::decode(value).unwrap_or_else(|| value.to_owned()))
}
