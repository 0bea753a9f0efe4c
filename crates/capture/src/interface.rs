//! The interfaces of this host (by pnet), and waiting on descriptors.
#![allow(unsafe_code)]

use std::net::IpAddr;
use std::time::Duration;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    pub mac: Option<[u8; 6]>,
    pub addresses: Vec<IpAddr>,
    pub up: bool,
    pub loopback: bool,
}

/// All interfaces of this network namespace.
pub fn interfaces() -> Vec<Interface> {
    pnet_datalink::interfaces()
        .into_iter()
        .map(|i| Interface {
            up: i.is_up(),
            loopback: i.is_loopback(),
            mac: i.mac.map(|m| m.octets()),
            addresses: i.ips.iter().map(|n| n.ip()).collect(),
            index: i.index,
            name: i.name,
        })
        .collect()
}

/// True if one of the descriptors is readable (or broken) within `wait`.
pub(crate) fn poll_readable(descriptors: &[i32], wait: Duration) -> bool {
    let mut set: Vec<libc::pollfd> = descriptors.iter().map(|fd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 }).collect();
    let ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `set` is a live array of `set.len()` pollfd; the kernel writes only their `revents`.
    let ready = unsafe { libc::poll(set.as_mut_ptr(), set.len() as libc::nfds_t, ms) };
    ready > 0
}
