//! The ring with real packets: a veth pair in a network namespace of the test's own thread, frames sent by a raw socket.
//! Needs the rights to make a namespace; says SKIPPED without them.
#![allow(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "the test sets up interfaces with ip(8)")]

use std::ffi::CString;
use std::mem::size_of;
use std::process::Command;
use std::time::Duration;

use capture::{Interface, LiveConfig, PacketSource, interfaces, open};
use packet::{Direction, LinkType};

/// Runs `f` in a thread that has a network namespace to itself; the namespace goes with the thread.
fn in_namespace(f: impl FnOnce() + Send + 'static) {
    let inside = move || {
        // SAFETY: a plain system call that concerns this thread only.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return println!("SKIPPED: may not make a network namespace ({})", std::io::Error::last_os_error());
        }
        // Router solicitations would be counted among the frames of the test.
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
        f();
    };
    std::thread::spawn(inside).join().unwrap();
}

fn ip(args: &str) {
    let out = Command::new("ip").args(args.split(' ')).output().expect("ip(8) runs");
    assert!(out.status.success(), "ip {args}: {}", String::from_utf8_lossy(&out.stderr));
}

fn pair() -> (Interface, Interface) {
    ip("link add va type veth peer name vb");
    ip("link set va arp off up");
    ip("link set vb arp off up");
    let find = |name: &str| interfaces().into_iter().find(|i| i.name == name).unwrap();
    (find("va"), find("vb"))
}

struct Sender(i32, libc::sockaddr_ll);

impl Sender {
    fn new(interface: &Interface) -> Self {
        // SAFETY: plain system calls on a zeroed, then filled address.
        unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
            assert!(fd >= 0);
            let mut to: libc::sockaddr_ll = std::mem::zeroed();
            to.sll_family = libc::AF_PACKET as u16;
            to.sll_ifindex = libc::if_nametoindex(CString::new(interface.name.as_str()).unwrap().as_ptr()) as i32;
            Self(fd, to)
        }
    }
    fn send(&self, frame: &[u8]) {
        // SAFETY: `frame` and the address are live and their sizes are given.
        let sent = unsafe {
            libc::sendto(self.0, frame.as_ptr().cast(), frame.len(), 0, (&raw const self.1).cast(), size_of::<libc::sockaddr_ll>() as u32)
        };
        assert_eq!(sent, frame.len() as isize, "{}", std::io::Error::last_os_error());
    }
}

fn tcp(src: [u8; 4], sport: u16, dst: [u8; 4], dport: u16) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0];
    f.extend(src);
    f.extend(dst);
    f.extend(sport.to_be_bytes());
    f.extend(dport.to_be_bytes());
    f.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0]);
    f
}

/// Reads until nothing has come for a while; returns what `f` says of each frame.
fn drain<T>(source: &mut dyn PacketSource, mut f: impl FnMut(packet::Frame<'_>) -> T) -> Vec<T> {
    let mut out = Vec::new();
    while let Some(frame) = source.next(Duration::from_millis(500)).unwrap() {
        out.push(f(frame));
    }
    out
}

#[test]
fn every_frame_arrives_once_with_its_vlan_tag_and_direction() {
    in_namespace(|| {
        let (a, b) = pair();
        let mut source = open(&b, &LiveConfig::default()).unwrap();
        assert_eq!(source.method(), "ring");
        let sender = Sender::new(&a);
        let plain = tcp([10, 0, 0, 1], 1000, [10, 0, 0, 2], 80);
        let mut tagged = plain.clone();
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x2a]);
        for _ in 0..1000 {
            sender.send(&plain);
            sender.send(&tagged);
        }
        let seen = drain(source.as_mut(), |f| {
            assert_eq!((f.link, f.direction), (LinkType::Ethernet, Direction::In));
            let packet::Body::Ip(ip) = packet::decode(&f).body else { panic!() };
            assert!(matches!(ip.transport, packet::Transport::Tcp(t) if t.dst_port == 80));
            (packet::decode(&f).vlan, f.len)
        });
        assert_eq!(seen.iter().filter(|s| **s == (None, 54)).count(), 1000);
        assert_eq!(seen.iter().filter(|s| **s == (Some(42), 58)).count(), 1000);
        let stats = source.stats();
        assert_eq!((stats.got, stats.kernel_drops), (2000, 0));
    });
}

