//! Which servers may be spoken to. Two test hosts and the loopback interface; everything else is refused by not existing.

use http::Uri;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

const DEMO: &str = "demo-fapi.binance.com";
const TESTNET: &str = "testnet.binancefuture.com";

/// A server this client is allowed to send to.
///
/// There are exactly three kinds: the documented test host, its older name, and a loopback address with an explicit port.
/// A `Host` is obtained by parsing; no constructor takes a name that was not compared with the list. Every request is
/// compared with its `Host` once more just before it is handed to the network.
///
/// ```
/// use exchange_client::Host;
///
/// let host: Host = "https://demo-fapi.binance.com".parse()?;
/// assert_eq!(host, Host::default());
/// assert!("http://127.0.0.1:8080".parse::<Host>().is_ok());
/// assert!("https://fapi.binance.com".parse::<Host>().is_err());
/// # Ok::<(), exchange_client::HostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    scheme: Scheme,
    name: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Demo,
    Testnet,
    /// The name `localhost`; it is pinned to 127.0.0.1 when connecting, whatever a resolver says.
    Localhost(u16),
    Loopback(IpAddr, u16),
}

/// Why an address is not a [`Host`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The address is readable but names a server that orders must not go to.
    #[error(
        "{0:?} is not an allowed venue: use https://{DEMO}, https://{TESTNET} or a loopback address with a port"
    )]
    NotAllowed(String),
    /// A loopback address without a port: nothing is guessed, so the port has to be written.
    #[error("{0:?} needs an explicit port between 1 and 65535")]
    NoPort(String),
}

impl Default for Host {
    /// The documented test host.
    fn default() -> Self {
        Self {
            scheme: Scheme::Https,
            name: Name::Demo,
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let refused = || HostError::NotAllowed(shortened(text));
        let bare = text.strip_suffix('/').unwrap_or(text);
        let (scheme, authority) = match bare.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            _ => return Err(refused()),
        };
        let name = match (scheme, authority) {
            (Scheme::Https, DEMO) => Name::Demo,
            (Scheme::Https, TESTNET) => Name::Testnet,
            _ => loopback(authority, text)?,
        };
        Ok(Self { scheme, name })
    }
}

/// Reads `name:port` where the name is loopback. Anything that is not literally that — user info, a path, a query, an
/// address in another notation — fails one of the exact comparisons below.
fn loopback(authority: &str, whole: &str) -> Result<Name, HostError> {
    let refused = || HostError::NotAllowed(shortened(whole));
    let bracketed = authority.ends_with(']');
    let (name, port) = match authority.rsplit_once(':') {
        Some(split) if !bracketed => split,
        _ => (authority, ""),
    };
    let address = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(v6) => IpAddr::V6(v6.parse::<Ipv6Addr>().map_err(|_| refused())?),
        None if name == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        None => IpAddr::V4(name.parse::<Ipv4Addr>().map_err(|_| refused())?),
    };
    if !address.is_loopback() {
        return Err(refused());
    }
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = match port.parse::<u16>() {
        Ok(port) if digits && port != 0 => port,
        _ => return Err(HostError::NoPort(shortened(whole))),
    };
    Ok(if name == "localhost" {
        Name::Localhost(port)
    } else {
        Name::Loopback(address, port)
    })
}

/// An address typed wrongly may be anything, a secret included, so an error repeats only its beginning and never what
/// stands before an `@`.
fn shortened(text: &str) -> String {
    let visible = text.rsplit_once('@').map_or(text, |(_, tail)| tail);
    visible.chars().take(80).collect()
}

impl Host {
    /// True for a server on this machine (a simulated venue), false for the venue's own test hosts.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self.name, Name::Localhost(_) | Name::Loopback(..))
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The name that must not be left to a resolver, with the port it is used on.
    pub(crate) fn pinned(&self) -> Option<(&'static str, u16)> {
        match self.name {
            Name::Localhost(port) => Some(("localhost", port)),
            _ => None,
        }
    }

