//! `vedette check --deep`: what on this machine would keep a collector from its work, before it is started or while it runs.
//!
//! Reads and asks only: nothing is created, nothing is changed; a port is tried by binding it for a moment. Every finding says what was
//! found in English and Chinese, and where it is bad the way out.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use event::Timestamp;

use crate::config::Config;
use crate::engine::{Engine, EngineOptions};
use crate::register::Register;

/// One thing looked at. Texts are (English, Chinese).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub check: &'static str,
    pub good: bool,
    pub found: (String, String),
    pub way_out: (String, String),
}

/// Certificates that end sooner are told.
const DAYS_LEFT_MIN: i64 = 30;
/// Free space below which a disk is told: a tenth, or this.
const FREE_BYTES_MIN: u64 = 2 << 30;

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: &'static str, good: bool, found: (impl Into<String>, impl Into<String>), way_out: (&str, &str)) {
        self.0.push(Finding {
            check,
            good,
            found: (found.0.into(), found.1.into()),
            way_out: (way_out.0.to_owned(), way_out.1.to_owned()),
        });
    }
}

/// Everything, in the order a person would look.
pub fn look(config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut out = Findings(Vec::new());
    rules(config, &mut out);
    register(config, &mut out);
    indicators(config, &mut out);
    certificates(config, now, &mut out);
    folder(&config.data, &mut out);
    disk(&config.data, &mut out);
    time(&config.data, now, &mut out);
    ports(config, &mut out);
    channels(config, &mut out);
    out.0
}

fn rules(config: &Config, out: &mut Findings) {
    let way = (
        "each line names file, line and what to change; a rule that was refused watches nothing",
        "每行给出文件、行号与改法；被拒绝的规则不起作用",
    );
    match Engine::load(&EngineOptions { rules: config.rules.clone(), mappings: Some(config.mappings.clone()) }) {
        Ok((engine, faults)) => {
            let n = engine.rules().rules().len() + engine.rules().correlations().len();
            let list = faults.iter().map(|f| format!("; {f}")).collect::<String>();
            let good = faults.is_empty() && n > 0;
            let bad = faults.len();
            out.add("rules", good, (format!("{n} in force, {bad} refused{list}"), format!("生效 {n} 条，拒绝 {bad} 条{list}")), way);
        }
        Err(error) => out.add("rules", false, (error.to_string(), error.to_string()), way),
    }
}

fn register(config: &Config, out: &mut Findings) {
    let way = ("copy config/register.toml there and edit it", "将 config/register.toml 复制到该处并修改");
    match Register::load(&config.register) {
        Ok(register) => {
            let (units, objects, assets) = (register.units().count(), register.all().objects.len(), register.assets().len());
            let (en, zh): (String, String) = register.remarks().iter().map(|r| (format!("; {}", r.en), format!("；{}", r.zh))).unzip();
            let found = (
                format!("{units} units, {objects} objects, {assets} assets{en}"),
                format!("{units} 家单位，{objects} 个保护对象，{assets} 项资产{zh}"),
            );
            out.add("register", units > 0, found, way);
        }
        Err(error) => out.add("register", false, (error.to_string(), error.to_string()), way),
    }
}

/// Whether somebody listens where each channel goes. Nothing is sent.
fn channels(config: &Config, out: &mut Findings) {
    let way = (
        "start the peer, open the way to it, or correct the channel; then `vedette notify test NAME` sends a marked test",
        "请启动对端、开通网络或更正通道配置；随后用 `vedette notify test 名称` 发送测试",
    );
    let Ok(setup) = crate::notify::Setup::read(config) else { return };
    for (name, channel) in &setup.channels {
        let (host, port) = channel.channel.route().host_port();
        let udp = matches!(channel.channel.route(), notifier::Route::Udp { .. });
        let found = (host.trim_matches(['[', ']']), port).to_socket_addrs().map_err(|e| e.to_string()).and_then(|mut all| {
            let address = all.next().ok_or_else(|| format!("no address of {host}"))?;
            if udp { Ok(()) } else { TcpStream::connect_timeout(&address, Duration::from_secs(3)).map(|_| ()).map_err(|e| e.to_string()) }
        });
        let words = match &found {
            Ok(()) => (format!("{name}: {host}:{port} reached"), format!("{name}：{host}:{port} 可达")),
            Err(why) => (format!("{name}: {host}:{port}: {why}"), format!("{name}：{host}:{port}：{why}")),
        };
        out.add("channel", found.is_ok(), words, way);
    }
}

