//! Live: a veth pair between this namespace and one made for the bench, tcpreplay at full speed, the kernel ring and pnet in turn; and the soak.
//!
//! Both consumers are `capture`'s example `live`, which decodes each frame. What was sent is what tcpreplay says it sent.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::network::{install, make};
use super::process::{now, pause};
use super::report::Report;
use crate::shell;

const ROUNDS: usize = 3;
/// Two rounds of the captures: about 411,000 frames.
const FRAMES: &str = "network-live-1.pcap";

pub fn run(report: &mut Report, data: &Path) -> Result<()> {
    let (program, lab) = match prepare(report, "live, ring against pnet")? {
        Some(both) => both,
        None => return Ok(()),
    };
    let frames = make(FRAMES, &[&data.display().to_string()], &["2", "2"])?.display().to_string();
    let (mut ring, mut pnet) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        ring.push(watch(&program, &lab, "ring", &frames, 1)?);
        pnet.push(watch(&program, &lab, "pnet", &frames, 1)?);
        println!("  live round {round} of {ROUNDS}: ring {:?}, pnet {:?}", ring.last(), pnet.last());
    }
    let lost = |seen: &Seen| (seen.sent - seen.got) / seen.sent * 100.0;
    let worst = ring.iter().map(|s| s.sent - s.got).fold(0.0, f64::max);
    let pnet_lost = middle(pnet.iter().map(lost).collect());
    report.at_most(&format!("live at full speed, frames lost by the ring in {ROUNDS} runs"), worst, 0.0, "");
    let sum_off = ring.iter().map(|s| (s.got + s.drops - s.sent).abs()).fold(0.0, f64::max);
    report.at_most("  got + reported drops - sent, the worst run", sum_off, 0.0, "frames");
    report.says("  lost by pnet", pnet_lost, "%", "it cannot say so itself");
    let each = |all: &[Seen]| middle(all.iter().map(|s| s.cpu_ns / s.got.max(1.0) / 1e3).collect());
    let (ours, theirs) = (each(&ring), each(&pnet));
    report.at_most("live, CPU a packet, share of pnet's", ours / theirs, 0.1, "x");
    let rate = middle(ring.iter().map(|s| s.rate).collect());
    report.says("  ring, decode included", ours, "us/packet", &format!("sender {rate:.0} packets/s"));
    report.says("  pnet, decode included", theirs, "us/packet", "");
    Ok(())
}

/// `bench network --soak [--minutes N]`: the ring under the sender's full rate for ten minutes, the balance drawn every minute.
pub fn soak(report: &mut Report, data: &Path, args: &[String]) -> Result<()> {
    let minutes: u64 = match args {
        [] => 10,
        [name, value] if name == "--minutes" => value.parse().context("--minutes wants a number")?,
        _ => bail!("--soak knows --minutes N, not '{}'", args.join(" ")),
    };
    let Some((program, lab)) = prepare(report, "live soak")? else { return Ok(()) };
    let frames = make(FRAMES, &[&data.display().to_string()], &["2", "2"])?.display().to_string();
    let begin = now();
    let (mut sent, mut got, mut drops, mut runs, mut off) = (0.0, 0.0, 0.0, 0u32, 0.0f64);
    while begin.elapsed() < Duration::from_secs(minutes * 60) {
        let seen = watch(&program, &lab, "ring", &frames, 30)?;
        sent += seen.sent;
        got += seen.got;
        drops += seen.drops;
        off = off.max((seen.got + seen.drops - seen.sent).abs());
        runs += 1;
        println!(
            "  run {runs}, {:.0} s: sent {sent:.0}, got {got:.0}, drops {drops:.0}, {:.0} packets/s",
            begin.elapsed().as_secs_f64(),
            seen.rate
        );
    }
    report.at_most(&format!("soak of {minutes} min at full speed, frames lost"), sent - got, 0.0, "");
    report.at_most("  got + reported drops - sent, the worst run", off, 0.0, "frames");
    report.says("  frames sent", sent, "", "");
    Ok(())
}

