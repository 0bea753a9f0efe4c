//! A chunk of lines against the rules: the part that runs on several threads at once. It gives text ready to be written, and what the
//! correlations want to know with the place in that text where they may speak.
//!
//! Nothing is allocated for a line that matches nothing. What a line costs is `RuleSet::matches_json`; the conditions are asked for only
//! where they are shown, an event is made only for a rule some correlation listens to, with the fields correlations read.

use std::borrow::Cow;
use std::sync::Arc;

use event::{AgentId, Class, Epoch, Event, EventId, Fields, Finding, LogSource, RuleMeta, Timestamp};
use rule::{Feed, Routing, RuleSet, Scratch};

use super::input::Chunk;
use super::record::{self, Form};
use super::report::{self, Shape};

/// Lines that could not be read and are named; the others are counted.
pub const NAMED_MAX: usize = 5;

/// What is the same for every line.
pub struct Plan<'r> {
    pub rules: &'r RuleSet,
    /// Looked for in every line before the rules see it.
    pub indicators: indicator::Set,
    /// What counts as the time of a line that says none, for what an indicator is valid at.
    pub now: Timestamp,
    pub given: LogSource,
    pub time_field: Option<String>,
    pub shape: Shape,
    /// Names of the inputs, where there are several.
    pub files: Vec<String>,
    /// By rule: what is written before a finding's own part; none for a rule that only feeds correlations.
    pub heads: Vec<Option<String>>,
    /// What correlations listen to and read.
    pub feed: Feed,
}

/// A chunk and where it is from.
pub struct Job {
    pub file: usize,
    pub form: Form,
    pub chunk: Chunk,
}

/// What became of a chunk.
#[derive(Default)]
pub struct Done {
    pub file: usize,
    pub text: Vec<u8>,
    /// Findings for the correlations, each with the length the text had when its line was done.
    pub fed: Vec<(usize, Finding)>,
    /// Rules that matched, one a match.
    pub hits: Vec<u32>,
    pub events: u64,
    pub bytes: u64,
    pub consumed: u64,
    pub unreadable: u64,
    /// The first of them: line and reason.
    pub named: Vec<(u64, Cow<'static, str>)>,
    /// Matches for a correlation whose event says no time: they cannot be counted.
    pub untimed: u64,
    /// Given back for the next chunk.
    pub buffer: Vec<u8>,
}

/// One thread's tools.
pub struct Worker<'r> {
    plan: &'r Plan<'r>,
    routing: Routing,
    scratch: Scratch,
    hits: Vec<u32>,
}

impl<'r> Worker<'r> {
    pub fn new(plan: &'r Plan<'r>) -> Self {
        Self { plan, routing: Routing::default(), scratch: plan.rules.scratch(), hits: Vec::new() }
    }

    pub fn run(&mut self, job: Job) -> Done {
        let Job { file, form, chunk } = job;
        self.routing = Routing { given: self.plan.given.clone(), from_event: form == Form::Sigma };
        let mut done = Done { file, bytes: chunk.bytes.len() as u64, consumed: chunk.consumed, ..Done::default() };
        for line in &chunk.long {
            bad(&mut done, *line, Cow::Owned(format!("longer than {} bytes", super::input::LINE_BYTES_MAX)));
        }
        let mut number = chunk.first_line;
        let mut rest = chunk.bytes.as_slice();
        while !rest.is_empty() {
            let (line, after) = match memchr::memchr(b'\n', rest) {
                Some(end) => (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default()),
                None => (rest, &[][..]),
            };
            let line = line.trim_ascii();
            if !line.is_empty() {
                self.line(line, number, form, &mut done);
            }
            rest = after;
            number += 1;
        }
        done.buffer = chunk.bytes;
        done
    }

