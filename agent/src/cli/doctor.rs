//! `doctor`: looks at everything the agent needs, says what is missing and how to give it. Changes nothing; what it opens it closes.

use event::{Class, Event, Timestamp};
use spool::{Disk, RealDisk};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::{Exit, bad_config, say};
use crate::clock;
use crate::config::Config;
use crate::identity::{Identity, IdentityError};
use crate::privilege::{NET_RAW, Rights};
use crate::sensor::{CoverageState, HostFacts, Output, SENSORS};

const PATIENCE: Duration = Duration::from_secs(3);
/// No host's clock is rightly before this (2026-01-01) when this program runs.
const CLOCK_FLOOR: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Findings so far.
struct Report {
    wrong: usize,
}

impl Report {
    fn good(&mut self, what: &str, detail: &str) {
        say(&format!("  ok    {what:<10} {detail}"));
    }
    fn wrong(&mut self, what: &str, detail: &str) {
        self.wrong += 1;
        say(&format!("  !!    {what:<10} {detail}"));
    }
    fn note(&mut self, what: &str, detail: &str) {
        say(&format!("  --    {what:<10} {detail}"));
    }
}

pub(super) fn run(config: Result<Config, settings::Errors>) -> Exit {
    let config = match config {
        Ok(config) => config,
        Err(errors) => return bad_config(&errors),
    };
    let mut report = Report { wrong: 0 };
    report.good("config", "can be read");
    rights(&mut report);
    state(&mut report, &config);
    let now = clock::now();
    if now < CLOCK_FLOOR {
        report.wrong("clock", &format!("says {now}; set it (timedatectl), certificates and times of events depend on it"));
    } else {
        report.good("clock", &now.to_string());
    }
    collector(&mut report, &config, now);
    sensors(&mut report, &config, now);
    match report.wrong {
        0 => {
            say("\nnothing is missing");
            Exit::Ok
        }
        n => {
            say(&format!("\n{n} {} attention", if n == 1 { "thing wants" } else { "things want" }));
            Exit::Findings
        }
    }
}

fn rights(report: &mut Report) {
    let rights = Rights::read();
    let unit = "run it from deploy/systemd/vedette-agent.service";
    if rights.has(NET_RAW) {
        report.good("rights", "packets may be read (CAP_NET_RAW)");
    } else {
        report.wrong("rights", &format!("no CAP_NET_RAW: packets cannot be read; {unit}, or setcap cap_net_raw+ep on the program"));
    }
    if rights.reads_all() {
        report.good("rights", "all logs and files may be read (CAP_DAC_READ_SEARCH)");
    } else {
        report.wrong("rights", &format!("no CAP_DAC_READ_SEARCH: files of others cannot be hashed or followed; {unit}"));
    }
    let excess = rights.excess();
    if !excess.is_empty() {
        let few: Vec<&str> = excess.iter().take(4).map(String::as_str).collect();
        report.note(
            "rights",
            &format!(
                "{} rights it has no use for ({}, …); `vedette-agent run` gives them up before anything else; better never given: {unit}",
                excess.len(),
                few.join(", ")
            ),
        );
    }
    if !rights.no_new_privileges || rights.seccomp != 2 {
        report.note(
            "sandbox",
            &format!("no_new_privileges {} (`run` sets it), seccomp {}; the unit sets both", rights.no_new_privileges, rights.seccomp == 2),
        );
    }
}

fn state(report: &mut Report, config: &Config) {
    let state = &config.state;
    let meta = match std::fs::metadata(state) {
        Ok(meta) => meta,
        Err(error) => {
            report.wrong("state", &format!("{}: {error}; install -d -m 0700 -o vedette-agent {}", state.display(), state.display()));
            return;
        }
    };
    if meta.mode() & 0o077 != 0 {
        report.wrong(
            "state",
            &format!("{} can be read by others (mode {:04o}); chmod 0700 {}", state.display(), meta.mode() & 0o7777, state.display()),
        );
    } else {
        report.good("state", &state.display().to_string());
    }
    disk(report, state, config.spool.bytes_max.0);
}

