//! Notification through the real programs: a collector, a mail server (aiosmtpd), Prometheus's Alertmanager, a webhook receiver, robots that
//! count, and syslog receivers, all on loopback.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::http::Client;
use tests::programs::{self, Running};

/// Longer than anything here takes on a machine that does nothing else, many times over; running into it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Peers {
    child: Running,
    ports: Value,
    told: Receiver<Value>,
    held: Vec<Value>,
}

impl Peers {
    #[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
    pub(super) fn start(dir: &Path) -> Result<Option<Self>> {
        let python = Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if !python.is_ok_and(|s| s.success()) {
            tests::skip("no python3-aiosmtpd here; `cargo xtask test` installs it");
            return Ok(None);
        }
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        let (cert, key) = (dir.join("mail.pem"), dir.join("mail.key"));
        std::fs::write(&cert, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let mut child = Command::new("/usr/bin/python3")
            .arg(programs::root().join("tests/desk/peers.py"))
            .args([Path::new("--cert"), &cert, Path::new("--key"), &key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("an output")?).lines();
        let ports = serde_json::from_str(&lines.next().context("the peers ended")??)?;
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if tell.send(serde_json::from_str(&line).unwrap_or(Value::Null)).is_err() {
                    return;
                }
            }
        });
        Ok(Some(Self { child: Running(child), ports, told, held: Vec::new() }))
    }

    pub(super) fn port(&self, name: &str) -> u64 {
        self.ports[name].as_u64().unwrap_or(0)
    }

    /// The next thing a peer received for which this holds; the rest is kept for later.
    pub(super) fn wait(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        if let Some(at) = self.held.iter().position(&fits) {
            return Ok(self.held.remove(at));
        }
        loop {
            let told = self.told.recv_timeout(PATIENCE).with_context(|| format!("{what} never came; held: {:?}", self.held))?;
            if fits(&told) {
                return Ok(told);
            }
            self.held.push(told);
        }
    }

    /// Everything received that nobody waited for, up to now.
    pub(super) fn rest(&mut self) -> Vec<Value> {
        self.held.extend(self.told.try_iter());
        std::mem::take(&mut self.held)
    }

    pub(super) fn order(&mut self, line: &str) -> Result<()> {
        let input = self.child.0.stdin.as_mut().context("an input")?;
        writeln!(input, "{line}")?;
        self.wait(line, |v| v["peer"] == "orders" && v["done"] == line).map(drop)
    }
}

