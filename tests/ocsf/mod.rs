//! Every event and every alert is valid OCSF 1.8: known class, activities, enumerations and types, required attributes there, nothing at a place the
//! schema does not have. And an exported event read back is the same event.

pub(crate) mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::sensor::{AgentView, Coverage, CoverageState, HostFacts, LedgerRow, Output, SENSORS, Sensor};
use anyhow::{Context, Result, ensure};
use event::{Class, Event, Timestamp};
use serde_json::Value;

use schema::Schema;

/// What the validator saw: class → (events, faults), and each fault with how often it was met and the first event that had it.
#[derive(Default)]
struct Tally {
    classes: BTreeMap<String, (u64, u64)>,
    faults: BTreeMap<String, (u64, String)>,
}

impl Tally {
    fn look(&mut self, schema: &Schema, json: &str) {
        let value: Value = match serde_json::from_str(json) {
            Ok(value) => value,
            Err(error) => return self.fault("not JSON".into(), format!("{error}: {json}")),
        };
        let faults = schema.faults(&value);
        let name = format!("{} {}", value["class_uid"], value["class_name"].as_str().unwrap_or("?"));
        let row = self.classes.entry(name.clone()).or_default();
        row.0 += 1;
        row.1 += u64::from(!faults.is_empty());
        for fault in faults {
            self.fault(format!("{name}: {fault}"), json.to_owned());
        }
    }

    fn event(&mut self, schema: &Schema, event: &Event) {
        let json = event::ocsf_json(event);
        self.look(schema, &json);
        match collector::replay::event_from_json(&json) {
            Ok(mut back) => {
                back.id = event.id;
                let again = event::ocsf_json(&back);
                if again != json {
                    self.fault("read back, an event is another".into(), format!("{json}\n    {again}"));
                }
            }
            Err(error) => self.fault(format!("cannot be read back: {error}"), json),
        }
    }

    fn fault(&mut self, fault: String, first: String) {
        let entry = self.faults.entry(fault).or_insert((0, first));
        entry.0 += 1;
    }

    /// Prints the table; an error if anything is wrong.
    fn done(self, what: &str) -> Result<()> {
        println!("{what}\n{:<32} {:>8} {:>8}", "class", "events", "faulty");
        for (class, (events, faulty)) in &self.classes {
            println!("{class:<32} {events:>8} {faulty:>8}");
        }
        for (fault, (count, first)) in self.faults.iter().take(40) {
            println!("{count:>8} × {fault}\n    {}", first.chars().take(1_500).collect::<String>());
        }
        ensure!(self.faults.is_empty(), "{} kinds of fault", self.faults.len());
        ensure!(!self.classes.is_empty(), "nothing was looked at");
        Ok(())
    }
}

pub(crate) fn schema() -> Result<Option<Schema>> {
    let (Some(flat), Some(classes)) = (tests::data("ocsf/ocsf-1.8.0-flat.json.gz"), tests::data("ocsf/classes.tsv")) else {
        return Ok(None);
    };
    Schema::read(&flat, &classes).map(Some)
}

fn unpacked(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path)?;
    if path.extension().is_some_and(|e| e == "gz") {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(bytes.as_slice()), &mut text)?;
        return Ok(text);
    }
    Ok(String::from_utf8(bytes)?)
}

