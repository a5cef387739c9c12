//! Where payers find this server, from configuration and never from a request (T095).

use std::fmt;

/// Scheme, host and port under which payers know this server: the base of every resource URL.
///
/// ```
/// use h402_tower::gate::Origin;
/// let origin = Origin::parse("https://API.example:443/")?;
/// assert_eq!(origin.as_str(), "https://api.example");
/// assert!(Origin::parse("https://api.example/v1").is_err());
/// # Ok::<(), h402_tower::gate::BadOrigin>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    text: String,
    host: AllowedHost,
    default_port: u16,
}

/// A text that is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an origin: http or https, a host, perhaps a port, and nothing else")]
pub struct BadOrigin;

impl Origin {
    /// Reads `https://host` or `http://host:port`.
    ///
    /// # Errors
    /// [`BadOrigin`] for anything with a path, a query, a fragment or a user name.
    pub fn parse(text: &str) -> Result<Self, BadOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(BadOrigin)?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return Err(BadOrigin),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let host = AllowedHost::parse(authority, default_port).ok_or(BadOrigin)?;
        Ok(Self { text: format!("{scheme}://{host}"), host, default_port })
    }

    /// The origin as it begins a URL, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn host(&self) -> &AllowedHost {
        &self.host
    }

    pub(super) fn default_port(&self) -> u16 {
        self.default_port
    }
}

/// A host, and a port unless it is the scheme's own, that requests may be addressed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AllowedHost {
    host: String,
    port: Option<u16>,
}

impl AllowedHost {
    pub(super) fn parse(authority: &str, default_port: u16) -> Option<Self> {
        let (host, port) = split(authority)?;
        Some(Self { host: host.to_ascii_lowercase(), port: port.filter(|port| *port != default_port) })
    }

    /// Whether a `Host` header or request authority means this host. Does not allocate.
    pub(super) fn is(&self, authority: &str, default_port: u16) -> bool {
        split(authority)
            .is_some_and(|(host, port)| host.eq_ignore_ascii_case(&self.host) && port.filter(|port| *port != default_port) == self.port)
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// Host and port of an authority; `None` for user names, empty hosts and anything that is no host.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            let (literal, after) = rest.split_at(end);
            if literal.is_empty() || !literal.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) {
                return None;
            }
            (authority.get(..end + 2)?, after.strip_prefix(']')?)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (name, after) = authority.split_at(end);
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
                return None;
            }
            (name, after)
        }
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => Some((host, Some(digits.parse().ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_and_nothing_else() {
        let good = [
            ("https://api.example", "https://api.example"),
            ("HTTPS://Api.Example/", "https://api.example"),
            ("https://api.example:443", "https://api.example"),
            ("http://api.example:443", "http://api.example:443"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:80", "http://[::1]"),
        ];
        for (text, want) in good {
            assert_eq!(Origin::parse(text).map(|origin| origin.text), Ok(want.to_owned()), "{text}");
        }
        let bad = [
            "api.example",
            "ftp://api.example",
            "https://",
            "https://a@b",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://a:",
            "https://a:x",
            "https://a:99999",
            "https://a b",
            "https://[::1",
            "https://[]",
            "https://a//",
        ];
        for text in bad {
            assert_eq!(Origin::parse(text), Err(BadOrigin), "{text}");
        }
    }

    #[test]
    fn t095_only_the_same_host_and_port_are_this_host() {
        let host = AllowedHost::parse("api.example", 443).unwrap();
        for same in ["api.example", "API.EXAMPLE", "api.example:443"] {
            assert!(host.is(same, 443), "{same}");
        }
        for other in ["evil.example", "api.example.", "api.example:80", "api.example:443:1", "x@api.example", "api.example.evil", ""] {
            assert!(!host.is(other, 443), "{other}");
        }
    }
}
