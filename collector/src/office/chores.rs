//! What the desk does by itself besides letting time pass: counts bulletins, drafts those of a period that is over, and holds orders against what
//! agents say. Every step is an act of the desk, recorded like a person's; nothing here decides anything.
//!
//! Limits: `ROWS_MAX` matters of a kind and `ALERTS_MAX` alerts are counted for a bulletin (a city has far fewer in two months; beyond that the
//! log says so), `ORDERS_MAX` open orders are looked at in one round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use event::Timestamp;
use event::field;
use matter::bulletin::count::{AlertFact, Blind, Coverage, Facts, Gap};
use matter::bulletin::period::{Every, Period};
use matter::bulletin::{self, Bulletin};
use matter::order::{self, Check, CheckResult, Holds, One, WorkOrder};
use matter::reconcile::{Heard, SILENT_AFTER_S};
use matter::{Actor, Book, Both, Matter, Order};
use tracing::{error, warn};

use super::Office;
use crate::serve::Board;
use crate::store::desk::{AlertQuery, MatterQuery};
use crate::store::{DeskStore, EventStore, Filter, Query, Scope};

const PAGE: usize = 500;
const ROWS_MAX: usize = 100_000;
const ALERTS_MAX: usize = 1_000_000;
const ORDERS_MAX: usize = 1_000;

/// Everything it looks at.
pub struct Chores {
    pub office: Arc<Office>,
    pub desk: Arc<dyn DeskStore>,
    pub events: Arc<dyn EventStore>,
    pub board: Arc<Board>,
}

type Step = fn(&Chores, Timestamp) -> anyhow::Result<usize>;

impl Chores {
    /// One round; says how many acts it did. What fails is logged and tried in the next round.
    pub fn run(&self, now: Timestamp) -> usize {
        let steps: [(&str, Step); 3] =
            [("drafting bulletins", Self::draft), ("counting bulletins", Self::count), ("checking orders", Self::check)];
        let mut done = 0;
        for (what, step) in steps {
            match step(self, now) {
                Ok(n) => done += n,
                Err(error) => error!(error = format!("{error:#}"), "{what} failed"),
            }
        }
        done
    }

    /// A bulletin for each period that went by since the last round, also across a restart. The first round ever only notes where it stands.
    fn draft(&self, now: Timestamp) -> anyhow::Result<usize> {
        let offset = self.office.book().tables.desk.utc_offset_min;
        let mut done = 0;
        for every in [Every::Daily, Every::Weekly, Every::Monthly] {
            let last = Period::last(every, now, offset);
            let setting = format!("bulletin.{}", every.name());
            let known = self.desk.setting(&setting)?;
            if known.as_deref() == Some(&last.key()) {
                continue;
            }
            if known.is_some() {
                self.act::<Bulletin>(None, &bulletin::Act::Draft { every, day: last.day() }, now)?;
                done += 1;
            }
            self.desk.put_setting(&setting, &last.key())?;
        }
        Ok(done)
    }

    fn count(&self, now: Timestamp) -> anyhow::Result<usize> {
        let mut done = 0;
        for (id, body) in self.all("bulletin", true, false)? {
            let Ok(draft) = serde_json::from_value::<Bulletin>(body) else { continue };
            let whole = draft.period.to <= now;
            if !draft.wants_figures() || (draft.figures.is_some() && !whole) {
                continue;
            }
            let figures = Box::new(self.facts(draft.period.before().from, now)?.figures(draft.period));
            self.act::<Bulletin>(Some(&id), &bulletin::Act::Counted { figures }, now)?;
            done += 1;
        }
        Ok(done)
    }

    /// What a bulletin is counted of.
    pub fn facts(&self, since: Timestamp, now: Timestamp) -> anyhow::Result<Facts> {
        let mut facts = Facts::default();
        for kind in ["campaign", "incident", "warning", "receipt", "order", "clock", "drill"] {
            let mut unread = 0;
            for (id, body) in self.all(kind, false, kind == "drill")? {
                unread += usize::from(!facts.add(kind, &id, &body));
            }
            if unread > 0 {
                warn!(kind, unread, "matters that no bulletin can read");
            }
        }
        let mut query = AlertQuery { since: Some(since.ns()), limit: PAGE, ..AlertQuery::default() };
        loop {
            let page = self.desk.alerts(&Scope::CITY, &query)?;
            facts.alerts.extend(page.alerts.iter().map(|alert| AlertFact {
                opened: Timestamp::from_ns(alert.opened_time),
                exercise: false,
                close_reason:
                    alert.close_reason.and_then(|r| serde_json::to_value(r).ok()?.as_str().map(str::to_owned)).unwrap_or_default(),
            }));
            if page.next.is_none() || facts.alerts.len() >= ALERTS_MAX {
                break;
            }
            query.after = page.next;
        }
        let heard = self.board.heard(&Scope::CITY);
        (facts.coverage, facts.blind) = coverage(&self.office.book(), &heard, now);
        facts.gaps = self.gaps()?;
        Ok(facts)
    }

