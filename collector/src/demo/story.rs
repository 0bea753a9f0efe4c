//! What happens in the demo city: an ordinary day on every host, and one attack that walks from sector to sector, again and again.
//!
//! Pure: a host number, a second of the story and what the host's log reader remembers give events. Lines go through `proto::log` as real ones do. Every
//! address is from the documentation and benchmarking ranges (RFC 5737, RFC 2544), so nothing points at anybody.

use std::net::{IpAddr, Ipv4Addr};

use event::{Class, Event, Kind, LogSource, Timestamp, field};
use proto::log::{Line, Reader};

/// Where the attacks come from.
const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));
/// A name the malware of the story calls.
const EVIL_DOMAIN: &str = "cdn-update.example";
/// Seconds after which the story begins anew.
pub const STORY_SECS: i64 = 300;

/// A watched host of the city.
#[derive(Debug, Clone)]
pub struct Host {
    pub name: String,
    pub unit: String,
    pub sector: String,
    pub ip: Ipv4Addr,
}

/// What one host sees in one second of the story. `n` is its place in `city`; `second` counts from the start of the demo.
pub fn second(city: &[Host], n: usize, second: i64, now: Timestamp, reader: &mut Reader) -> Vec<(Class, Event)> {
    let Some(host) = city.get(n) else { return Vec::new() };
    let mut out = Vec::new();
    ordinary(host, n, second, now, reader, &mut out);
    attack(city, host, n, second.rem_euclid(STORY_SECS), now, reader, &mut out);
    for (_, event) in &mut out {
        event.body.set(field::DEVICE_HOSTNAME, host.name.as_str());
        event.body.set(field::DEVICE_IP, IpAddr::V4(host.ip));
    }
    out
}

/// A little of everything, by a fixed pattern rather than by chance: the demo is the same each time.
fn ordinary(host: &Host, n: usize, second: i64, now: Timestamp, reader: &mut Reader, out: &mut Vec<(Class, Event)>) {
    let step = second + n as i64 * 7;
    if step % 3 == 0 {
        let peer = Ipv4Addr::new(198, 18, (n % 200) as u8, (step % 200) as u8 + 1);
        out.push((Class::Bulk, flow(now, IpAddr::V4(peer), host.ip, 443, "SF", 2)));
    }
    if step % 5 == 0 {
        out.push((Class::Bulk, dns(now, host.ip, ["time.example.cn", "mirror.example.cn", "mail.example.cn"][(step as usize / 5) % 3])));
    }
    if step % 20 == 0 {
        out.push(line(
            now,
            &format!("198.18.{}.9 - - [{}] \"GET /index.html HTTP/1.1\" 200 512 \"-\" \"Mozilla/5.0\"", n % 200, clf(now)),
            host,
            reader,
        ));
    }
    if step % 60 == 0 {
        out.push(line(
            now,
            &format!("sshd[811]: Accepted publickey for ops from 198.18.0.7 port 50{:03} ssh2: ED25519 SHA256:demo", step % 1000),
            host,
            reader,
        ));
    }
    if step % 90 == 0 {
        out.push(line(now, "CRON[912]: (root) CMD (/usr/lib/sysstat/sa1 1 1)", host, reader));
    }
}

