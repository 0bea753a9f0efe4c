//! DNS by domain: how many different names one host asked for below one domain in a minute, how many bytes they carried, and how random
//! their letters are (Shannon entropy of all of them together, bits a letter). Service `dns_domain`.
//!
//! Told when the different names reach `FIRST` and each time they have doubled.

use std::net::IpAddr;

use event::{Event, SECOND_NS, Timestamp, Value, field};

use super::sketch::{Bounded, Distinct, Spare, Steps};
use super::{Hashes, Say, fact};

const WINDOW_NS: i64 = 60 * SECOND_NS;
const FIRST: u64 = 16;
const DOMAINS_MAX: usize = 1024;
/// Letters, digits, hyphen, underscore, and everything else.
const LETTERS: usize = 39;

pub(super) struct Names {
    domains: Bounded<(IpAddr, u64), Domain>,
}

#[derive(Default)]
struct Domain {
    start: Option<Timestamp>,
    queries: u64,
    bytes: u64,
    names: Distinct,
    letters: Vec<u32>,
    resolver: Option<IpAddr>,
    steps: Steps,
    lately: u32,
}

impl Spare for Domain {
    fn spare(&mut self) -> bool {
        std::mem::take(&mut self.lately) > 1
    }
}

impl Default for Names {
    fn default() -> Self {
        Self { domains: Bounded::new(DOMAINS_MAX) }
    }
}

impl Names {
    /// An event of the DNS parser.
    pub(super) fn query(&mut self, event: &Event, hash: &Hashes, say: Say<'_>) {
        let ip = |f| event.get(f).and_then(Value::as_ip);
        let text = |f| event.get(f).and_then(Value::as_str);
        let (Some(src), Some(name), Some(domain)) = (ip(field::SRC_IP), text(field::DNS_QUERY), text(field::DNS_DOMAIN)) else { return };
        let below = name.strip_suffix(domain).unwrap_or_default();
        let time = event.time;
        let held = self.domains.entry((src, hash.of(&domain)));
        held.lately = held.lately.saturating_add(1);
        if held.start.is_none_or(|start| time.since(start).saturating_abs() >= WINDOW_NS) {
            *held = Domain { start: Some(time), resolver: ip(field::DST_IP), lately: held.lately, ..Domain::default() };
        }
        held.queries += 1;
        held.resolver = held.resolver.filter(|r| Some(*r) == ip(field::DST_IP));
        if below.is_empty() || !held.names.add(hash.of(&name)) {
            return;
        }
        held.bytes += below.len() as u64;
        held.letters.resize(LETTERS, 0);
        for letter in below.bytes().filter(|b| *b != b'.') {
            if let Some(count) = held.letters.get_mut(place(letter)) {
                *count += 1;
            }
        }
        if !held.steps.reached(held.names.count(), FIRST) {
            return;
        }
        let mut event = fact("dns_domain", time, WINDOW_NS)
            .with(field::SRC_IP, src)
            .with(field::DNS_DOMAIN, domain)
            .with(field::NAMES_DISTINCT, held.names.count())
            .with(field::NAMES_QUERIES, held.queries)
            .with(field::NAMES_BYTES, held.bytes)
            .with(field::NAMES_ENTROPY, (entropy(&held.letters) * 100.0).round() / 100.0)
            .with(field::FACT_ERROR, held.names.error_pct());
        event.body.set_some(field::DST_IP, held.resolver);
        event.body.set_some(field::START_TIME, held.start.map(Timestamp::ms));
        say(event);
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.domains.forgotten
    }
}

fn place(letter: u8) -> usize {
    usize::from(match letter {
        b'a'..=b'z' => letter - b'a',
        b'A'..=b'Z' => letter - b'A',
        b'0'..=b'9' => letter - b'0' + 26,
        b'-' => 36,
        b'_' => 37,
        _ => 38,
    })
}

fn entropy(letters: &[u32]) -> f64 {
    let all: f64 = letters.iter().map(|n| f64::from(*n)).sum();
    letters.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / all).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_bits_a_letter() {
        assert!((entropy(&[5, 5, 5, 5]) - 2.0).abs() < 1e-9);
        assert!(entropy(&[9, 0, 0]).abs() < 1e-9 && entropy(&[]).abs() < 1e-9);
    }
}
