//! The whole road with nothing replaced: three network namespaces (attacker, bank, grid), real agents in two of them, a real
//! sshd, real nmap and hydra, and the alert as the operator's page receives it.
//!
//! Traffic stays on a bridge this case makes and removes. Needs root, `ip`, nmap, hydra and sshd; says SKIPPED otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::programs::{self, Running};

/// (namespace, host address on 10.77.0.0/24, unit, sector); the attacker belongs to nobody.
const HOSTS: [(&str, u8, &str); 3] = [("attacker", 66, ""), ("bank", 10, "bank-1"), ("grid", 20, "grid-1")];

const REGISTER: &str = r#"
[[unit]]
id = "this-host"
name = "本机"
sector = "telecom"

[[unit]]
id = "bank-1"
name = "第一银行"
name_en = "First Bank"
sector = "finance"

[[unit]]
id = "grid-1"
name = "第一电网"
name_en = "First Grid"
sector = "power"
"#;

/// Namespaces, bridge and processes of the case; gone when it ends, however it ends.
struct Lab {
    tag: String,
    running: Vec<Running>,
}

impl Lab {
    fn new() -> Result<Self> {
        let lab = Self { tag: format!("v{}", std::process::id() % 100_000), running: Vec::new() };
        let bridge = lab.bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["addr", "add", "10.77.0.1/24", "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for (name, last, _) in HOSTS {
            let (space, outer) = (lab.space(name), format!("{}{}", lab.tag, &name[..2]));
            ip(&["netns", "add", &space])?;
            ip(&["link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", &space])?;
            ip(&["link", "set", &outer, "master", &bridge, "up"])?;
            for args in [
                vec!["link", "set", "lo", "up"],
                vec!["addr", "add", &format!("10.77.0.{last}/24"), "dev", "eth0"],
                vec!["link", "set", "eth0", "up"],
            ] {
                let mut all = vec!["-n", &space];
                all.extend(args);
                ip(&all)?;
            }
        }
        Ok(lab)
    }

    fn bridge(&self) -> String {
        format!("{}br", self.tag)
    }

    fn space(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// A command inside a namespace.
    #[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
    fn command(&self, space: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(space)]).arg(program).stdin(Stdio::null());
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.running.clear();
        for (name, ..) in HOSTS {
            // What a program has started itself (hydra's workers) outlives it, and a namespace lives as long as anything runs in it.
            kill_all(&self.space(name));
            let _ = ip(&["netns", "del", &self.space(name)]);
        }
        let _ = ip(&["link", "del", &self.bridge()]);
    }
}

#[expect(clippy::disallowed_methods, reason = "a case cleans up its own network")]
fn kill_all(space: &str) {
    let pids = Command::new("ip").args(["netns", "pids", space]).output();
    let pids = pids.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    if !pids.trim().is_empty() {
        let _ = Command::new("kill").arg("-9").args(pids.split_whitespace()).status();
    }
}

