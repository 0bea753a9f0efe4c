//! What happens in the demo city: an ordinary day on every host, and one campaign that walks through the sectors step by step, a few
//! times over, and then is over.
//!
//! Pure: a host number and a second of the demo give events. Log-borne events go through `proto::log` as real lines do. Every
//! address is from the documentation and benchmarking ranges (RFC 5737, RFC 2544), so nothing points at anybody. A unit takes its
//! part by sector and place within it, so another register plays as well as the one that ships.

use std::net::{IpAddr, Ipv4Addr};

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};
use proto::log::{Line, read};

/// Where the attack comes from; a second source guesses accounts.
const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));
const GUESSER: &str = "203.0.113.77";
/// The domain names carry data out below.
const TUNNEL: &str = "cdn-update.example";
/// SHA-256 of the file that is planted twice.
const PLANTED: &str = "7d1f2a4be1a1b4b8c6a0c0dbe2a35a0d3b8f2f1b07c5b6f0a0f5a2a1e9c4d377";
/// Seconds of one run of the campaign, and how often it runs: what a demo left running over night collects stays readable.
pub const STORY_SECS: i64 = 600;
pub const RUNS_MAX: i64 = 12;

/// Which day is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Day {
    /// An ordinary day with the campaign in it.
    #[default]
    Attack,
    /// Its benign twin.
    Quiet,
}

/// A watched host of the city.
#[derive(Debug, Clone)]
pub struct Host {
    pub name: String,
    pub unit: String,
    pub sector: String,
    /// Place of its unit among those of its sector, and its own within the unit.
    pub unit_no: usize,
    pub host_no: usize,
    pub ip: Ipv4Addr,
}

impl Host {
    /// True for the n-th host of the n-th unit of a sector.
    fn is(&self, sector: &str, unit_no: usize, host_no: usize) -> bool {
        self.sector == sector && self.unit_no == unit_no && self.host_no == host_no
    }
}

/// The steps of the campaign with the seconds they take, for people who watch.
pub const STEPS: [(i64, &str); 10] = [
    (30, "a source scans a bank, the grid and the cable network · 同一来源扫描银行、电网、广电"),
    (100, "it guesses SSH passwords at the bank · 猜测银行 SSH 口令"),
    (150, "another source tries one account at many units · 另一来源在多家单位尝试同一账户"),
    (175, "a password fits; an account and a service are left behind · 口令被猜中，植入账户与服务"),
    (230, "from the bank on to its neighbours and the grid · 由银行向邻近单位与电网横向移动"),
    (310, "the same file is planted at the grid · 同一文件植入电网"),
    (320, "from the grid's host commands go to substations · 由电网主机向变电站下发控制命令"),
    (340, "data leaves through DNS names, in two sectors · 两个行业出现 DNS 隧道"),
    (440, "the airport's web front is tried · 尝试攻击机场网站"),
    (480, "traces are wiped, and a host falls silent · 清除痕迹，一台主机失联"),
];

/// Where in the campaign a second lies; none once all runs are over.
pub fn scene(second: i64) -> Option<i64> {
    (second.div_euclid(STORY_SECS) < RUNS_MAX).then(|| second.rem_euclid(STORY_SECS))
}

/// True while a host says nothing at all, not even that it lives.
pub fn mute(host: &Host, second: i64) -> bool {
    host.is("transport", 1, 0) && scene(second).is_some_and(|at| (500..545).contains(&at))
}

/// What one host sees in one second of the demo. `n` is its place in `city`.
pub fn second(city: &[Host], n: usize, second: i64, now: Timestamp, day: Day) -> Vec<(Class, Event)> {
    let Some(host) = city.get(n).filter(|host| day == Day::Quiet || !mute(host, second)) else { return Vec::new() };
    let mut out = Vec::new();
    ordinary(host, n, second, now, &mut out);
    if day == Day::Quiet {
        maintenance(host, second.rem_euclid(STORY_SECS), now, &mut out);
    } else if let Some(at) = scene(second) {
        outside(host, at, now, &mut out);
        inside(city, host, at, now, &mut out);
    }
    for (_, event) in &mut out {
        event.body.set(field::DEVICE_HOSTNAME, host.name.as_str());
        event.body.set(field::DEVICE_IP, IpAddr::V4(host.ip));
    }
    out
}

