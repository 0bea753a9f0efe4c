//! kill -9 of the real programs while numbered lines are written: every line arrives once, whatever is killed when.
//!
//! The thousand-seed proof in simulated time is `tests/road`; this one shows that the real files, sockets and processes keep the
//! same promise. `SEED=n` repeats a run.

mod standing;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::programs::{self, Collector, Running};

/// Lines written, and how often something is killed on the way.
const LINES: u64 = 6_000;
const KILLS: u64 = 12;

#[test]
fn killed_at_any_point_every_line_arrives_once() -> Result<()> {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_123u64);
    let mut chance = Chance(seed);
    let dir = tempfile::tempdir()?;
    let register = dir.path().join("register.toml");
    fs::write(&register, "[[unit]]\nid = \"this-host\"\nname = \"本机\"\nsector = \"telecom\"\n")?;
    let Some(program) = programs::program("vedette-agent") else { return Ok(()) };
    let ports = programs::free_ports()?;
    let start = || programs::collector_at(&dir.path().join("collector"), "127.0.0.1", &register, ports);
    let Some(mut collector) = start()? else { return Ok(()) };

    let log = dir.path().join("app.log");
    fs::write(&log, "")?;
    let config = configure(dir.path(), &log)?;
    enrol(&program, &config, collector.ready["enrolment"].as_str().context("no enrolment string")?)?;
    let mut agent = Some(run(&program, &config)?);

    let mut file = fs::File::options().append(true).open(&log)?;
    let mut next_kill = 1 + chance.below(2 * LINES / KILLS);
    let (mut agent_kills, mut collector_kills) = (0, 0);
    for n in 1..=LINES {
        writeln!(file, "Nov 23 11:00:00 host crashtest[1]: line {n:06} end")?;
        if n == next_kill {
            next_kill = n + 1 + chance.below(2 * LINES / KILLS);
            if chance.below(2) == 0 {
                drop(agent.take());
                agent = Some(run(&program, &config)?);
                agent_kills += 1;
            } else {
                drop(collector);
                collector = start()?.context("the collector was there before")?;
                collector_kills += 1;
            }
        }
    }
    file.flush()?;
    let seen = wait_for_all(&collector)?;
    let lost: Vec<u64> = (1..=LINES).filter(|n| !seen.contains_key(n)).collect();
    let twice: Vec<u64> = seen.iter().filter(|(_, times)| **times > 1).map(|(n, _)| *n).collect();
    println!(
        "seed {seed}: {LINES} lines, {agent_kills} agent kills, {collector_kills} collector kills, {} lost, {} twice",
        lost.len(),
        twice.len()
    );
    ensure!(lost.is_empty() && twice.is_empty(), "seed {seed}: lost {lost:?}, twice {twice:?}");
    ensure!(agent_kills + collector_kills > 0, "seed {seed} killed nothing: it proves nothing");
    Ok(())
}

fn configure(dir: &Path, log: &Path) -> Result<PathBuf> {
    let state = dir.join("agent");
    fs::create_dir_all(&state)?;
    let config = dir.join("agent.toml");
    fs::write(
        &config,
        format!(
            "state = \"{}\"\n\n[metrics]\nlisten = \"off\"\n\n[sensor.net]\nenabled = false\n\n[sensor.log]\npaths = [\"{}\"]\nfrom = \"start\"\n\n[sensor.file]\nenabled = false\n",
            state.display(),
            log.display()
        ),
    )?;
    Ok(config)
}

#[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
fn enrol(program: &Path, config: &Path, string: &str) -> Result<()> {
    let out = Command::new(program).arg("enrol").arg("--config").arg(config).arg(string).output()?;
    ensure!(out.status.success(), "enrol: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
fn run(program: &Path, config: &Path) -> Result<Running> {
    let errors = fs::File::options().create(true).append(true).open(config.with_extension("log"))?;
    let child =
        Command::new(program).arg("run").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn()?;
    Ok(Running(child))
}

/// All numbered lines the collector holds, with how often; waits until as many as were written are there. If they do not come, what is there
/// says which are missing.
fn wait_for_all(collector: &Collector) -> Result<BTreeMap<u64, u32>> {
    let all = programs::until(90, "all lines", || Ok(Some(lines(collector)?).filter(|seen| seen.len() as u64 >= LINES)));
    all.or_else(|_| lines(collector))
}

fn lines(collector: &Collector) -> Result<BTreeMap<u64, u32>> {
    let mut seen = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = collector.admin.json(&format!(
            "/api/v1/events?q=log.program:crashtest&limit=1000&from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z{cursor}"
        ))?;
        for record in page["items"].as_array().into_iter().flatten() {
            let text = record.to_string();
            let number = text.split("line ").nth(1).and_then(|t| t.get(..6)).and_then(|n| n.parse().ok());
            *seen.entry(number.with_context(|| format!("no number in {text}"))?).or_default() += 1;
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(seen),
        }
    }
}

/// xorshift: the same seed, the same run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
