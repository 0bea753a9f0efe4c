//! From an act at the desk to the notice in people's hands, and what a storm does to it: the real collector, a real mail server (aiosmtpd),
//! Alertmanager, a webhook receiver, a robot that counts, and syslog, all on loopback.
//!
//! * Quiet: red orders one by one; from before the request that issues one to the moment each peer has it.
//! * Detection: lines of a log that a real agent follows; from writing the line that decides to the notice the city gets.
//! * Storm: 10,000 messages of lower level within a minute, a red one every ten seconds. The reds' times stand beside the quiet ones; every
//!   channel's requests are counted, and how often the robot would have silenced us.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::lab::{self, Agent, Collector, Running};
use super::process::{pause, quantile, wall};
use super::report::Report;
use crate::shell;

const SAMPLES: usize = 100;
const UNITS: usize = 30;
const STORM: usize = 10_000;
const STORM_S: f64 = 60.0;
const RED_EVERY_S: f64 = 10.0;
const PROMISE_S: f64 = 2.0;
const CHANNELS: [&str; 6] = ["mail", "webhook", "dingtalk", "udp", "tcp", "alertmanager"];
const PYTHON: &str = "/usr/bin/python3";

pub fn run(report: &mut Report) -> Result<()> {
    if !shell::command(PYTHON).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success()) {
        report.skipped("notice", "no python3-aiosmtpd; `cargo xtask test` installs it");
        return Ok(());
    }
    let programs = lab::build()?;
    let folder = super::scratch("notice")?;
    let peers = Peers::start()?;
    let manager = alertmanager(&folder)?;
    let config = configure(&folder, &peers, manager.as_ref().map_or(9, |m| m.1))?;
    let collector = Collector::configured(&programs, &folder, "127.0.0.1", Some(&config), &folder.join("register.toml"))?;
    let quiet = calm(report, &collector, &peers, manager.as_ref().map(|m| m.1))?;
    detection(report, &programs, &folder, &collector, &peers)?;
    storm(report, &collector, &peers, &quiet)
}

/// When which channel had which title, in seconds since 1970.
struct Peers {
    _child: Running,
    ports: Value,
    told: Receiver<Value>,
}

impl Peers {
    fn start() -> Result<Self> {
        let script = shell::root().join("tests/desk/peers.py");
        let mut child = Running(
            shell::command(PYTHON).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start the peers")?,
        );
        let mut lines = BufReader::new(child.0.stdout.take().context("an output")?).lines();
        let ports = serde_json::from_str(&lines.next().context("the peers ended")??)?;
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if tell.send(serde_json::from_str(&line).unwrap_or(Value::Null)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { _child: child, ports, told })
    }

    fn port(&self, name: &str) -> u64 {
        self.ports[name].as_u64().unwrap_or(0)
    }

