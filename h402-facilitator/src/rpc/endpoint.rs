//! Endpoints: where a node is reached, and how well it goes there.

use http::{HeaderValue, Uri};
use std::{
    fmt,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use url::Url;

/// The URL of a node. Keys live in its path, query and user: only scheme, host and port are ever shown.
///
/// ```
/// use h402_facilitator::rpc::Endpoint;
/// let endpoint: Endpoint = "https://user:pass@rpc.example:8443/v2/key?token=x".parse()?;
/// assert_eq!(format!("{endpoint} {endpoint:?}"), "https://rpc.example:8443 Endpoint(https://rpc.example:8443)");
/// # Ok::<(), h402_facilitator::rpc::BadEndpoint>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    authorization: Option<HeaderValue>,
    shown: String,
    secrets: Vec<String>,
}

/// A text that is no endpoint. Does not repeat what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("RPC endpoint: {0}")]
pub struct BadEndpoint(&'static str);

/// Parts of a URL shorter than this are words such as `v2`, not keys.
const SHORTEST_SECRET: usize = 6;

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut url = Url::parse(text).map_err(|_| BadEndpoint("not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadEndpoint("scheme is neither http nor https"));
        }
        let host = url.host_str().ok_or(BadEndpoint("no host"))?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let shown = format!("{}://{host}{port}", url.scheme());
        let mut secrets = secrets(&url);
        let authorization = basic(&url)?;
        // Some nodes repeat the headers that they got.
        let pair = authorization.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
        secrets.extend(pair.map(str::to_owned));
        url.set_fragment(None);
        // Both fail only for URLs without a host, and this one has one.
        let bare = url.set_username("").and_then(|()| url.set_password(None));
        bare.map_err(|()| BadEndpoint("no host"))?;
        let uri = url.as_str().parse().map_err(|_| BadEndpoint("not a URL for HTTP"))?;
        Ok(Self { uri, authorization, shown, secrets })
    }
}

/// User and password, which HTTP wants in a header.
fn basic(url: &Url) -> Result<Option<HeaderValue>, BadEndpoint> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let mut pair = percent_decoded(url.username());
    pair.push(b':');
    pair.extend(percent_decoded(url.password().unwrap_or_default()));
    let mut value =
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).map_err(|_| BadEndpoint("user or password is malformed"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// The bytes that a part of a URL stands for; a `%` that begins nothing stays.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let mut decoded = [0];
        match after.get(..2) {
            Some(digits) if *first == b'%' && hex::decode_to_slice(digits, &mut decoded).is_ok() => {
                bytes.extend(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// The parts that an answer of the node must not carry into our errors.
fn secrets(url: &Url) -> Vec<String> {
    let path = url.path().split('/').map(str::to_owned);
    let query = url.query_pairs().map(|(_, value)| value.into_owned());
    let user = [url.username().to_owned(), url.password().unwrap_or_default().to_owned()];
    path.chain(query).chain(user).filter(|part| part.len() >= SHORTEST_SECRET).collect()
}

impl Endpoint {
    /// Where to send. It may hold a key: show the endpoint itself instead.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The header made of the URL's user and password.
    #[must_use]
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Whether a text that the node wrote holds a part of the URL that may be a key.
    pub(super) fn is_betrayed_by(&self, text: &str) -> bool {
        self.secrets.iter().any(|secret| text.contains(secret.as_str()))
    }

    /// Takes what could be a URL, or a part of this one, out of a text that the node wrote.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut words: Vec<&str> = Vec::new();
        for word in text.split_whitespace() {
            words.push(if word.contains("://") { "[url]" } else { word });
        }
        let mut text = words.join(" ");
        for secret in &self.secrets {
            text = text.replace(secret, "[redacted]");
        }
        text
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.shown)
    }
}

/// The endpoints of one node with their health.
pub(super) struct Pool {
    members: Vec<Member>,
    /// How long a single request may take, and so how long one may be tried before the others try too.
    trial: Duration,
}

struct Member {
    endpoint: Endpoint,
    health: Mutex<Health>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Health {
    /// Failures in a row.
    failures: u32,
    /// Not to be asked before this, if there is a choice.
    rests_until: Option<Instant>,
}

/// The first rest after a failure; it doubles with each.
const SHORTEST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);

impl Pool {
    pub(super) fn new(endpoints: Vec<Endpoint>, trial: Duration) -> Self {
        let member = |endpoint| Member { endpoint, health: Mutex::default() };
        Self { members: endpoints.into_iter().map(member).collect(), trial }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn endpoint(&self, index: usize) -> Option<&Endpoint> {
        self.members.get(index).map(|member| &member.endpoint)
    }

    /// Whom to ask, in order: those that do not rest, or else the one that has rested most.
    pub(super) fn candidates(&self) -> Vec<usize> {
        let now = Instant::now();
        let mut awake = Vec::with_capacity(self.members.len());
        let mut least_bad: Option<(Option<Instant>, usize)> = None;
        for (index, member) in self.members.iter().enumerate() {
            let health = *member.health();
            if health.rests_until.is_none_or(|until| until <= now) {
                awake.push((index, health.failures));
            } else if least_bad.is_none_or(|(until, _)| health.rests_until < until) {
                least_bad = Some((health.rests_until, index));
            }
        }
        // Of those that failed before, this caller alone tries: the others must not wait for it too.
        if let Some((index, failures)) = awake.first().copied()
            && failures > 0
            && let Some(member) = self.members.get(index)
        {
            member.health().rests_until = Some(now + self.trial);
        }
        match least_bad {
            Some((_, index)) if awake.is_empty() => vec![index],
            _ => awake.into_iter().map(|(index, _)| index).collect(),
        }
    }

    pub(super) fn succeeded(&self, index: usize) {
        if let Some(member) = self.members.get(index) {
            *member.health() = Health::default();
        }
    }

    pub(super) fn failed(&self, index: usize) {
        let Some(member) = self.members.get(index) else { return };
        let mut health = member.health();
        health.failures = health.failures.saturating_add(1);
        let doubled = 2_u32.saturating_pow(health.failures.saturating_sub(1).min(16));
        health.rests_until = Some(Instant::now() + SHORTEST_REST.saturating_mul(doubled).min(LONGEST_REST));
    }

    /// Whether an endpoint's last request went well.
    pub(super) fn is_healthy(&self, index: usize) -> bool {
        self.members.get(index).is_some_and(|member| member.health().failures == 0)
    }
}

impl Member {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.endpoint)).finish()
    }
}