/// A little of everything, by a fixed pattern rather than by chance: the demo is the same each time.
fn ordinary(host: &Host, n: usize, second: i64, now: Timestamp, out: &mut Vec<(Class, Event)>) {
    let step = second + n as i64 * 7;
    if step % 3 == 0 {
        let peer = Ipv4Addr::new(198, 18, (n % 200) as u8, (step % 200) as u8 + 1);
        let port = [443, 443, 8443, 5432][(step as usize / 3) % 4];
        out.push((Class::Bulk, flow(now, IpAddr::V4(peer), host.ip, port, "SF", 2)));
    }
    if step % 5 == 0 {
        let name = ["time.example.cn", "mirror.example.cn", "mail.example.cn"][(step as usize / 5) % 3];
        out.push((Class::Bulk, dns(now, host.ip, name, "example.cn", "A")));
    }
    if step % 20 == 0 && host.host_no == 1 {
        let page = ["/index.html", "/notice/today", "/login", "/static/logo.png"][(step as usize / 20) % 4];
        let from = format!("198.18.{}.9", n % 200);
        out.push(line(now, &format!("{from} - - [{}] \"GET {page} HTTP/1.1\" 200 512 \"-\" \"Mozilla/5.0\"", clf(now)), host));
    }
    if step % 60 == 0 {
        let port = 50_000 + step.rem_euclid(1_000);
        out.push(line(now, &format!("sshd[811]: Accepted publickey for ops from 198.18.0.7 port {port} ssh2: ED25519 SHA256:demo"), host));
    }
    if step % 90 == 0 {
        out.push(line(now, "CRON[912]: (root) CMD (/usr/lib/sysstat/sa1 1 1)", host));
    }
    // Somebody mistypes a password now and then.
    if step % 600 == 300 {
        out.push(line(now, &format!("sshd[840]: Failed password for op{n:02} from 198.18.{}.8 port 50111 ssh2", n % 200), host));
    }
}

/// The attack's benign twin: what a working day brings that looks a little like it. A new administrator's first log-ins, a mistyped password, a
/// certificate renewed, a unit file installed by a package, a short look at a few ports by the unit's own inventory.
fn maintenance(host: &Host, at: i64, now: Timestamp, out: &mut Vec<(Class, Event)>) {
    if host.is("finance", 0, 0) {
        match at {
            100 | 103 => out.push(line(now, "sshd[4101]: Failed password for ops from 198.18.0.7 port 41010 ssh2", host)),
            106 => out.push(line(now, "sshd[4101]: Accepted password for ops from 198.18.0.7 port 41010 ssh2", host)),
            200 => out.push((Class::Critical, file(now, "/etc/ssl/certs/console.pem", "content", None))),
            _ => {}
        }
    }
    if host.is("power", 0, 0) && at == 250 {
        out.push(line(now, "sshd[6250]: Accepted publickey for scada from 198.18.0.7 port 43001 ssh2: ED25519 SHA256:ops", host));
    }
    if host.host_no == 1 && (300..304).contains(&at) {
        let port = [22, 80, 443, 8443][(at - 300) as usize];
        out.push((Class::Normal, flow(now, IpAddr::V4(Ipv4Addr::new(198, 18, 0, 9)), host.ip, port, "SF", 2)));
    }
}

/// What comes from outside.
fn outside(host: &Host, at: i64, now: Timestamp, out: &mut Vec<(Class, Event)>) {
    let scanned = ["finance", "power", "telecom"].iter().any(|sector| host.is(sector, 0, 0));
    if scanned && (30..75).contains(&at) {
        for k in 0..4u16 {
            out.push((Class::Normal, flow(now, ATTACKER, host.ip, 20 + (at as u16 - 30) * 4 + k, "REJ", 5)));
        }
    }
    if host.is("finance", 0, 0) {
        if (100..160).contains(&at) && at % 2 == 0 {
            let user = ["root", "admin", "oracle", "ops"][at as usize / 2 % 4];
            out.push(line(now, &format!("sshd[4{at}]: Failed password for {user} from {ATTACKER} port 4{at}0 ssh2"), host));
        }
        if at == 175 {
            out.push(line(now, &format!("sshd[4175]: Accepted password for ops from {ATTACKER} port 48200 ssh2"), host));
        }
    }
    if host.unit_no < 2 && host.host_no == 0 && (150..220).contains(&at) && (at + host.unit_no as i64) % 7 == 0 {
        out.push(line(now, &format!("sshd[5{at}]: Failed password for zhangwei from {GUESSER} port 5{at}0 ssh2"), host));
    }
    if host.is("transport", 0, 1) && (440..460).contains(&at) {
        let path = [
            "/../../../../etc/passwd",
            "/index.php?id=1%27%20UNION%20SELECT%20password%20FROM%20users--",
            "/cgi-bin/.%2e/.%2e/bin/sh",
            "/wp-login.php",
        ][at as usize % 4];
        out.push(line(now, &format!("{ATTACKER} - - [{}] \"GET {path} HTTP/1.1\" 404 153 \"-\" \"sqlmap/1.8\"", clf(now)), host));
    }
}

