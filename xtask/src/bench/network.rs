//! The network sensor beside ndpiReader, Suricata, softflowd and pnet, in one run, on one core, by CPU seconds.
//!
//! Offline: a mix of five million packets, made once out of the real captures (`capture`'s example `mix` says how), read by each program in
//! turn, `ROUNDS` times; the median counts. Live (`network_live.rs`): a veth pair between two namespaces, tcpreplay at its full speed. Peers
//! come from Debian and its backports; one that cannot be had is said loudly and its rows are skipped.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::process::pause;
use super::report::Report;
use crate::shell;

const ROUNDS: usize = 3;
/// Part of the file's name: another mix is another file.
const MIX: &str = "network-mix-1.pcap";
const FLOOD: &str = "network-flood-1.pcap";
const FLOOD_PACKETS: &str = "1000000";

/// One program's run to its end.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu: f64,
    peak_mib: f64,
}

struct Peer {
    name: &'static str,
    program: &'static str,
    package: &'static str,
    args: &'static [&'static str],
}

const NDPI: Peer = Peer { name: "ndpiReader -q", program: "ndpiReader", package: "libndpi-bin", args: &["-q", "-i", "MIX"] };
const SOFTFLOWD: Peer = Peer {
    name: "softflowd, cap of 1 M flows",
    program: "softflowd",
    package: "softflowd",
    args: &["-r", "MIX", "-m", "1000000", "-d", "-c", "none", "-p", "OUT/softflowd.pid"],
};
const SURICATA: Peer = Peer {
    name: "Suricata, EVE, no rules",
    program: "suricata",
    package: "suricata",
    args: &["-r", "MIX", "-S", "/dev/null", "--runmode", "single", "-l", "OUT"],
};

fn data() -> PathBuf {
    let named = std::env::var_os("VEDETTE_DATA").map(PathBuf::from);
    named.unwrap_or_else(|| shell::root().join("../shared/data")).join("pcap")
}

/// `bench network --soak`.
pub fn soak(report: &mut Report, args: &[String]) -> Result<()> {
    super::network_live::soak(report, &data(), args)
}

pub fn run(report: &mut Report) -> Result<()> {
    let data = data();
    let mix = match mix(&data) {
        Ok(mix) => mix,
        Err(error) => {
            report.skipped("the network sensor beside its peers", &format!("no captures: {error:#}"));
            return Ok(());
        }
    };
    shell::sh("cargo", &["build", "--release", "--locked", "-p", "agent", "--bins"])?;
    let agent = shell::target_dir().join("release/vedette-agent").display().to_string();
    offline(report, &agent, &mix)?;
    flood(report, &agent)?;
    super::network_live::run(report, &data)
}

/// The mix, made if it is not there.
pub fn mix(data: &Path) -> Result<PathBuf> {
    ensure!(data.join("MANIFEST.tsv").is_file(), "there is no {}", data.join("MANIFEST.tsv").display());
    make(MIX, &[&data.display().to_string()], &[])
}

/// A capture that `capture`'s example makes, in a folder that is kept.
pub fn make(name: &str, before: &[&str], after: &[&str]) -> Result<PathBuf> {
    let folder = shell::target_dir().join("bench-data");
    let file = folder.join(name);
    if !file.is_file() {
        std::fs::create_dir_all(&folder)?;
        let fresh = folder.join(format!("{name}.part"));
        let fresh_text = fresh.display().to_string();
        let mut args = vec!["run", "--release", "--locked", "-q", "-p", "capture", "--example", "mix", "--"];
        args.extend(before);
        args.push(&fresh_text);
        args.extend(after);
        shell::sh("cargo", &args)?;
        std::fs::rename(&fresh, &file)?;
    }
    // Into the page cache: disks are not measured.
    std::io::copy(&mut std::fs::File::open(&file)?, &mut std::io::sink())?;
    Ok(file)
}

fn offline(report: &mut Report, agent: &str, mix: &Path) -> Result<()> {
    let out = super::scratch("network")?;
    let text = mix.display().to_string();
    let packets = packets(mix)?;
    let whole = ["replay", text.as_str()];
    let flows = ["replay", text.as_str(), "--flows-only", "-o", "none"];
    let peers: Vec<(&Peer, Vec<String>)> = [&NDPI, &SOFTFLOWD, &SURICATA]
        .into_iter()
        .map(|peer| {
            let out = out.display().to_string();
            (peer, peer.args.iter().map(|a| a.replace("MIX", &text).replace("OUT", &out)).collect())
        })
        .filter(|(peer, _)| have(peer))
        .collect();
    let (mut ours, mut ours_flows) = (Vec::new(), Vec::new());
    let mut theirs: Vec<Vec<Cost>> = vec![Vec::new(); peers.len()];
    for round in 1..=ROUNDS {
        ours.push(cost(agent, &whole)?);
        ours_flows.push(cost(agent, &flows)?);
        for ((peer, args), costs) in peers.iter().zip(&mut theirs) {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            match cost(peer.program, &args) {
                Ok(cost) => costs.push(cost),
                // Peers crash now and then; that is theirs to say.
                Err(error) => eprintln!("PEER FAILED: {error:#}"),
            }
        }
        println!("  round {round} of {ROUNDS} done, load {}", super::process::load());
    }
    let of = |name: &str| peers.iter().position(|(p, _)| p.name == name).and_then(|n| median(theirs.get(n)?));
    let (ours, ours_flows) = (median(&ours).context("no run of ours")?, median(&ours_flows).context("no run of ours")?);
    ratio(report, "whole sensor, JSON out, times ndpiReader's packets a CPU-second", of(NDPI.name).map(|c| c.cpu / ours.cpu), 2.0, 3.0);
    ratio(report, "whole sensor, JSON out, times Suricata's with EVE", of(SURICATA.name).map(|c| c.cpu / ours.cpu), 5.0, 8.0);
    ratio(report, "flows only, times softflowd's", of(SOFTFLOWD.name).map(|c| c.cpu / ours_flows.cpu), 1.5, 2.0);
    match of(NDPI.name) {
        Some(ndpi) => {
            report.aims_down("peak memory at 189 k flows, share of ndpiReader's", ours.peak_mib / ndpi.peak_mib, 0.25, 0.125, "x");
        }
        None => report.skipped("peak memory at 189 k flows, share of ndpiReader's", "ndpiReader is missing"),
    }
    let mut say = |name: &str, cost: Cost| {
        let figures = format!("{:.2} M packets/s of CPU, peak {:.1} MiB", packets / cost.cpu / 1e6, cost.peak_mib);
        report.says(&format!("  {name}"), cost.cpu, "CPU-s", &figures);
    };
    say("ours, whole, JSON", ours);
    say("ours, flows only", ours_flows);
    for ((peer, _), costs) in peers.iter().zip(&theirs) {
        if let Some(cost) = median(costs) {
            say(peer.name, cost);
        }
    }
    Ok(())
}

