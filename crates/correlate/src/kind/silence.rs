//! `silence`: something that used to speak does not any more. A group is a site, the field names its members (agents, log sources);
//! the timespan is how long a member may be quiet.
//!
//! ```yaml
//! type: silence
//! group-by: [unit.id]
//! timespan: 2m
//! condition: { field: agent.id, scope: site, share: 80, gte: 2 }   # or scope: one
//! ```
//! Whether one member is silent or the whole site is decided `hold:` later (15 s where not written), because members of a site that
//! goes down fall silent one after another: `scope: site` tells once when at least `share:` percent (80) of the members are silent,
//! `scope: one` tells each member that is silent while fewer are. A member is known once it has spoken `minimum:` times (3), and
//! forgotten when it has been silent for `forget:` (24 h): a host that was taken away does not count for ever.
//!
//! Bounded: `MEMBERS_MAX` members a site; further ones are not watched, which is counted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use event::Reason;
use rule::{Bound, Correlation};

use super::{
    Hit, Input, Judged, Kind, Memory, NoTally, Pending, Refusal, Sample, Samples, Tally, Telling, checked, first_value, one_field, shown,
    span, whole,
};
use crate::bytes::{Reader, Writer};
use crate::episode::{keep_tag, tag_name};
use crate::state::StateError;

const MEMBERS_MAX: usize = 10_000;
const HOLD_NS: i64 = 15 * event::SECOND_NS;
const FORGET_NS: i64 = 86_400 * event::SECOND_NS;
/// Members whose last event is told.
const EVIDENCE_MAX: usize = event::EVIDENCE_MAX;

pub(super) struct Silence;

fn is_site(rule: &Correlation) -> bool {
    rule.parameters.get("scope").is_some_and(|s| s == "site")
}

impl Kind for Silence {
    fn word(&self) -> &'static str {
        "silence"
    }
    fn about(&self) -> &'static str {
        "a member of a site, or the whole site, no longer speaks"
    }
    fn parameters(&self) -> &'static [&'static str] {
        &["scope", "share", "hold", "minimum", "forget"]
    }
    fn check(&self, rule: &Correlation) -> Result<(), Refusal> {
        one_field(rule, "silence")?;
        match rule.parameters.get("scope").map_or("one", String::as_str) {
            "one" | "site" => {}
            other => return Err((format!("'scope: {other}'"), "'one' or 'site'".into())),
        }
        whole(rule, "share", 80, 1, 100)?;
        whole(rule, "minimum", 3, 1, 1_000)?;
        let hold = span(rule, "hold", HOLD_NS)?;
        if span(rule, "forget", FORGET_NS)? <= rule.timespan_ns.saturating_add(hold) {
            return Err((
                "a member would be forgotten before its silence is told".into(),
                "make `forget:` longer than the timespan".into(),
            ));
        }
        Ok(())
    }
    fn default_threshold(&self, rule: &Correlation) -> Option<f64> {
        Some(if is_site(rule) { 2.0 } else { 1.0 })
    }
    fn judged(&self) -> Judged {
        Judged::Memory
    }
    fn read<'a>(&self, input: &mut Input<'a, '_>, out: &mut Samples<'a>) {
        let Some(value) = input.rule.fields.first().and_then(|key| first_value(key, input.slot, input.finding)) else { return };
        if let Some(name) = input.names.intern(value) {
            out.push(Sample { value: u64::from(name), mark: input.slots, label: Some(Cow::Borrowed(value)) });
        }
    }
    fn names_in_value(&self) -> bool {
        true
    }
    fn tally(&self, _rule: &Correlation) -> Box<dyn Tally> {
        Box::new(NoTally)
    }
    fn memory(&self, rule: &Correlation) -> Option<Box<dyn Memory>> {
        let fallback = [Bound { operator: rule::Operator::Gte, value: if is_site(rule) { 2.0 } else { 1.0 } }];
        Some(Box::new(Site {
            timespan: rule.timespan_ns,
            site: is_site(rule),
            share: checked(rule, "share", 80) as usize,
            minimum: checked(rule, "minimum", 3) as u32,
            hold: span(rule, "hold", HOLD_NS).unwrap_or(HOLD_NS),
            forget: span(rule, "forget", FORGET_NS).unwrap_or(FORGET_NS),
            bounds: if rule.condition.is_empty() { fallback.to_vec() } else { rule.condition.clone() },
            members: BTreeMap::new(),
            next: i64::MAX,
            not_before: i64::MIN,
            newest: i64::MIN,
            told: false,
            unwatched: 0,
        }))
    }
    fn reason(&self, t: &Telling<'_>) -> Reason {
        let id = if is_site(t.rule) { "site_silent" } else { "member_silent" };
        Reason::new(id).arg("silent", shown(t.measured)).arg("members", t.note(0)).arg("field", t.fields()).arg("window_s", t.window_s())
    }
}