/// Tries to reserve what the spool may use up, in a folder beside it, and gives it back.
fn disk(report: &mut Report, state: &Path, bytes_max: u64) {
    let used: u64 =
        std::fs::read_dir(state.join("spool")).map_or(0, |all| all.flatten().filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum());
    let want = bytes_max.saturating_sub(used);
    let probe = state.join("doctor");
    let tried = RealDisk::open(&probe).and_then(|mut disk| disk.create("probe", want).map(drop));
    let _ = std::fs::remove_dir_all(&probe);
    match tried {
        Ok(()) => {
            report.good("disk", &format!("room for the whole spool ({} used of {})", settings::Bytes(used), settings::Bytes(bytes_max)))
        }
        Err(error) => report.wrong(
            "disk",
            &format!(
                "{} more for the spool cannot be reserved in {}: {error}; make room or lower spool.bytes_max",
                settings::Bytes(want),
                state.display()
            ),
        ),
    }
}

fn collector(report: &mut Report, config: &Config, now: Timestamp) {
    let identity = match Identity::load(&config.state) {
        Ok(identity) => identity,
        Err(error @ IdentityError::Absent { .. }) => {
            report.wrong("identity", &error.to_string());
            return;
        }
        Err(error) => {
            report.wrong("identity", &error.to_string());
            return;
        }
    };
    if identity.is_expired(now) {
        report.wrong(
            "identity",
            &format!("agent {}: certificate ran out {}; the running agent recovers it by itself", identity.agent, identity.not_after),
        );
    } else {
        report.good("identity", &format!("agent {}, certificate until {}", identity.agent, identity.not_after));
    }
    let address = if config.collector.address.is_empty() { &identity.collector } else { &config.collector.address };
    let reached = address.to_socket_addrs().map_err(|e| e.to_string()).and_then(|mut all| {
        let first = all.next().ok_or_else(|| "its name has no address".to_owned())?;
        TcpStream::connect_timeout(&first, PATIENCE).map_err(|e| e.to_string())
    });
    match reached {
        Ok(_) => report.good("collector", &format!("{address} answers")),
        Err(error) => report
            .wrong("collector", &format!("{address}: {error}; check name, port and firewalls; meanwhile the spool keeps what is seen")),
    }
}

/// Throws everything away: only what can be seen is of interest.
struct Nothing;

impl Output for Nothing {
    fn event(&mut self, _class: Class, _event: Event) {}
    fn checkpoint(&mut self, _key: &str, _value: &[u8]) {}
    fn lost(&mut self, _class: Class, _count: u64, _reason: &'static str) {}
}

fn sensors(report: &mut Report, config: &Config, now: Timestamp) {
    for kind in SENSORS {
        let name = kind.name();
        let Ok(Some(section)) = config.section(*kind) else {
            report.note(name, "switched off in the configuration");
            continue;
        };
        // Without own paths: nothing is written anywhere.
        let facts = HostFacts { hostname: String::new(), checkpoints: Vec::new(), own_paths: Vec::new(), own_uplink: None, now };
        let mut sensor = match kind.open(&section, &facts) {
            Ok(sensor) => sensor,
            Err(error) => {
                report.wrong(name, &error.to_string());
                continue;
            }
        };
        // A few looks a second apart by the sensor's clock, so that budgets that refill with time do not hide what is there.
        let looks = (0..10).try_for_each(|n| sensor.poll(now.plus_secs(n), Duration::ZERO, &mut Nothing));
        if let Err(error) = looks {
            report.wrong(name, &error.to_string());
            continue;
        }
        let mut rows = Vec::new();
        sensor.coverage(&mut rows);
        let count = |state| rows.iter().filter(|r| r.state == state).count();
        let blind = count(CoverageState::Blind);
        let line = format!(
            "{} seen, {} in part, {blind} blind, {} waited for",
            count(CoverageState::Seeing),
            count(CoverageState::Partial),
            count(CoverageState::Off)
        );
        if blind == 0 {
            report.good(name, &line)
        } else {
            report.wrong(name, &line)
        }
        if name == "log" {
            for row in rows.iter().filter(|r| r.state == CoverageState::Seeing) {
                say(&format!("        {:<10} follows {}", "", row.subject));
            }
            for row in rows.iter().filter(|r| r.state == CoverageState::Off).take(8) {
                say(&format!("        {:<10} {}: {}", "", row.subject, row.reason));
            }
        }
        for row in rows.iter().filter(|r| matches!(r.state, CoverageState::Blind | CoverageState::Partial)).take(8) {
            say(&format!("        {:<10} {}: {}", "", row.subject, row.reason));
        }
    }
}