    /// The second look, at the very address a request is about to be sent to: scheme, name and port have to be this
    /// host's, and nothing may stand before an `@`.
    pub(crate) fn permits(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return false;
        };
        let (expected, default_port) = match self.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        let name = authority.host();
        let address = |text: &str| text.parse::<IpAddr>().ok();
        let (named, port) = match self.name {
            Name::Demo => (name == DEMO, 443),
            Name::Testnet => (name == TESTNET, 443),
            Name::Localhost(port) => (name == "localhost", port),
            Name::Loopback(IpAddr::V4(v4), port) => (address(name) == Some(v4.into()), port),
            Name::Loopback(IpAddr::V6(v6), port) => {
                let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
                (bare.and_then(address) == Some(v6.into()), port)
            }
        };
        scheme == expected
            && named
            && authority.port_u16().unwrap_or(default_port) == port
            && !authority.as_str().contains('@')
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https() { "https" } else { "http" };
        match &self.name {
            Name::Demo => write!(f, "{scheme}://{DEMO}"),
            Name::Testnet => write!(f, "{scheme}://{TESTNET}"),
            Name::Localhost(port) => write!(f, "{scheme}://localhost:{port}"),
            Name::Loopback(IpAddr::V4(address), port) => write!(f, "{scheme}://{address}:{port}"),
            Name::Loopback(IpAddr::V6(address), port) => write!(f, "{scheme}://[{address}]:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_test_hosts_and_loopback_are_allowed_and_print_as_written() {
        for text in [
            "https://demo-fapi.binance.com",
            "https://testnet.binancefuture.com",
            "http://127.0.0.1:1",
            "http://127.9.8.7:65535",
            "https://localhost:8443",
            "http://[::1]:8080",
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.to_string(), text);
            assert!(host.permits(&text.parse().unwrap()), "{text}");
            assert_eq!(format!("{text}/").parse::<Host>().unwrap(), host);
        }
    }

    #[test]
    fn nothing_else_is_a_host() {
        for text in [
            "",
            "https://",
            "demo-fapi.binance.com",
            "https://fapi.binance.com",
            "https://api.binance.com",
            "http://demo-fapi.binance.com",
            "https://demo-fapi.binance.com:443",
            "https://demo-fapi.binance.com:8443",
            "https://DEMO-FAPI.binance.com",
            "https://demo-fapi.binance.com.",
            "https://demo-fapi.binance.com//",
            "https://demo-fapi.binance.com/fapi",
            "https://demo-fapi.binance.com?x",
            "https://demo-fapi.binance.com#x",
            "https://demo-fapi.binance.com@fapi.binance.com",
            "https://user:secret@demo-fapi.binance.com",
            "https://demo-fapi.binance.com.example.org",
            "https://fapi.binance.com\\@demo-fapi.binance.com",
            " https://demo-fapi.binance.com",
            "https://demo-fapi.binance.com\n",
            "http://127.0.0.1",
            "http://127.0.0.1:",
            "http://127.0.0.1:0",
            "http://127.0.0.1:+80",
            "http://127.0.0.1:65536",
            "http://127.0.0.1:80/x",
            "http://127.0.0.1:80?x=1",
            "http://127.1:80",
            "http://0x7f000001:80",
            "http://2130706433:80",
            "http://0.0.0.0:80",
            "http://10.0.0.1:80",
            "http://[::1]",
            "http://[::]:80",
            "http://[::ffff:127.0.0.1]:80",
            "http://localhost",
            "http://localhost.:80",
            "http://localhost.example.org:80",
            "http://a@127.0.0.1:80",
            "http://127.0.0.1:80@fapi.binance.com",
            "ftp://127.0.0.1:80",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text} was allowed");
        }
    }

    #[test]
    fn a_refusal_repeats_no_user_info() {
        let error = "https://key:hunter2@fapi.binance.com"
            .parse::<Host>()
            .unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn the_second_look_refuses_a_url_that_is_not_the_hosts() {
        let host: Host = "http://127.0.0.1:8080".parse().unwrap();
        for url in [
            "http://127.0.0.1:8081/fapi/v1/time",
            "https://127.0.0.1:8080/fapi/v1/time",
            "http://127.0.0.2:8080/fapi/v1/time",
            "http://a@127.0.0.1:8080/fapi/v1/time",
            "https://fapi.binance.com/fapi/v1/time",
        ] {
            assert!(!host.permits(&url.parse().unwrap()), "{url}");
        }
        assert!(!Host::default().permits(&"https://fapi.binance.com".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn whatever_is_allowed_leads_to_an_allowed_server(text in "https?://[a-z0-9.:@/\\[\\]\\\\?#%-]{0,40}") {
            if let Ok(host) = text.parse::<Host>() {
                let url = text.parse().unwrap();
                prop_assert!(host.permits(&url));
                prop_assert!(host.is_loopback() || host == Host::default() || text.contains(TESTNET));
            }
        }
    }
}