    fn gaps(&self) -> anyhow::Result<Vec<Gap>> {
        let held = self.events.held(&Scope::CITY)?;
        let mut gaps: Vec<Gap> = held
            .classes
            .iter()
            .filter(|c| !c.missing_days.is_empty())
            .map(|c| {
                let (n, class) = (c.missing_days.len(), c.class.name());
                let first = c.missing_days.first().map_or(Timestamp::ZERO, |day| Timestamp::from_secs(day * 86_400)).to_string();
                let first = first.get(..10).unwrap_or_default();
                let what =
                    Both::new(format!("{class} 类记录缺 {n} 天，自 {first}"), format!("{class}: {n} days without a record, from {first}"));
                Gap { unit: String::new(), what }
            })
            .collect();
        gaps.extend(held.damaged.iter().map(|file| Gap {
            unit: String::new(),
            what: Both::new(format!("存储段损坏或缺失：{file}"), format!("segment damaged or missing: {file}")),
        }));
        Ok(gaps)
    }

    /// Orders with checks that are not closed, held against what agents say; only what changed is recorded.
    fn check(&self, now: Timestamp) -> anyhow::Result<usize> {
        let mut done = 0;
        let heard = self.board.heard(&Scope::CITY);
        let orders = [self.all("order", true, false)?, self.all("order", true, true)?].concat();
        for (id, body) in orders.into_iter().take(ORDERS_MAX) {
            let Ok(WorkOrder::One(one)) = serde_json::from_value::<WorkOrder>(body) else { continue };
            let mut results = Vec::new();
            for (at, check) in one.checks.iter().enumerate() {
                let result = self.look(&one, at, check, &heard, now)?;
                if one.results.iter().all(|r| r.check != at || r.holds != result.holds) {
                    results.push(result);
                }
            }
            if !results.is_empty() {
                self.act::<WorkOrder>(Some(&id), &order::Act::Checked { results }, now)?;
                done += 1;
            }
        }
        Ok(done)
    }

    /// What agents say of one check. An agent that is silent says nothing of now.
    fn look(&self, one: &One, at: usize, check: &Check, heard: &[Heard], now: Timestamp) -> anyhow::Result<CheckResult> {
        let unknown = |zh: &str, en: &str| CheckResult { check: at, holds: Holds::Unknown, seen: None, detail: Both::new(zh, en) };
        let here = |name: &str| {
            heard
                .iter()
                .find(|h| h.unit == one.unit && !h.revoked && (h.host.eq_ignore_ascii_case(name) || h.addresses.iter().any(|a| a == name)))
        };
        Ok(match check {
            Check::PortClosed { address, port } => match here(address) {
                None => unknown("该主机没有探针", "no agent of the unit is on that host"),
                Some(agent) if !awake(agent, now) => unknown("该主机的探针已失联", "the agent on that host is silent"),
                Some(Heard { ports: None, .. }) => {
                    unknown("探针未上报监听端口，请人工核实", "the agent does not report ports; verify by hand")
                }
                Some(Heard { ports: Some(ports), last_seen, .. }) => {
                    let open = ports.contains(port);
                    let detail = match open {
                        true => Both::new(format!("端口 {port} 仍在监听"), format!("port {port} is still open")),
                        false => Both::new(format!("端口 {port} 已不在监听"), format!("nothing listens on port {port}")),
                    };
                    CheckResult { check: at, holds: if open { Holds::No } else { Holds::Yes }, seen: *last_seen, detail }
                }
            },
            Check::FileRestored { host, path, hash } => {
                let filter = Filter::And(vec![Filter::eq(field::FILE_PATH, path), Filter::eq(field::DEVICE_HOSTNAME, host)]);
                let query = Query { filter, limit: 1, ..Query::default() };
                let page = self.events.search(&Scope::units([one.unit.clone()]), &query)?;
                let newest = page.events.first();
                let text = newest
                    .and_then(|e| e.get(field::RESULT_SHA256).or_else(|| e.get(field::FILE_SHA256)))
                    .map(|v| v.to_text().into_owned());
                match text {
                    None => unknown("没有该文件的完整性记录", "no integrity record of that file"),
                    Some(found) => {
                        let same = found.eq_ignore_ascii_case(hash);
                        let detail = Both::new(format!("最新 SHA-256：{found}"), format!("newest SHA-256: {found}"));
                        CheckResult { check: at, holds: if same { Holds::Yes } else { Holds::No }, seen: newest.map(|e| e.time), detail }
                    }
                }
            }
            Check::PackageUpdated { host, name, version } => {
                let parts = [(field::PACKAGE_NAME, name), (field::DEVICE_HOSTNAME, host)].map(|(field, text)| Filter::eq(field, text));
                let query = Query { filter: Filter::And(parts.into()), limit: 1, ..Query::default() };
                let page = self.events.search(&Scope::units([one.unit.clone()]), &query)?;
                let newest = page.events.first();
                match newest.map(|e| (e, e.get(field::PACKAGE_VERSION).map(|v| v.to_text().into_owned()))) {
                    None => unknown("探针未见该软件包变更，请人工核实", "no agent saw that package change; verify by hand"),
                    Some((_, None)) => unknown("该软件包已卸载，请人工核实", "the package was removed; verify by hand"),
                    Some((event, Some(there))) => {
                        let holds = super::version::compare(&there, version).is_ge();
                        let detail = Both::new(format!("现为 {name} {there}"), format!("{name} {there} is there"));
                        CheckResult { check: at, holds: if holds { Holds::Yes } else { Holds::No }, seen: Some(event.time), detail }
                    }
                }
            }
        })
    }