/// The attack, second by second. Hosts 0, 1, 2 … stand in the order of the register, three units a sector.
fn attack(city: &[Host], host: &Host, n: usize, at: i64, now: Timestamp, reader: &mut Reader, out: &mut Vec<(Class, Event)>) {
    // 10–40 s: the same source sweeps one host of every unit.
    if (10..40).contains(&at) && n.is_multiple_of(2) {
        for k in 0..6u16 {
            let port = 20 + (at as u16 - 10) * 6 + k;
            out.push((Class::Normal, flow(now, ATTACKER, host.ip, port, "REJ", 5)));
        }
    }
    // 50–80 s: password guessing against the first host, which ends in a log-on.
    if n == 0 && (50..80).contains(&at) {
        let user = ["root", "admin", "oracle", "ops"][at as usize % 4];
        out.push(line(now, &format!("sshd[4{at}]: Failed password for {user} from {ATTACKER} port 4{at}00 ssh2"), host, reader));
    }
    if n == 0 && at == 82 {
        out.push(line(now, &format!("sshd[482]: Accepted password for ops from {ATTACKER} port 48200 ssh2"), host, reader));
    }
    // 90 s: it makes itself at home.
    if n == 0 && at == 90 {
        out.push(line(
            now,
            "useradd[990]: new user: name=support, UID=0, GID=0, home=/root, shell=/bin/bash, from=/dev/pts/1",
            host,
            reader,
        ));
        out.push(line(now, "sudo:      ops : TTY=pts/1 ; PWD=/home/ops ; USER=root ; COMMAND=/bin/bash", host, reader));
    }
    // 100–130 s: from the bank towards the others.
    if let Some(first) = city.first()
        && n > 0
        && n.is_multiple_of(3)
        && (100..130).contains(&at)
    {
        for k in 0..4u16 {
            out.push((Class::Normal, flow(now, IpAddr::V4(first.ip), host.ip, 1 + (at as u16 - 100) * 4 + k, "REJ", 5)));
        }
    }
    // 140–170 s: the same name is asked for in two sectors and more.
    if n.is_multiple_of(4) && (140..170).contains(&at) && at % 5 == 0 {
        out.push((Class::Normal, dns(now, host.ip, EVIL_DOMAIN)));
    }
    // 180–200 s: a web front is tried.
    if n == 5 && (180..200).contains(&at) {
        let path = [
            "/../../../../etc/passwd",
            "/index.php?id=1%27%20UNION%20SELECT%20password%20FROM%20users--",
            "/cgi-bin/.%2e/.%2e/bin/sh",
            "/wp-login.php",
        ][at as usize % 4];
        out.push(line(now, &format!("{ATTACKER} - - [{}] \"GET {path} HTTP/1.1\" 404 153 \"-\" \"sqlmap/1.8\"", clf(now)), host, reader));
    }
    // 210–240 s: one account is tried in many units.
    if n.is_multiple_of(2) && (210..240).contains(&at) && at % 3 == 0 {
        out.push(line(now, &format!("sshd[5{at}]: Failed password for backup from 203.0.113.77 port 5{at}0 ssh2"), host, reader));
    }
}

fn line(now: Timestamp, text: &str, host: &Host, reader: &mut Reader) -> (Class, Event) {
    let full =
        if text.starts_with(|c: char| c.is_ascii_digit()) { text.to_owned() } else { format!("{} {} {text}", stamp(now), host.name) };
    let (class, mut event) = reader.read(&Line { bytes: full.as_bytes(), received: now, utc_offset_secs: 0, format: None });
    event.body.set(field::LOG_PATH, "/var/log/auth.log");
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

fn dns(now: Timestamp, src: Ipv4Addr, name: &str) -> Event {
    Event::new(now, Kind::DnsActivity, 2, LogSource::new("", "dns", "dns"))
        .with(field::SRC_IP, IpAddr::V4(src))
        .with(field::DST_IP, IpAddr::V4(Ipv4Addr::new(198, 18, 0, 53)))
        .with(field::DST_PORT, 53u16)
        .with(field::PROTOCOL, "udp")
        .with(field::DNS_QUERY, name)
        .with(field::DNS_DOMAIN, name)
        .with(field::DNS_TYPE, "A")
        .with(field::DNS_QUERY_LEN, name.len())
        .with(field::DNS_RCODE, "NoError")
}

fn stamp(now: Timestamp) -> String {
    now.to_string()
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
mod tests {
    use super::*;

    #[test]
    fn the_story_is_the_same_each_time_and_its_lines_are_typed() {
        let city: Vec<Host> = (0..6u8)
            .map(|n| Host { name: format!("h{n}"), unit: format!("u{n}"), sector: "finance".into(), ip: Ipv4Addr::new(192, 0, 2, n + 1) })
            .collect();
        let now = Timestamp::parse_rfc3339("2026-11-23T08:00:00Z").expect("a time");
        let all = |second: i64| -> Vec<(Class, Event)> {
            (0..city.len()).flat_map(|n| super::second(&city, n, second, now, &mut Reader::new())).collect()
        };
        assert_eq!(all(60), all(60));
        assert!(
            all(60)
                .iter()
                .any(|(_, e)| e.kind == Kind::Authentication && e.text(field::STATUS_ID) == "2" && e.text(field::SRC_IP) == "203.0.113.66")
        );
        assert!(all(90).iter().any(|(_, e)| e.kind == Kind::AccountChange));
        assert!(all(180).iter().any(|(_, e)| e.kind == Kind::HttpActivity && e.text(field::HTTP_USER_AGENT) == "sqlmap/1.8"));
        assert!(all(5).iter().all(|(_, e)| e.text(field::SRC_IP) != "203.0.113.66"));
    }
}