    /// Takes in what comes until all of `channels` had `mark`, or the time is up; (channel, when).
    fn collect(&self, mark: &str, channels: &[&str], within: Duration) -> BTreeMap<String, f64> {
        let mut found = BTreeMap::new();
        let until = wall() + within.as_secs_f64();
        while found.len() < channels.len() {
            let left = Duration::from_secs_f64((until - wall()).max(0.0));
            match self.told.recv_timeout(left) {
                Ok(told) => {
                    let peer = told["peer"].as_str().unwrap_or("").to_owned();
                    if channels.contains(&peer.as_str()) && told.to_string().contains(mark) {
                        found.entry(peer).or_insert(told["at"].as_f64().unwrap_or(0.0));
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        found
    }
}

fn alertmanager(folder: &Path) -> Result<Option<(Running, u16)>> {
    let program = "/usr/bin/prometheus-alertmanager";
    if !Path::new(program).exists() {
        return Ok(None);
    }
    let config = folder.join("alertmanager.yml");
    std::fs::write(&config, "route:\n  receiver: none\nreceivers:\n  - name: none\n")?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut child = Running(
        shell::command(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stderr(Stdio::piped())
            .spawn()?,
    );
    let mut lines = BufReader::new(child.0.stderr.take().context("its log")?).lines();
    ensure!(lines.by_ref().map_while(Result::ok).any(|l| l.to_lowercase().contains("listening on")), "alertmanager did not start");
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok(Some((child, port)))
}

fn configure(folder: &Path, peers: &Peers, manager: u16) -> Result<PathBuf> {
    let mut register = String::from("[[unit]]\nid = \"this-host\"\nname = \"本机\"\nsector = \"power\"\n");
    for n in 0..UNITS {
        register.push_str(&format!(
            "[[unit]]\nid = \"unit-{n}\"\nname = \"单位{n}\"\nsector = \"power\"\ncontacts = [{{ name = \"值班\", role = \"duty\", mail = \"duty@unit-{n}.example\", channels = [\"webhook\", \"dingtalk\", \"udp\", \"tcp\", \"alertmanager\"] }}]\n"
        ));
    }
    std::fs::write(folder.join("register.toml"), register)?;
    std::fs::write(folder.join("ding.url"), format!("http://127.0.0.1:{}/dingtalk?access_token=x", peers.port("web")))?;
    let all = "[\"webhook\"]";
    let text = format!(
        "[notify.city]\nred = {all}\norange = {all}\nyellow = {all}\nblue = {all}\nother = {all}\n\
         [[channel]]\nname = \"mail\"\nkind = \"mail\"\nserver = \"127.0.0.1:{}\"\ntls = \"none\"\nfrom = \"vedette@city.example\"\n\
         [[channel]]\nname = \"webhook\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/in\"\n\
         [[channel]]\nname = \"dingtalk\"\nkind = \"dingtalk\"\nurl_file = \"{}\"\n\
         [[channel]]\nname = \"udp\"\nkind = \"syslog\"\naddress = \"127.0.0.1:{}\"\n\
         [[channel]]\nname = \"tcp\"\nkind = \"syslog\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:{}\"\n\
         [[channel]]\nname = \"alertmanager\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:{manager}\"\n",
        peers.port("mail"),
        peers.port("web"),
        folder.join("ding.url").display(),
        peers.port("udp"),
        peers.port("tcp"),
    );
    let path = folder.join("collector.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}

fn issue(collector: &Collector, units: &[String], mark: &str, level: &str) -> Result<()> {
    let body = json!({"units": units, "title": {"zh": mark, "en": mark}, "todo": [{"zh": "核查", "en": "check"}], "level": level});
    collector.post("/api/v1/orders/issue", &body).map(drop)
}

/// Seconds by channel of red orders, one by one.
fn calm(report: &mut Report, collector: &Collector, peers: &Peers, manager: Option<u16>) -> Result<BTreeMap<String, Vec<f64>>> {
    // The robot takes 20 a minute from anybody; it has its samples in the storm.
    let waited = ["mail", "webhook", "udp", "tcp"];
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    issue(collector, &["unit-0".to_owned()], "warm-up", "red")?;
    peers.collect("warm-up", &waited, Duration::from_secs(30));
    for n in 0..SAMPLES {
        // Not in step with any timer; and below what mail takes in a minute.
        pause(Duration::from_millis(520 + (n as u64 * 37) % 90));
        let (mark, began) = (format!("calm-{n}."), wall());
        issue(collector, &[format!("unit-{}", n % UNITS)], &mark, "red")?;
        let found = peers.collect(&mark, &waited, Duration::from_secs(30));
        for channel in waited {
            let at = found.get(channel).with_context(|| format!("{channel} never had {mark}"))?;
            times.entry(channel.to_owned()).or_default().push(at - began);
        }
    }
    // Alertmanager tells nobody on its own: its answer is the delivery, and the log has its time.
    if manager.is_some() {
        let log = collector.json("/api/v1/deliveries?channel=alertmanager&state=sent&limit=1000")?;
        let seconds = log["items"].as_array().into_iter().flatten().filter_map(|d| d["seconds"].as_f64()).collect();
        times.insert("alertmanager".into(), seconds);
    }
    for (channel, seconds) in &mut times {
        seconds.sort_by(f64::total_cmp);
        report.says(&format!("act to notice, {channel}, p50 of {}", seconds.len()), quantile(seconds, 0.5) * 1e3, "ms", "");
        report.at_most(&format!("act to notice, {channel}, p99"), quantile(seconds, 0.99), PROMISE_S, "s");
    }
    Ok(times)
}

/// From the line of a log that decides to the city's notice.
fn detection(report: &mut Report, programs: &Path, folder: &Path, collector: &Collector, peers: &Peers) -> Result<()> {
    let log = folder.join("auth.log");
    std::fs::write(&log, "")?;
    let sections = format!("[sensor.log]\npaths = [\"{}\"]\n\n[sensor.net]\nenabled = false\n", log.display());
    let _agent = Agent::start(&programs.join("vedette-agent"), folder, None, "", &sections, Some(&collector.enrolment))?;
    collector.wait_for_agent()?;
    let mut file = std::fs::OpenOptions::new().append(true).open(&log)?;
    let mut times = Vec::new();
    // The desk folds what comes after twenty open groups of one kind into one: nobody is told of the twenty-first by itself.
    for n in 0..20u8 {
        let address = format!("203.0.113.{}", n + 1);
        let mut lines = String::new();
        for port in 0..12 {
            lines.push_str(&format!(
                "{} vm sshd[{}]: Failed password for root from {address} port {} ssh2\n",
                stamp(),
                4_000 + u32::from(n),
                40_000 + port
            ));
        }
        lines.push_str(&format!(
            "{} vm sshd[{}]: Accepted password for root from {address} port 41000 ssh2\n",
            stamp(),
            4_000 + u32::from(n)
        ));
        let began = wall();
        file.write_all(lines.as_bytes())?;
        file.flush()?;
        let found = peers.collect(&address, &["webhook"], Duration::from_secs(15));
        match found.get("webhook") {
            Some(at) if n > 0 => times.push(at - began),
            Some(_) => {}
            None if n == 0 => {
                report.skipped("detection to notice", "no notice came of the first detection");
                return Ok(());
            }
            None => times.push(f64::INFINITY),
        }
    }
    times.sort_by(f64::total_cmp);
    report.says(&format!("detection to notice, webhook, p50 of {}", times.len()), quantile(&times, 0.5) * 1e3, "ms", "");
    report.at_most("detection to notice, webhook, p99", quantile(&times, 0.99), PROMISE_S, "s");
    Ok(())
}

/// `2026-11-23T08:00:00+00:00`.
fn stamp() -> String {
    shell::output("date", &["-u", "+%Y-%m-%dT%H:%M:%S+00:00"]).map(|t| t.trim().to_owned()).unwrap_or_default()
}

fn storm(report: &mut Report, collector: &Collector, peers: &Peers, quiet: &BTreeMap<String, Vec<f64>>) -> Result<()> {
    // What the calm part used of the robot's minute is over.
    pause(Duration::from_secs(62));
    while peers.told.try_recv().is_ok() {}
    let units: Vec<String> = (0..UNITS).map(|n| format!("unit-{n}")).collect();
    let (began, mut told, mut reds) = (wall(), 0usize, Vec::new());
    let levels = ["blue", "blue", "yellow"];
    while told < STORM {
        if (reds.len() as f64) * RED_EVERY_S <= wall() - began {
            let mark = format!("storm-red-{}.", reds.len());
            reds.push((mark.clone(), wall()));
            issue(collector, &["unit-7".to_owned()], &mark, "red")?;
        }
        let ahead = told as f64 / STORM as f64 * STORM_S - (wall() - began);
        if ahead > 0.0 {
            pause(Duration::from_secs_f64(ahead.min(0.2)));
            continue;
        }
        issue(collector, &units, &format!("storm-{told}"), levels[told / UNITS % levels.len()])?;
        told += UNITS;
    }
    let took = wall() - began;
    report.says("storm: messages of lower level told", told as f64, "", &format!("{took:.0} s, {} red ones among them", reds.len()));
    // Everything a peer got meanwhile and in the minutes it takes to drain.
    let mut seen = Vec::new();
    let until = wall() + 120.0;
    while wall() < until {
        match peers.told.recv_timeout(Duration::from_secs(1)) {
            Ok(told) => seen.push(told),
            Err(_) if waiting(collector)? == 0 => break,
            Err(_) => {}
        }
    }
    for channel in CHANNELS {
        let mine: Vec<&Value> = seen.iter().filter(|v| v["peer"] == channel).collect();
        let mut times: Vec<f64> = Vec::new();
        for (mark, at) in &reds {
            if let Some(got) =
                mine.iter().filter(|v| v.to_string().contains(mark.as_str())).filter_map(|v| v["at"].as_f64()).min_by(f64::total_cmp)
            {
                times.push(got - at);
            }
        }
        if channel == "alertmanager" {
            continue;
        }
        ensure!(times.len() == reds.len(), "{channel}: {} of {} reds came", times.len(), reds.len());
        times.sort_by(f64::total_cmp);
        let calm = quiet.get(channel).map(|t| format!("calm {:.0} ms", quantile(t, 0.99) * 1e3)).unwrap_or_default();
        report.at_most(&format!("red in the storm, {channel}, slowest of {} ({calm})", times.len()), quantile(&times, 1.0), PROMISE_S, "s");
        report.says(&format!("storm: requests on {channel}"), mine.len() as f64, "", "");
        if channel == "dingtalk" {
            let often = mine.iter().filter(|v| v["often"] == true).count();
            report.at_most("storm: requests the robot would have punished", often as f64, 0.0, "");
        }
    }
    let page = collector.json("/api/v1/channels")?;
    for c in page["items"].as_array().into_iter().flatten() {
        println!("{}: {} sent, {} waiting, {} given up", c["name"], c["sent"], c["waiting"], c["dead"]);
        report.at_most(
            &format!("storm: messages given up on {}", c["name"].as_str().unwrap_or("")),
            c["dead"].as_f64().unwrap_or(0.0),
            0.0,
            "",
        );
    }
    Ok(())
}

fn waiting(collector: &Collector) -> Result<u64> {
    let page = collector.json("/api/v1/channels")?;
    Ok(page["items"].as_array().into_iter().flatten().filter_map(|c| c["waiting"].as_u64()).sum())
}