    /// Matters of a kind, newest change first.
    fn all(&self, kind: &str, open: bool, exercise: bool) -> anyhow::Result<Vec<(String, serde_json::Value)>> {
        let mut rows = Vec::new();
        let mut query = MatterQuery { kind: kind.to_owned(), open, exercise, limit: PAGE, ..MatterQuery::default() };
        loop {
            let page = self.desk.matters(&Scope::CITY, &query)?;
            rows.extend(page.matters.into_iter().map(|m| (m.id, m.body)));
            if page.next.is_none() {
                return Ok(rows);
            }
            if rows.len() >= ROWS_MAX {
                warn!(kind, rows = rows.len(), "more matters than are looked at");
                return Ok(rows);
            }
            query.after = page.next;
        }
    }

    fn act<M: Matter>(&self, id: Option<&str>, act: &M::Act, now: Timestamp) -> anyhow::Result<()> {
        let order =
            Order { kind: M::KIND.to_owned(), id: id.map(str::to_owned), expected: None, act: serde_json::to_value(act)?, key: None };
        self.office.act(&Actor::desk(), now, order)?;
        Ok(())
    }
}

/// Whether it was heard lately.
fn awake(agent: &Heard, now: Timestamp) -> bool {
    agent.last_seen.is_some_and(|t| now.since(t) < SILENT_AFTER_S * event::SECOND_NS)
}

/// Who is watched now, and the units nothing is seen of.
fn coverage(book: &Book, heard: &[Heard], now: Timestamp) -> (Coverage, Vec<Blind>) {
    let heard: Vec<&Heard> = heard.iter().filter(|h| !h.revoked).collect();
    let awake = |h: &Heard| awake(h, now);
    let watched: BTreeSet<&str> = heard.iter().filter(|h| awake(h)).map(|h| h.unit.as_str()).collect();
    let mut newest: BTreeMap<&str, Option<Timestamp>> = BTreeMap::new();
    for h in &heard {
        let last = newest.entry(&h.unit).or_default();
        *last = (*last).max(h.last_seen);
    }
    // An asset that names no host is not expected to speak.
    let expected: Vec<_> = book.assets.values().filter(|a| a.agent.is_some() || a.hostname.is_some()).collect();
    let speaks = |a: &matter::register::Asset| {
        heard.iter().any(|h| {
            let named =
                a.agent.as_deref() == Some(h.agent.as_str()) || a.hostname.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(&h.host));
            h.unit == a.unit && named && awake(h)
        })
    };
    let blind = book.units.keys().filter(|id| !watched.contains(id.as_str())).map(|id| {
        let (why, since) = match newest.get(id.as_str()) {
            None => (Both::new("没有探针", "no agent"), None),
            Some(since) => (Both::new("探针全部失联", "all agents are silent"), *since),
        };
        Blind { unit: id.clone(), why, since }
    });
    let coverage = Coverage {
        units: book.units.len() as u64,
        units_watched: book.units.keys().filter(|id| watched.contains(id.as_str())).count() as u64,
        assets: expected.len() as u64,
        assets_watched: expected.iter().filter(|a| speaks(a)).count() as u64,
        agents: heard.len() as u64,
        agents_silent: heard.iter().filter(|h| !awake(h)).count() as u64,
    };
    (coverage, blind.collect())
}