fn indicators(config: &Config, out: &mut Findings) {
    if config.indicators.paths.is_empty() {
        return;
    }
    let known = crate::indicators::load(&config.indicators.paths);
    let (taken, refused) = (known.set.len(), known.refused);
    let list = known.problems.iter().take(10).map(|p| format!("; {p}")).collect::<String>();
    let found = (format!("{taken} in force, {refused} refused{list}"), format!("生效 {taken} 条，拒绝 {refused} 条{list}"));
    let way = ("each names file, line and reason; what was refused is not looked for", "每项给出文件、行号与原因；被拒绝的指标不参与匹配");
    out.add("indicators", refused == 0, found, way);
}

fn certificates(config: &Config, now: Timestamp, out: &mut Findings) {
    let renew = ("renew it and reload: browsers and agents will refuse it", "请更换证书并重新加载，否则浏览器与探针将拒绝连接");
    let mut ends = |check: &'static str, end: Timestamp| {
        let days = end.since(now).div_euclid(86_400 * event::SECOND_NS);
        out.add(check, days >= DAYS_LEFT_MIN, (format!("ends in {days} days ({end})"), format!("{days} 天后到期（{end}）")), renew);
    };
    let dir = config.data.join("authority");
    if crate::authority::exists(&dir) {
        match certificate_end(&dir.join("ca.crt")) {
            Ok(end) => ends("authority", end),
            Err(why) => {
                out.add("authority", false, (why.clone(), why), ("restore data/authority from a backup", "请从备份恢复 data/authority"))
            }
        }
    } else {
        out.add("authority", true, ("none yet; made at the first start", "尚无，首次启动时生成"), ("", ""));
    }
    let Some(path) = &config.serve.certificate else {
        let near = config.serve.listen.ip().is_loopback();
        let found =
            if near { ("none; loopback only", "无（仅本机访问）") } else { ("none, and not on loopback", "无，且对外监听") };
        let way = (
            "set [serve] certificate and key: passwords and tokens would travel in the clear",
            "请设置 [serve] certificate 与 key，否则口令与令牌将明文传输",
        );
        out.add("console certificate", near, found, way);
        return;
    };
    if let Err(error) = crate::app::console_tls(config) {
        let text = format!("{error:#}");
        out.add("console certificate", false, (text.clone(), text), ("give a PEM chain and its own key", "请提供 PEM 证书链及其私钥"));
        return;
    }
    match certificate_end(path) {
        Ok(end) => {
            let days = end.since(now).div_euclid(86_400 * event::SECOND_NS);
            let found = (format!("ends in {days} days ({end})"), format!("{days} 天后到期（{end}）"));
            out.add("console certificate", days >= DAYS_LEFT_MIN, found, renew);
        }
        Err(why) => out.add("console certificate", false, (why.clone(), why), renew),
    }
}

/// When the first certificate of a PEM file to end does so.
fn certificate_end(path: &Path) -> Result<Timestamp, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let end = |der: &[u8]| x509_parser::parse_x509_certificate(der).ok().map(|(_, c)| c.validity().not_after.timestamp());
    let mut pem = bytes.as_slice();
    let ends = rustls_pemfile::certs(&mut pem).flatten().filter_map(|der| end(&der));
    ends.min().map(Timestamp::from_secs).ok_or_else(|| format!("{}: no certificate in it", path.display()))
}

