//! Under which names the port answers.
//!
//! A page of somebody else can have its own name lead to this address and would then read here as if
//! it were this service's (DNS rebinding). The browser still says which name it asked for. Only a
//! name can be led elsewhere, so every address is answered; of names, `localhost` and those that the
//! operator gave.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header::HOST, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};

/// The names that are ours.
#[derive(Debug, Clone)]
pub struct Hosts(Arc<[String]>);

impl Hosts {
    /// These, in lower case, besides `localhost`.
    pub fn new(names: &[String]) -> Self {
        Self(names.into())
    }

    /// Whether this request was meant for us. One without a host was not: browsers always name one.
    fn are_asked(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut named = headers.get_all(HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else {
            return false;
        };
        let asked = |authority: &Authority| self.has(authority);
        let in_header = host.to_str().ok().and_then(|host| host.parse().ok());
        in_header.as_ref().is_some_and(asked) && uri.authority().is_none_or(asked)
    }

    fn has(&self, authority: &Authority) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let name = host.strip_suffix('.').unwrap_or(&host);
        address.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || self.0.iter().any(|ours| ours == name)
    }
}

/// Lets requests through that were meant for us.
pub(super) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match hosts.are_asked(request.headers(), request.uri()) {
        true => next.run(request).await,
        false => {
            let words = "this service does not go by that name: ask for its address or localhost, or add the name to APPLY_HTTP_HOSTS\n";
            (StatusCode::MISDIRECTED_REQUEST, words).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: &[&str], uri: &str) -> bool {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(HOST, host.parse().unwrap());
        }
        Hosts::new(&["desk.example".into()]).are_asked(&headers, &uri.parse().unwrap())
    }

    #[test]
    fn addresses_localhost_and_given_names_are_answered_with_and_without_a_port() {
        for host in [
            "127.0.0.1:8043",
            "127.0.0.1",
            "[::1]:8043",
            "10.0.0.7:8043",
            "localhost:8043",
            "LocalHost.",
            "desk.example",
            "Desk.Example:443",
        ] {
            assert!(asked(&[host], "/"), "{host}");
        }
    }

    #[test]
    fn other_names_and_none_are_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8043",
            "evil-desk.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "",
            "a b",
        ] {
            assert!(!asked(&[host], "/"), "{host}");
        }
        assert!(!asked(&[], "/"), "no host at all");
        assert!(!asked(&["localhost", "evil.example"], "/"), "two of them");
        assert!(!asked(&["localhost"], "http://evil.example/"));
        assert!(asked(&["localhost"], "http://localhost/"));
    }
}