/// What the attacker does once inside: the bank's first host, and from 300 s on the grid's.
fn inside(city: &[Host], host: &Host, at: i64, now: Timestamp, out: &mut Vec<(Class, Event)>) {
    let bank = host.is("finance", 0, 0);
    let grid = host.is("power", 0, 0);
    match at {
        190 if bank => {
            out.push(line(now, "useradd[990]: new user: name=support, UID=0, GID=0, home=/root, shell=/bin/bash, from=/dev/pts/1", host));
            out.push(line(now, "sudo:      ops : TTY=pts/1 ; PWD=/home/ops ; USER=root ; COMMAND=/bin/bash", host));
        }
        200 if bank => out.push((Class::Critical, file(now, "/etc/systemd/system/net-sync.service", "created", Some(PLANTED)))),
        203 if bank => out.push((Class::Critical, file(now, "/root/.ssh/authorized_keys", "content", None))),
        206 if bank => out.push((Class::Critical, file(now, "/etc/cron.d/net-sync", "created", Some(PLANTED)))),
        310 if grid => out.push((Class::Critical, file(now, "/etc/cron.d/net-sync", "created", Some(PLANTED)))),
        480 if bank => {
            out.push(line(now, "sudo:      ops : TTY=pts/1 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/rm -f /var/log/auth.log", host))
        }
        482 if bank => out.push((Class::Critical, file(now, "/var/log/auth.log", "deleted", None))),
        _ => {}
    }
    let Some(from) = city.iter().find(|h| h.is("finance", 0, 0)) else { return };
    // Its neighbours in the unit, the next unit of the sector, and the grid.
    let near = host.sector == "finance" && host.unit_no < 2 && !bank || grid;
    if near && (230..290).contains(&at) {
        for k in 0..2u16 {
            out.push((Class::Normal, flow(now, IpAddr::V4(from.ip), host.ip, 20 + (at as u16 - 230) * 2 + k, "REJ", 5)));
        }
    }
    if grid && (250..290).contains(&at) && at % 2 == 0 {
        out.push(line(now, &format!("sshd[6{at}]: Failed password for scada from {} port 4{at}1 ssh2", from.ip), host));
    }
    if grid && at == 300 {
        out.push(line(now, &format!("sshd[6300]: Accepted password for scada from {} port 43001 ssh2", from.ip), host));
    }
    if grid && (320..336).contains(&at) {
        // Double commands to one breaker after the other, then the stations told to reset: IEC 60870-5-104 types 46 and 105.
        let station = u64::from(at as u16 - 320);
        let (function, name, object) = if at < 332 { (46u64, "double_command", 6_000 + station) } else { (105, "reset_process", 0) };
        out.push((
            Class::Critical,
            command(now, host.ip, Ipv4Addr::new(10, 30, 4, 11 + (station % 7) as u8), function, name, station, object),
        ));
    }
    if (bank || grid) && (340..420).contains(&at) {
        let hash = |factor: u64| factor.wrapping_mul(at.unsigned_abs());
        let name = format!("{:016x}{:016x}.{}.{TUNNEL}", hash(0x9e37_79b9_7f4a_7c15), hash(0xc2b2_ae3d_27d4_eb4f), host.unit);
        out.push((Class::Normal, dns(now, host.ip, &name, TUNNEL, "TXT")));
    }
}