    fn line(&mut self, line: &[u8], number: u64, form: Form, done: &mut Done) {
        if form == Form::Ecs {
            match serde_json::from_slice::<serde_json::Value>(line) {
                Ok(record) => {
                    let said = record::ecs(&record);
                    let given = &self.plan.given;
                    let word = |given: &Option<Cow<'static, str>>, said: Option<Cow<'static, str>>| given.clone().or(said);
                    self.routing.given = LogSource {
                        product: word(&given.product, said.product),
                        category: word(&given.category, said.category),
                        service: word(&given.service, said.service),
                    };
                }
                Err(error) => return bad(done, number, Cow::Owned(format!("column {}: not JSON", error.column()))),
            }
        }
        let marked = self.marked(line);
        let line = marked.as_deref().unwrap_or(line);
        let mut hits = std::mem::take(&mut self.hits);
        match self.plan.rules.matches_json_feeding(line, &self.routing, &self.plan.feed, &mut self.scratch, &mut hits) {
            Ok(event) => {
                done.events += 1;
                if !hits.is_empty() {
                    self.matched(line, number, &hits, event, done);
                }
            }
            Err(error) => bad(done, number, Cow::Owned(error.to_string())),
        }
        self.hits = hits;
    }

    /// The line with the facts of the indicators it holds as members at its end; none for the lines that hold none.
    fn marked(&self, line: &[u8]) -> Option<Vec<u8>> {
        if self.plan.indicators.is_empty() {
            return None;
        }
        let mut event = rule::json_event(line, &self.routing, Timestamp::ZERO).ok()?;
        event.time = record::time(&event, self.plan.time_field.as_deref()).unwrap_or(self.plan.now);
        indicator::mark(&self.plan.indicators, &mut event).best.as_ref()?;
        let mut out = line.strip_suffix(b"}")?.to_vec();
        let mut member = String::new();
        for fact in indicator::FACTS {
            if let Some(value) = event.get(fact) {
                member.clear();
                report::json_value(value, &mut member);
                out.extend_from_slice(format!(",\"{}\":{member}", fact.name()).as_bytes());
            }
        }
        out.push(b'}');
        Some(out)
    }

    fn matched(&mut self, line: &[u8], number: u64, hits: &[u32], event: Option<Event>, done: &mut Done) {
        done.hits.extend_from_slice(hits);
        for rule in hits {
            if let Some(Some(head)) = self.plan.heads.get(*rule as usize)
                && self.plan.shape != Shape::Count
            {
                let matches = self.plan.rules.reasons_json(line, &self.routing, *rule, &mut self.scratch).unwrap_or_default();
                let file = self.plan.files.get(done.file).map(String::as_str);
                report::finding(self.plan.shape, head, file, number, &matches, &mut done.text);
            }
        }
        let Some(event) = event else { return };
        let event = self.dated(event, number, done.file).map(Arc::new);
        for rule in hits.iter().filter(|r| self.plan.feed.takes(**r)) {
            let Some(meta) = self.plan.rules.rules().get(*rule as usize) else { continue };
            match &event {
                Some(event) => done.fed.push((done.text.len(), bare(meta, event))),
                None => done.untimed += 1,
            }
        }
    }

    /// The event with its time and an id made of file and line; None where it says no time.
    fn dated(&self, mut event: Event, number: u64, file: usize) -> Option<Event> {
        event.time = record::time(&event, self.plan.time_field.as_deref())?;
        event.observed = event.time;
        event.id = EventId { agent: AgentId(file as u64 + 1), epoch: Epoch(1), class: Class::Normal, seq: number };
        Some(event)
    }
}

/// A finding as correlations need it.
fn bare(meta: &Arc<RuleMeta>, event: &Arc<Event>) -> Finding {
    Finding {
        rule: Arc::clone(meta),
        time: event.time,
        event: Some(Arc::clone(event)),
        facts: Fields::new(),
        span: None,
        matches: Vec::new(),
        reasons: Vec::new(),
        evidence: Vec::new(),
        count: 1,
    }
}

fn bad(done: &mut Done, line: u64, why: Cow<'static, str>) {
    done.unreadable += 1;
    if done.named.len() < NAMED_MAX {
        done.named.push((line, why));
    }
}
