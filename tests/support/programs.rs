//! The real programs, started and stopped by a case.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::http::Client;

/// A built program beside the test binary (`cargo xtask test` builds them first), or a loud skip.
pub fn program(name: &str) -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let path = here.ancestors().nth(2)?.join(name);
    if path.is_file() {
        return Some(path);
    }
    crate::skip(&format!("{} is not built (cargo build --bins)", path.display()));
    None
}

/// Whether a program is installed.
pub fn installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]).any(|dir| dir.join(name).is_file())
}

/// A child that does not outlive its case.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A started collector.
pub struct Collector {
    pub child: Running,
    /// Who may do everything.
    pub admin: Client,
    /// What it printed when it was ready.
    pub ready: serde_json::Value,
    pub data: PathBuf,
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Three ports nobody listens on just now: for a collector that is to come back at the same place.
pub fn free_ports() -> Result<[u16; 3]> {
    let held: Vec<std::net::TcpListener> = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let port = |n: usize| held[n].local_addr().map(|a| a.port());
    Ok([port(0)?, port(1)?, port(2)?])
}

/// Starts `vedette serve` with a data folder of its own and the rules that ship, on any free ports; `link` is the address agents reach.
pub fn collector(data: &Path, link: &str, register: &Path) -> Result<Option<Collector>> {
    collector_at(data, link, register, [0, 0, 0])
}

/// The same with fixed ports: console, link, enrolment.
pub fn collector_at(data: &Path, link: &str, register: &Path, ports: [u16; 3]) -> Result<Option<Collector>> {
    collector_with(data, link, &root().join("config/rules"), register, ports)
}

/// The same with other rules.
pub fn collector_with(data: &Path, link: &str, rules: &Path, register: &Path, ports: [u16; 3]) -> Result<Option<Collector>> {
    start(data, link, rules, register, ports, None)
}

/// With a configuration file: what the flags do not say is of it.
pub fn collector_configured(data: &Path, config: &Path, register: &Path) -> Result<Option<Collector>> {
    collector_configured_at(data, config, register, [0, 0, 0])
}

/// The same with fixed ports: console, link, enrolment.
pub fn collector_configured_at(data: &Path, config: &Path, register: &Path, ports: [u16; 3]) -> Result<Option<Collector>> {
    start(data, "127.0.0.1", &root().join("config/rules"), register, ports, Some(config))
}

#[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
fn start(
    data: &Path,
    link: &str,
    rules: &Path,
    register: &Path,
    [console, agents, enrol]: [u16; 3],
    config: Option<&Path>,
) -> Result<Option<Collector>> {
    let Some(vedette) = program("vedette") else { return Ok(None) };
    let log = std::fs::File::options().create(true).append(true).open(data.with_extension("collector.log"))?;
    let mut command = Command::new(vedette);
    command
        .arg("serve")
        .arg("--data")
        .arg(data)
        .arg("--rules")
        .arg(rules)
        .arg("--mappings")
        .arg(root().join("config/mappings"))
        .arg("--register")
        .arg(register)
        .args(["--listen", &format!("127.0.0.1:{console}"), "--link-listen", &format!("{link}:{agents}")])
        .args(["--enrol-listen", &format!("{link}:{enrol}"), "--advertise", link])
        .args(["--bootstrap", "this-host"])
        .stdout(Stdio::piped())
        .stderr(log);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let mut child = command.spawn().context("cannot start vedette")?;
    let mut reader = BufReader::new(child.stdout.take().context("the child has an output")?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    let child = Running(child);
    let ready: serde_json::Value = serde_json::from_str(&line)
        .with_context(|| format!("vedette said '{}'; see {}", line.trim(), data.with_extension("collector.log").display()))?;
    let console = ready["console"].as_str().context("no console address")?;
    let server: SocketAddr =
        console.trim_start_matches("http://").trim_end_matches('/').parse().with_context(|| format!("'{console}' is no address"))?;
    let token = ready["token"].as_str().context("no token")?.to_owned();
    Ok(Some(Collector { child, admin: Client { server, token }, ready, data: data.to_owned() }))
}

impl Collector {
    /// A one-use string that enrols an agent of a unit.
    pub fn enrolment(&self, unit: &str) -> Result<String> {
        let answer = self.admin.post("/api/v1/enrolment-tokens", &serde_json::json!({ "unit_id": unit }))?;
        anyhow::ensure!((200..300).contains(&answer.status), "enrolment token: {} {}", answer.status, answer.body);
        let body: serde_json::Value = serde_json::from_str(&answer.body)?;
        Ok(body["enrolment"].as_str().with_context(|| format!("no string in {body}"))?.to_owned())
    }
}

/// An enrolled `vedette-agent` that follows one log from its start and nothing else; state and configuration lie in `dir`.
#[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
pub fn agent_on_log(dir: &Path, log: &Path, enrolment: &str) -> Result<Option<Running>> {
    let Some(program) = program("vedette-agent") else { return Ok(None) };
    let (state, config) = (dir.join("agent"), dir.join("agent.toml"));
    std::fs::create_dir_all(&state)?;
    let text = format!(
        "state = \"{}\"\n[metrics]\nlisten = \"off\"\n[sensor.net]\nenabled = false\n[sensor.log]\npaths = [\"{}\"]\nfrom = \"start\"\n[sensor.file]\nenabled = false\n",
        state.display(),
        log.display()
    );
    std::fs::write(&config, text)?;
    let out = Command::new(&program).arg("enrol").arg("--config").arg(&config).arg(enrolment).output()?;
    ensure!(out.status.success(), "enrol: {}", String::from_utf8_lossy(&out.stderr));
    let errors = std::fs::File::create(dir.join("agent.log"))?;
    let child =
        Command::new(program).arg("run").arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn()?;
    Ok(Some(Running(child)))
}

/// Asks another process until it answers with something, ten times a second; the only place where a case waits for what nobody tells it. What
/// has a feed is waited for there.
#[expect(clippy::disallowed_methods, reason = "another process keeps its own time")]
pub fn until<T>(seconds: u64, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        ensure!(std::time::Instant::now() < deadline, "{what}: not within {seconds} s");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
