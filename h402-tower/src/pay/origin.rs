//! Origins: the payment header goes to the one that asked and to no other (T120).

use core::fmt;
use http::Uri;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Scheme, host and port of a URL, as one value to compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an absolute `http` or `https` URL; `None` for anything else.
    #[must_use]
    pub fn of(uri: &Uri) -> Option<Self> {
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        let named = uri.authority()?.as_str().rsplit('@').next()?;
        let port = match (named.len() == host.len(), https) {
            (true, true) => 443,
            (true, false) => 80,
            // A port that cannot be read is not the default one.
            (false, _) => uri.port_u16()?,
        };
        Some(Self { https, host, port })
    }

    /// The origin of a URL given as text.
    #[must_use]
    pub fn of_text(url: &str) -> Option<Self> {
        Self::of(&url.parse().ok()?)
    }

    /// Whether nobody between here and there can read along: `https`, or the machine itself.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.https || self.is_loopback()
    }

    fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost"
            || bare.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || bare.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t120_origins_are_compared_whole() {
        let asked = Origin::of_text("https://api.example/item?id=1").unwrap();
        let same = ["https://api.example", "https://API.example:443/other", "https://user@api.example/"];
        for url in same {
            assert_eq!(Origin::of_text(url).as_ref(), Some(&asked), "{url}");
        }
        let foreign = [
            "http://api.example/item",
            "https://api.example:8443/item",
            "https://api.example.evil.example/item",
            "https://api.example@evil.example/item",
            "https://sub.api.example/",
            "https://api.example./",
            "ftp://api.example/item",
            "//api.example/item",
            "/item",
            "api.example",
            "not a url",
            "",
        ];
        for url in foreign {
            assert_ne!(Origin::of_text(url).as_ref(), Some(&asked), "{url}");
        }
    }

    #[test]
    fn only_loopback_is_private_without_tls() {
        let cases = [
            ("https://api.example/", true),
            ("http://localhost:3000/", true),
            ("http://127.0.0.1:3000/", true),
            ("http://127.8.8.8/", true),
            ("http://[::1]:3000/", true),
            ("http://api.example/", false),
            ("http://localhost.evil.example/", false),
            ("http://127.0.0.1.evil.example/", false),
            ("http://10.0.0.1/", false),
        ];
        for (url, private) in cases {
            assert_eq!(Origin::of_text(url).unwrap().is_private(), private, "{url}");
        }
    }
}
