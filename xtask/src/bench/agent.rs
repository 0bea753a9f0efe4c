//! What the agent costs the host it watches, as shipped (profile `dist`), enrolled at a real collector, sensors and settings as they come.
//!
//! Under load the log sensor follows two files a writer here appends to, one sshd line to four nginx lines, evenly paced; all lines must have
//! been seen before the CPU time is read, and the CPU time is that of the agent alone.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::lab::{self, Agent, Collector};
use super::process::{self, Memory, cpu_seconds, now, pause, quantile};
use super::report::Report;
use crate::shell;

const STARTS: usize = 7;
const REST_S: u64 = 30;
const LOAD_S: u64 = 60;
/// The writer appends so often.
const TICK: Duration = Duration::from_millis(20);
const SEEN: &str = "vedette_agent_sensor_events_total";

pub fn run(report: &mut Report) -> Result<()> {
    let programs = lab::build()?;
    shell::sh("cargo", &["build", "--profile", "dist", "--locked", "-p", "agent", "--bins"])?;
    let program = shell::target_dir().join("dist/vedette-agent");
    report.at_most("size of the binary", program.metadata()?.len() as f64 / MIB, 8.0, "MiB");
    start(report, &program)?;

    let folder = super::scratch("agent")?;
    let logs = [folder.join("auth.log"), folder.join("access.log")];
    for log in &logs {
        File::create(log)?;
    }
    let collector = Collector::start(&programs, &folder, "127.0.0.1")?;
    let metrics = format!("127.0.0.1:{}", lab::free_port()?);
    let sections = format!("[sensor.log]\npaths = [\"{}\", \"{}\"]\n", logs[0].display(), logs[1].display());
    let agent = Agent::start(&program, &folder, None, &metrics, &sections, Some(&collector.enrolment))?;
    collector.wait_for_agent()?;
    settle(agent.process.pid());
    rest(report, agent.process.pid());
    for (rate, memory, cpu) in [(1_000, 28.0, 2.0), (5_000, 28.0, 8.0)] {
        let load = load(&agent, &logs, rate)?;
        let name = |what: &str| format!("{what} at {rate} lines/s");
        report.at_most(&name("resident memory, highest,"), load.memory.resident, memory, "MiB");
        report.at_most(&name("CPU of one core"), load.cpu, cpu, "%");
        report.says(&name("anonymous memory, highest,"), load.memory.anonymous, "MiB", "");
        report.says(&name("CPU an event"), load.cpu / 100.0 * 1e6 / rate as f64, "us", "");
    }
    let lost = agent.metric("vedette_agent_ledger_records", "lost")?;
    report.at_most("events lost", lost, 0.0, "events");
    Ok(())
}

const MIB: f64 = 1024.0 * 1024.0;

/// From starting the program to the first record in a segment of the spool.
fn start(report: &mut Report, program: &Path) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let folder = super::scratch("agent-start")?;
        let began = now();
        let _agent = Agent::start(program, &folder, None, "", "", None)?;
        let spool = folder.join("agent/spool");
        while !has_record(&spool) {
            ensure!(began.elapsed() < Duration::from_secs(20), "no event in {} after 20 s", spool.display());
            pause(Duration::from_millis(1));
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    report.at_most(&format!("start to first event in the spool, median of {STARTS}"), quantile(&times, 0.5), 100.0, "ms");
    report.says(&format!("start to first event in the spool, slowest of {STARTS}"), quantile(&times, 1.0), "ms", "");
    Ok(())
}

/// Segments are laid out as zeros and written from their start.
fn has_record(spool: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(spool) else { return false };
    entries.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "seg")).any(|e| {
        let mut head = [0; 64];
        File::open(e.path()).and_then(|f| f.read_at(&mut head, 0)).is_ok_and(|n| head.iter().take(n).any(|b| *b != 0))
    })
}

/// Baselines are read at the start; waits until that is over.
fn settle(pid: u32) {
    for _ in 0..12 {
        let before = cpu_seconds(pid);
        pause(Duration::from_secs(5));
        if cpu_seconds(pid) - before <= 0.05 {
            return;
        }
    }
}

fn rest(report: &mut Report, pid: u32) {
    let (before, began) = (cpu_seconds(pid), now());
    let mut memory = Memory::default();
    for _ in 0..REST_S {
        pause(Duration::from_secs(1));
        memory = memory.max(Memory::of(pid));
    }
    let cpu = (cpu_seconds(pid) - before) / began.elapsed().as_secs_f64() * 100.0;
    report.at_most("resident memory at rest", memory.resident, 12.0, "MiB");
    report.says("anonymous memory at rest", memory.anonymous, "MiB", "");
    report.at_most(&format!("CPU of one core at rest, {REST_S} s"), cpu, 0.2, "%");
}

struct Load {
    memory: Memory,
    /// Percent of one core.
    cpu: f64,
}

fn load(agent: &Agent, logs: &[PathBuf; 2], rate: u64) -> Result<Load> {
    let pid = agent.process.pid();
    let seen_before = agent.metric(SEEN, "sensor=\"log\"")?;
    let mut files = Vec::new();
    for log in logs {
        files.push(File::options().append(true).open(log).with_context(|| format!("cannot append to {}", log.display()))?);
    }
    let (cpu_before, began) = (cpu_seconds(pid), now());
    let mut memory = Memory::default();
    let mut written = 0;
    let total = rate * LOAD_S;
    while written < total {
        let due = ((began.elapsed().as_secs_f64() * rate as f64) as u64).min(total);
        let mut texts = [String::new(), String::new()];
        for n in written..due {
            line(&mut texts, n);
        }
        written = due;
        for (file, text) in files.iter_mut().zip(&texts) {
            file.write_all(text.as_bytes())?;
        }
        memory = memory.max(Memory::of(pid));
        pause(TICK);
    }
    let spent = began.elapsed().as_secs_f64();
    // All of them, and what is left of the way to the collector.
    loop {
        let seen = agent.metric(SEEN, "sensor=\"log\"")? - seen_before;
        if seen >= total as f64 {
            break;
        }
        ensure!(began.elapsed().as_secs() < LOAD_S + 60, "only {seen} of {total} lines were seen; load {}", process::load());
        memory = memory.max(Memory::of(pid));
        pause(TICK);
    }
    Ok(Load { memory, cpu: (cpu_seconds(pid) - cpu_before) / spent * 100.0 })
}

/// One line as a server of a bank might write it.
fn line(texts: &mut [String; 2], n: u64) {
    let (host, port) = (n * 7 % 251, 30_000 + n * 13 % 30_000);
    let [auth, access] = texts;
    let _ = if n.is_multiple_of(5) {
        let (verb, user) = if n.is_multiple_of(25) { ("Accepted", "deploy") } else { ("Failed", "root") };
        writeln!(
            auth,
            "Nov 23 08:{:02}:{:02} pay-7 sshd[{}]: {verb} password for {user} from 198.51.100.{host} port {port} ssh2",
            n / 60 % 60,
            n % 60,
            800 + n % 9_000
        )
    } else {
        writeln!(
            access,
            "203.0.113.{host} - - [23/Nov/2026:08:{:02}:{:02} +0000] \"GET /api/v1/items/{}?page={} HTTP/1.1\" 200 {} \"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36\"",
            n / 60 % 60,
            n % 60,
            n * 7_919 % 10_007,
            n % 9,
            n * 73 % 40_000
        )
    };
}
