//! A line that names no address gets its session's, through every door lines come in by: the sensor and both replays (that of
//! `vedette-agent` has its test beside it).

use std::path::Path;
use std::time::Duration;

use agent::sensor::{HostFacts, Output, SensorKind, log::LOG};
use anyhow::{Context, Result};
use collector::engine::EngineOptions;
use collector::replay::{ReplayArgs, run};
use event::{Class, Event, Timestamp, field};

/// One connection; the failure itself names nobody.
const LINES: &str = "\
Nov 23 11:00:00 h sshd[7]: Connection from 192.0.2.9 port 4000 on 192.0.2.1 port 22
Nov 23 11:00:01 h sshd[8]: Connection from 192.0.2.8 port 4001 on 192.0.2.1 port 22
Nov 23 11:00:02 h sshd[7]: Disconnecting: Too many authentication failures for git [preauth]
";

const RULE: &str = "\
title: An SSH session failed
id: 11111111-2222-4333-8444-555555555555
name: session_failed
status: test
logsource:
  product: linux
  service: sshd
detection:
  selection:
    status_id: 2
  condition: selection
level: high
";

#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    completed: u64,
}

impl Output for Seen {
    fn event(&mut self, _: Class, event: Event) {
        self.events.push(event);
    }
    fn checkpoint(&mut self, _: &str, _: &[u8]) {}
    fn lost(&mut self, _: Class, _: u64, _: &'static str) {}
    fn count(&mut self, what: &'static str, count: u64) {
        if what == "session_completed" {
            self.completed += count;
        }
    }
}

fn log(folder: &Path) -> Result<std::path::PathBuf> {
    let file = folder.join("auth.log");
    std::fs::write(&file, LINES)?;
    Ok(file)
}

#[test]
fn the_sensor_remembers_sessions_and_counts_what_it_completed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = log(folder.path())?;
    let section: toml::Table = format!("paths = [\"{}\"]\nfrom = \"start\"", file.display()).parse()?;
    let now = Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").context("a time")?;
    let host = HostFacts { hostname: "h".into(), checkpoints: Vec::new(), own_paths: Vec::new(), own_uplink: None, now };
    let mut sensor = LOG.open(&section, &host)?;
    let mut seen = Seen::default();
    sensor.poll(now, Duration::ZERO, &mut seen)?;
    sensor.close(now, &mut seen);
    let [_, _, failure] = seen.events.as_slice() else { anyhow::bail!("{:?}", seen.events) };
    assert_eq!((failure.text(field::SRC_IP), failure.text(field::SRC_PORT)), ("192.0.2.9".into(), "4000".into()));
    assert_eq!(seen.completed, 1);
    Ok(())
}

#[test]
fn the_collectors_replay_remembers_sessions() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = log(folder.path())?;
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules)?;
    std::fs::write(rules.join("r.yml"), RULE)?;
    let engine = EngineOptions { rules: vec![rules], ..EngineOptions::default() };
    let summary = run(&ReplayArgs { files: vec![file], engine, ..ReplayArgs::default() }, &mut std::io::sink(), &mut |_, _| {})?;
    assert_eq!(summary.alerts.iter().map(|a| a.source_ips.as_slice()).collect::<Vec<_>>(), [["192.0.2.9"]]);
    Ok(())
}
