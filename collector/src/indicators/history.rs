//! New indicators against stored events: which events held them before they were known.
//!
//! The store is asked by value, in chunks, on fields it keeps blooms of, so that an indicator that was never seen costs a look at the
//! blooms and no file a read; domains are asked for what is below them too. Whatever the store gives is matched again by the very
//! function live events are matched by, so a chunk's neighbours, a validity that has ended, or a condition half met give nothing.
//!
//! Limits: `Bounds`: events looked at, events found, and values asked one by one; past the last the newest events are scanned instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use event::{Event, Field, Timestamp, field};
use indicator::{Set, Type};

use crate::store::{EventStore, Filter, Network, Query, Scope, StoreError, Test};

/// How far a search may go.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Values asked by name; a larger source is searched by a scan of the newest events.
    pub values_max: usize,
    /// Events the store may hand over.
    pub looked_max: u64,
    /// Events that become findings, newest first.
    pub found_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { values_max: 100_000, looked_max: 5_000_000, found_max: 10_000 }
    }
}

/// Values of one question.
const CHUNK: usize = 512;
const PAGE: usize = 1_000;

/// Where a search stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchState {
    Running,
    /// Everything was asked.
    Complete,
    /// A bound was reached: the oldest events were not looked at.
    Bounded,
    Failed,
}

impl SearchState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Bounded => "bounded",
            Self::Failed => "failed",
        }
    }
}

/// A search as people see it.
#[derive(Debug, Default)]
pub struct Search {
    pub source: String,
    asked: AtomicU64,
    to_ask: AtomicU64,
    looked: AtomicU64,
    found: AtomicU64,
    state: AtomicU64,
}

impl Search {
    pub fn new(source: &str) -> Self {
        Self { source: source.to_owned(), ..Self::default() }
    }
    /// Questions asked, of how many.
    pub fn progress(&self) -> (u64, u64) {
        (self.asked.load(Ordering::Relaxed), self.to_ask.load(Ordering::Relaxed))
    }
    /// Events the store handed over, and events that held an indicator.
    pub fn events(&self) -> (u64, u64) {
        (self.looked.load(Ordering::Relaxed), self.found.load(Ordering::Relaxed))
    }
    pub fn state(&self) -> SearchState {
        match self.state.load(Ordering::Relaxed) {
            0 => SearchState::Running,
            1 => SearchState::Complete,
            2 => SearchState::Bounded,
            _ => SearchState::Failed,
        }
    }
    pub fn end(&self, state: SearchState) {
        self.state.store(state as u64, Ordering::Relaxed);
    }
}

/// Looks for a set's values among the events from before `until`; what is found goes out in groups, facts on it, its own time kept.
pub fn hunt(
    store: &dyn EventStore,
    set: &Set,
    until: Timestamp,
    bounds: Bounds,
    search: &Search,
    stop: &AtomicBool,
    out: &mut dyn FnMut(Vec<Arc<Event>>),
) -> Result<SearchState, StoreError> {
    let filters = filters(set, bounds);
    search.to_ask.store(filters.len() as u64, Ordering::Relaxed);
    let mut met = std::collections::HashSet::new();
    let bounded = set.len() > bounds.values_max;
    for filter in filters {
        let mut query = Query::new(Timestamp::MIN, until, filter, PAGE);
        loop {
            if stop.load(Ordering::Acquire) {
                return Ok(SearchState::Running);
            }
            let page = store.search(&Scope::CITY, &query)?;
            let looked = search.looked.fetch_add(page.events.len() as u64, Ordering::Relaxed) + page.events.len() as u64;
            let mut found: Vec<Arc<Event>> = Vec::new();
            for event in &page.events {
                // What was matched when it arrived, by any source, was an alert then.
                if event.get(field::INDICATOR_VALUE).is_some() || met.contains(&event.id) {
                    continue;
                }
                let mut copy = (**event).clone();
                if indicator::mark(set, &mut copy).best.is_some() {
                    copy.body.set(field::INDICATOR_IN_HISTORY, true);
                    met.insert(copy.id);
                    found.push(Arc::new(copy));
                }
            }
            let all = search.found.fetch_add(found.len() as u64, Ordering::Relaxed) + found.len() as u64;
            if !found.is_empty() {
                out(found);
            }
            if all >= bounds.found_max || looked >= bounds.looked_max {
                return Ok(SearchState::Bounded);
            }
            let Some(next) = page.next else { break };
            query.cursor = Some(next);
        }
        search.asked.fetch_add(1, Ordering::Relaxed);
    }
    Ok(if bounded { SearchState::Bounded } else { SearchState::Complete })
}

/// The questions a set gives.
fn filters(set: &Set, bounds: Bounds) -> Vec<Filter> {
    if set.len() > bounds.values_max {
        let fields = [field::DST_IP, field::SRC_IP, field::DNS_QUERY, field::TLS_SNI, field::HTTP_HOST, field::RESULT_SHA256];
        return vec![fields.into_iter().fold(Filter::Not(Box::new(Filter::All)), |f, one| f.or(Filter::exists(one)))];
    }
    let (mut ips, mut names, mut hosts, mut hashes, mut nets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for found in set.iter() {
        match found.kind {
            Type::Ipv4 | Type::Ipv6 => ips.push(found.value),
            Type::Net4 | Type::Net6 => nets.extend(network(&found.value)),
            Type::Domain => names.push(found.value),
            Type::Url => hosts.push(found.value.split('/').next().unwrap_or_default().to_owned()),
            Type::Sha256 => hashes.push(found.value),
            // No field of the store holds these; JSON inputs that bring them are matched live.
            Type::Md5 | Type::Sha1 | Type::Email => {}
        }
    }
    let mut out = Vec::new();
    let mut ask = |fields: &[Field], values: &[String]| {
        for chunk in values.chunks(CHUNK) {
            out.extend(fields.iter().map(|f| Filter::any_of(*f, chunk)));
        }
    };
    ask(&[field::DST_IP, field::SRC_IP, field::DNS_ANSWERS, field::HTTP_HOST, field::TLS_SNI], &ips);
    ask(&[field::DNS_QUERY, field::TLS_SNI, field::HTTP_HOST, field::SRC_HOSTNAME, field::DST_HOSTNAME, field::DNS_ANSWERS], &names);
    ask(&[field::RESULT_SHA256, field::FILE_SHA256], &hashes);
    ask(&[field::HTTP_HOST], &hosts);
    for net in nets {
        out.extend([field::DST_IP, field::SRC_IP].map(|f| Filter::Is(f.into(), Test::Net(net))));
    }
    for chunk in names.chunks(CHUNK) {
        for f in [field::DNS_QUERY, field::TLS_SNI, field::HTTP_HOST] {
            let below = chunk.iter().map(|n| Filter::Is(f.into(), Test::Suffix(format!(".{n}"))));
            out.push(Filter::Or(below.collect()));
        }
    }
    out
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/')?;
    Some(Network { address: address.parse().ok()?, prefix: prefix.parse().ok()? })
}