/// Alertmanager from Debian.
#[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
fn alertmanager(dir: &Path) -> Result<Option<(Running, u16)>> {
    let Some(program) = ["/usr/bin/prometheus-alertmanager", "/usr/bin/alertmanager"].into_iter().find(|p| Path::new(p).exists()) else {
        tests::skip("no prometheus-alertmanager here; `cargo xtask test` installs it");
        return Ok(None);
    };
    let config = dir.join("alertmanager.yml");
    std::fs::write(&config, "route:\n  receiver: none\nreceivers:\n  - name: none\n")?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut child: Child = Command::new(program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", dir.join("am").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().context("its log")?).lines();
    let ready = lines.by_ref().map_while(Result::ok).any(|l| l.contains("Listening on") || l.contains("listening on"));
    ensure!(ready, "alertmanager ended before it listened");
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok(Some((Running(child), port)))
}

const REGISTER: &str = r#"
[[unit]]
id = "grid"
name = "电网公司"
sector = "power"
contacts = [{ name = "值班室", role = "duty", mail = "duty@grid.example", channels = ["hook", "udp", "tcp", "cef", "am", "ding"] }]
[[unit]]
id = "this-host"
name = "本机"
sector = "finance"
"#;

/// The collector's configuration for these peers, with its secrets in files.
fn configure(dir: &Path, peers: &Peers, manager: u16) -> Result<std::path::PathBuf> {
    for (name, text) in [
        ("hook.secret", "geheim".to_owned()),
        ("mail.password", "geheim 1\n".to_owned()),
        ("ding.url", format!("http://127.0.0.1:{}/dingtalk?access_token=x", peers.port("web"))),
        ("ding.secret", "SEC1".to_owned()),
    ] {
        std::fs::write(dir.join(name), text)?;
    }
    let (d, web) = (dir.display(), peers.port("web"));
    let text = format!(
        r#"
[notify]
mail = "mail"
console = "https://desk.city.example"
[notify.city]
red = ["secure"]
other = ["secure"]
[[channel]]
name = "mail"
kind = "mail"
server = "127.0.0.1:{}"
tls = "none"
from = "烽燧 <vedette@city.example>"
[[channel]]
name = "secure"
kind = "mail"
server = "localhost:{}"
from = "vedette@city.example"
to = ["duty@city.example"]
user = "vedette"
password_file = "{d}/mail.password"
ca = "{d}/mail.pem"
[[channel]]
name = "hook"
kind = "webhook"
url = "http://127.0.0.1:{web}/in"
secret_file = "{d}/hook.secret"
[[channel]]
name = "udp"
kind = "syslog"
address = "127.0.0.1:{}"
[[channel]]
name = "tcp"
kind = "syslog"
transport = "tcp"
address = "127.0.0.1:{}"
[[channel]]
name = "cef"
kind = "syslog"
format = "cef"
transport = "tcp"
address = "127.0.0.1:{}"
[[channel]]
name = "am"
kind = "alertmanager"
url = "http://127.0.0.1:{manager}"
[[channel]]
name = "ding"
kind = "dingtalk"
url_file = "{d}/ding.url"
secret_file = "{d}/ding.secret"
"#,
        peers.port("mail"),
        peers.port("secure"),
        peers.port("udp"),
        peers.port("tcp"),
        peers.port("tcp"),
    );
    std::fs::write(dir.join("collector.toml"), text)?;
    std::fs::write(dir.join("register.toml"), REGISTER)?;
    Ok(dir.join("collector.toml"))
}

fn issue(admin: &Client, title: &str, level: &str) -> Result<String> {
    let body = json!({"units": ["grid"], "title": {"zh": title, "en": title}, "todo": [{"zh": "关闭 502 端口", "en": "close port 502"}], "level": level});
    let answer = admin.post("/api/v1/orders/issue", &body)?;
    ensure!((200..300).contains(&answer.status), "{} {}", answer.status, answer.body);
    Ok(answer.body)
}

/// Reads the log until it says this; the program writes it a moment after the peer has the message.
fn until(admin: &Client, path: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    let feed = admin.json(path)?;
    let mut seen = feed;
    for _ in 0..20_000 {
        if fits(&seen) {
            return Ok(seen);
        }
        seen = admin.json(path)?;
    }
    anyhow::bail!("{path} never said so: {seen}")
}

#[test]
fn an_order_reaches_the_units_people_on_every_channel_and_its_delivery_is_known() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(mut peers) = Peers::start(dir.path())? else { return Ok(()) };
    let Some((_manager, manager)) = alertmanager(dir.path())? else { return Ok(()) };
    let config = configure(dir.path(), &peers, manager)?;
    let register = dir.path().join("register.toml");
    let Some(collector) = programs::collector_configured(&dir.path().join("data"), &config, &register)? else { return Ok(()) };
    let admin = &collector.admin;

    issue(admin, "关闭暴露的工控端口", "red")?;
    let mail = peers.wait("the mail", |v| v["peer"] == "mail")?;
    assert_eq!(mail["to"], "duty@grid.example");
    assert!(mail["subject"].as_str().is_some_and(|s| s.contains("[红 RED]") && s.contains("关闭暴露的工控端口")), "{mail}");
    assert_eq!((&mail["auto"], &mail["defects"]), (&json!("auto-generated"), &json!([])));
    assert!(mail["html"].as_str().is_some_and(|h| h.contains("关闭暴露的工控端口")));
    let hook = peers.wait("the webhook's", |v| v["peer"] == "webhook")?;
    let (body, headers) = (hook["body"].as_str().unwrap_or(""), &hook["headers"]);
    let signed = format!("{}.{body}", headers["x-vedette-timestamp"].as_str().unwrap_or(""));
    let mac = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"geheim"), signed.as_bytes());
    let mac: String = mac.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(headers["x-vedette-signature"], format!("v1={mac}"));
    let udp = peers.wait("the datagram", |v| v["peer"] == "udp")?;
    assert!(udp["line"].as_str().is_some_and(|l| l.starts_with("<129>1 ") && l.contains("level=\"red\"")), "{udp}");
    peers.wait("the counted line", |v| {
        v["peer"] == "tcp" && v["line"].as_str().is_some_and(|l| l.starts_with("<129>1 ") && l.contains("vedette@32473"))
    })?;
    peers.wait("the CEF line", |v| v["peer"] == "tcp" && v["line"].as_str().is_some_and(|l| l.contains("CEF:0|Vedette|Vedette|")))?;
    let ding = peers.wait("the robot's", |v| v["peer"] == "dingtalk")?;
    assert!(ding["path"].as_str().is_some_and(|p| p.contains("&sign=")) && ding["often"] == false);
    let alerts = until(&Client { server: ([127, 0, 0, 1], manager).into(), token: String::new() }, "/api/v2/alerts", |v| {
        v.as_array().is_some_and(|a| !a.is_empty())
    })?;
    assert_eq!(alerts[0]["labels"]["level"], "red");

    // The log has all of them, and the order knows that its unit was reached.
    let log = until(admin, "/api/v1/deliveries?unit=grid&state=sent", |v| v["items"].as_array().is_some_and(|i| i.len() >= 7))?;
    println!(
        "delivered within: {:?} s",
        log["items"].as_array().into_iter().flatten().map(|d| (d["channel"].clone(), d["seconds"].clone())).collect::<Vec<_>>()
    );
    let orders = until(admin, "/api/v1/orders?state=all", |v| v.to_string().contains("\"delivered\""))?;
    assert!(orders.to_string().contains("delivered"));

    // Tests of channels are marked, and go by STARTTLS with a login where that is asked for.
    let tested = admin.post("/api/v1/channels/secure/test", &json!({}))?;
    assert!(tested.body.contains("\"sent\""), "{} {}", tested.status, tested.body);
    let secure = peers.wait("the test", |v| v["peer"] == "secure")?;
    assert_eq!((&secure["tls"], &secure["login"]), (&json!(true), &json!(true)));
    assert!(secure["subject"].as_str().is_some_and(|s| s.contains("[测试 TEST]")), "{secure}");
    let metrics = admin.get("/metrics")?.body;
    assert!(metrics.contains("vedette_notify_sent_deliveries_total{channel=\"mail\",level=\"red\"} 1"), "no such series");
    Ok(())
}