fn ratio(report: &mut Report, name: &str, figure: Option<f64>, minimum: f64, aim: f64) {
    match figure {
        Some(figure) => report.aims_up(name, figure, minimum, aim, "x"),
        None => report.skipped(name, "the peer is missing or failed, see above"),
    }
}

/// A million attempts from a million addresses against the cap of the running agent.
fn flood(report: &mut Report, agent: &str) -> Result<()> {
    let file = make(FLOOD, &["flood"], &[FLOOD_PACKETS])?.display().to_string();
    let cost = cost(agent, &["replay", &file, "--flows-max", "65536", "-o", "none"])?;
    report.at_most("SYN flood of 1 M flows against a cap of 65,536: peak memory", cost.peak_mib, 64.0, "MiB");
    report.says(
        "  its cost",
        cost.cpu * 1e6 / FLOOD_PACKETS.parse::<f64>()?,
        "us/packet",
        "each packet a flow of its own that pushes out another",
    );
    Ok(())
}

/// Records of a capture made by `make`.
fn packets(mix: &Path) -> Result<f64> {
    let mut bytes = BufReader::with_capacity(1 << 20, std::fs::File::open(mix)?);
    bytes.seek_relative(24)?;
    let (mut count, mut record) = (0.0, [0u8; 16]);
    while bytes.read_exact(&mut record).is_ok() {
        bytes.seek_relative(u32::from_le_bytes([record[8], record[9], record[10], record[11]]).into())?;
        count += 1.0;
    }
    Ok(count)
}

/// True if the peer is there, installing it where that is possible.
fn have(peer: &Peer) -> bool {
    if !shell::has(peer.program)
        && let Err(error) = install(peer.package)
    {
        eprintln!("\nTHE PEER {} IS MISSING: package {} could not be installed: {error:#}\n", peer.program, peer.package);
        return false;
    }
    shell::has(peer.program)
}

/// By apt; from backports where the release does not have it.
pub fn install(package: &str) -> Result<()> {
    ensure!(shell::has("apt-get"), "there is no apt-get");
    let get = |args: &[&str]| -> Result<()> {
        println!("$ apt-get {}", args.join(" "));
        let out = shell::command("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args).output()?;
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr).trim().lines().last().unwrap_or_default().to_owned());
        Ok(())
    };
    let install = ["install", "-y", "--no-install-recommends"];
    if get(&[&install[..], &[package]].concat()).is_ok() {
        return Ok(());
    }
    let release = std::fs::read_to_string("/etc/os-release")?;
    let Some(name) = release.lines().find_map(|l| l.strip_prefix("VERSION_CODENAME=")) else { bail!("the release has no name") };
    // A list of our own beside those of the system, which stay as they are.
    let list = shell::target_dir().join("bench/backports.list");
    std::fs::create_dir_all(shell::target_dir().join("bench"))?;
    let mut lines = std::fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    lines.push_str(&format!("\ndeb http://deb.debian.org/debian {name}-backports main\n"));
    std::fs::write(&list, lines)?;
    let source = format!("Dir::Etc::SourceList={}", list.display());
    let backports = format!("{name}-backports");
    get(&["-o", &source, "update"])?;
    get(&[&["-o", source.as_str(), "-t", backports.as_str()], &install[..], &[package]].concat())
}

/// Runs a program on the last core, its output thrown away.
fn cost(program: &str, args: &[&str]) -> Result<Cost> {
    let core = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    let before = children_cpu();
    let mut child = shell::command("taskset")
        .args(["-c", &core.to_string(), program])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start taskset (util-linux)")?;
    let mut peak: f64 = 0.0;
    let status = loop {
        // The kernel keeps the highest; the last look before the end is it.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let kib = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        pause(Duration::from_millis(10));
    };
    ensure!(status.success(), "{program} {} ended with {status}", args.join(" "));
    Ok(Cost { cpu: children_cpu() - before, peak_mib: peak })
}

/// CPU seconds of all children that have ended.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |p| p.1);
    after.split_whitespace().skip(13).take(2).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// By CPU time, with the memory of the same rank.
fn median(all: &[Cost]) -> Option<Cost> {
    let mut all = all.to_vec();
    all.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    let cpu = all.get(all.len() / 2)?.cpu;
    all.sort_by(|a, b| a.peak_mib.total_cmp(&b.peak_mib));
    Some(Cost { cpu, peak_mib: all.get(all.len() / 2)?.peak_mib })
}
