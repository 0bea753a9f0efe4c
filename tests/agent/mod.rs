//! The real agent without a collector: what it saw is in its spool, exactly once, whatever killed it when.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use event::field;
use spool::{Position, RealDisk, RecordKind, Spool};
use tests::programs::{self, Running};

const LINES: u64 = 3_000;
const KILLS: u64 = 6;

/// A folder with a configuration, a log and an agent that is started and killed.
struct Bench {
    dir: tempfile::TempDir,
    program: PathBuf,
}

impl Bench {
    fn new() -> Result<Option<Self>> {
        let Some(program) = programs::program("vedette-agent") else { return Ok(None) };
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("etc"))?;
        let at = |name: &str| dir.path().join(name).display().to_string();
        let text = format!(
            "state = \"{}\"\n[metrics]\nlisten = \"unix:{}\"\n[sensor.net]\nenabled = false\n[sensor.log]\npaths = [\"{}\"]\nfrom = \"start\"\n[sensor.file]\npaths = [\"{}\"]\nquiet = \"50 ms\"\n",
            at("state"),
            at("metrics.sock"),
            at("app.log"),
            at("etc")
        );
        fs::write(dir.path().join("agent.toml"), text)?;
        Ok(Some(Self { dir, program }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[expect(clippy::disallowed_methods, reason = "a case starts the program it tests")]
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg("--config").arg(self.path("agent.toml")).stdin(Stdio::null());
        command
    }

    fn start(&self) -> Result<Running> {
        let log = fs::File::options().create(true).append(true).open(self.path("agent.err"))?;
        Ok(Running(self.command("run").stdout(Stdio::null()).stderr(log).spawn()?))
    }

    /// Opens the spool of an agent that is not running and gives its events by lane, checking that no number is missing or doubled.
    fn spooled(&self) -> Result<Vec<event::Event>> {
        let (mut spool, _) = Spool::open(RealDisk::open(self.path("state/spool"))?, spool::Config::default(), 0)?;
        let mut events = Vec::new();
        for lane in 0..3u8 {
            let mut after = Position::START;
            loop {
                let records = spool.read(lane, after, 1 << 20)?;
                let Some(last) = records.last() else { break };
                let reached = last.position();
                for record in &records {
                    ensure!(record.position() > after, "lane {lane}: {:?} after {after:?}", record.position());
                    after = record.position();
                    match &record.kind {
                        RecordKind::Data(bytes) => events.push(wire::event::decode(bytes)?),
                        RecordKind::Gap { count, reason } => anyhow::bail!("lane {lane}: {count} lost: {reason}"),
                    }
                }
                ensure!(after == reached);
            }
        }
        ensure!(spool.ledger().iter().all(spool::Ledger::balances), "{:?}", spool.ledger());
        Ok(events)
    }

    /// Waits until what `count` counts in the spool of a stopped agent is reached: starts it, stops it in order, looks, again.
    fn until(&self, enough: impl Fn(&[event::Event]) -> bool) -> Result<Vec<event::Event>> {
        #[expect(clippy::disallowed_methods, reason = "waits for another process")]
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut agent = self.start()?;
            self.wait_ready()?;
            stop(&mut agent)?;
            let events = self.spooled()?;
            #[expect(clippy::disallowed_methods, reason = "waits for another process")]
            if enough(&events) || Instant::now() > deadline {
                return Ok(events);
            }
        }
    }

    /// Until the metrics page answers: the sensors are open then.
    fn wait_ready(&self) -> Result<()> {
        #[expect(clippy::disallowed_methods, reason = "waits for another process")]
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if self.command("status").stdout(Stdio::null()).stderr(Stdio::null()).status()?.code() != Some(3) {
                return Ok(());
            }
            #[expect(clippy::disallowed_methods, reason = "waits for another process")]
            if Instant::now() > deadline {
                anyhow::bail!("the agent did not come up: {}", fs::read_to_string(self.path("agent.err")).unwrap_or_default());
            }
        }
    }
}

/// SIGTERM, and the end of the process.
#[expect(clippy::disallowed_methods, reason = "a case stops the program it tests")]
fn stop(agent: &mut Running) -> Result<()> {
    let status = Command::new("kill").arg("-TERM").arg(agent.0.id().to_string()).status()?;
    ensure!(status.success(), "kill -TERM failed");
    let status = agent.0.wait()?;
    ensure!(status.success(), "the agent ended with {status}");
    Ok(())
}

fn numbers(events: &[event::Event]) -> Result<BTreeMap<u64, u32>> {
    let mut seen = BTreeMap::new();
    for event in events.iter().filter(|e| e.get(field::LOG_PATH).is_some()) {
        let text = event.text(field::RAW_DATA).into_owned();
        let number = text.split("line ").nth(1).and_then(|t| t.get(..6)).and_then(|n| n.parse().ok());
        *seen.entry(number.with_context(|| format!("no number in {text}"))?).or_default() += 1;
    }
    Ok(seen)
}