/// The consumer and a namespace, or why not.
fn prepare(report: &mut Report, name: &str) -> Result<Option<(String, Lab)>> {
    if !shell::has("tcpreplay")
        && let Err(error) = install("tcpreplay")
    {
        eprintln!("\ntcpreplay IS MISSING: {error:#}\n");
        report.skipped(name, "tcpreplay is missing");
        return Ok(None);
    }
    let lab = match Lab::new() {
        Ok(lab) => lab,
        Err(error) => {
            report.skipped(name, &format!("no network namespace: {error:#}"));
            return Ok(None);
        }
    };
    shell::sh("cargo", &["build", "--release", "--locked", "-p", "capture", "--example", "live"])?;
    Ok(Some((shell::target_dir().join("release/examples/live").display().to_string(), lab)))
}

/// One run of one consumer.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    sent: f64,
    got: f64,
    drops: f64,
    cpu_ns: f64,
    rate: f64,
}

fn watch(program: &str, lab: &Lab, method: &str, frames: &str, loops: u32) -> Result<Seen> {
    // The sender has one core, the consumer another.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let consumer = ["netns", "exec", &lab.space, "taskset", "-c", &(cores - 1).to_string(), program, method, "eth0", "600"];
    let mut child: Child = shell::command("ip").args(consumer).stdout(Stdio::piped()).spawn().context("cannot start ip")?;
    let mut said = BufReader::new(child.stdout.take().context("the child has an output")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.trim() == "READY", "the consumer said '{}'", line.trim());
    let sender = [
        "netns",
        "exec",
        &lab.sender,
        "taskset",
        "-c",
        "0",
        "tcpreplay",
        "-i",
        "eth0",
        "--topspeed",
        "-K",
        "-l",
        &loops.to_string(),
        frames,
    ];
    let out = shell::command("ip").args(sender).output().context("cannot start ip")?;
    ensure!(out.status.success(), "tcpreplay: {}", String::from_utf8_lossy(&out.stderr).trim());
    let mut rest = String::new();
    said.read_to_string(&mut rest)?;
    ensure!(child.wait()?.success(), "the consumer failed");
    let mut seen = Seen::default();
    for line in rest.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
        let value: f64 = value.parse()?;
        match name {
            "got" => seen.got = value,
            "drops" => seen.drops = value,
            "cpu_ns" => seen.cpu_ns = value,
            _ => {}
        }
    }
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    let after = |key: &str| -> Option<f64> {
        let text = told.lines().find_map(|l| l.split_once(key))?.1;
        text.trim_start().split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
    };
    seen.sent = after("Successful packets:").with_context(|| format!("tcpreplay said no count: {told}"))?;
    seen.rate = told.lines().find_map(|l| l.split_once(" Mbps, ")).and_then(|(_, r)| r.split(' ').next()?.parse().ok()).unwrap_or(0.0);
    Ok(seen)
}

fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Two namespaces, so that nothing else speaks on the pair.
struct Lab {
    space: String,
    sender: String,
}

impl Lab {
    fn new() -> Result<Self> {
        let id = std::process::id() % 100_000;
        let lab = Self { space: format!("vedette-live-{id}"), sender: format!("vedette-send-{id}") };
        for space in [&lab.space, &lab.sender] {
            ip(&format!("netns add {space}"))?;
            ip(&format!("netns exec {space} sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"))?;
        }
        ip(&format!("-n {} link add eth0 type veth peer name eth0 netns {}", lab.sender, lab.space))?;
        for space in [&lab.sender, &lab.space] {
            // The captures hold offload frames.
            ip(&format!("-n {space} link set eth0 mtu 65535 arp off up"))?;
        }
        pause(Duration::from_millis(200));
        Ok(lab)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for space in [&self.space, &self.sender] {
            let _ = ip(&format!("netns del {space}"));
        }
    }
}

fn ip(line: &str) -> Result<()> {
    let out = shell::command("ip").args(line.split(' ')).output().context("cannot start ip")?;
    ensure!(out.status.success(), "ip {line}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}