#[test]
fn what_nobody_read_in_time_is_counted_to_the_frame() {
    in_namespace(|| {
        let (a, b) = pair();
        let config = LiveConfig { buffer_bytes: 1 << 20, ..LiveConfig::default() };
        let mut source = open(&b, &config).unwrap();
        let sender = Sender::new(&a);
        let mut frame = tcp([10, 0, 0, 1], 1000, [10, 0, 0, 2], 80);
        frame.resize(1400, 0);
        for _ in 0..5000 {
            sender.send(&frame);
        }
        let got = drain(source.as_mut(), |_| ()).len() as u64;
        let stats = source.stats();
        println!("got {got}, kernel drops {}, freezes {}", stats.kernel_drops, stats.freezes);
        assert!(stats.kernel_drops > 0, "a ring of 1 MiB cannot hold 7 MB");
        assert_eq!(got + stats.kernel_drops, 5000);
        // Reading the counters clears them in the kernel; ours stay.
        assert_eq!(source.stats(), stats);
    });
}

#[test]
fn the_own_uplink_is_left_out_and_nothing_else() {
    in_namespace(|| {
        let (a, b) = pair();
        let config = LiveConfig { exclude: Some("10.0.0.2:7443".parse().unwrap()), ..LiveConfig::default() };
        let mut source = open(&b, &config).unwrap();
        let sender = Sender::new(&a);
        let (me, hub, other) = ([10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]);
        let mut udp = tcp(me, 1000, hub, 7443);
        udp[23] = 17;
        let cases = [
            (tcp(me, 1000, hub, 7443), false),
            (tcp(hub, 7443, me, 1000), false),
            (tcp(me, 1000, hub, 7444), true),
            (tcp(me, 7443, hub, 1000), true),
            (tcp(me, 1000, other, 7443), true),
            (tcp(other, 7443, me, 1000), true),
            (tcp(hub, 1000, me, 7443), true),
            (udp, true),
            (vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0], true),
        ];
        for (frame, _) in &cases {
            sender.send(frame);
        }
        let seen = drain(source.as_mut(), |f| f.bytes.to_vec());
        let expected: Vec<_> = cases.iter().filter(|(_, pass)| *pass).map(|(f, _)| f.clone()).collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn loopback_shows_each_packet_once() {
    in_namespace(|| {
        ip("link set lo up");
        let lo = interfaces().into_iter().find(|i| i.loopback).unwrap();
        let mut source = open(&lo, &LiveConfig::default()).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for n in 0..100u8 {
            socket.send_to(&[n], peer.local_addr().unwrap()).unwrap();
        }
        let seen = drain(source.as_mut(), |f| {
            let packet::Body::Ip(ip) = packet::decode(&f).body else { panic!() };
            let packet::Transport::Udp(udp) = ip.transport else { panic!() };
            udp.payload[0]
        });
        assert_eq!(seen, (0..100).collect::<Vec<u8>>());
    });
}

#[test]
fn a_quiet_link_gives_nothing_and_does_not_hang() {
    in_namespace(|| {
        let (_, b) = pair();
        let mut source = open(&b, &LiveConfig::default()).unwrap();
        assert!(source.next(Duration::ZERO).unwrap().is_none());
        assert!(source.next(Duration::from_millis(30)).unwrap().is_none());
        ip("link del va");
        // The interface is gone: an error in words, not silence.
        let error = loop {
            match source.next(Duration::from_millis(100)) {
                Ok(_) => {}
                Err(e) => break e.to_string(),
            }
        };
        assert_eq!(error, "interface vb is gone or down");
    });
}
