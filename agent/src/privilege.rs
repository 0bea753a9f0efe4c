//! What the process may do, as the kernel says in /proc/self/status. The agent gives nothing up by itself: the calls for that are not safe
//! Rust, and the systemd unit does it before the first instruction (bounding set, NoNewPrivileges, seccomp). `doctor` shows what is left.

/// The rights of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    pub uid: u32,
    /// Effective capabilities, a bit each.
    pub effective: u64,
    pub bounding: u64,
    pub no_new_privileges: bool,
    /// 0 none, 1 strict, 2 a filter.
    pub seccomp: u8,
}

/// Capability numbers of linux/capability.h.
pub const DAC_OVERRIDE: u8 = 1;
pub const DAC_READ_SEARCH: u8 = 2;
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
        (0..64).filter(|n| self.has(*n) && !USED.contains(n)).map(name).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hardened_unit_leaves_two_rights() {
        let status =
            "Name:\tx\nUid:\t990\t990\t990\t990\nCapEff:\t0000000000002004\nCapBnd:\t0000000000002004\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let rights = Rights::parse(status);
        assert_eq!(rights, Rights { uid: 990, effective: 0x2004, bounding: 0x2004, no_new_privileges: true, seccomp: 2 });
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
