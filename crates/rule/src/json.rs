//! Lines of JSON as events: for `vedette match`, where fields are taken as they are named.
//!
//! An object's members are fields; members of an inner object are fields under their path (`a.b`). The log source comes from the
//! members `product`, `category`, `service` (or `logsource.product`, …) unless the caller says otherwise.

use std::borrow::Cow;
use std::sync::LazyLock;

use event::{Event, EventId, Fields, Kind, LogSource, Match, Name, Severity, TEXT_BYTES_MAX, Timestamp, Value};

use crate::line::{LineRecord, Members};
use crate::matcher::Looker;
use crate::names::NameTable;
use crate::record::{ADDED, Places};
use crate::route::Route;
use crate::scalar::Scalar;
use crate::set::{Rule, RuleSet, Scratch};

/// Bytes of one line; longer ones are refused.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Where a line's log source comes from.
#[derive(Debug, Clone)]
pub struct Routing {
    /// Words that hold whatever the event says; those left out are read from the event.
    pub given: LogSource,
    /// Read words from the event at all.
    pub from_event: bool,
}

impl Default for Routing {
    fn default() -> Self {
        Self { given: LogSource::default(), from_event: true }
    }
}

/// What looks at events over time: the rules it listens to and the fields it reads.
#[derive(Debug, Default, Clone)]
pub struct Feed {
    rules: Vec<bool>,
    names: Vec<Name>,
    table: NameTable,
}

impl Feed {
    /// `rules`: by rule, whether its matches are fed. `names`: the fields an event is given.
    pub fn new(rules: Vec<bool>, names: impl IntoIterator<Item = Name>) -> Self {
        let mut feed = Self { rules, ..Self::default() };
        for name in names {
            if feed.table.find(name.as_str()).is_none() {
                feed.table.insert(name.as_str(), u32::try_from(feed.names.len()).unwrap_or(u32::MAX));
                feed.names.push(name);
            }
        }
        feed
    }

    /// Whether matches of a rule are fed.
    pub fn takes(&self, rule: u32) -> bool {
        self.rules.get(rule as usize) == Some(&true)
    }
}

/// A line that is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub struct BadLine {
    /// Byte of the line, from 1.
    pub column: usize,
    pub what: &'static str,
}

impl RuleSet {
    /// Replaces `out` by the numbers (into `rules()`, ascending) of the rules a line matches.
    pub fn matches_json(&self, line: &[u8], routing: &Routing, scratch: &mut Scratch, out: &mut Vec<u32>) -> Result<(), BadLine> {
        out.clear();
        self.look_json(line, routing, scratch, |number, _, _| out.push(number))
    }

    /// `matches_json`, and where a rule matches that `feed` listens to, the line as an event without a log source and with no other
    /// fields than the feed's. The line is taken apart once.
    pub fn matches_json_feeding(
        &self,
        line: &[u8],
        routing: &Routing,
        feed: &Feed,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) -> Result<Option<Event>, BadLine> {
        let text = lossy(line);
        out.clear();
        self.look_text(&text, routing, scratch, |number, _, _| out.push(number))?;
        if !out.iter().any(|n| feed.takes(*n)) {
            return Ok(None);
        }
        // Its members are those of this line still: some rule has matched it.
        let Scratch { members, fed, .. } = scratch;
        let mut event = Event {
            id: EventId::NONE,
            time: Timestamp::ZERO,
            observed: Timestamp::ZERO,
            kind: Kind::Base,
            activity: 0,
            severity: Severity::Informational,
            source: LogSource::default(),
            body: Fields::with_capacity(feed.names.len().min(8)),
        };
        let mut met = 0u64;
        let plain = members.plain(&text, &feed.table, |number, scalar| {
            let bit = 1u64.checked_shl(number).unwrap_or(0);
            match feed.names.get(number as usize) {
                Some(Name::Known(field)) if bit & !met != 0 => event.body.put(*field, owned(scalar)),
                Some(name) => event.body.set(name.clone(), owned(scalar)),
                None => {}
            }
            met |= bit;
        });
        if plain {
            return Ok(Some(event));
        }
        if fed.len() != feed.names.len() {
            *fed = Places::new(u32::try_from(feed.names.len()).unwrap_or(u32::MAX));
        }
        members.bind(&text, &feed.table, false, routing.quiet(), fed);
        let record = LineRecord { line: &text, members, places: fed };
        event.body = Fields::with_capacity(feed.names.len().min(8));
        for (name, number) in feed.names.iter().zip(0..) {
            if let Some(scalar) = record.get(number) {
                event.body.set(name.clone(), owned(scalar));
            }
        }
        Ok(Some(event))
    }

    /// The conditions that made a rule match a line, as `detect` puts them into a finding; empty where it does not match.
    pub fn reasons_json(&self, line: &[u8], routing: &Routing, rule: u32, scratch: &mut Scratch) -> Result<Vec<Match>, BadLine> {
        let mut matches = Vec::new();
        self.look_json(line, routing, scratch, |number, found, looker| {
            if number == rule {
                looker.collect(&found.condition, &found.selections, &mut matches);
            }
        })?;
        Ok(matches)
    }

