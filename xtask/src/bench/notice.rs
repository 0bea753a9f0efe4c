//! From an act at the desk to the notice in people's hands, and what a storm does to it: the real collector, a real mail server (aiosmtpd),
//! Alertmanager, a webhook receiver, a robot that counts, and syslog, all on loopback.
//!
//! * Quiet: red orders one by one; from before the request that issues one to the moment each peer has it.
//! * Detection: lines of a log that a real agent follows; from writing the line that decides to the notice on each channel of the city. The desk
//!   joins what comes after so many groups into wide ones, so there are several rounds, each with a collector of its own.
//! * Alerts: 10,000 in a minute, one an address, through a real agent; open groups as they go, a red order every ten seconds.
//! * Messages: 10,000 of lower level within a minute, a red one every ten seconds. Every channel's requests are counted, the most in any minute
//!   beside its limit, and how often the robot would have silenced us.
//!
//! Alertmanager tells nobody by itself: there it is the moment of its answer, as the delivery log has it.

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
/// Detections: rounds, and alerts of each that are told by themselves.
const ROUNDS: usize = 5;
const DETECTIONS: u8 = 20;
const OPEN_MAX: f64 = 49.0;
const UNITS: usize = 30;
const STORM: usize = 10_000;
const STORM_S: f64 = 60.0;
const RED_EVERY_S: f64 = 10.0;
const PROMISE_S: f64 = 2.0;
const CHANNELS: [&str; 6] = ["mail", "webhook", "dingtalk", "udp", "tcp", "alertmanager"];
/// Those a peer of ours is behind, and that take a hundred in a row.
const WAITED: [&str; 4] = ["mail", "webhook", "udp", "tcp"];
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
    detection(report, &programs, &folder, &config, &peers)?;
    let collector = Collector::configured(&programs, &folder, "127.0.0.1", Some(&config), &folder.join("register.toml"))?;
    let quiet = calm(report, &collector, &peers)?;
    // What the calm part used of the robot's minute is over.
    pause(Duration::from_secs(62));
    alerts(report, &programs, &folder, &collector, &peers, &quiet)?;
    pause(Duration::from_secs(62));
    messages(report, &collector, &peers, &quiet)
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
    let all = "[\"webhook\", \"mail\", \"udp\", \"tcp\", \"alertmanager\"]";
    let text = format!(
        "[notify.city]\nred = {all}\norange = {all}\nyellow = {all}\nblue = {all}\nother = {all}\n\
         [[channel]]\nname = \"mail\"\nkind = \"mail\"\nserver = \"127.0.0.1:{}\"\ntls = \"none\"\nfrom = \"vedette@city.example\"\nto = [\"desk@city.example\"]\n\
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
fn calm(report: &mut Report, collector: &Collector, peers: &Peers) -> Result<BTreeMap<String, Vec<f64>>> {
    // The robot takes 20 a minute from anybody; it has its samples in the storms.
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    issue(collector, &["unit-0".to_owned()], "warm-up", "red")?;
    peers.collect("warm-up", &WAITED, Duration::from_secs(30));
    let mut marks = Vec::new();
    for n in 0..SAMPLES {
        // Not in step with any timer; and below what mail takes in a minute.
        pause(Duration::from_millis(520 + (n as u64 * 37) % 90));
        let (mark, began) = (format!("calm-{n}."), wall());
        issue(collector, &[format!("unit-{}", n % UNITS)], &mark, "red")?;
        let found = peers.collect(&mark, &WAITED, Duration::from_secs(30));
        for channel in WAITED {
            let at = found.get(channel).with_context(|| format!("{channel} never had {mark}"))?;
            times.entry(channel.to_owned()).or_default().push(at - began);
        }
        marks.push((mark, began));
    }
    times.insert("alertmanager".into(), confirmed(collector, "", &marks)?);
    figures(report, "act to notice", &mut times);
    Ok(times)
}

/// Middle and p99 of each channel.
fn figures(report: &mut Report, what: &str, times: &mut BTreeMap<String, Vec<f64>>) {
    for (channel, seconds) in times {
        seconds.sort_by(f64::total_cmp);
        if seconds.is_empty() {
            report.skipped(&format!("{what}, {channel}"), "nothing was delivered there");
            continue;
        }
        report.says(&format!("{what}, {channel}, p50 of {}", seconds.len()), quantile(seconds, 0.5) * 1e3, "ms", "");
        report.at_most(&format!("{what}, {channel}, p99"), quantile(seconds, 0.99), PROMISE_S, "s");
    }
}

/// Seconds from each (mark, beginning) to Alertmanager's answer about the message with that mark in its title.
fn confirmed(collector: &Collector, unit: &str, marks: &[(String, f64)]) -> Result<Vec<f64>> {
    let path = format!("/api/v1/deliveries?channel=alertmanager&state=sent&limit=1000&unit={unit}");
    let log = collector.json(&path)?;
    let items = log["items"].as_array().cloned().unwrap_or_default();
    let mut times = Vec::new();
    for (mark, began) in marks {
        // The log begins with the newest; the first that told of it counts.
        let Some(ended) = items.iter().rfind(|d| d["title"].to_string().contains(mark)).and_then(|d| d["ended"].as_str()) else { continue };
        times.push(shell::output("date", &["-u", "-d", ended, "+%s.%N"])?.trim().parse::<f64>()? - began);
    }
    Ok(times)
}

/// From the line of a log that decides to the city's notice.
fn detection(report: &mut Report, programs: &Path, folder: &Path, config: &Path, peers: &Peers) -> Result<()> {
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut missing = 0;
    for round in 0..ROUNDS {
        let folder = folder.join(format!("detection-{round}"));
        std::fs::create_dir_all(&folder)?;
        let register = config.with_file_name("register.toml");
        let collector = Collector::configured(programs, &folder, "127.0.0.1", Some(config), &register)?;
        let log = folder.join("auth.log");
        std::fs::write(&log, "")?;
        let _agent = follow(programs, &folder, &log, &collector)?;
        let mut file = std::fs::OpenOptions::new().append(true).open(&log)?;
        let mut marks = Vec::new();
        for n in 0..DETECTIONS {
            // Not in step with any timer.
            pause(Duration::from_millis(110 + u64::from(n) * 37 % 250));
            // None is the beginning of another.
            let address = format!("203.0.{}.{}", 113 + round, 100 + n);
            let (time, session) = (stamp(), 4_000 + u32::from(n));
            let mut lines = String::new();
            for port in 0..12 {
                let port = 40_000 + port;
                lines.push_str(&format!("{time} vm sshd[{session}]: Failed password for root from {address} port {port} ssh2\n"));
            }
            lines.push_str(&format!("{time} vm sshd[{session}]: Accepted password for root from {address} port 41000 ssh2\n"));
            let began = wall();
            file.write_all(lines.as_bytes())?;
            file.flush()?;
            let found = peers.collect(&address, &WAITED, Duration::from_secs(15));
            missing += WAITED.len() - found.len();
            for (channel, at) in found {
                times.entry(channel).or_default().push(at - began);
            }
            marks.push((address, began));
        }
        times.entry("alertmanager".into()).or_default().extend(confirmed(&collector, "", &marks)?);
    }
    figures(report, "detection to notice", &mut times);
    report.at_most("detections without a notice on some channel", missing as f64, 0.0, "");
    Ok(())
}

/// An agent that follows one log.
fn follow(programs: &Path, folder: &Path, log: &Path, collector: &Collector) -> Result<Agent> {
    let sections = format!("[sensor.log]\npaths = [\"{}\"]\n\n[sensor.net]\nenabled = false\n", log.display());
    let agent = Agent::start(&programs.join("vedette-agent"), folder, None, "", &sections, Some(&collector.enrolment))?;
    collector.wait_for_agent()?;
    Ok(agent)
}

/// `2026-11-23T08:00:00+00:00`.
fn stamp() -> String {
    shell::output("date", &["-u", "+%Y-%m-%dT%H:%M:%S+00:00"]).map(|t| t.trim().to_owned()).unwrap_or_default()
}

/// Red orders on their way while something else goes on.
#[derive(Default)]
struct Reds {
    name: &'static str,
    sent: Vec<(String, f64)>,
}

impl Reds {
    /// Issues the next one if it is time.
    fn next(&mut self, collector: &Collector, since: f64) -> Result<()> {
        if (self.sent.len() as f64) * RED_EVERY_S <= since {
            let mark = format!("{}-red-{}.", self.name, self.sent.len());
            self.sent.push((mark.clone(), wall()));
            issue(collector, &["unit-7".to_owned()], &mark, "red")?;
        }
        Ok(())
    }

    /// How long each took, on each channel, beside the calm.
    fn figures(&self, report: &mut Report, collector: &Collector, seen: &[Value], quiet: &BTreeMap<String, Vec<f64>>) -> Result<()> {
        for channel in CHANNELS {
            let mine = || seen.iter().filter(|v| v["peer"] == channel);
            let first =
                |mark: &str| mine().filter(|v| v.to_string().contains(mark)).filter_map(|v| v["at"].as_f64()).min_by(f64::total_cmp);
            let mut times: Vec<f64> = match channel {
                "alertmanager" => confirmed(collector, "unit-7", &self.sent)?,
                _ => self.sent.iter().filter_map(|(mark, at)| Some(first(mark)? - at)).collect(),
            };
            ensure!(times.len() == self.sent.len(), "{channel}: {} of {} reds came", times.len(), self.sent.len());
            times.sort_by(f64::total_cmp);
            let calm = quiet.get(channel).map(|t| format!(" (calm p99 {:.0} ms)", quantile(t, 0.99) * 1e3)).unwrap_or_default();
            let name = format!("{}: slowest red of {}, {channel}{calm}", self.name, times.len());
            report.at_most(&name, quantile(&times, 1.0), PROMISE_S, "s");
        }
        Ok(())
    }
}

/// What peers get until nothing waits any more, for two minutes at most.
fn drain(collector: &Collector, peers: &Peers, seen: &mut Vec<Value>) -> Result<()> {
    let until = wall() + 120.0;
    while wall() < until {
        match peers.told.recv_timeout(Duration::from_secs(1)) {
            Ok(told) => seen.push(told),
            Err(_) if waiting(collector)? == 0 => break,
            Err(_) => {}
        }
    }
    Ok(())
}

/// 10,000 alerts in a minute, one an address, as an agent's log has them.
fn alerts(
    report: &mut Report,
    programs: &Path,
    folder: &Path,
    collector: &Collector,
    peers: &Peers,
    quiet: &BTreeMap<String, Vec<f64>>,
) -> Result<()> {
    let log = folder.join("access.log");
    std::fs::write(&log, "")?;
    let _agent = follow(programs, folder, &log, collector)?;
    let mut file = std::fs::OpenOptions::new().append(true).open(&log)?;
    let mut reds = Reds { name: "alerts", ..Reds::default() };
    let (mut seen, mut written, mut open, mut looked) = (Vec::new(), 0usize, 0usize, 0.0);
    let before = collector.metric("vedette_desk_changes_total{change=\"opened\"}")?;
    let began = wall();
    while written < STORM {
        let since = wall() - began;
        reds.next(collector, since)?;
        let due = ((since / STORM_S * STORM as f64) as usize).min(STORM);
        let (mut lines, time) = (String::new(), clf()?);
        for n in written..due {
            // 198.18.0.0/15 is for benchmarks: 131,072 addresses.
            lines.push_str(&format!(
                "198.{}.{}.{} - - [{time}] \"GET /../../../../etc/passwd HTTP/1.1\" 404 153 \"-\" \"Mozilla/5.0\"\n",
                18 + n / 65_536,
                n / 256 % 256,
                n % 256
            ));
        }
        written = due;
        file.write_all(lines.as_bytes())?;
        if since - looked >= 1.0 {
            looked = since;
            open = open.max(groups(collector)?);
        }
        seen.extend(peers.told.try_iter());
        pause(Duration::from_millis(50));
    }
    let took = wall() - began;
    // All are at the desk when the engine opened them and each campaign has its own.
    let mut opened = 0.0;
    while wall() - began < took + 120.0 {
        opened = collector.metric("vedette_desk_changes_total{change=\"opened\"}")? - before;
        open = open.max(groups(collector)?);
        if opened >= STORM as f64 && taken(collector)? >= opened {
            break;
        }
        seen.extend(peers.told.try_iter());
        pause(Duration::from_millis(500));
    }
    report.at_least("alerts opened", opened, STORM as f64, "");
    report.says("alerts: from the last line to the desk having them all", wall() - began - took, "s", &format!("written in {took:.0} s"));
    report.at_most("alerts: open groups, most", open as f64, OPEN_MAX, "");
    drain(collector, peers, &mut seen)?;
    reds.figures(report, collector, &seen, quiet)?;
    requests(report, collector, "alerts", &seen)
}

/// Open groups.
fn groups(collector: &Collector) -> Result<usize> {
    Ok(collector.json("/api/v1/campaigns?state=open&limit=500")?["items"].as_array().map_or(0, Vec::len))
}

/// Alerts all groups hold.
fn taken(collector: &Collector) -> Result<f64> {
    let page = collector.json("/api/v1/campaigns?state=all&full=true&limit=500")?;
    Ok(page["items"].as_array().into_iter().flatten().filter_map(|c| c["body"]["alerts"].as_f64()).sum())
}

/// `23/Nov/2026:08:00:00 +0000`.
fn clf() -> Result<String> {
    shell::output("date", &["-u", "+%d/%b/%Y:%H:%M:%S +0000"]).map(|t| t.trim().to_owned())
}

/// 10,000 messages of lower level within a minute.
fn messages(report: &mut Report, collector: &Collector, peers: &Peers, quiet: &BTreeMap<String, Vec<f64>>) -> Result<()> {
    while peers.told.try_recv().is_ok() {}
    let units: Vec<String> = (0..UNITS).map(|n| format!("unit-{n}")).collect();
    let mut reds = Reds { name: "messages", ..Reds::default() };
    let (began, mut told, mut seen) = (wall(), 0usize, Vec::new());
    let levels = ["blue", "blue", "yellow"];
    while told < STORM {
        reds.next(collector, wall() - began)?;
        let ahead = told as f64 / STORM as f64 * STORM_S - (wall() - began);
        if ahead > 0.0 {
            pause(Duration::from_secs_f64(ahead.min(0.2)));
            continue;
        }
        issue(collector, &units, &format!("storm-{told}"), levels[told / UNITS % levels.len()])?;
        told += UNITS;
        seen.extend(peers.told.try_iter());
    }
    let took = wall() - began;
    report.says("messages of lower level told", told as f64, "", &format!("{took:.0} s, {} red ones among them", reds.sent.len()));
    // Everything a peer got meanwhile and in the minutes it takes to drain.
    drain(collector, peers, &mut seen)?;
    reds.figures(report, collector, &seen, quiet)?;
    requests(report, collector, "messages", &seen)
}

/// What each channel was asked, the most within any minute beside its limit, and what went together.
fn requests(report: &mut Report, collector: &Collector, storm: &str, seen: &[Value]) -> Result<()> {
    let page = collector.json("/api/v1/channels")?;
    for c in page["items"].as_array().into_iter().flatten() {
        let name = c["name"].as_str().unwrap_or("");
        let mut at: Vec<f64> = seen.iter().filter(|v| v["peer"] == name).filter_map(|v| v["at"].as_f64()).collect();
        at.sort_by(f64::total_cmp);
        let most = at.iter().enumerate().map(|(n, t)| at.iter().skip(n).take_while(|later| *later - t < 60.0).count()).max().unwrap_or(0);
        let joined = collector.metric_of("vedette_notify_coalesced_deliveries_total", &format!("channel=\"{name}\""))?;
        let together = format!("{} sent so far, {joined:.0} of them in a digest; {} waiting", c["sent"], c["waiting"]);
        match name {
            // A line each, several to a request.
            "udp" | "tcp" => report.says(&format!("{storm}: lines on {name}"), at.len() as f64, "", &together),
            "alertmanager" => report.says(&format!("{storm}: on {name}"), c["sent"].as_f64().unwrap_or(0.0), "", &together),
            _ => {
                report.says(&format!("{storm}: requests on {name}"), at.len() as f64, "", &together);
                let limit = c["per_minute"].as_f64().unwrap_or(0.0);
                report.at_most(&format!("{storm}: most within any minute on {name}"), most as f64, limit, "");
            }
        }
        report.at_most(&format!("{storm}: given up on {name}"), c["dead"].as_f64().unwrap_or(0.0), 0.0, "");
    }
    let often = seen.iter().filter(|v| v["often"] == true).count();
    report.at_most(&format!("{storm}: requests the robot would have punished"), often as f64, 0.0, "");
    Ok(())
}

fn waiting(collector: &Collector) -> Result<u64> {
    let page = collector.json("/api/v1/channels")?;
    Ok(page["items"].as_array().into_iter().flatten().filter_map(|c| c["waiting"].as_u64()).sum())
}