struct Member {
    last: i64,
    lane: u32,
    seq: u64,
    spoken: u32,
    state: State,
    tags: Box<[u32]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Speaking,
    /// Silent since; not yet said whose silence it is.
    Quiet(i64),
    /// Said, or part of a site's silence.
    Judged(i64),
}

struct Site {
    timespan: i64,
    site: bool,
    share: usize,
    minimum: u32,
    hold: i64,
    forget: i64,
    bounds: Vec<Bound>,
    members: BTreeMap<u32, Member>,
    next: i64,
    /// Nobody is silent before this: the program was away.
    not_before: i64,
    newest: i64,
    /// The site's silence was told and goes on.
    told: bool,
    unwatched: u64,
}

impl Site {
    fn known(&self) -> usize {
        self.members.values().filter(|m| m.spoken >= self.minimum).count()
    }
    fn silent(&self) -> usize {
        self.members.values().filter(|m| m.state != State::Speaking).count()
    }
    fn down(&self) -> bool {
        self.silent() * 100 >= self.share * self.known().max(1) && self.known() > 1
    }

    /// Event time is `mark`: who has fallen silent, and whose silence it is.
    fn step(&mut self, mark: i64, hits: &mut Vec<Hit>) {
        let (forget, minimum, timespan) = (self.forget, self.minimum, self.timespan);
        self.members.retain(|_, m| m.last.saturating_add(forget) > mark);
        for m in self.members.values_mut().filter(|m| m.spoken >= minimum && m.state == State::Speaking) {
            let since = m.last.max(self.not_before).saturating_add(timespan);
            if since < mark {
                m.state = State::Quiet(since);
            }
        }
        if !self.down() {
            self.told = false;
        }
        let quiet = |m: &Member| if let State::Quiet(since) = m.state { Some(since) } else { None };
        let ripe: Vec<(u32, i64)> = self
            .members
            .iter()
            .filter_map(|(n, m)| Some((*n, quiet(m)?)))
            .filter(|(_, since)| since.saturating_add(self.hold) < mark)
            .collect();
        if !ripe.is_empty() {
            let silent = self.silent();
            let holds = self.bounds.iter().all(|b| b.holds(silent as f64));
            if self.site && self.down() && holds && !self.told {
                self.told = true;
                let all: Vec<u32> = self.members.iter().filter(|(_, m)| m.state != State::Speaking).map(|(n, _)| *n).collect();
                let since = |m: &Member| if let State::Quiet(since) | State::Judged(since) = m.state { Some(since) } else { None };
                let since = self.members.values().filter_map(since).max().unwrap_or(mark);
                hits.push(self.hit(&all, since, silent));
            } else if !self.site && !self.down() && holds {
                for (name, since) in &ripe {
                    hits.push(self.hit(&[*name], *since, silent));
                }
            }
            for (name, since) in ripe {
                if let Some(m) = self.members.get_mut(&name) {
                    m.state = State::Judged(since);
                }
            }
        }
        let ahead = |m: &Member| match m.state {
            State::Speaking if m.spoken >= minimum => m.last.max(self.not_before).saturating_add(timespan),
            State::Quiet(since) => since.saturating_add(self.hold),
            State::Speaking | State::Judged(_) => m.last.saturating_add(forget),
        };
        self.next = self.members.values().map(ahead).min().unwrap_or(i64::MAX);
    }

