//! How often one may ask: requests a second, and failed log-ins a minute.
//!
//! Both count in this process only: behind several replicas each allows as much.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use moka::sync::Cache;

use crate::{Error, Principal};

/// Rates that settings may name.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests of a principal, or of an address that shows no good credentials; `None` is no limit.
    pub requests_per_second: Option<NonZeroU32>,
    /// Failed log-ins of an address as one user, and ten times as many of an address, before the
    /// answers to further ones are slowed; `None` never slows.
    pub failed_logins_per_minute: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { requests_per_second: None, failed_logins_per_minute: NonZeroU32::new(10) }
    }
}

/// Who is counted together at most: beyond it the longest unseen are forgotten.
const MAX_BUCKETS: u64 = 100_000;
/// Longer than the slowest bucket takes to fill up again.
const BUCKET_IDLE: Duration = Duration::from_secs(120);
/// A user name in a key; names that are the same up to here share a bucket.
const MAX_NAME_BYTES: usize = 255;

/// A bucket for each key.
struct Buckets<K> {
    quota: Quota,
    buckets: Cache<K, Arc<DefaultDirectRateLimiter>>,
}

impl<K: Hash + Eq + Send + Sync + 'static> Buckets<K> {
    fn new(quota: Quota) -> Buckets<K> {
        let buckets = Cache::builder().max_capacity(MAX_BUCKETS).time_to_idle(BUCKET_IDLE).build();
        Buckets { quota, buckets }
    }

    /// Takes one from the bucket; how long until there is one again, if it is empty.
    fn take(&self, key: K) -> Result<(), Duration> {
        let bucket = self.buckets.get_with(key, || Arc::new(DefaultDirectRateLimiter::direct(self.quota)));
        bucket.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Source {
    User(String),
    Address(IpAddr),
}

/// The limits with their counts.
pub(crate) struct Rates {
    requests: Option<Buckets<Source>>,
    failures_by_user: Option<Buckets<(IpAddr, String)>>,
    failures_by_address: Option<Buckets<IpAddr>>,
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

impl Rates {
    pub(crate) fn new(limits: Limits) -> Rates {
        let failures = limits.failed_logins_per_minute;
        let ten_times = failures.map(|limit| limit.saturating_mul(NonZeroU32::MIN.saturating_add(9)));
        Rates {
            requests: limits.requests_per_second.map(|limit| Buckets::new(Quota::per_second(limit))),
            failures_by_user: failures.map(|limit| Buckets::new(Quota::per_minute(limit))),
            failures_by_address: ten_times.map(|limit| Buckets::new(Quota::per_minute(limit))),
        }
    }

    /// Counts a request. A user's requests count together wherever they come from, everybody else's
    /// by address. [`Error::TooManyRequests`] beyond the limit.
    pub(crate) fn count_request(&self, principal: &Principal, address: Option<IpAddr>) -> Result<(), Error> {
        // The control socket has no address and no limit.
        let (Some(requests), Some(address)) = (&self.requests, address) else {
            return Ok(());
        };
        let source = match principal {
            Principal::User(user) => Source::User(user.ocid.clone()),
            Principal::Anonymous | Principal::LocalAdministrator => Source::Address(network(address)),
        };
        let waits = |wait: Duration| Error::TooManyRequests { retry_after_secs: wait.as_secs() + 1 };
        requests.take(source).map_err(waits)
    }

    /// Counts a failed log-in; how long its answer is to wait.
    pub(crate) fn count_failed_login(&self, address: Option<IpAddr>, username: &str) -> Duration {
        let Some(address) = address.map(network) else {
            return Duration::ZERO;
        };
        let end = username.floor_char_boundary(MAX_NAME_BYTES);
        let name = username.get(..end).unwrap_or_default().to_owned();
        let by_user = self.failures_by_user.as_ref().map(|buckets| buckets.take((address, name)));
        let by_address = self.failures_by_address.as_ref().map(|buckets| buckets.take(address));
        let waits = [by_user, by_address].into_iter().flatten().filter_map(Result::err);
        waits.max().unwrap_or_default()
    }
}

/// What one subscriber has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_an_ipv6_network_are_one_source() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
    }

    #[test]
    fn failures_beyond_the_limit_wait_and_those_of_others_do_not() {
        let rates =
            Rates::new(Limits { requests_per_second: None, failed_logins_per_minute: NonZeroU32::new(3) });
        let here: Option<IpAddr> = "10.0.0.1".parse().ok();
        for _ in 0..3 {
            assert_eq!(rates.count_failed_login(here, "acme/alice"), Duration::ZERO);
        }
        let wait = rates.count_failed_login(here, "acme/alice");
        assert!(wait > Duration::from_secs(1) && wait <= Duration::from_secs(20), "{wait:?}");
        assert_eq!(rates.count_failed_login(here, "acme/bob"), Duration::ZERO);
        assert_eq!(rates.count_failed_login("10.0.0.2".parse().ok(), "acme/alice"), Duration::ZERO);
        // Names in turn do not help: the address has a bucket of its own.
        let waits = (0..40).map(|n| rates.count_failed_login(here, &format!("acme/user{n}")));
        assert!(waits.max().unwrap() > Duration::ZERO);
    }
}