#[test]
fn a_kill_between_attempts_loses_nothing_and_the_mail_keeps_its_name() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(mut peers) = Peers::start(dir.path())? else { return Ok(()) };
    let config = configure(dir.path(), &peers, 9)?;
    let (data, register) = (dir.path().join("data"), dir.path().join("register.toml"));
    let Some(mut collector) = programs::collector_configured(&data, &config, &register)? else { return Ok(()) };
    peers.order("fail 2")?;
    issue(&collector.admin, "核查异常登录", "red")?;
    let refused = peers.wait("the first attempt", |v| v["peer"] == "mail")?;
    assert_eq!(refused["refused"], true);
    collector.child.0.kill()?;
    collector.child.0.wait()?;
    let collector = programs::collector_configured(&data, &config, &register)?.context("it starts again")?;
    let mut attempts = vec![refused];
    while attempts.last().is_some_and(|a| a["refused"] == true) {
        attempts.push(peers.wait("the next attempt", |v| v["peer"] == "mail")?);
    }
    assert!(attempts.iter().all(|a| a["id"] == attempts[0]["id"]), "{attempts:?}");
    let log =
        until(&collector.admin, "/api/v1/deliveries?channel=mail&state=sent", |v| v["items"].as_array().is_some_and(|i| i.len() == 1))?;
    let id = log["items"][0]["id"].as_str().unwrap_or("").to_owned();
    let tries = collector.admin.json(&format!("/api/v1/deliveries/{id}"))?;
    assert!(tries["tries"].as_array().is_some_and(|t| t.len() == attempts.len()), "{tries}");
    Ok(())
}