#[cfg(test)]
mod tests {
    use matter::register::{Asset, Unit};

    use super::*;
    use crate::office::{Office, SigningKey, tables};
    use crate::serve::Feed;
    use crate::store::{MemoryStore, SqliteDesk};

    fn book(folder: &std::path::Path) -> Book {
        let unit = |id: &str| (id.to_owned(), Unit { id: id.into(), name: id.into(), sector: "finance".into(), ..Unit::default() });
        Book {
            tables: Arc::new(tables(None, None).unwrap()),
            units: [unit("bank"), unit("grid")].into(),
            objects: BTreeMap::new(),
            assets: BTreeMap::new(),
            places: Default::default(),
            signer: Arc::new(SigningKey::open(folder).unwrap()),
            flaws: Arc::new(()),
            pseudonyms: [1; 32],
        }
    }

    fn chores(folder: &std::path::Path) -> Chores {
        let desk: Arc<dyn DeskStore> = Arc::new(SqliteDesk::open(&folder.join("desk.db")).unwrap());
        let office = Arc::new(Office::new(desk.clone(), Arc::new(Feed::new(0, 100)), book(folder)));
        Chores { office, desk, events: Arc::new(MemoryStore::new(100)), board: Arc::default() }
    }

    const T: Timestamp = Timestamp::from_secs(1_795_392_000);