#[expect(clippy::disallowed_methods, reason = "a case makes its own network")]
fn ip(args: &[&str]) -> Result<()> {
    let out = Command::new("ip").args(args).output().context("cannot start ip")?;
    ensure!(out.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    Ok(())
}

/// Root, the tools, and a kernel that lets us make a namespace.
fn may() -> bool {
    for tool in ["ip", "nmap", "hydra", "sshd", "ssh-keygen"] {
        if !programs::installed(tool) {
            tests::skip(&format!("{tool} is not installed"));
            return false;
        }
    }
    if let Err(error) = ip(&["netns", "add", "vedette-probe"]).and_then(|()| ip(&["netns", "del", "vedette-probe"])) {
        tests::skip(&format!("no network namespaces here: {error}"));
        return false;
    }
    true
}

#[test]
fn a_scan_and_password_guessing_reach_the_live_page_within_two_seconds() -> Result<()> {
    if !may() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let register = dir.path().join("register.toml");
    fs::write(&register, REGISTER)?;
    let mut lab = Lab::new()?;
    let Some(collector) = programs::collector(&dir.path().join("collector"), "10.77.0.1", &register)? else { return Ok(()) };
    let Some(agent) = programs::program("vedette-agent") else { return Ok(()) };

    let log = dir.path().join("bank-sshd.log");
    sshd(&mut lab, dir.path(), &log)?;
    for (name, _, unit) in HOSTS.iter().filter(|(_, _, unit)| !unit.is_empty()) {
        start_agent(&mut lab, &agent, name, &collector.enrolment(unit)?, &dir.path().join(name), &log)?;
    }
    let mut feed = collector.admin.feed("/api/v1/feed")?;
    wait_for_agents(&collector, 2)?;

    let scan_started = now();
    let attacker = lab.command("attacker", Path::new("nmap")).args(["-sS", "-n", "-Pn", "-T4", "-p", "1-500", "10.77.0.10"]).output()?;
    ensure!(attacker.status.success(), "nmap: {}", String::from_utf8_lossy(&attacker.stderr));
    let scan =
        next_alert(&mut feed, |a| a["title"].as_str().is_some_and(|t| t.to_lowercase().contains("scan")) && targets(a, "10.77.0.10"))?;
    check(&scan, "10.77.0.66", "bank-1", "finance", "T1046")?;
    let delay = delay(&scan);
    println!("scan: nmap started → alert in the feed {:?}; deciding event → feed {:?}", scan_started.elapsed(), delay);
    ensure!(delay < Duration::from_secs(2), "the scan took {delay:?} from the deciding packet to the feed");

    let words = dir.path().join("words");
    fs::write(&words, (0..12).map(|n| format!("wrong-{n}\n")).collect::<String>())?;
    // The feed is read while it guesses: an alert has arrived when it is there, not when the attacker is done.
    let hydra = lab
        .command("attacker", Path::new("hydra"))
        .args(["-l", "root", "-t", "4", "-I", "-P"])
        .arg(&words)
        .arg("ssh://10.77.0.10")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Running)?;
    let guess = next_alert(&mut feed, |a| a["techniques"].to_string().contains("T1110") && has(a, "source_ips", "10.77.0.66"))?;
    drop(hydra);
    check(&guess, "10.77.0.66", "bank-1", "finance", "T1110")?;
    let delay = self::delay(&guess);
    println!("guessing: deciding line → feed {delay:?}");
    ensure!(delay < Duration::from_secs(2), "the guessing took {delay:?} from the deciding line to the feed");

    // The events behind them are there, as events, and name the same parties: a packet both addresses, a log line the host it was written on.
    for (alert, target) in [(&scan, "10.77.0.10"), (&guess, "bank-1")] {
        let id = alert["id"].as_str().context("an alert has an id")?;
        let evidence = collector.admin.json(&format!("/api/v1/alerts/{id}/events"))?;
        let text = evidence.to_string();
        ensure!(text.contains("10.77.0.66") && text.contains(target), "the evidence of {id} does not name the parties: {text}");
    }
    Ok(())
}

/// A real sshd in the bank that refuses every password and writes its own log.
fn sshd(lab: &mut Lab, dir: &Path, log: &Path) -> Result<()> {
    let key = dir.join("host_key");
    #[expect(clippy::disallowed_methods, reason = "a case makes its own key")]
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status()?;
    ensure!(made.success(), "ssh-keygen failed");
    fs::create_dir_all("/run/sshd")?;
    fs::write(log, "")?;
    let config = dir.join("sshd_config");
    fs::write(
        &config,
        format!("HostKey {}\nPidFile none\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin yes\nMaxStartups 100\nPerSourcePenalties no\n", key.display())
            .lines()
            // Debian 12's server does not know the last one yet.
            .filter(|l| !l.starts_with("PerSourcePenalties"))
            .map(|l| format!("{l}\n"))
            .collect::<String>(),
    )?;
    let child = lab
        .command("bank", Path::new("/usr/sbin/sshd"))
        .arg("-D")
        .arg("-f")
        .arg(&config)
        .arg("-E")
        .arg(log)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    lab.running.push(Running(child));
    Ok(())
}