fn folder(data: &Path, out: &mut Findings) {
    let shown = data.display();
    let Ok(meta) = std::fs::metadata(data) else {
        let parent = data.ancestors().skip(1).find(|p| p.exists()).unwrap_or_else(|| Path::new("/"));
        let may = rustix::fs::access(parent, rustix::fs::Access::WRITE_OK).is_ok();
        let way = ("let this user write there, or set data = \"…\"", "请授予写权限，或改设 data = \"…\"");
        out.add("data folder", may, (format!("{shown} will be made"), format!("{shown} 尚不存在，启动时创建")), way);
        return;
    };
    let mode = meta.permissions().mode() & 0o777;
    let may = rustix::fs::access(data, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    let good = meta.is_dir() && may && mode & 0o077 == 0;
    let found = format!("{shown}, mode {mode:03o}, owner {}", meta.uid());
    let way = (
        "chmod 700, owned by the collector's user: it holds keys, passwords' hashes and everybody's events",
        "权限应为 700，属主为采集中心用户：内有密钥、口令摘要与全部事件",
    );
    out.add("data folder", good, (found.clone(), found), way);
}

fn disk(data: &Path, out: &mut Findings) {
    let Some(place) = data.ancestors().find(|p| p.exists()) else { return };
    let Some((free, size)) = crate::metrics::disk_space(place) else { return };
    let gib = |n: u64| n / (1 << 30);
    let good = free >= FREE_BYTES_MIN && free >= size / 10;
    let found = (format!("{} of {} GiB free", gib(free), gib(size)), format!("剩余 {} / {} GiB", gib(free), gib(size)));
    let way = ("shorten [store] retention, or give it a larger disk", "请缩短 [store] retention，或扩容磁盘");
    out.add("disk space", good, found, way);
}

/// A clock that stands before what was written already is wrong; who keeps it right is told where it can be seen.
fn time(data: &Path, now: Timestamp, out: &mut Findings) {
    let newest = ["desk.db", "wal", "events"].iter().filter_map(|name| std::fs::metadata(data.join(name)).ok()).map(|m| m.mtime()).max();
    let ahead = newest.map_or(0, |t| t - now.secs());
    let way =
        ("set the clock and keep it by NTP (systemd-timesyncd or chrony)", "请校正时钟并启用 NTP 对时（systemd-timesyncd 或 chrony）");
    if ahead > 5 {
        let found = (format!("{now}: {ahead} s before what was written here already"), format!("{now}：早于已有数据 {ahead} 秒"));
        out.add("clock", false, found, way);
        return;
    }
    let kept = ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/ntpd.pid"].iter().any(|p| Path::new(p).exists());
    let found = if kept {
        (format!("{now}, kept by NTP"), format!("{now}，已对时"))
    } else {
        (format!("{now}; no sign of time synchronisation on this machine"), format!("{now}；本机未见对时服务"))
    };
    out.add("clock", true, found, way);
}

fn ports(config: &Config, out: &mut Findings) {
    let running = answers(config.serve.listen);
    let all = [
        ("port of the console", config.serve.listen),
        ("port of the link", config.link.listen),
        ("port of enrolment", config.link.enrol_listen),
    ];
    for (check, address) in all {
        let (good, en, zh) = match TcpListener::bind(address) {
            Ok(_) => (true, "free".to_owned(), "空闲".to_owned()),
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse && running => {
                (true, "taken, and a collector answers".to_owned(), "已占用，采集中心正在运行".to_owned())
            }
            Err(e) => (false, e.to_string(), e.to_string()),
        };
        let way = (
            "`ss -ltnp` says who has it; choose another in the configuration, or give the right to bind it",
            "用 `ss -ltnp` 查看占用者；请在配置中换用其他端口，或授予绑定权限",
        );
        out.add(check, good, (format!("{address} {en}"), format!("{address} {zh}")), way);
    }
}

/// True if somebody there answers a health question as a collector does; one that speaks TLS ends a plain question with an alert.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /-/healthy HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = [0; 1024];
        let n = stream.read(&mut answer)?;
        Ok(answer.get(..n).unwrap_or_default().to_vec())
    };
    ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(&[0x15, 0x03]))
}