    #[test]
    fn a_bulletin_is_drafted_when_its_day_is_over_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let chores = chores(folder.path());
        assert_eq!(chores.run(T), 0, "the first round notes where it stands");
        assert_eq!(chores.run(T.plus_secs(3600)), 0);
        // 2026-11-24 local: the 23rd is over.
        let next = T.plus_secs(86_400);
        assert_eq!(chores.run(next), 2, "drafted and counted");
        assert_eq!(chores.run(next.plus_secs(10)), 0);
        let (id, body) = chores.all("bulletin", true, false).unwrap().remove(0);
        let daily: Bulletin = serde_json::from_value(body).unwrap();
        assert_eq!((daily.period.day().as_str(), daily.figures.unwrap().blind.len()), ("2026-11-23", 2));
        chores.act::<Bulletin>(Some(&id), &bulletin::Act::Issue {}, next).unwrap();
        assert_eq!(chores.run(next.plus_secs(20)), 0);
    }

    #[test]
    fn a_check_says_what_is_not_known_once() {
        let folder = tempfile::tempdir().unwrap();
        let chores = chores(folder.path());
        chores.run(T);
        let issue = serde_json::json!({"act": "issue", "units": ["bank"], "title": {"zh": "关"}, "todo": [{"zh": "关"}],
            "checks": [{"check": "port_closed", "address": "db", "port": 1}, {"check": "file_restored", "host": "db", "path": "/etc/x", "hash": "0".repeat(64)}]});
        chores.act::<WorkOrder>(None, &serde_json::from_value(issue).unwrap(), T).unwrap();
        assert_eq!((chores.run(T), chores.run(T.plus_secs(9))), (1, 0));
        let (_, body) = chores.all("order", true, false).unwrap().remove(0);
        assert_eq!(body["results"][0]["detail"]["en"], "no agent of the unit is on that host");
        assert_eq!(body["results"][1]["holds"], "unknown");
    }

    #[test]
    fn a_package_is_held_against_what_the_hosts_own_log_says() {
        let folder = tempfile::tempdir().unwrap();
        let chores = chores(folder.path());
        chores.run(T);
        let issue = serde_json::json!({"act": "issue", "units": ["bank"], "title": {"zh": "升级"}, "todo": [{"zh": "升级 openssl"}],
            "checks": [{"check": "package_updated", "host": "db", "name": "openssl", "version": "3.0.15-1"}]});
        chores.act::<WorkOrder>(None, &serde_json::from_value(issue).unwrap(), T).unwrap();
        let mut seq = 0;
        let mut said = |at: i64, unit: &str, line: &str| {
            seq += 1;
            let line = proto::log::Line { bytes: line.as_bytes(), received: T.plus_secs(at), utc_offset_secs: 0, format: None };
            let (class, mut event) = proto::log::read(&line);
            event.id = event::EventId { agent: event::AgentId(1), epoch: event::Epoch(1), class, seq };
            event.time = T.plus_secs(at);
            event.body.set(field::DEVICE_HOSTNAME, "db");
            event.body.set(field::UNIT_ID, unit);
            chores.events.append(crate::store::Offset(seq), &[Arc::new(event)]).unwrap();
            chores.run(T.plus_secs(at));
            let (_, body) = chores.all("order", true, false).unwrap().remove(0);
            (body["results"][0]["holds"].clone(), body["results"][0]["detail"]["en"].clone())
        };
        // Another unit's host of the same name says nothing of this one.
        assert_eq!(said(10, "grid", "2026-11-23 01:00:00 status installed openssl:amd64 9.0-1").0, "unknown");
        let old = said(20, "bank", "2026-11-23 01:00:00 status installed openssl:amd64 3.0.14-1~deb12u2");
        assert_eq!(old, ("no".into(), "openssl 3.0.14-1~deb12u2 is there".into()));
        assert_eq!(said(30, "bank", "2026-11-23T01:00:00+0800 SUBDEBUG Upgrade: openssl-1:3.0.7-27.el9.x86_64").0, "yes");
        assert_eq!(said(40, "bank", "2026-11-23 01:00:00 status not-installed openssl:amd64 <none>").0, "unknown");
    }

    #[test]
    fn a_port_is_closed_when_an_agent_that_is_awake_no_longer_names_it() {
        use event::{AgentId, Event, Kind, LogSource};
        let folder = tempfile::tempdir().unwrap();
        let chores = chores(folder.path());
        let say = |at: i64, ports: Option<Vec<i64>>| {
            let mut said = Event::new(T.plus_secs(at), Kind::InventoryInfo, 2, LogSource::new("vedette", "agent", "identity"))
                .with(field::UNIT_ID, "bank")
                .with(field::DEVICE_HOSTNAME, "db")
                .with(field::RECEIVED_TIME, T.plus_secs(at).ms());
            said.id.agent = AgentId(7);
            if let Some(ports) = ports {
                said.body.set(field::DEVICE_PORTS, ports.into_iter().map(event::Value::Int).collect::<Vec<_>>());
            }
            chores.board.observe(&[Arc::new(said)], T);
        };
        let issue = serde_json::json!({"act": "issue", "units": ["bank"], "title": {"zh": "关"}, "todo": [{"zh": "关"}],
            "checks": [{"check": "port_closed", "address": "DB", "port": 6379}]});
        chores.act::<WorkOrder>(None, &serde_json::from_value(issue).unwrap(), T).unwrap();
        let result = |at: i64| {
            chores.run(T.plus_secs(at));
            chores.all("order", true, false).unwrap().remove(0).1["results"][0].clone()
        };
        for (at, ports, holds) in [
            (0, Some(vec![22, 6379]), "no"),
            (60, Some(vec![22]), "yes"),
            (120, Some(vec![22, 6379]), "no"),
            // It cannot tell any more: what it told before counts no more.
            (180, None, "unknown"),
            (240, Some(vec![]), "yes"),
        ] {
            say(at, ports);
            assert_eq!(result(at)["holds"], holds, "{at}");
        }
        assert_eq!(result(240 + SILENT_AFTER_S)["detail"]["en"], "the agent on that host is silent");
    }

    #[test]
    fn who_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = book(folder.path());
        for (id, unit, host) in [("a1", "bank", "db"), ("a2", "grid", "scada")] {
            let asset = Asset { id: id.into(), unit: unit.into(), hostname: Some(host.into()), ..Asset::default() };
            book.assets.insert(id.into(), asset);
        }
        let heard = |unit: &str, host: &str, ago: i64| Heard {
            agent: host.into(),
            unit: unit.into(),
            host: host.into(),
            last_seen: Some(T.plus_secs(-ago)),
            ..Heard::default()
        };
        let (coverage, blind) = coverage(&book, &[heard("bank", "DB", 5), heard("grid", "scada", 7200)], T);
        assert_eq!((coverage.units, coverage.units_watched, coverage.assets_watched, coverage.agents_silent), (2, 1, 1, 1));
        assert_eq!((blind[0].unit.as_str(), blind[0].why.en.as_str()), ("grid", "all agents are silent"));
    }
}
