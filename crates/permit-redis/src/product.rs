//! Which server this is, by its own word.

use std::fmt;

/// Name and version of a server, as `INFO server` gives them. Valkey and others call themselves a Redis of
/// some version besides, for clients that know nothing else; here they have their own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    name: String,
    version: String,
}

/// The oldest Redis that has everything that is used here: `XAUTOCLAIM`, exclusive ranges of streams, a
/// bare `HELLO`. Everything else that is spoken to was younger from its first version on.
pub(crate) const OLDEST: (u32, u32) = (6, 2);

impl Product {
    /// From the text of `INFO server`; `None` where it names no version.
    pub fn read(info: &str) -> Option<Self> {
        let word = |name: &str| {
            let mut lines = info.lines().map(str::trim_end);
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let own = |name: &str, version: &str| Self {
            name: name.into(),
            version: version.into(),
        };
        for (line, name) in [
            ("valkey_version", "Valkey"),
            ("dragonfly_version", "Dragonfly"),
            ("kvrocks_version", "Kvrocks"),
        ] {
            if let Some(version) = word(line) {
                return Some(own(name, version));
            }
        }
        let version = word("redis_version")?;
        Some(match word("server_name") {
            Some(name) if !name.is_empty() && name != "redis" => own(name, version),
            _ => own("Redis", version),
        })
    }

    /// Its name: `Redis`, `Valkey`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, as it gives it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Why it cannot be used, with the fix; nothing where it can.
    pub fn too_old(&self) -> Option<String> {
        let mut numbers = self.version.split('.').map(|part| part.parse::<u32>());
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return None;
        };
        (self.name == "Redis" && (major, minor) < OLDEST).then(|| {
            format!(
                "{self} is too old: use Redis {}.{} or later, or Valkey (docs/servers.md)",
                OLDEST.0, OLDEST.1
            )
        })
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(info: &str) -> String {
        Product::read(info).unwrap().to_string()
    }

    #[test]
    fn a_server_is_called_what_it_is() {
        assert_eq!(
            shown("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n"),
            "Redis 7.0.15"
        );
        assert_eq!(
            shown("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n"),
            "Valkey 9.1.2"
        );
        assert_eq!(
            shown("redis_version:7.4.0\r\ndragonfly_version:df-v1.2\r\n"),
            "Dragonfly df-v1.2"
        );
        assert_eq!(
            shown("redis_version:7.2.4\r\nserver_name:other\r\n"),
            "other 7.2.4"
        );
        assert_eq!(Product::read("run_id:abc\r\n"), None);
    }

    #[test]
    fn a_redis_before_6_2_is_refused_and_nothing_else() {
        let too_old = |info: &str| Product::read(info).unwrap().too_old();
        for old in [
            "redis_version:6.0.20",
            "redis_version:5.0.14",
            "redis_version:2.8.1",
        ] {
            assert!(
                too_old(old).unwrap().contains("use Redis 6.2 or later"),
                "{old}"
            );
        }
        for new in [
            "redis_version:6.2.0",
            "redis_version:8.2.3",
            "redis_version:unknown",
            "redis_version:4.0.0\r\nvalkey_version:9.1.2",
        ] {
            assert_eq!(too_old(new), None, "{new}");
        }
    }
}
