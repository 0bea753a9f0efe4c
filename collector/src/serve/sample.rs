//! A small city held in memory, for tests and for pictures of the console: five units in five sectors, agents in every state,
//! alerts of every severity with their events. No clock of its own: everything hangs on the `now` it is given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use event::{AgentId, Class, Epoch, Event, EventId, Kind, LogSource, Severity, Timestamp, Value, field};
use serde_json::json;
use warning::{Alert, AlertId, AlertReason, AlertState, Judgement, UnitRef};

use super::people::{LoginLimiter, hash_password, token_hash};
use super::{Backstage, Board, Feed, Ready, ServeConfig, Shared};
use crate::metrics::ServeMetrics;
use crate::office;
use crate::register::{Contact, Register, Row, RowKind, Unit};
use crate::store::desk::{DeskError, Person, RegisterRow, Step, TokenRow};
use crate::store::{DeskStore, MemoryStore, Offset, SqliteDesk};

/// (id, name, sector).
pub const UNITS: [(&str, &str, &str); 5] = [
    ("bank-1", "江城商业银行", "finance"),
    ("grid-1", "江城供电公司", "power"),
    ("gas-1", "江城燃气集团", "energy"),
    ("telecom-1", "江城电信分公司", "telecom"),
    ("metro-1", "江城地铁运营公司", "transport"),
];
pub const PASSWORD: &str = "beacon-tower-42";

/// The clock of the sample; tests move it.
static NOW: AtomicI64 = AtomicI64::new(1_795_000_000_000_000_000);

pub fn clock() -> Timestamp {
    Timestamp::from_ns(NOW.load(Ordering::Relaxed))
}

/// Remembers what it was told.
#[derive(Default)]
pub struct SampleStage {
    pub judged: Mutex<Vec<Judgement>>,
    pub baselines: Mutex<crate::baseline::Baselines>,
    pub register: RwLock<Arc<Register>>,
    pub desk: Option<Arc<dyn DeskStore>>,
}

const RULE: &str = "title: Vertical port scan\nid: 5f0f4e52-0d5c-4d0f-9b49-0c3f6d1a7e11\nstatus: stable\ncorrelation:\n  type: value_count\n  rules: [connection_attempt]\n  group-by: [src_endpoint.ip, dst_endpoint.ip]\n  timespan: 60s\n  condition:\n    field: dst_endpoint.port\n    gte: 20\nlevel: high\ntags: [attack.reconnaissance, attack.t1046]\n";

