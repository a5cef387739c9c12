//! How many calls a client, and all clients together, may make: token buckets in bounded memory.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};
use tokio::time::Instant;

/// How many clients are told apart at once. Those beyond share one bucket.
const MAX_CLIENTS: usize = 4096;
/// What a call costs: a bucket gets this much in as many microseconds as its rate says.
const CALL: u64 = 1_000_000;

/// Whose calls are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    Address(IpAddr),
    /// Those without an address, and those for whom there is no room.
    Rest,
}

impl Client {
    /// Somebody with one IPv6 address usually has 2⁶⁴ of them.
    fn new(address: Option<IpAddr>) -> Self {
        let network = |address: Ipv6Addr| Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
        match address.map(|address| address.to_canonical()) {
            None => Self::Rest,
            Some(IpAddr::V4(address)) => Self::Address(address.into()),
            Some(IpAddr::V6(address)) => Self::Address(network(address).into()),
        }
    }
}

/// What is left, as of when.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    at: Instant,
}

/// How fast buckets fill, and how much they hold.
#[derive(Debug, Clone, Copy)]
struct Size {
    per_second: u64,
    most: u64,
}

impl Size {
    /// Two seconds' worth, but never less than what a single request may cost.
    fn new(per_second: u32, max_batch: u32) -> Self {
        let calls = u64::from(per_second).saturating_mul(2).max(u64::from(max_batch));
        Self { per_second: u64::from(per_second), most: calls.saturating_mul(CALL) }
    }

    fn filled(self, bucket: Bucket, now: Instant) -> Bucket {
        let micros = u64::try_from(now.saturating_duration_since(bucket.at).as_micros()).unwrap_or(u64::MAX);
        let left = bucket.left.saturating_add(micros.saturating_mul(self.per_second)).min(self.most);
        Bucket { left, at: now }
    }
}

#[derive(Debug)]
struct Buckets {
    overall: Bucket,
    clients: HashMap<Client, Bucket>,
}

#[derive(Debug)]
pub(super) struct Limiter {
    client: Size,
    overall: Size,
    buckets: Mutex<Buckets>,
}

impl Limiter {
    pub(super) fn new(per_client: u32, overall: u32, max_batch: u32) -> Self {
        let (client, overall) = (Size::new(per_client, max_batch), Size::new(overall, max_batch));
        let full = Bucket { left: overall.most, at: Instant::now() };
        Self { client, overall, buckets: Mutex::new(Buckets { overall: full, clients: HashMap::new() }) }
    }

    /// Takes this many calls from a client's bucket and from that of all, or from neither.
    pub(super) fn take(&self, address: Option<IpAddr>, calls: u32) -> bool {
        let now = Instant::now();
        let cost = u64::from(calls).saturating_mul(CALL);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = Client::new(address);
        if buckets.clients.len() >= MAX_CLIENTS && !buckets.clients.contains_key(&client) {
            // Who has not asked for a while is as good as new.
            buckets.clients.retain(|_, bucket| self.client.filled(*bucket, now).left < self.client.most);
            if buckets.clients.len() >= MAX_CLIENTS {
                client = Client::Rest;
            }
        }
        let full = Bucket { left: self.client.most, at: now };
        let own = self.client.filled(buckets.clients.get(&client).copied().unwrap_or(full), now);
        let all = self.overall.filled(buckets.overall, now);
        let (Some(own_left), Some(all_left)) = (own.left.checked_sub(cost), all.left.checked_sub(cost)) else { return false };
        buckets.clients.insert(client, Bucket { left: own_left, ..own });
        buckets.overall = Bucket { left: all_left, ..all };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_gets_its_rate_and_no_more() {
        let limiter = Limiter::new(10, 1_000, 5);
        assert!((0..20).all(|_| limiter.take(ip("192.0.2.1"), 1)), "two seconds' worth at first");
        assert!(!limiter.take(ip("192.0.2.1"), 1));
        assert!(limiter.take(ip("192.0.2.2"), 1), "another client has its own");
        advance(Duration::from_millis(100)).await;
        assert!(limiter.take(ip("192.0.2.1"), 1));
        assert!(!limiter.take(ip("192.0.2.1"), 1));
        advance(Duration::from_secs(3_600)).await;
        assert!(limiter.take(ip("192.0.2.1"), 20), "an hour is worth no more than two seconds");
        assert!(!limiter.take(ip("192.0.2.1"), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn all_clients_together_get_their_rate_and_what_is_refused_costs_nothing() {
        let limiter = Limiter::new(10, 15, 5);
        assert!(limiter.take(ip("192.0.2.1"), 20));
        assert!(!limiter.take(ip("192.0.2.2"), 11));
        assert!(limiter.take(ip("192.0.2.2"), 10));
        assert!(!limiter.take(ip("192.0.2.3"), 1), "nothing is left for anybody");
        advance(Duration::from_secs(1)).await;
        assert!(limiter.take(ip("192.0.2.3"), 15));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_fits_however_low_the_rate() {
        let limiter = Limiter::new(1, 1, 20);
        assert!(limiter.take(None, 20));
        assert!(!limiter.take(None, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_client_and_so_is_one_address_in_both_forms() {
        let limiter = Limiter::new(1, 1_000, 1);
        assert!(limiter.take(ip("2001:db8::1"), 2));
        assert!(!limiter.take(ip("2001:db8::ffff:1"), 1));
        assert!(limiter.take(ip("2001:db8:0:1::1"), 2));
        assert!(limiter.take(ip("192.0.2.1"), 2));
        assert!(!limiter.take(ip("::ffff:192.0.2.1"), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_do_not_fill_the_memory_and_share_what_is_left() {
        let limiter = Limiter::new(1, u32::MAX, 2);
        let stranger = |number: u32| Some(IpAddr::from(number.to_be_bytes()));
        let count = u32::try_from(MAX_CLIENTS).unwrap();
        assert!((0..count).all(|number| limiter.take(stranger(number), 1)));
        assert!(limiter.take(stranger(count), 2));
        assert!(!limiter.take(stranger(count + 1), 1), "the next ones share");
        assert!(limiter.take(stranger(0), 1), "and those who were there first do not");
        assert!(limiter.buckets.lock().unwrap().clients.len() <= MAX_CLIENTS + 1);
        advance(Duration::from_secs(3)).await;
        assert!(limiter.take(stranger(count + 1), 2), "those who went away make room");
        assert_eq!(limiter.buckets.lock().unwrap().clients.len(), 1);
    }
}
