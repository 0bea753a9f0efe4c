//! What the process may do, as the kernel says in /proc/self/status, and giving up what it has no use for (`shed`).
//!
//! The systemd unit takes everything else away before the first instruction (bounding set, NoNewPrivileges, seccomp); an agent started in
//! another way sheds it itself, before it starts a thread. Two rights stay for good: interfaces come up later (packet sockets), and logs
//! are rotated and files appear that others own (reading). `doctor` shows what is left.

use rustix::thread::CapabilitySet;
use std::fmt;

/// The rights of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    pub uid: u32,
    /// Effective capabilities, a bit each.
    pub effective: u64,
    /// What could be made effective again.
    pub permitted: u64,
    pub bounding: u64,
    pub no_new_privileges: bool,
    /// 0 none, 1 strict, 2 a filter.
    pub seccomp: u8,
}

/// Capability numbers of linux/capability.h.
pub const DAC_OVERRIDE: u8 = 1;
pub const DAC_READ_SEARCH: u8 = 2;
pub const SETPCAP: u8 = 8;
pub const NET_RAW: u8 = 13;
pub const SYS_ADMIN: u8 = 21;

/// Capabilities the agent has a use for: reading logs and hashing files without owning them, packet sockets.
const USED: &[u8] = &[DAC_READ_SEARCH, NET_RAW];

const NAMES: &[(u8, &str)] = &[
    (0, "chown"),
    (DAC_OVERRIDE, "dac_override"),
    (DAC_READ_SEARCH, "dac_read_search"),
    (3, "fowner"),
    (5, "kill"),
    (6, "setgid"),
    (7, "setuid"),
    (10, "net_bind_service"),
    (12, "net_admin"),
    (NET_RAW, "net_raw"),
    (16, "sys_module"),
    (17, "sys_rawio"),
    (18, "sys_chroot"),
    (19, "sys_ptrace"),
    (SYS_ADMIN, "sys_admin"),
    (22, "sys_boot"),
    (39, "bpf"),
];

impl Rights {
    /// Of this process.
    pub fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    pub fn parse(status: &str) -> Self {
        let value = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)?.split_whitespace().next());
        let hex = |key: &str| value(key).and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0);
        Self {
            // The second number is the effective one; the real one is first.
            uid: status.lines().find_map(|l| l.strip_prefix("Uid:")?.split_whitespace().nth(1)?.parse().ok()).unwrap_or(u32::MAX),
            effective: hex("CapEff:"),
            permitted: hex("CapPrm:"),
            bounding: hex("CapBnd:"),
            no_new_privileges: value("NoNewPrivs:") == Some("1"),
            seccomp: value("Seccomp:").and_then(|v| v.parse().ok()).unwrap_or(0),
        }
    }

    pub const fn has(&self, capability: u8) -> bool {
        self.effective & (1 << capability) != 0
    }

    /// May read any file: root, or one of the two capabilities.
    pub const fn reads_all(&self) -> bool {
        self.has(DAC_READ_SEARCH) || self.has(DAC_OVERRIDE)
    }

    /// What it has and has no use for; names where there are any.
    pub fn excess(&self) -> Vec<String> {
        let name =
            |n: u8| NAMES.iter().find(|(number, _)| *number == n).map_or_else(|| format!("capability {n}"), |(_, name)| (*name).to_owned());
        (0..64).filter(|n| (self.effective | self.permitted) & (1 << n) != 0 && !USED.contains(n)).map(name).collect()
    }

    /// One line for a log.
    pub fn summary(&self) -> String {
        let excess = self.excess().len();
        format!(
            "uid {}, net_raw {}, read all files {}, no new privileges {}, seccomp {}, {excess} rights without use",
            self.uid,
            if self.has(NET_RAW) { "yes" } else { "no" },
            if self.reads_all() { "yes" } else { "no" },
            if self.no_new_privileges { "yes" } else { "no" },
            if self.seccomp == 2 { "yes" } else { "no" },
        )
    }
}

/// A step of `shed` that the kernel refused.
#[derive(Debug)]
pub struct ShedError {
    pub what: &'static str,
    pub source: std::io::Error,
}

impl fmt::Display for ShedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.what)
    }
}