#[test]
fn killed_and_rotated_no_line_is_lost_and_none_is_kept_twice() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let log = bench.path("app.log");
    let open = |path: &Path| fs::File::options().create(true).append(true).open(path);
    let mut file = open(&log)?;
    // Known to the agent from its first line on; what is rotated away before it ever looked is not its to keep.
    writeln!(file, "Nov 23 11:00:00 host crashtest[1]: line {:06} end", 0)?;
    bench.until(|events| numbers(events).is_ok_and(|seen| seen.contains_key(&0)))?;
    let mut agent = Some(bench.start()?);
    for n in 1..=LINES {
        writeln!(file, "Nov 23 11:00:00 host crashtest[1]: line {n:06} end")?;
        if n % (LINES / KILLS) == 0 {
            // Dropping is SIGKILL: at once after the start, or while it reads. Rotated half of the times while nobody looks.
            if n % (3 * LINES / KILLS) != 0 {
                bench.wait_ready()?;
            }
            drop(agent.take());
            if n % (2 * LINES / KILLS) == 0 {
                fs::rename(&log, bench.path(&format!("app.log.{n}")))?;
                file = open(&log)?;
            }
            agent = Some(bench.start()?);
        }
    }
    drop(agent);
    let events = bench.until(|events| numbers(events).is_ok_and(|seen| seen.len() as u64 > LINES))?;
    let seen = numbers(&events)?;
    let lost: Vec<u64> = (0..=LINES).filter(|n| !seen.contains_key(n)).collect();
    let twice: Vec<u64> = seen.iter().filter(|(_, times)| **times > 1).map(|(n, _)| *n).collect();
    println!("{LINES} lines, {KILLS} kills, {} rotations: {} lost, {} twice", KILLS / 2, lost.len(), twice.len());
    ensure!(lost.is_empty() && twice.is_empty(), "lost {lost:?}, twice {twice:?}");
    Ok(())
}

#[test]
fn an_orderly_stop_has_the_last_word_and_a_change_while_away_is_found() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    fs::write(bench.path("etc/passwd"), "root\n")?;
    // Until the baseline is on disk.
    bench.until(|_| bench.path("state/integrity.baseline").exists())?;
    fs::write(bench.path("etc/passwd"), "root\neve\n")?;
    let changed = |events: &[event::Event]| events.iter().filter(|e| e.source.service.as_deref() == Some("fim")).count();
    let events = bench.until(|events| changed(events) > 0)?;
    ensure!(changed(&events) == 1, "{} changes told", changed(&events));
    let change = events.iter().find(|e| e.source.service.as_deref() == Some("fim")).context("found above")?;
    ensure!(change.text(field::FILE_NAME) == "passwd" && change.text(field::FILE_CHANGES) == "content");
    let last = events.iter().rfind(|e| e.source.product.as_deref() == Some("vedette")).context("no word of the agent")?;
    ensure!(last.text(field::STATUS_DETAIL) == "stopping", "{}", event::ocsf_json(last));
    Ok(())
}

/// Every thread of the running program has the two rights it uses, as far as it was given them, and can get no more.
#[test]
fn the_running_agent_has_shed_the_rights_it_does_not_use() -> Result<()> {
    use agent::privilege::{DAC_READ_SEARCH, NET_RAW, Rights};
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let agent = bench.start()?;
    bench.wait_ready()?;
    let given = Rights::read();
    let used = 1 << NET_RAW | 1 << DAC_READ_SEARCH;
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{}/task", agent.0.id()))?.flatten() {
        let rights = Rights::parse(&fs::read_to_string(task.path().join("status"))?);
        ensure!((rights.effective, rights.permitted) == (given.effective & used, given.permitted & used), "{rights:?}");
        ensure!(rights.no_new_privileges && rights.excess().is_empty(), "{rights:?}");
        threads += 1;
    }
    println!("{threads} threads, given {:x}, kept {:x}", given.effective, given.effective & used);
    ensure!(threads > 1);
    Ok(())
}

#[test]
fn what_cannot_be_used_is_said_with_its_place_and_an_exit_code() -> Result<()> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let said = |name: &str| -> Result<(Option<i32>, String)> {
        let out = bench.command(name).output()?;
        Ok((out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned()))
    };
    ensure!(said("check")?.0 == Some(0));
    ensure!(said("status")?.0 == Some(3), "nobody answers");
    let agent = bench.start()?;
    bench.wait_ready()?;
    let (code, text) = said("run")?;
    ensure!(code == Some(2) && text.contains("another agent runs with this state folder"), "{code:?} {text}");
    drop(agent);
    fs::write(bench.path("agent.toml"), "state = \"/x\"\n[spol]\nbytes_max = 1\n")?;
    let (code, text) = said("check")?;
    let place = bench.path("agent.toml");
    ensure!(
        code == Some(2) && text == format!("{}:2:2: key 'spol': no such key; did you mean 'spool'?\n", place.display()),
        "{code:?} {text}"
    );
    Ok(())
}