    fn hit(&self, who: &[u32], since: i64, measured: usize) -> Hit {
        let mut tags = Vec::new();
        let mut evidence = Vec::new();
        for member in who.iter().filter_map(|n| self.members.get(n)) {
            member.tags.iter().for_each(|t| keep_tag(&mut tags, *t));
            evidence.push((member.last, member.lane, member.seq));
        }
        evidence.sort_unstable();
        evidence.truncate(EVIDENCE_MAX);
        Hit {
            from: evidence.first().map_or(since, |e| e.0),
            time: since,
            measured: measured as f64,
            evidence,
            count: who.len() as u64,
            tags: tags.into(),
            labels: who.iter().copied().take(32).collect(),
            notes: vec![self.known() as u64],
        }
    }
}

impl Memory for Site {
    fn settle(&mut self, pending: &Pending, _hits: &mut Vec<Hit>) {
        let e = &pending.entry;
        self.newest = self.newest.max(e.time);
        let name = e.value as u32;
        if !self.members.contains_key(&name) && self.members.len() >= MEMBERS_MAX {
            self.unwatched += 1;
            return;
        }
        let empty = Member { last: i64::MIN, lane: 0, seq: 0, spoken: 0, state: State::Speaking, tags: Box::default() };
        let member = self.members.entry(name).or_insert(empty);
        if e.time >= member.last {
            (member.last, member.lane, member.seq) = (e.time, e.lane, e.seq);
            if member.tags != pending.tags {
                member.tags = pending.tags.clone();
            }
        }
        member.spoken = member.spoken.saturating_add(1);
        member.state = State::Speaking;
        if self.told && !self.down() {
            self.told = false;
        }
        self.next = self.next.min(e.time.saturating_add(self.timespan));
    }

    /// In steps, each at the very time it is due: how far the watermark jumps changes nothing.
    fn pass(&mut self, mark: i64, hits: &mut Vec<Hit>) {
        while self.next < mark && self.not_before < mark {
            let time = self.next.max(self.not_before);
            self.step(time.saturating_add(1), hits);
        }
    }

    fn due(&self) -> Option<i64> {
        (self.next != i64::MAX).then(|| self.next.max(self.not_before))
    }
    fn expires(&self) -> i64 {
        self.newest.saturating_add(self.forget)
    }
    fn worth(&self) -> u32 {
        6
    }
    fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.unwatched)
    }
    fn bytes(&self) -> usize {
        self.members.len() * 120
    }
    fn names(&self, each: &mut dyn FnMut(u32)) {
        for (name, m) in &self.members {
            each(*name);
            m.tags.iter().for_each(|t| each(tag_name(*t)));
        }
    }
    fn lanes(&self, each: &mut dyn FnMut(u32)) {
        self.members.values().for_each(|m| each(m.lane));
    }
    fn resumed(&mut self, now: i64) {
        self.not_before = self.not_before.max(now);
    }
    fn save(&self, w: &mut Writer) {
        for n in [self.next, self.not_before, self.newest] {
            w.i64(n);
        }
        w.u8(u8::from(self.told));
        w.len(self.members.len());
        for (name, m) in &self.members {
            w.u32(*name);
            w.i64(m.last);
            w.u32(m.lane);
            w.u64(m.seq);
            w.u32(m.spoken);
            let (state, since) = match m.state {
                State::Speaking => (0, 0),
                State::Quiet(since) => (1, since),
                State::Judged(since) => (2, since),
            };
            w.u8(state);
            w.i64(since);
            super::save_tags(w, &m.tags);
        }
    }
    fn load(&mut self, r: &mut Reader<'_>) -> Result<(), StateError> {
        (self.next, self.not_before, self.newest) = (r.i64()?, r.i64()?, r.i64()?);
        self.told = r.u8()? != 0;
        for _ in 0..r.len()? {
            let (name, last, lane, seq, spoken) = (r.u32()?, r.i64()?, r.u32()?, r.u64()?, r.u32()?);
            let (state, since) = (r.u8()?, r.i64()?);
            let state = match state {
                0 => State::Speaking,
                1 => State::Quiet(since),
                _ => State::Judged(since),
            };
            self.members.insert(name, Member { last, lane, seq, spoken, state, tags: super::load_tags(r)?.into() });
        }
        Ok(())
    }
}
