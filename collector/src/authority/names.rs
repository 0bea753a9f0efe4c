//! Under which names and addresses agents may dial this collector: what stands in its certificate.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names in one certificate; further ones found on the machine are left out, configured ones never.
const NAMES_MAX: usize = 100;

/// The advertised host, the configured names, `localhost`, the loopback addresses, and this machine's name and addresses.
///
/// # Errors
/// The first configured value that is neither a host name nor an address.
pub fn server_names(advertised: &str, configured: &[String]) -> Result<Vec<String>, String> {
    let mut names = BTreeSet::new();
    for name in configured.iter().map(String::as_str).chain([advertised]) {
        if name.parse::<IpAddr>().is_err() && !is_host_name(name) {
            return Err(name.chars().take(256).collect());
        }
        names.insert(name.to_ascii_lowercase());
    }
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]);
    let own = host_name().into_iter().chain(host_addresses().into_iter().map(|a| a.to_string()));
    for name in own {
        if names.len() < NAMES_MAX {
            names.insert(name);
        }
    }
    Ok(names.into_iter().collect())
}

fn is_host_name(name: &str) -> bool {
    rustls::pki_types::DnsName::try_from(name).is_ok()
}

/// The machine's name, if it is one that can be dialled.
pub fn host_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = text.trim().to_ascii_lowercase();
    is_host_name(&name).then_some(name)
}

/// Addresses of this machine's interfaces, from the kernel's tables; loopback and link-local ones left out.
pub fn host_addresses() -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut found: BTreeSet<IpAddr> = ipv4_local(&read("/proc/net/fib_trie")).into_iter().map(IpAddr::V4).collect();
    found.extend(ipv6_local(&read("/proc/net/if_inet6")).into_iter().map(IpAddr::V6));
    found.into_iter().collect()
}

/// Addresses marked `/32 host LOCAL` in the kernel's routing trie.
fn ipv4_local(trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut last = None;
    let mut found = BTreeSet::new();
    for line in trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(last.filter(|a| !a.is_loopback() && !a.is_link_local()));
        }
    }
    found
}

fn ipv6_local(table: &str) -> BTreeSet<Ipv6Addr> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok().map(Ipv6Addr::from_bits);
    table.lines().filter_map(address).filter(|a| !a.is_loopback() && !a.is_unicast_link_local()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 10.1.2.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(ipv4_local(trie).into_iter().collect::<Vec<_>>(), [Ipv4Addr::new(10, 1, 2, 3)]);
        let table = "20010db8000000000000000000000007 02 40 00 80     eth0\nfe800000000000000000000000000001 02 40 20 80 eth0\nrubbish\n";
        assert_eq!(ipv6_local(table).into_iter().collect::<Vec<_>>(), ["2001:db8::7".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn what_is_no_name_is_named() {
        assert_eq!(server_names("collector.example", &["a b".into()]), Err("a b".to_owned()));
        let names = server_names("Collector.example", &["10.0.0.9".into(), "2001:db8::9".into()]).unwrap();
        for name in ["collector.example", "10.0.0.9", "2001:db8::9", "localhost", "127.0.0.1"] {
            assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
        }
    }
}
