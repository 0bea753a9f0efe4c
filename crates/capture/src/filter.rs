//! A classic BPF program that leaves out one TCP endpoint: the agent's own uplink. It looks at the network header, so it
//! fits any link type, and it lets everything pass that it does not understand.

use std::net::{IpAddr, SocketAddr};

use libc::sock_filter;

const PASS: u32 = 0xffff_ffff;
/// Loads with this base count from the network header, with the other from packet metadata.
const NET: u32 = libc::SKF_NET_OFF as u32;
const PROTOCOL: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32;

const LD_W: u16 = 0x20;
const LD_H: u16 = 0x28;
const LD_B: u16 = 0x30;
const LD_H_X: u16 = 0x48;
const AND: u16 = 0x54;
const LSH: u16 = 0x64;
const TAX: u16 = 0x07;
const JEQ: u16 = 0x15;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;

/// One instruction with jump targets by name.
enum Line {
    Do(u16, u32),
    /// Go on if equal, else jump.
    Need(u32, Target),
    /// Jump if any bit is set.
    AnyBit(u32, Target),
    /// Jump if equal.
    Is(u32, Target),
    Mark(Target),
}

#[derive(Clone, Copy, PartialEq)]
enum Target {
    Pass,
    Drop,
    Source,
    Destination,
}

/// The program that drops TCP from or to `end` and passes all else.
pub(crate) fn without(end: SocketAddr) -> Vec<sock_filter> {
    use Line::*;
    use Target::*;
    let port = u32::from(end.port());
    let mut lines = Vec::with_capacity(40);
    match end.ip() {
        IpAddr::V4(ip) => {
            let ip = ip.to_bits();
            lines.extend([Do(LD_W, PROTOCOL), Need(0x0800, Pass), Do(LD_B, NET + 9), Need(6, Pass)]);
            lines.extend([Do(LD_H, NET + 6), AnyBit(0x1fff, Pass)]);
            // X = header length
            lines.extend([Do(LD_B, NET), Do(AND, 0x0f), Do(LSH, 2), Do(TAX, 0)]);
            lines.extend([Do(LD_W, NET + 12), Is(ip, Source), Do(LD_W, NET + 16), Is(ip, Destination), Do(RET, PASS)]);
            lines.extend([Mark(Source), Do(LD_H_X, NET), Is(port, Drop), Do(LD_W, NET + 16), Need(ip, Pass)]);
            lines.extend([Mark(Destination), Do(LD_H_X, NET + 2), Is(port, Drop)]);
        }
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            let word = |n: u32| (bits >> (96 - 32 * n)) as u32;
            lines.extend([Do(LD_W, PROTOCOL), Need(0x86dd, Pass), Do(LD_B, NET + 6), Need(6, Pass)]);
            for n in 0..4 {
                lines.extend([Do(LD_W, NET + 8 + 4 * n), Need(word(n), Destination)]);
            }
            lines.extend([Do(LD_H, NET + 40), Is(port, Drop), Mark(Destination)]);
            for n in 0..4 {
                lines.extend([Do(LD_W, NET + 24 + 4 * n), Need(word(n), Pass)]);
            }
            lines.extend([Do(LD_H, NET + 42), Is(port, Drop)]);
        }
    }
    lines.extend([Mark(Pass), Do(RET, PASS), Mark(Drop), Do(RET, 0)]);
    assemble(&lines)
}

fn assemble(lines: &[Line]) -> Vec<sock_filter> {
    let mut at = 0usize;
    let mut marks = Vec::new();
    for line in lines {
        if let Line::Mark(target) = line { marks.push((*target, at)) } else { at += 1 }
    }
    let place = |target: Target| marks.iter().find(|(t, _)| *t == target).map_or(at, |(_, p)| *p);
    let mut out: Vec<sock_filter> = Vec::with_capacity(at);
    for line in lines {
        let jump = |target: Target| u8::try_from(place(target) - out.len() - 1).unwrap_or(u8::MAX);
        let (code, jt, jf, k) = match line {
            Line::Do(code, k) => (*code, 0, 0, *k),
            Line::Need(k, target) => (JEQ, 0, jump(*target), *k),
            Line::Is(k, target) => (JEQ, jump(*target), 0, *k),
            Line::AnyBit(k, target) => (JSET, jump(*target), 0, *k),
            Line::Mark(_) => continue,
        };
        out.push(sock_filter { code, jt, jf, k });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_lands_inside_and_every_path_returns() {
        for end in ["10.0.0.1:7443", "[2001:db8::1]:7443"] {
            let program = without(end.parse().unwrap());
            assert_eq!(program.last().map(|i| (i.code, i.k)), Some((RET, 0)));
            for (n, i) in program.iter().enumerate() {
                if matches!(i.code, JEQ | JSET) {
                    assert!(n + 1 + usize::from(i.jt.max(i.jf)) < program.len(), "{end} {n}");
                }
            }
        }
    }
}