fn start_agent(lab: &mut Lab, agent: &Path, name: &str, enrolment: &str, state: &Path, log: &Path) -> Result<()> {
    fs::create_dir_all(state)?;
    let config: PathBuf = state.join("agent.toml");
    // sshd -E writes bare messages, without time and program: the configuration names the format.
    let (files, format) = match name {
        "bank" => (format!("[\"{}\"]", log.display()), format!("\n[[sensor.log.format]]\npath = \"{}\"\nname = \"sshd\"\n", log.display())),
        _ => ("[]".to_owned(), String::new()),
    };
    fs::write(
        &config,
        format!(
            "state = \"{}\"\n\n[metrics]\nlisten = \"off\"\n\n[sensor.net]\ninterfaces = [\"eth0\"]\n\n[sensor.log]\npaths = {files}\n{format}\n[sensor.file]\nenabled = false\n",
            state.display()
        ),
    )?;
    let out = lab.command(name, agent).arg("enrol").arg("--config").arg(&config).arg(enrolment).output()?;
    ensure!(
        out.status.success(),
        "{name} could not enrol: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    let errors = fs::File::create(state.join("agent.log"))?;
    let child = lab.command(name, agent).arg("run").arg("--config").arg(&config).stdout(Stdio::null()).stderr(errors).spawn()?;
    lab.running.push(Running(child));
    Ok(())
}

/// Waits until the collector has heard a heartbeat of each agent.
fn wait_for_agents(collector: &programs::Collector, count: usize) -> Result<()> {
    programs::until(30, "heartbeats of all agents", || {
        let agents = collector.admin.json("/api/v1/agents")?;
        let alive = agents["items"].as_array().map_or(0, |a| a.iter().filter(|a| a["liveness"] == "alive").count());
        Ok((alive >= count).then_some(()))
    })
}

/// The next alert of the feed that fits; after forty seconds this case gives up.
fn next_alert(feed: &mut tests::http::Feed, fits: impl Fn(&serde_json::Value) -> bool) -> Result<serde_json::Value> {
    let deadline = now() + Duration::from_secs(40);
    let mut seen = Vec::new();
    while let Some(data) = feed.next_data(deadline)? {
        let data: serde_json::Value = serde_json::from_str(&data)?;
        let alert = data.get("alert").cloned().unwrap_or(data);
        if fits(&alert) {
            let mut alert = alert;
            alert["_arrived_ns"] = wall_ns().into();
            return Ok(alert);
        }
        seen.push(alert["title"].clone());
    }
    anyhow::bail!("no such alert; seen: {seen:?}")
}

fn check(alert: &serde_json::Value, source: &str, unit: &str, sector: &str, technique: &str) -> Result<()> {
    ensure!(has(alert, "source_ips", source), "source {source} is missing: {alert}");
    let units = alert["units"].as_array().cloned().unwrap_or_default();
    ensure!(units.iter().any(|u| u["id"] == unit && u["sector"] == sector), "unit {unit} of {sector} is missing: {alert}");
    ensure!(alert["techniques"].to_string().contains(technique), "technique {technique} is missing: {alert}");
    ensure!(alert["reasons"].as_array().is_some_and(|r| !r.is_empty()), "no reasons: {alert}");
    ensure!(alert["evidence"].as_array().is_some_and(|e| !e.is_empty()), "no evidence: {alert}");
    Ok(())
}

fn targets(alert: &serde_json::Value, ip: &str) -> bool {
    has(alert, "target_ips", ip)
}

fn has(alert: &serde_json::Value, list: &str, value: &str) -> bool {
    alert[list].as_array().is_some_and(|l| l.iter().any(|v| v == value))
}

/// From the event that decided to the arrival in the feed; both clocks are this machine's.
fn delay(alert: &serde_json::Value) -> Duration {
    let decided = alert["last_time"].as_str().and_then(event::Timestamp::parse_rfc3339).map_or(0, event::Timestamp::ns);
    let arrived = alert["_arrived_ns"].as_i64().unwrap_or(i64::MAX);
    Duration::from_nanos(u64::try_from(arrived - decided).unwrap_or(0))
}

#[expect(clippy::disallowed_methods, reason = "measures real programs")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "measures real programs")]
fn wall_ns() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}
