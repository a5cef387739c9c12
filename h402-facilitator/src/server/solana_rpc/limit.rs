//! How many calls a client, and all clients together, may make.

use crate::{limit, server::connections::client};
use std::net::IpAddr;

#[derive(Debug)]
pub(super) struct Limiter(limit::Limiter<IpAddr>);

impl Limiter {
    pub(super) fn new(per_client: u32, overall: u32, max_batch: u32) -> Self {
        Self(limit::Limiter::new(per_client, overall, max_batch))
    }

    /// Takes this many calls from a client's bucket and from that of all, or from neither. Those without an address share one.
    pub(super) fn take(&self, address: Option<IpAddr>, calls: u32) -> bool {
        self.0.take(address.map(client), calls)
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
        let count = u32::try_from(limit::MAX_TOLD_APART).unwrap();
        assert!((0..count).all(|number| limiter.take(stranger(number), 1)));
        assert!(limiter.take(stranger(count), 2));
        assert!(!limiter.take(stranger(count + 1), 1), "the next ones share");
        assert!(limiter.take(stranger(0), 1), "and those who were there first do not");
        assert!(limiter.0.told_apart() <= limit::MAX_TOLD_APART + 1);
        advance(Duration::from_secs(3)).await;
        assert!(limiter.take(stranger(count + 1), 2), "those who went away make room");
        assert_eq!(limiter.0.told_apart(), 1);
    }
}
