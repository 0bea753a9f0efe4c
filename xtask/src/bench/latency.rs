//! From the packet on the wire to the alert in the operator's feed: a real collector, a real agent in a network namespace, rules and settings
//! as shipped.
//!
//! Each sample is a port scan of its own: ten refused connections from one source to one target, both new, so that each opens its own alert.
//! The tenth connection is the one that decides; time runs from just before its SYN is sent to the line in the feed. Needs root and `ip`.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lab::{self, Agent, Collector};
use super::process::{Memory, now, pause, quantile};
use super::report::Report;
use crate::shell;

const SAMPLES: u8 = 100;
/// `gte` of the shipped rule.
const PORTS: u16 = 10;
const RULE: &str = "32ab2e1d-3c5a-42a0-b4fc-f35b0736f237";
const GIVE_UP: Duration = Duration::from_secs(10);

pub fn run(report: &mut Report) -> Result<()> {
    let lab = match Lab::new() {
        Ok(lab) => lab,
        Err(error) => {
            report.skipped("packet to feed", &format!("no network namespace: {error:#}"));
            return Ok(());
        }
    };
    let programs = lab::build()?;
    let folder = super::scratch("latency")?;
    let collector = Collector::start(&programs, &folder, "10.78.0.1")?;
    let sections = "[sensor.net]\ninterfaces = [\"eth0\"]\n";
    let _agent = Agent::start(&programs.join("vedette-agent"), &folder, Some(&lab.space), "", sections, Some(&collector.enrolment))?;
    collector.wait_for_agent()?;
    let alerts = listen(&collector)?;
    // The first scan finds everything cold and is not counted.
    let _warm = sample(&alerts, 1)?;
    let mut times = Vec::new();
    for n in 2..=SAMPLES + 1 {
        // Not in step with any timer of ours.
        pause(Duration::from_millis(150 + u64::from(n) * 37 % 200));
        times.push(sample(&alerts, n)?.as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    report.says(&format!("packet to feed, p50 of {SAMPLES} scans"), quantile(&times, 0.5), "ms", "");
    report.says("packet to feed, p90", quantile(&times, 0.9), "ms", "");
    report.at_most("packet to feed, p99", quantile(&times, 0.99), 250.0, "ms");
    report.says("packet to feed, slowest", quantile(&times, 1.0), "ms", "");
    report.says("collector, resident memory", Memory::of(collector.process.pid()).resident, "MiB", "");
    Ok(())
}

/// Alerts as they arrive.
fn listen(collector: &Collector) -> Result<Receiver<(Instant, Value)>> {
    let feed = collector.feed()?;
    let (sender, alerts) = channel();
    std::thread::spawn(move || {
        for data in feed.flatten() {
            if sender.send((now(), data)).is_err() {
                return;
            }
        }
    });
    Ok(alerts)
}

fn sample(alerts: &Receiver<(Instant, Value)>, n: u8) -> Result<Duration> {
    let target = [10, 79, 0, n];
    let mut sent = now();
    for port in 0..PORTS {
        let address = SocketAddr::from((target, 20_001 + port));
        sent = now();
        ensure!(TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_err(), "{address} is open");
    }
    let target = format!("10.79.0.{n}");
    loop {
        let (arrived, data) =
            alerts.recv_timeout(GIVE_UP).with_context(|| format!("no alert for the scan of {target} within {GIVE_UP:?}"))?;
        let alert = data.get("alert").unwrap_or(&data).to_string();
        if alert.contains(RULE) && alert.contains(&format!("\"{target}\"")) && arrived >= sent {
            return Ok(arrived - sent);
        }
    }
}

/// A namespace with one wire to us; every source of ours has a target of its own in it.
struct Lab {
    space: String,
    wire: String,
}

impl Lab {
    fn new() -> Result<Self> {
        let id = std::process::id() % 100_000;
        let lab = Self { space: format!("vedette-bench-{id}"), wire: format!("vb{id}") };
        let (space, wire) = (&lab.space, &lab.wire);
        ip(&format!("netns add {space}"))?;
        ip(&format!("link add {wire} type veth peer name eth0 netns {space}"))?;
        let mut here = format!("addr add 10.78.0.1/16 dev {wire}\nlink set {wire} up\n");
        let mut there = "link set lo up\naddr add 10.78.0.10/16 dev eth0\nlink set eth0 up\n".to_owned();
        for n in 1..=SAMPLES + 1 {
            here.push_str(&format!(
                "addr add 10.78.1.{n}/16 dev {wire}\nroute add 10.79.0.{n}/32 via 10.78.0.10 dev {wire} src 10.78.1.{n}\n"
            ));
            there.push_str(&format!("addr add 10.79.0.{n}/32 dev lo\n"));
        }
        batch(&["-n", space, "-batch", "-"], &there)?;
        batch(&["-batch", "-"], &here)?;
        Ok(lab)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.space));
    }
}

fn ip(line: &str) -> Result<()> {
    let out = shell::command("ip").args(line.split(' ')).output().context("cannot start ip")?;
    ensure!(out.status.success(), "ip {line}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}

fn batch(args: &[&str], lines: &str) -> Result<()> {
    let file: &Path = &shell::target_dir().join("bench/ip-batch");
    std::fs::create_dir_all(shell::target_dir().join("bench"))?;
    std::fs::write(file, lines)?;
    let out = shell::command("ip").args(args).stdin(Stdio::from(std::fs::File::open(file)?)).output().context("cannot start ip")?;
    ensure!(out.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}