    /// The same as `matches_json` by asking every rule from scratch: slow, and the measure it is held to.
    pub fn scan_json(&self, line: &[u8], routing: &Routing, out: &mut Vec<u32>) -> Result<(), BadLine> {
        out.clear();
        let text = String::from_utf8_lossy(line);
        let (mut members, mut places) = (Members::default(), Places::new(self.program.names.count));
        members.read(&text)?;
        let [product, category, service] = routing.words(&members, &text);
        let source = LogSource::owned(product, category, service);
        members.bind(&text, &self.program.names.table, true, routing.quiet(), &mut places);
        let record = LineRecord { line: &text, members: &members, places: &places };
        self.plainly(&source, &record, |number, _, _| out.push(number));
        Ok(())
    }

    fn look_json(
        &self,
        line: &[u8],
        routing: &Routing,
        scratch: &mut Scratch,
        found: impl for<'x> FnMut(u32, &Rule, &mut Looker<'_, '_, LineRecord<'x>>),
    ) -> Result<(), BadLine> {
        self.look_text(&lossy(line), routing, scratch, found)
    }

    fn look_text(
        &self,
        text: &str,
        routing: &Routing,
        scratch: &mut Scratch,
        found: impl for<'x> FnMut(u32, &Rule, &mut Looker<'_, '_, LineRecord<'x>>),
    ) -> Result<(), BadLine> {
        let Scratch { answers, places, members, recent, .. } = self.own(scratch);
        members.read(text)?;
        let key = self.router.key(routing.words(members, text));
        if !self.router.may_fit(key) {
            return Ok(());
        }
        let route = recent.route(key, &self.router, &self.rules, &self.program);
        match &route {
            Route::Planned(plan) => members.bind(text, &plan.names, plan.message, routing.quiet(), places),
            Route::Listed(_) => members.bind(text, &self.program.names.table, true, routing.quiet(), places),
        }
        let record = LineRecord { line: text, members, places };
        self.pass(&route, answers, &record, found);
        Ok(())
    }
}

/// Bytes that are not UTF-8 become U+FFFD, as everywhere in an event.
fn lossy(line: &[u8]) -> Cow<'_, str> {
    // The fast answer first: the lossy way looks at bytes one by one.
    std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed)
}

impl Routing {
    /// Product, category and service of an event.
    fn words<'t>(&'t self, members: &'t Members, line: &'t str) -> [Option<&'t str>; 3] {
        let read = if self.from_event { members.words(line) } else { [None; 3] };
        let given = [&self.given.product, &self.given.category, &self.given.service];
        [0, 1, 2].map(|n: usize| given.get(n).and_then(|w| w.as_deref()).or(read.get(n).copied().flatten()))
    }

    /// Members that are no part of the message: what the agent or the collector adds, and the words of the log source.
    fn quiet(&self) -> &'static NameTable {
        static WITH_WORDS: LazyLock<NameTable> = LazyLock::new(|| {
            let words = ["product", "category", "service", "logsource.product", "logsource.category", "logsource.service"];
            table(ADDED.iter().map(|f| f.name()).chain(words))
        });
        static ADDED_ONLY: LazyLock<NameTable> = LazyLock::new(|| table(ADDED.iter().map(|f| f.name())));
        if self.from_event { &WITH_WORDS } else { &ADDED_ONLY }
    }
}

fn table<'n>(names: impl Iterator<Item = &'n str>) -> NameTable {
    let mut table = NameTable::default();
    for (at, name) in names.enumerate() {
        table.insert(name, u32::try_from(at).unwrap_or(u32::MAX));
    }
    table
}

/// The line as an event, for what looks at events over time; all fields are kept, within an event's limits.
pub fn json_event(line: &[u8], routing: &Routing, time: Timestamp) -> Result<Event, BadLine> {
    let text = lossy(line);
    let mut members = Members::default();
    members.read(&text)?;
    let [product, category, service] = routing.words(&members, &text);
    let mut event = Event::new(time, Kind::Base, 0, LogSource::owned(product, category, service));
    let mut names = NameTable::default();
    for name in members.names(&text) {
        let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
        names.insert(name, next);
    }
    let mut places = Places::new(u32::try_from(names.len()).unwrap_or(u32::MAX));
    members.bind(&text, &names, false, routing.quiet(), &mut places);
    let record = LineRecord { line: &text, members: &members, places: &places };
    for name in members.names(&text) {
        if let Some(scalar) = names.find(name).and_then(|n| record.get(n)) {
            event.body.set(Name::from(name), owned(scalar));
        }
    }
    Ok(event)
}

fn owned(scalar: Scalar<'_>) -> Value {
    match scalar {
        Scalar::List(list) => Value::from(list.iter().map(owned).collect::<Vec<_>>()),
        scalar => scalar.owned(TEXT_BYTES_MAX),
    }
}
