//! The real programs, started and asked by a bench. HTTP/1.0 on loopback, so that an answer and a feed are plain lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::shell;

/// Builds both programs and gives the folder they are in.
pub fn build() -> Result<PathBuf> {
    shell::sh("cargo", &["build", "--release", "--locked", "-p", "agent", "-p", "collector", "--bins"])?;
    Ok(shell::target_dir().join("release"))
}

/// A child that does not outlive its bench.
pub struct Running(pub Child);

impl Running {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A collector with a data folder of its own and everything else as shipped.
pub struct Collector {
    pub process: Running,
    /// host:port of the console.
    pub console: String,
    pub token: String,
    /// One-use string for an agent of the unit `this-host`.
    pub enrolment: String,
}

impl Collector {
    /// Agents reach it at `link`; ports are any that are free.
    pub fn start(programs: &Path, folder: &Path, link: &str) -> Result<Self> {
        Self::configured(programs, folder, link, None, Path::new("config/register.toml"))
    }

    /// With a configuration file and a register of one's own.
    pub fn configured(programs: &Path, folder: &Path, link: &str, config: Option<&Path>, register: &Path) -> Result<Self> {
        let log = std::fs::File::create(folder.join("collector.log"))?;
        let mut serve = shell::command(&programs.join("vedette").display().to_string());
        serve
            .args(["serve", "--rules", "config/rules", "--mappings", "config/mappings", "--register"])
            .arg(register)
            .arg("--data")
            .arg(folder.join("collector"))
            .args(["--listen", "127.0.0.1:0", "--bootstrap", "this-host", "--advertise", link])
            .args(["--link-listen", &format!("{link}:0"), "--enrol-listen", &format!("{link}:0")]);
        if let Some(config) = config {
            serve.arg("--config").arg(config);
        }
        let mut process = Running(serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().context("cannot start vedette")?);
        let mut line = String::new();
        let mut reader = BufReader::new(process.0.stdout.take().context("the child has an output")?);
        reader.read_line(&mut line)?;
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let ready: Value = serde_json::from_str(&line)
            .with_context(|| format!("vedette said '{}'; see {}", line.trim(), folder.join("collector.log").display()))?;
        let text = |key: &str| ready[key].as_str().map(str::to_owned).with_context(|| format!("vedette gave no {key}"));
        let console = text("console")?.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Ok(Self { process, console, token: text("token")?, enrolment: text("enrolment")? })
    }

    pub fn json(&self, path: &str) -> Result<Value> {
        let mut body = String::new();
        get(&self.console, &self.token, path)?.read_to_string(&mut body)?;
        Ok(serde_json::from_str(&body)?)
    }

    /// A number of the metrics page by its whole name, labels and all; 0 where there is none.
    pub fn metric(&self, series: &str) -> Result<f64> {
        let (name, labels) = series.split_once('{').map_or((series, ""), |(n, l)| (n, l.trim_end_matches('}')));
        self.metric_of(name, labels)
    }

    /// The sum over its labels that contain `label`.
    pub fn metric_of(&self, name: &str, label: &str) -> Result<f64> {
        let mut page = String::new();
        get(&self.console, &self.token, "/metrics")?.read_to_string(&mut page)?;
        Ok(sum(&page, name, label))
    }

    /// A write; its answer must be a 2xx.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let mut stream = TcpStream::connect(&self.console).with_context(|| format!("cannot reach {}", self.console))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let (body, token) = (body.to_string(), &self.token);
        write!(
            stream,
            "POST {path} HTTP/1.0\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.console,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.split(' ').nth(1).is_some_and(|s| s.starts_with('2')), "POST {path}: {head}\n{body}");
        Ok(serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Waits until the agent's heartbeat was heard.
    pub fn wait_for_agent(&self) -> Result<()> {
        for _ in 0..600 {
            let agents = self.json("/api/v1/agents")?;
            if agents["items"].as_array().is_some_and(|a| a.iter().any(|a| a["liveness"] == "alive")) {
                return Ok(());
            }
            super::process::pause(Duration::from_millis(100));
        }
        bail!("no agent came alive within a minute: {}", self.json("/api/v1/agents")?)
    }

    /// The feed's `data` lines, one JSON each.
    pub fn feed(&self) -> Result<impl Iterator<Item = Result<Value>> + Send + use<>> {
        let lines = get(&self.console, &self.token, "/api/v1/feed")?.lines();
        Ok(lines.filter_map(|line| match line {
            Ok(line) => line.strip_prefix("data:").map(|data| Ok(serde_json::from_str(data.trim())?)),
            Err(error) => Some(Err(error.into())),
        }))
    }
}

/// An agent on this host or in a namespace, with a state folder of its own.
pub struct Agent {
    pub process: Running,
    /// Loopback address of its metrics, in its own namespace; empty: off.
    pub metrics: String,
}

impl Agent {
    /// `sections` is TOML after the keys a bench must set. Enrols first where a string is given.
    pub fn start(
        program: &Path,
        folder: &Path,
        space: Option<&str>,
        metrics: &str,
        sections: &str,
        enrolment: Option<&str>,
    ) -> Result<Self> {
        let (state, config) = (folder.join("agent"), folder.join("agent.toml"));
        let listen = if metrics.is_empty() { "off" } else { metrics };
        std::fs::write(&config, format!("state = \"{}\"\n\n[metrics]\nlisten = \"{listen}\"\n\n{sections}", state.display()))?;
        let program = program.display().to_string();
        let command = |verb: &str| -> Command {
            let mut command = shell::command(if space.is_some() { "ip" } else { &program });
            if let Some(space) = space {
                command.args(["netns", "exec", space, &program]);
            }
            command.arg(verb).arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        if let Some(string) = enrolment {
            let out = command("enrol").arg(string).stderr(Stdio::piped()).output()?;
            ensure!(out.status.success(), "the agent could not enrol: {}", String::from_utf8_lossy(&out.stderr));
        }
        let log = std::fs::File::create(folder.join("agent.log"))?;
        let process = Running(command("run").stderr(log).spawn().context("cannot start vedette-agent")?);
        Ok(Self { process, metrics: metrics.to_owned() })
    }

    /// Sum of a metric over its labels that contain `label`.
    pub fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let mut page = String::new();
        get(&self.metrics, "", "/metrics")?.read_to_string(&mut page)?;
        Ok(sum(&page, name, label))
    }
}

/// Of a page of metrics.
fn sum(page: &str, name: &str, label: &str) -> f64 {
    let of = |line: &str| {
        let (key, value) = line.rsplit_once(' ')?;
        (key.split('{').next() == Some(name) && key.contains(label)).then(|| value.parse::<f64>().ok())?
    };
    // Of nothing it is minus zero.
    page.lines().filter_map(of).sum::<f64>() + 0.0
}

/// The body of a 200 answer.
fn get(server: &str, token: &str, path: &str) -> Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(server).with_context(|| format!("cannot reach {server}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let auth = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {server}\r\n{auth}\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    ensure!(line.split(' ').nth(1) == Some("200"), "GET {path}: {}", line.trim());
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    Ok(reader)
}

/// A port of loopback nobody listens on just now.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