impl Backstage for SampleStage {
    fn baselines(&self, act: crate::pipeline::BaselineAct) -> bool {
        act(&mut self.baselines.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        true
    }
    fn rules(&self) -> api::RulePage {
        let rule = |n: usize| api::Rule {
            id: KINDS[n].0.to_owned(),
            title: KINDS[n].1.to_owned(),
            title_zh: KINDS[n].2.to_owned(),
            description: KINDS[n].3.to_owned(),
            severity: KINDS[n].4.name().to_owned(),
            kind: "correlation".to_owned(),
            log_source: "*/network_connection/flow".to_owned(),
            techniques: vec![KINDS[n].5.to_owned()],
            tags: Vec::new(),
            author: "Vedette".to_owned(),
            path: format!("config/rules/network/{}.yml", KINDS[n].0),
            alerts: true,
            shadow: false,
            source: RULE.to_owned(),
        };
        api::RulePage {
            items: (0..KINDS.len()).map(rule).collect(),
            faults: vec![api::RuleFault {
                path: "config/rules/own/typo.yml".into(),
                line: 7,
                column: 5,
                message: "unknown modifier 'startwith' (did you mean 'startswith'?)".into(),
            }],
            loaded: clock().to_string(),
        }
    }
    fn reload(&self) -> api::Reloaded {
        api::Reloaded { successful: true, rules: KINDS.len() as u64, faults: Vec::new(), message: String::new() }
    }
    fn enrolment(&self, unit: &str, _note: &str, _by: &str, _now: Timestamp, _expires: Timestamp) -> Result<String, String> {
        Ok(format!("vedette1:collector.example:7444:{}:{}", "7c".repeat(32), unit.len().to_string().repeat(26)))
    }
    fn revoke(&self, _agent: AgentId, _reason: &str, _by: &str, _now: Timestamp) -> Result<bool, String> {
        Ok(true)
    }
    fn judged(&self, judgement: Judgement) {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).push(judgement);
    }
    fn links(&self) -> Vec<(AgentId, String)> {
        [1u64, 2, 3, 5].into_iter().map(|n| (AgentId(n), format!("192.0.2.{n}:51844"))).collect()
    }
    fn register(&self) -> Arc<Register> {
        self.register.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn register_changed(&self) {
        let rows = self.desk.as_ref().and_then(|desk| desk.register_rows().ok()).unwrap_or_default();
        let mut slot = self.register.write().unwrap_or_else(PoisonError::into_inner);
        *slot = Arc::new(slot.renewed(&rows));
    }
}

type KindRow = (&'static str, &'static str, &'static str, &'static str, Severity, &'static str);
const KINDS: [KindRow; 8] = [
    (
        "scan_vertical",
        "Vertical port scan",
        "纵向端口扫描",
        "One source tried many ports of one host in a short time.",
        Severity::High,
        "T1046",
    ),
    (
        "ssh_guess_success",
        "SSH password guessing, then success",
        "SSH 口令猜测后登录成功",
        "Many failed log-ons from one source, then one that succeeded.",
        Severity::Critical,
        "T1110.001",
    ),
    ("ssh_guess", "SSH password guessing", "SSH 口令猜测", "Many failed log-ons from one source.", Severity::Medium, "T1110.001"),
    (
        "web_traversal",
        "Path traversal on a web server",
        "网站路径穿越尝试",
        "A request path climbs out of the web root.",
        Severity::Medium,
        "T1190",
    ),
    (
        "same_source_units",
        "The same source in three or more units",
        "同一来源攻击三个以上单位",
        "One source is behind alerts in several units.",
        Severity::Critical,
        "T1595",
    ),
    ("cron_changed", "Cron job changed", "计划任务被修改", "A file of cron was created or changed.", Severity::Low, "T1053.003"),
    ("agent_silent", "Agent silent", "探针失联", "No heartbeat for a minute.", Severity::High, "T1562.001"),
    ("new_admin", "New privileged user", "新增特权用户", "A user was added to an administrators' group.", Severity::High, "T1136.001"),
];

fn unit(n: usize) -> UnitRef {
    let (id, name, sector) = UNITS[n % UNITS.len()];
    UnitRef { id: id.into(), name: name.into(), sector: sector.into() }
}

fn reason(id: &str, args: serde_json::Value) -> AlertReason {
    AlertReason { id: id.into(), args: serde_json::from_value(args).unwrap_or_default() }
}

/// The `n`-th alert, opened at `at`. The same arguments give the same alert.
pub fn alert(n: usize, at: Timestamp) -> Alert {
    let (rule, title, title_zh, description, severity, technique) = KINDS[n % KINDS.len()];
    let city = rule == "same_source_units";
    let attacker = format!("203.0.113.{}", 10 + n % 200);
    let target = format!("198.51.100.{}", 1 + n % 250);
    let host = format!("{}-srv-{:02}", UNITS[n % UNITS.len()].0, n % 40);
    let ports = 24 + n as u64 % 400;
    let reasons = match rule {
        "scan_vertical" => vec![
            reason("values_reached", json!({"count": ports, "threshold": 20, "window_s": 60, "field": "dst_endpoint.port"})),
            reason("important_object", json!({"importance": 3})),
        ],
        "same_source_units" => vec![reason("values_reached", json!({"count": 4, "threshold": 3, "window_s": 3600, "field": "unit.id"}))],
        "ssh_guess_success" => vec![
            reason("sequence_complete", json!({"rules": ["ssh_guess", "ssh_success"], "window_s": 600})),
            reason("count_reached", json!({"count": 38, "threshold": 8, "window_s": 120})),
        ],
        "ssh_guess" => vec![reason("count_reached", json!({"count": 8 + n % 90, "threshold": 8, "window_s": 120}))],
        "web_traversal" => vec![reason(
            "matched",
            json!({"field": "http_request.url.path", "value": "/cgi-bin/../../etc/passwd", "pattern": "contains '../'"}),
        )],
        "agent_silent" => vec![],
        _ => vec![reason("matched", json!({"field": "file.path", "value": "/etc/cron.d/update", "pattern": "startswith '/etc/cron'"}))],
    };
    let has_source = !matches!(rule, "agent_silent" | "cron_changed" | "new_admin");
    let first = at.minus_ns(40 * event::SECOND_NS);
    Alert {
        id: AlertId(format!("A{:016x}", 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(n as u64 + 1))),
        rule_id: rule.into(),
        title: title.into(),
        title_zh: title_zh.into(),
        description: description.into(),
        severity_id: severity as u8,
        state: AlertState::New,
        owner: None,
        close_reason: None,
        first_time: first.ns(),
        last_time: at.ns(),
        opened_time: at.ns(),
        updated_time: at.ns(),
        finding_count: 1 + n as u64 % 7,
        event_count: if has_source { ports } else { 1 },
        techniques: vec![technique.into()],
        tactics: vec![if rule.starts_with("scan") { "reconnaissance" } else { "credential-access" }.into()],
        flaws: Vec::new(),
        source_ips: if has_source { vec![attacker.clone()] } else { Vec::new() },
        target_ips: match (has_source, city) {
            (true, true) => (0..4).map(|k| format!("198.51.100.{}", 10 + k)).collect(),
            (true, false) => vec![target],
            _ => Vec::new(),
        },
        users: if rule.starts_with("ssh") { vec!["root".into(), "oracle".into()] } else { Vec::new() },
        hosts: vec![host],
        units: if city { (0..4).map(unit).collect() } else { vec![unit(n)] },
        reasons,
        evidence: if has_source { (1..=12).map(|k| event_id(n, k).to_string()).collect() } else { Vec::new() },
        group_key: if has_source { BTreeMap::from([("src_endpoint.ip".to_owned(), attacker)]) } else { BTreeMap::new() },
        revision: 1,
    }
}

fn event_id(n: usize, k: u64) -> EventId {
    EventId { agent: AgentId(1 + n as u64 % 5), epoch: Epoch(1_795_000_000), class: Class::Normal, seq: n as u64 * 100 + k }
}

/// The events behind the `n`-th alert.
pub fn events(n: usize, at: Timestamp) -> Vec<Arc<Event>> {
    let shown = alert(n, at);
    let ssh = shown.rule_id.starts_with("ssh");
    (1..=12u64)
        .map(|k| {
            let time = at.minus_ns((12 - k) as i64 * 3_300_000_000 + (k as i64 * k as i64 % 7) * 150_000_000);
            let mut event = if ssh {
                let user = if k % 3 == 0 { "oracle" } else { "root" };
                Event::new(time, Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
                    .with(field::USER_NAME, user)
                    .with(field::STATUS_ID, 2)
                    .with(field::AUTH_PROTOCOL, "password")
                    .with(
                        field::RAW_DATA,
                        format!(
                            "Nov 23 16:00:{:02} db sshd[41{k:02}]: Failed password for {user} from {} port 4{k:04} ssh2",
                            k + 10,
                            shown.source_ips[0]
                        ),
                    )
                    .with(field::LOG_PATH, "/var/log/auth.log")
            } else {
                Event::new(time, Kind::NetworkActivity, 5, LogSource::new("", "network_connection", "flow"))
                    .with(field::PROTOCOL, "tcp")
                    .with(field::CONN_STATE, "REJ")
                    .with(field::DST_PORT, 20 + k)
                    .with(field::SRC_PORT, 51_000 + k)
            };
            event.id = event_id(n, k);
            if let Some(ip) = shown.source_ips.first().and_then(|t| t.parse::<std::net::IpAddr>().ok()) {
                event.body.set(field::SRC_IP, ip);
            }
            if let Some(ip) = shown.target_ips.first().and_then(|t| t.parse::<std::net::IpAddr>().ok()) {
                event.body.set(field::DST_IP, ip);
            }
            let unit = shown.units.get(1).unwrap_or(&shown.units[0]);
            event.body.set(field::UNIT_ID, unit.id.as_str());
            event.body.set(field::UNIT_NAME, unit.name.as_str());
            event.body.set(field::UNIT_SECTOR, unit.sector.as_str());
            event.body.set(field::DEVICE_HOSTNAME, shown.hosts[0].as_str());
            Arc::new(event)
        })
        .collect()
}

/// Puts agents on the board; with `only`, those of one unit.
pub fn agents(board: &Board, now: Timestamp, only: Option<&str>) {
    /// Sensor, subject, state and reason.
    type Row = (&'static str, &'static str, &'static str, &'static str);
    let states: [(u64, i64, &[Row]); 6] = [
        (1, 2, &[("net", "eth0", "seeing", ""), ("log", "/var/log/auth.log", "seeing", ""), ("file", "/etc", "seeing", "")]),
        (
            2,
            4,
            &[
                ("net", "eth0", "seeing", ""),
                ("net", "eth1", "blind", "no right to capture: give the service CAP_NET_RAW"),
                ("log", "/var/log/syslog", "seeing", ""),
            ],
        ),
        (
            3,
            1,
            &[
                ("net", "ens192", "partial", "the kernel dropped 1.2 % of packets: raise buffer"),
                ("log", "/var/log/auth.log", "seeing", ""),
            ],
        ),
        (4, 340, &[("net", "eth0", "seeing", ""), ("log", "/var/log/auth.log", "seeing", "")]),
        (5, 24, &[("log", "/var/log/messages", "seeing", ""), ("file", "/etc", "seeing", "")]),
        (6, -1, &[]),
    ];
    for (n, age, coverage) in states {
        let (id, name, sector) = UNITS[(n as usize - 1) % UNITS.len()];
        if only.is_some_and(|unit| unit != id) {
            continue;
        }
        board.enrolled(AgentId(n), "", Some((id, name, sector)), false);
        if age < 0 {
            continue;
        }
        let received = now.minus_ns(age * event::SECOND_NS);
        let ledger = [
            format!("critical {} {} 0 0", 900 + n, 900 + n),
            format!("normal {} {} {} 0", 48_211 * n, 48_211 * n - 12, 12),
            format!("bulk {} {} 0 {}", 912_400, 912_400 - 40 * (n % 2), if n == 3 { 31 } else { 40 * (n % 2) }),
        ];
        let make = |service: &'static str, k: u64| {
            let mut event = Event::new(received, Kind::InventoryInfo, 1, LogSource::new("vedette", "agent", service))
                .with(field::RECEIVED_TIME, received.ms())
                .with(field::DEVICE_HOSTNAME, format!("{id}-srv-{n:02}"))
                .with(field::UNIT_ID, id)
                .with(field::UNIT_NAME, name)
                .with(field::UNIT_SECTOR, sector)
                .with(field::CLOCK_SKEW_MS, [3i64, -12, 0, 1840, 7, 0][n as usize - 1]);
            event.id = EventId { agent: AgentId(n), epoch: Epoch(1), class: Class::Critical, seq: k };
            event
        };
        let beat = make("heartbeat", 1)
            .with(field::AGENT_VERSION, "0.1.0")
            .with(field::AGENT_RSS, 9_400_000 + n as i64 * 210_000)
            .with(field::AGENT_CPU_MS, 81_000i64)
            .with(field::AGENT_UPTIME_S, 401_233i64)
            .with(field::DEVICE_OS, "Debian GNU/Linux")
            .with(field::DEVICE_OS_VERSION, "12")
            .with(field::DEVICE_KERNEL, "6.1.0-28-amd64")
            .with(field::DEVICE_IPS, vec![format!("198.51.100.{n}")])
            .with(field::LEDGER_ROWS, Value::from(ledger.to_vec()));
        let mut batch = vec![Arc::new(beat)];
        for (k, (sensor, subject, state, why)) in coverage.iter().enumerate() {
            let statement = make("coverage", 2 + k as u64)
                .with(field::COVERAGE_SENSOR, *sensor)
                .with(field::COVERAGE_SUBJECT, *subject)
                .with(field::COVERAGE_STATE, *state)
                .with(field::COVERAGE_REASON, *why);
            batch.push(Arc::new(statement));
        }
        board.observe(&batch, received);
    }
}

/// Stores alerts as the engine's thread does, and returns them as stored.
pub fn store(shared: &Shared, alerts: &[Alert], evidence: &[Arc<Event>]) -> Result<Vec<Alert>, DeskError> {
    let position = Offset(shared.desk.engine()?.position.0 + 1);
    shared.desk.save(&Step { alerts, evidence, position, snapshot: None })
}

/// An API token with this role and scope; for tests.
pub fn token(shared: &Shared, role: api::Role, units: Option<&[&str]>) -> Result<String, DeskError> {
    let token = format!("vdt_test_{}_{}", role.name(), units.map_or("city".into(), |u| u.join("+")));
    shared.desk.put_token(&TokenRow {
        id: token_hash(&token)[..16].to_owned(),
        hash: token_hash(&token),
        label: "test".into(),
        role: role.name().into(),
        units: units.map(|u| u.iter().map(|x| (*x).to_owned()).collect()),
        created_by: "test".into(),
        created: clock().ns(),
        expires: Some(clock().plus_secs(86_400).ns()),
        ..TokenRow::default()
    })?;
    Ok(token)
}

/// An empty house: units, one person `duty` (operator, whole city) with `PASSWORD`, no alert, no agent.
pub fn empty(now: fn() -> Timestamp) -> Result<Arc<Shared>, DeskError> {
    let desk = SqliteDesk::in_memory()?;
    let rows = UNITS.map(|(id, name, sector)| {
        let contacts = vec![Contact { name: "值班 027-5550 1234".into(), role: "duty".into(), ..Contact::default() }];
        let unit = Unit { id: id.into(), name: name.into(), sector: sector.into(), contacts, ..Unit::default() };
        RegisterRow { kind: RowKind::Unit, id: id.into(), unit: Some(id.into()), row: Some(Row::Unit(unit)), old: false }
    });
    desk.put_register(&rows, &[])?;
    let refuse = |_| DeskError::Refused("no password could be made".to_owned());
    desk.put_person(&Person {
        name: "duty".into(),
        password_hash: hash_password(PASSWORD).map_err(refuse)?,
        role: api::Role::ShiftLead.name().into(),
        created: now().ns(),
        ..Person::default()
    })?;
    let desk: Arc<dyn DeskStore> = Arc::new(desk);
    let feed = Arc::new(Feed::new(1_795_000_000, 1024));
    let refuse = |e: anyhow::Error| DeskError::Refused(format!("{e:#}"));
    let tables = Arc::new(office::tables(None, None).map_err(refuse)?);
    let signer = Arc::new(office::SigningKey::fleeting().map_err(refuse)?);
    let mut book = office::book(&crate::register::Register::default(), tables, signer, [0; 32]);
    for (id, name, sector) in UNITS {
        let unit = matter::register::Unit { id: id.into(), name: name.into(), sector: sector.into(), ..Default::default() };
        book.units.insert(id.into(), unit);
    }
    let office = Arc::new(office::Office::new(desk.clone(), feed.clone(), book));
    let metrics = telemetry::Metrics::new("vedette");
    let ready = Arc::new(Ready::default());
    Ready::set(&ready.rules_loaded);
    Ready::set(&ready.store_open);
    let stage = Arc::new(SampleStage { desk: Some(desk.clone()), ..SampleStage::default() });
    stage.register_changed();
    Ok(Arc::new(Shared {
        events: Arc::new(MemoryStore::new(100_000)),
        desk,
        office,
        feed,
        board: Arc::new(Board::default()),
        backstage: stage,
        register_turn: Mutex::new(()),
        counts: ServeMetrics::new(&metrics),
        metrics,
        ready,
        config: ServeConfig::default(),
        clock: now,
        logins: LoginLimiter::default(),
    }))
}

/// The city with `count` alerts, the newest at `now`, and its agents.
pub fn city(now: fn() -> Timestamp, count: usize) -> Result<Arc<Shared>, DeskError> {
    let shared = empty(now)?;
    fill(&shared, (0..count).rev())?;
    agents(&shared.board, now(), None);
    Ok(shared)
}

/// Stores these alerts, the first given being the oldest.
pub fn fill(shared: &Shared, which: impl Iterator<Item = usize>) -> Result<(), DeskError> {
    let mut alerts = Vec::new();
    let mut evidence = Vec::new();
    for n in which {
        let at = shared.now().minus_ns(n as i64 * 47 * event::SECOND_NS + 3 * event::SECOND_NS);
        alerts.push(alert(n, at));
        if n < 200 && !alerts.last().is_some_and(|a| a.evidence.is_empty()) {
            evidence.extend(events(n, at));
        }
        if alerts.len() == 500 {
            store(shared, &alerts, &evidence)?;
            (alerts, evidence) = (Vec::new(), Vec::new());
        }
    }
    store(shared, &alerts, &evidence)?;
    let offset = Offset(shared.events.durable().0 + 1);
    if let Err(error) = shared.events.append(offset, &evidence) {
        return Err(DeskError::Refused(error.to_string()));
    }
    Ok(())
}