impl std::error::Error for ShedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Gives up every right but the two that are used and those named in `keep`: ambient, inheritable, permitted and effective for this thread and
/// all that it starts later, so it must be called before the first of them; the bounding set too where that is allowed; and `no_new_privs`,
/// so that nothing brings them back. Does nothing that is done already: the unit's seccomp filter kills for a `capset`.
pub fn shed(keep: &[u8]) -> Result<(), ShedError> {
    let refused = |what| move |source: rustix::io::Errno| ShedError { what, source: source.into() };
    let wanted = USED.iter().chain(keep).fold(0u64, |bits, n| bits | 1 << n);
    let wanted = CapabilitySet::from_bits_retain(wanted);
    let sets = rustix::thread::capabilities(None).map_err(refused("read the rights"))?;
    if sets.effective.contains(CapabilitySet::SETPCAP) {
        for n in 0..64 {
            let one = CapabilitySet::from_bits_retain(1 << n);
            // The first number this kernel does not know ends the set.
            let Ok(held) = rustix::thread::capability_is_in_bounding_set(one) else { break };
            if held && !wanted.contains(one) {
                rustix::thread::remove_capability_from_bounding_set(one).map_err(refused("give up rights of the bounding set"))?;
            }
        }
    }
    if !wanted.contains(sets.permitted) {
        let left = rustix::thread::CapabilitySets {
            effective: sets.effective & wanted,
            permitted: sets.permitted & wanted,
            inheritable: CapabilitySet::empty(),
        };
        // Ambient rights are those that are permitted and inheritable: none is left.
        rustix::thread::set_capabilities(None, left).map_err(refused("give up rights"))?;
    }
    if !rustix::thread::no_new_privs().map_err(refused("read no_new_privs"))? {
        rustix::thread::set_no_new_privs(true).map_err(refused("set no_new_privs"))?;
    }
    Ok(())
}

/// Rights to keep so that a state folder of somebody else can be written, as when root starts by hand what is the agent's.
pub fn needed_for(state: &std::path::Path) -> &'static [u8] {
    use std::os::unix::fs::MetadataExt;
    let owner = std::fs::metadata(state).map(|m| m.uid());
    if owner.is_ok_and(|uid| uid != Rights::read().uid) { &[DAC_OVERRIDE] } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the calling thread; rights are each thread's own.
    fn of_this_thread() -> Rights {
        Rights::parse(&std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default())
    }

    #[test]
    fn what_is_shed_is_gone_and_stays_gone() {
        let (before, after, child) = std::thread::spawn(|| {
            let before = of_this_thread();
            shed(&[]).unwrap();
            shed(&[]).unwrap();
            (before, of_this_thread(), std::thread::spawn(of_this_thread).join().unwrap())
        })
        .join()
        .unwrap();
        let used = 1 << NET_RAW | 1 << DAC_READ_SEARCH;
        assert_eq!((after.effective, after.permitted), (before.effective & used, before.permitted & used));
        assert!(after.no_new_privileges && after.excess().is_empty());
        if before.has(SETPCAP) {
            assert_eq!(after.bounding, before.bounding & used);
        }
        assert_eq!(child, after, "what is started later has no more");
    }

    #[test]
    fn the_hardened_unit_leaves_two_rights() {
        let status = "Name:\tx\nUid:\t990\t990\t990\t990\nCapPrm:\t0000000000002004\nCapEff:\t0000000000002004\nCapBnd:\t0000000000002004\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let rights = Rights::parse(status);
        assert_eq!(
            rights,
            Rights { uid: 990, effective: 0x2004, permitted: 0x2004, bounding: 0x2004, no_new_privileges: true, seccomp: 2 }
        );
        assert!(rights.has(NET_RAW) && rights.reads_all() && rights.excess().is_empty());
    }

    #[test]
    fn root_has_rights_without_use_and_nonsense_has_none() {
        let root = Rights { effective: 0x1ff_ffff_ffff, ..Rights::default() };
        assert!(root.excess().contains(&"sys_admin".to_owned()) && !root.excess().contains(&"net_raw".to_owned()));
        let none = Rights::parse("CapEff:\tzz\nUid:\n");
        assert!(!none.has(NET_RAW) && !none.reads_all() && none.uid == u32::MAX);
    }
}