/// The classes and fields of the table stand as the schema has them.
#[test]
fn the_field_table_holds_only_places_the_schema_has() -> Result<()> {
    let Some(schema) = schema()? else { return Ok(()) };
    let mut wrong = Vec::new();
    for kind in event::Kind::ALL {
        if !schema.has_class(u64::from(kind.class_uid())) {
            wrong.push(format!("class {} {}", kind.class_uid(), kind.name()));
        }
    }
    for field in event::Field::all().filter(|f| f.home() == event::Home::Ocsf) {
        if !event::Kind::ALL.iter().any(|kind| schema.has_path(u64::from(kind.class_uid()), field.name())) {
            wrong.push(format!("field {} is in no class; make it Vedette", field.name()));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Captures of every category, a few files each, the small ones first.
#[test]
fn events_of_captures() -> Result<()> {
    const FILES: usize = 6;
    const BYTES_MAX: u64 = 400_000;
    let (Some(schema), Some(pcap)) = (schema()?, tests::data("pcap")) else { return Ok(()) };
    let mut tally = Tally::default();
    for category in std::fs::read_dir(&pcap)?.flatten().filter(|e| e.path().is_dir()) {
        let mut files: Vec<(u64, PathBuf)> = Vec::new();
        for file in std::fs::read_dir(category.path())?.flatten() {
            let size = file.metadata()?.len();
            if size <= BYTES_MAX && file.path().extension().is_some_and(|e| e == "pcap" || e == "pcapng" || e == "cap") {
                files.push((size, file.path()));
            }
        }
        files.sort();
        let step = files.len().div_ceil(FILES).max(1);
        for (_, file) in files.iter().step_by(step) {
            // A file that is no capture is another test's matter.
            let _ = agent::sensor::net::replay::replay(file, &mut |_, event| tally.event(&schema, &event));
        }
    }
    tally.done("captures")
}

/// Log lines of the peers' own tests, each an object with `input`.
#[test]
fn events_of_log_lines() -> Result<()> {
    let Some(schema) = schema()? else { return Ok(()) };
    let mut tally = Tally::default();
    let sources = [
        "peers/fail2ban/tests.jsonl",
        "peers/crowdsec/parser-tests.jsonl.gz",
        "peers/wazuh/tests.jsonl",
        "peers/elastic/parse-tests.jsonl.gz",
        "peers/syslog-ng/tests.jsonl",
    ];
    for source in sources {
        let Some(path) = tests::data(source) else { continue };
        let mut reader = proto::log::Reader::new();
        for row in unpacked(&path)?.lines() {
            let row: Value = serde_json::from_str(row)?;
            let Some(input) = row["input"].as_str() else { continue };
            let bytes = input.as_bytes();
            let line = proto::log::Line { bytes, received: Timestamp::from_secs(1_124_013_600), utc_offset_secs: 0, format: None };
            let (_, mut event) = reader.read(&line);
            event.body.set(event::field::LOG_PATH, "/var/log/test.log");
            tally.event(&schema, &event);
        }
    }
    tally.done("log lines")
}

/// Alerts of other tools: recorded ones of Suricata, and a record of each tool from the fuzzer's seeds.
#[test]
fn events_of_other_tools() -> Result<()> {
    let Some(schema) = schema()? else { return Ok(()) };
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    for name in ["honeypot-2018", "wrccdc-2017"] {
        let Some(path) = tests::data(&format!("logs/suricata/{name}.alerts.jsonl.gz")) else { continue };
        lines.extend(unpacked(&path)?.lines().map(str::to_owned));
    }
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/partner_record");
    for tool in ["eve", "wazuh", "aminer"] {
        lines.push(std::fs::read_to_string(seeds.join(tool))?);
    }
    for line in &lines {
        let line =
            proto::log::Line { bytes: line.as_bytes(), received: Timestamp::from_secs(1_795_431_600), utc_offset_secs: 0, format: None };
        let (_, mut event) = proto::log::read(&line);
        ensure!(event.kind == event::Kind::DetectionFinding, "{:?}", event.source);
        event.body.set(event::field::LOG_PATH, "/var/log/test.log");
        event.body.set(event::field::DEVICE_HOSTNAME, "gate");
        tally.event(&schema, &event);
    }
    tally.done("alerts of other tools")
}

#[derive(Default)]
struct Seen(Vec<Event>);

impl Output for Seen {
    fn event(&mut self, _: Class, event: Event) {
        self.0.push(event);
    }
    fn checkpoint(&mut self, _: &str, _: &[u8]) {}
    fn lost(&mut self, _: Class, _: u64, _: &'static str) {}
    fn agent(&self) -> Option<&dyn AgentView> {
        Some(self)
    }
}

impl AgentView for Seen {
    fn ledger(&self, _: Class) -> LedgerRow {
        LedgerRow { produced: 5, acknowledged: 3, spooled: 1, lost: 1 }
    }
    fn coverage(&self) -> Vec<Coverage> {
        let reason = "no right to capture; give CAP_NET_RAW".to_owned();
        vec![Coverage { sensor: "net", subject: "eth0".to_owned(), state: CoverageState::Blind, reason }]
    }
    fn link(&self) -> String {
        "connected".to_owned()
    }
    fn indicators(&self) -> (u64, u64) {
        (1_700_000_000_000_000_000, 42)
    }
}

fn open(name: &str, section: &str, state: &Path) -> Result<Box<dyn Sensor>> {
    let kind = SENSORS.iter().find(|k| k.name() == name).context("no such sensor")?;
    let facts = HostFacts {
        hostname: "host-1".into(),
        checkpoints: Vec::new(),
        own_paths: vec![state.to_owned()],
        own_uplink: None,
        now: Timestamp::from_secs(1_700_000_000),
    };
    kind.open(&section.parse()?, &facts).map_err(|e| anyhow::anyhow!("{name}: {e}"))
}

/// The host sensor's words and every way a file can change.
#[test]
fn events_of_the_host_and_of_files() -> Result<()> {
    let Some(schema) = schema()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let (etc, state) = (dir.path().join("etc"), dir.path().join("state"));
    std::fs::create_dir(&etc)?;
    std::fs::create_dir(&state)?;
    for name in ["changed", "gone", "old"] {
        std::fs::write(etc.join(name), name)?;
    }
    let mut seen = Seen::default();
    let mut now = Timestamp::from_secs(1_700_000_000);
    let mut host = open("host", "", &state)?;
    host.poll(now, Duration::ZERO, &mut seen).map_err(|e| anyhow::anyhow!("{e}"))?;
    let mut file = open("file", &format!("paths = [\"{}\"]\nquiet = \"0 s\"", etc.display()), &state)?;
    let mut polls = |file: &mut Box<dyn Sensor>, seen: &mut Seen, until: usize| -> Result<()> {
        // Notices come from another thread; the bound only keeps a broken build from hanging.
        for _ in 0..400 {
            now = now.plus_secs(2);
            file.poll(now, Duration::from_millis(20), seen).map_err(|e| anyhow::anyhow!("{e}"))?;
            if until > 0 && seen.0.iter().filter(|e| e.kind == event::Kind::FileActivity).count() >= until {
                return Ok(());
            }
            if until == 0 && state.join("integrity.baseline").exists() {
                return Ok(());
            }
        }
        anyhow::bail!("{until} changes were not seen, only {:?}", seen.0.len())
    };
    polls(&mut file, &mut seen, 0)?;
    std::fs::write(etc.join("changed"), "otherwise")?;
    std::fs::remove_file(etc.join("gone"))?;
    std::fs::rename(etc.join("old"), etc.join("new"))?;
    std::fs::create_dir(etc.join("folder"))?;
    std::os::unix::fs::symlink("/tmp", etc.join("link"))?;
    polls(&mut file, &mut seen, 5)?;
    let at = Timestamp::from_secs(1_700_009_000);
    host.close(at, &mut seen);
    file.close(at, &mut seen);
    let mut tally = Tally::default();
    for event in &seen.0 {
        tally.event(&schema, event);
    }
    tally.done("host and files")
}

/// Alerts of the shipped rules over their own hit cases.
#[test]
fn alerts_are_detection_findings() -> Result<()> {
    let Some(schema) = schema()? else { return Ok(()) };
    let base = tests::programs::root().join("tests/rules");
    let mut files = Vec::new();
    for area in std::fs::read_dir(&base)?.flatten().filter(|e| e.path().is_dir()) {
        for case in std::fs::read_dir(area.path())?.flatten() {
            files.push(case.path().join("hit.jsonl"));
        }
    }
    let config = tests::programs::root().join("config");
    let args = collector::replay::ReplayArgs {
        files,
        engine: collector::engine::EngineOptions { rules: vec![config.join("rules")], mappings: Some(config.join("mappings")) },
        jsonl: true,
        ..Default::default()
    };
    let mut out = Vec::new();
    collector::replay::run(&args, &mut out, &mut |_, _| {})?;
    let mut tally = Tally::default();
    for line in String::from_utf8(out)?.lines() {
        tally.look(&schema, line);
    }
    tally.done("alerts")
}
