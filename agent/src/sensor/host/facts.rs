//! Reads who the host is and what the agent uses, from files the kernel and the distribution keep. Parsing is apart from reading, so that it
//! is tested on text.

use std::net::IpAddr;

/// Who the host is. A field is empty where the host does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    pub hostname: String,
    pub os: String,
    pub os_version: String,
    pub kernel: String,
    pub boot_id: String,
    pub boot_ms: i64,
    /// Not the machine id itself, which systemd asks to keep on the host, but a hash of it for us alone.
    pub machine: String,
    pub addresses: Vec<IpAddr>,
    pub mac: String,
    /// TCP ports others may reach, in order; none: the host does not tell, or there are more than `PORTS_MAX`.
    pub ports: Option<Vec<u16>>,
}

/// Listening ports told.
const PORTS_MAX: usize = 256;
/// Bytes read of a table of sockets: those that listen stand first in it.
const SOCKETS_BYTES_MAX: u64 = 64 * 1024;

/// What the agent's process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub memory_bytes: u64,
    pub cpu_ms: u64,
}

impl Identity {
    pub fn read() -> Self {
        let (addresses, mac) = addresses();
        Self {
            hostname: text("/proc/sys/kernel/hostname").trim().to_owned(),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            boot_id: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            addresses,
            mac,
            ports: ports(head("/proc/net/tcp"), head("/proc/net/tcp6")),
            ..Self::parse(&text("/etc/os-release"), &text("/proc/stat"), &text("/etc/machine-id"))
        }
    }

    /// What these three files say: os-release(5), /proc/stat, machine-id(5).
    pub fn parse(release: &str, stat: &str, id: &str) -> Self {
        let (os, os_version) = os_release(release);
        Self { os, os_version, boot_ms: boot_ms(stat), machine: machine(id), ..Self::default() }
    }
}

impl Usage {
    pub fn read() -> Self {
        Self::parse(&text("/proc/self/status"), &text("/proc/self/stat"))
    }

    /// What /proc/self/status and /proc/self/stat say.
    pub fn parse(status: &str, stat: &str) -> Self {
        Self { memory_bytes: memory_bytes(status), cpu_ms: cpu_ms(stat) }
    }
}

/// A small file as text, empty where it cannot be read.
fn text(path: &str) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes[..bytes.len().min(64 * 1024)]).into_owned()).unwrap_or_default()
}

/// The beginning of a table that may be long.
fn head(path: &str) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(SOCKETS_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Ports of /proc/net/tcp and tcp6 (proc(5)) in state 0A, LISTEN, but those bound to loopback.
fn ports(tcp: Option<String>, tcp6: Option<String>) -> Option<Vec<u16>> {
    let all = [tcp?, tcp6.unwrap_or_default()];
    let mut found: Vec<u16> = all.iter().flat_map(|text| text.lines().skip(1)).filter_map(listening).collect();
    found.sort_unstable();
    found.dedup();
    // A list with holes would call open ports closed.
    (found.len() <= PORTS_MAX).then_some(found)
}

/// `0: 0100007F:1F90 00000000:0000 0A …`: address in the host's byte order, port, peer, state.
fn listening(line: &str) -> Option<u16> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (address, port) = words.next()?.split_once(':')?;
    let _peer = words.next()?;
    if words.next()? != "0A" {
        return None;
    }
    let loopback = match address.len() {
        8 => address.ends_with("7F"),
        _ => address == "00000000000000000000000001000000" || (address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F")),
    };
    if loopback { None } else { u16::from_str_radix(port, 16).ok() }
}

/// `NAME` and `VERSION_ID` of os-release(5).
fn os_release(text: &str) -> (String, String) {
    let value = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.map(|v| v.trim().trim_matches(['"', '\'']).chars().take(128).collect()).unwrap_or_default()
    };
    (value("NAME"), value("VERSION_ID"))
}

/// `btime` of /proc/stat.
fn boot_ms(stat: &str) -> i64 {
    stat.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse::<i64>().ok()).unwrap_or(0).saturating_mul(1000)
}

fn machine(id: &str) -> String {
    let id = id.trim();
    if id.is_empty() {
        return String::new();
    }
    let key = blake3::derive_key("vedette agent: name of a machine, v1", id.as_bytes());
    key.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// `VmRSS` of /proc/self/status.
fn memory_bytes(status: &str) -> u64 {
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// User and system time of /proc/self/stat; its ticks are hundredths of a second on every Linux.
fn cpu_ms(stat: &str) -> u64 {
    // The program's name, in parentheses, may hold spaces and parentheses.
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0 };
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    ticks().saturating_add(ticks()).saturating_mul(10)
}

/// All addresses but loopback and link-local, at most 64, and the link address of the first interface that has one of them.
fn addresses() -> (Vec<IpAddr>, String) {
    let mut found: Vec<IpAddr> = Vec::new();
    let mut mac = String::new();
    for interface in pnet_datalink::interfaces() {
        let own: Vec<IpAddr> = interface.ips.iter().map(|net| net.ip()).filter(|ip| is_told(*ip)).collect();
        if mac.is_empty() && !own.is_empty() {
            mac = interface.mac.map(|m| m.to_string()).unwrap_or_default();
        }
        found.extend(own);
    }
    found.sort();
    found.dedup();
    found.truncate(64);
    (found, mac)
}

fn is_told(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && (v6.segments()[0] & 0xffc0) != 0xfe80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_files_say() {
        assert_eq!(
            os_release("PRETTY_NAME=\"Debian GNU/Linux 12\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\n"),
            ("Debian GNU/Linux".into(), "12".into())
        );
        assert_eq!(os_release("garbage"), (String::new(), String::new()));
        assert_eq!(boot_ms("cpu 1 2\nbtime 1700000000\n"), 1_700_000_000_000);
        assert_eq!(memory_bytes("Name:\tx\nVmRSS:\t    9000 kB\n"), 9_216_000);
        assert_eq!(cpu_ms("12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20"), 2000);
        assert_eq!((cpu_ms(""), memory_bytes(""), boot_ms("")), (0, 0, 0));
        let hashed = machine("0123456789abcdef0123456789abcdef\n");
        assert!(hashed.len() == 32 && !hashed.starts_with("0123"));
        assert_eq!(machine(" \n"), "");
    }

    #[test]
    fn only_what_others_may_reach_counts_as_listening() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue\n   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000\n   \
            1: 0100007F:18EB 00000000:0000 0A 0:0\n   2: 0A010101:01BB 0A010102:D431 01 0:0\n   3: 0A01010A:18EB 00000000:0000 0A 0:0\nbroken\n";
        let tcp6 = "  sl  local_address\n   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A\n   \
            1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A\n   \
            2: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A\n";
        assert_eq!(ports(Some(tcp.into()), Some(tcp6.into())), Some(vec![22, 80, 6379]));
        assert_eq!((ports(None, None), ports(Some(String::new()), None)), (None, Some(vec![])));
        // The first line is the table's head.
        let many = |n: usize| (0..=n).map(|n| format!("  {n}: 00000000:{:04X} 00000000:0000 0A\n", n + 1_000)).collect::<String>();
        assert_eq!(ports(Some(many(PORTS_MAX)), None).map(|p| p.len()), Some(PORTS_MAX));
        assert_eq!(ports(Some(many(PORTS_MAX + 1)), None), None);
    }

    #[test]
    fn this_host_tells_something() {
        let identity = Identity::read();
        assert!(!identity.kernel.is_empty() && !identity.hostname.is_empty() && identity.boot_ms > 0);
        assert!(Usage::read().memory_bytes > 100_000);
    }
}