fn line(now: Timestamp, text: &str, host: &Host) -> (Class, Event) {
    let web = text.starts_with(|c: char| c.is_ascii_digit());
    let full = if web { text.to_owned() } else { format!("{now} {} {text}", host.name) };
    let (class, mut event) = read(&Line { bytes: full.as_bytes(), received: now, utc_offset_secs: 0, format: None });
    event.body.set(field::LOG_PATH, if web { "/var/log/nginx/access.log" } else { "/var/log/auth.log" });
    (class, event)
}

/// `src` opens a TCP connection to `dst`; `state` in Zeek's words, `activity` OCSF's.
fn flow(now: Timestamp, src: IpAddr, dst: Ipv4Addr, port: u16, state: &str, activity: u8) -> Event {
    Event::new(now, Kind::NetworkActivity, activity, LogSource::new("", "network_connection", "flow"))
        .with(field::SRC_IP, src)
        .with(field::SRC_PORT, 40_000 + port % 20_000)
        .with(field::DST_IP, IpAddr::V4(dst))
        .with(field::DST_PORT, port)
        .with(field::PROTOCOL, "tcp")
        .with(field::CONN_STATE, state)
        .with(field::PACKETS, if state == "SF" { 14u64 } else { 2 })
        .with(field::BYTES, if state == "SF" { 5_420u64 } else { 120 })
}

/// A control command on its way to a station.
fn command(now: Timestamp, src: Ipv4Addr, dst: Ipv4Addr, function: u64, name: &str, station: u64, object: u64) -> Event {
    Event::new(now, Kind::NetworkActivity, 6, LogSource::new("", "ot", "iec104"))
        .with(field::SRC_IP, IpAddr::V4(src))
        .with(field::DST_IP, IpAddr::V4(dst))
        .with(field::DST_PORT, 2404u16)
        .with(field::PROTOCOL, "tcp")
        .with(field::OT_PROTOCOL, "iec104")
        .with(field::OT_DIRECTION, "request")
        .with(field::OT_FUNCTION, function)
        .with(field::OT_FUNCTION_NAME, name)
        .with(field::OT_CAUSE, "activation")
        .with(field::OT_STATION, station)
        .with(field::OT_OBJECT_ADDRESS, object)
}

fn dns(now: Timestamp, src: Ipv4Addr, name: &str, domain: &str, kind: &str) -> Event {
    Event::new(now, Kind::DnsActivity, 2, LogSource::new("", "dns", "dns"))
        .with(field::SRC_IP, IpAddr::V4(src))
        .with(field::DST_IP, IpAddr::V4(Ipv4Addr::new(198, 18, 0, 53)))
        .with(field::DST_PORT, 53u16)
        .with(field::PROTOCOL, "udp")
        .with(field::DNS_QUERY, name)
        .with(field::DNS_DOMAIN, domain)
        .with(field::DNS_TYPE, kind)
        .with(field::DNS_QUERY_LEN, name.len())
        .with(field::DNS_LABEL_MAX, name.split('.').map(str::len).max().unwrap_or(0))
        .with(field::DNS_RCODE, "NoError")
}

/// A file that file integrity saw change; `hash` after the change.
fn file(now: Timestamp, path: &str, changed: &str, hash: Option<&str>) -> Event {
    let activity = match changed {
        "created" => 1,
        "deleted" => 4,
        _ => 3,
    };
    let mut event = Event::new(now, Kind::FileActivity, activity, LogSource::new("linux", "file_event", "fim"))
        .with(field::FILE_PATH, path)
        .with(field::FILE_NAME, path.rsplit('/').next().unwrap_or(path))
        .with(field::FILE_TYPE, "file")
        .with(field::FILE_CHANGES, vec![Value::text(changed)]);
    if let Some(hash) = hash {
        event.body.set(field::RESULT_SHA256, hash);
        event.body.set(field::RESULT_SIZE, 412u64);
    }
    event
}

/// `23/Nov/2026:08:00:00 +0000`
fn clf(now: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = now.to_string();
    let month = text.get(5..7).and_then(|m| m.parse::<usize>().ok()).and_then(|m| MONTHS.get(m.wrapping_sub(1))).unwrap_or(&"Jan");
    format!(
        "{}/{month}/{}:{} +0000",
        text.get(8..10).unwrap_or("01"),
        text.get(..4).unwrap_or("1970"),
        text.get(11..19).unwrap_or("00:00:00")
    )
}

#[cfg(test)]
mod tests;
