//! AF_PACKET with a TPACKET_V3 ring: the kernel writes frames into shared blocks, a block is handed over when it is full or
//! `block_wait` old, and is given back whole. One system call a block, none a packet.
//!
//! - Order of opening: socket without protocol, filter, ring, then bind; so that nothing unfiltered is ever queued.
//! - A VLAN tag that the kernel took out of the frame comes back as `Frame::vlan`, and its four bytes count in `len`.
//! - On loopback every packet would be seen leaving and arriving; only the arriving one is taken.
//! - `PACKET_STATISTICS` clears on read and its packet count includes drops; it is added up here in u64.
//! - Promiscuous membership, ring and filter go with the socket; nothing is left behind.
#![allow(unsafe_code)]

use std::io::Error;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use event::{SECOND_NS, Timestamp};
use packet::{Direction, Frame, LinkType};

use crate::filter;
use crate::interface::poll_readable;
use crate::{CaptureError, Interface, LiveConfig, PacketSource, Stats};

/// Holds the largest offload frame (64 KiB) several times over.
const BLOCK_BYTES: usize = 256 << 10;
const BLOCKS_MIN: usize = 4;

pub(crate) struct RingSource {
    name: String,
    fd: OwnedFd,
    map: Mapping,
    /// Block that is read or awaited.
    block: usize,
    /// Frames of the open block still to be read, and where the next one lies in it; `None`: no block is open.
    open: Option<Open>,
    stats: Stats,
}

#[derive(Clone, Copy)]
struct Open {
    left: u32,
    offset: usize,
}

/// The shared blocks; unmapped on drop.
struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    blocks: usize,
}

// SAFETY: the mapping is owned by one RingSource and only touched through `&mut` of it; it may move between threads.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `base` and `bytes` are what mmap returned and was asked for; nothing borrows from it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

impl RingSource {
    pub(crate) fn open(interface: &Interface, config: &LiveConfig) -> Result<Self, CaptureError> {
        let name = interface.name.clone();
        let failed = |what: &'static str| {
            let source = Error::last_os_error();
            match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => CaptureError::NotAllowed { interface: name.clone() },
                Some(libc::ENODEV | libc::ENXIO) => CaptureError::Gone { interface: name.clone() },
                _ => CaptureError::System { interface: name.clone(), what, source },
            }
        };
        // SAFETY: a plain system call; protocol 0 means that nothing is received before bind.
        let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
        if raw < 0 {
            return Err(failed("open a packet socket"));
        }
        // SAFETY: `raw` is a fresh descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };

        if let Some(end) = config.exclude {
            let mut program = filter::without(end);
            let fprog = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
            set_option(&fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &fprog).map_err(|()| failed("attach the filter"))?;
        }
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_VERSION, &version).map_err(|()| failed("choose the ring format"))?;
        let blocks = (config.buffer_bytes / BLOCK_BYTES).max(BLOCKS_MIN);
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK_BYTES as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: BLOCK_BYTES as u32,
            tp_frame_nr: blocks as u32,
            tp_retire_blk_tov: u32::try_from(config.block_wait.as_millis()).unwrap_or(60).max(1),
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request).map_err(|()| failed("make the ring"))?;
        let bytes = blocks * BLOCK_BYTES;
        // SAFETY: maps the ring of our own socket, shared with the kernel, at an address the kernel chooses.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        let base = if address == libc::MAP_FAILED { None } else { NonNull::new(address.cast::<u8>()) };
        let map = Mapping { base: base.ok_or_else(|| failed("map the ring"))?, bytes, blocks };

        let index = interface.index as libc::c_int;
        if interface.loopback {
            let on: libc::c_int = 1;
            // Kernels before 4.20 do not know it; `next` leaves outgoing frames out as well.
            let _ = set_option(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on);
        }
        if config.promiscuous && !interface.loopback {
            let request = libc::packet_mreq { mr_ifindex: index, mr_type: libc::PACKET_MR_PROMISC as u16, mr_alen: 0, mr_address: [0; 8] };
            set_option(&fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request).map_err(|()| failed("become promiscuous"))?;
        }
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: `address` is a whole sockaddr_ll and its size is given.
        let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t) };
        if bound < 0 {
            return Err(failed("bind"));
        }
        drop_pending_error(&fd);
        Ok(Self { name, fd, map, block: 0, open: None, stats: Stats { counts_drops: true, ..Stats::default() } })
    }

    fn status(&self) -> &AtomicU32 {
        let at = self.block * BLOCK_BYTES + std::mem::offset_of!(libc::tpacket_block_desc, hdr);
        // SAFETY: `block` < `blocks`, so the four status bytes lie in the mapping, aligned (blocks are page-aligned, the offset
        // is 8). The kernel writes them concurrently, hence the atomic.
        unsafe { AtomicU32::from_ptr(self.map.base.as_ptr().add(at).cast()) }
    }

    fn ready(&self) -> bool {
        self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    fn give_back(&mut self) {
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.block = (self.block + 1) % self.map.blocks;
        self.open = None;
    }

    /// Reads a copy of a header that lies whole within the current block.
    fn read<T: Copy>(&self, offset: usize) -> Option<T> {
        if offset.checked_add(size_of::<T>())? > BLOCK_BYTES {
            return None;
        }
        // SAFETY: the range lies in the current block (checked above), which the kernel has handed over and does not write
        // until it is given back; T is a plain C struct for which any bytes are valid; read_unaligned asks for no alignment.
        Some(unsafe { self.map.base.as_ptr().add(self.block * BLOCK_BYTES + offset).cast::<T>().read_unaligned() })
    }

    /// Opens the current block if the kernel has handed it over.
    fn open_block(&mut self) -> bool {
        if !self.ready() {
            return false;
        }
        let at = std::mem::offset_of!(libc::tpacket_block_desc, hdr);
        if let Some(header) = self.read::<libc::tpacket_hdr_v1>(at) {
            self.open = Some(Open { left: header.num_pkts, offset: header.offset_to_first_pkt as usize });
        }
        true
    }

    fn broken(&self) -> CaptureError {
        let source = Error::other("the kernel's ring makes no sense");
        CaptureError::System { interface: self.name.clone(), what: "read the ring", source }
    }

    /// An error the socket holds: the interface went down.
    fn socket_error(&self) -> Option<CaptureError> {
        match take_error(&self.fd) {
            0 => None,
            libc::ENETDOWN | libc::ENODEV => Some(CaptureError::Gone { interface: self.name.clone() }),
            errno => {
                let source = Error::from_raw_os_error(errno);
                Some(CaptureError::System { interface: self.name.clone(), what: "receive", source })
            }
        }
    }
}

impl PacketSource for RingSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Frame<'_>>, CaptureError> {
        let mut wait = Some(wait);
        loop {
            let Some(open) = self.open else {
                if self.open_block() {
                    continue;
                }
                // Nothing handed over: wait once, look once more.
                match wait.take() {
                    Some(wait) if !wait.is_zero() => {
                        if poll_readable(&[self.fd.as_raw_fd()], wait)
                            && !self.ready()
                            && let Some(error) = self.socket_error()
                        {
                            return Err(error);
                        }
                    }
                    _ => return Ok(None),
                }
                continue;
            };
            if open.left == 0 {
                self.give_back();
                continue;
            }
            let header: libc::tpacket3_hdr = self.read(open.offset).ok_or_else(|| self.broken())?;
            let address: libc::sockaddr_ll =
                self.read(open.offset + size_of::<libc::tpacket3_hdr>().next_multiple_of(16)).ok_or_else(|| self.broken())?;
            let start = open.offset + usize::from(header.tp_mac);
            let length = header.tp_snaplen as usize;
            if start.checked_add(length).is_none_or(|end| end > BLOCK_BYTES) {
                return Err(self.broken());
            }
            self.open = Some(Open { left: open.left - 1, offset: open.offset + header.tp_next_offset as usize });
            if address.sll_pkttype == libc::PACKET_OUTGOING && address.sll_hatype == libc::ARPHRD_LOOPBACK {
                continue;
            }
            self.stats.got += 1;
            // SAFETY: the range lies in the current block (checked above). The block stays ours until `give_back`, which needs
            // `&mut self` and so cannot run while the returned frame borrows it.
            let bytes = unsafe { std::slice::from_raw_parts(self.map.base.as_ptr().add(self.block * BLOCK_BYTES + start), length) };
            let tagged = header.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
            // SAFETY: the union has one member in this version of the ring.
            let tci = header.hv1.tp_vlan_tci;
            let time = Timestamp::from_ns(i64::from(header.tp_sec) * SECOND_NS + i64::from(header.tp_nsec));
            let len = header.tp_len.saturating_add(if tagged { 4 } else { 0 });
            let mut frame = Frame::new(time, link_type(address.sll_hatype), len, bytes);
            frame.vlan = tagged.then_some((tci & 0x0fff) as u16);
            frame.direction = if address.sll_pkttype == libc::PACKET_OUTGOING { Direction::Out } else { Direction::In };
            return Ok(Some(frame));
        }
    }

    fn stats(&mut self) -> Stats {
        let mut fresh = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let mut size = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
        // SAFETY: `fresh` is a whole tpacket_stats_v3 and its size is given; the kernel fills at most that.
        let ok = unsafe {
            libc::getsockopt(self.fd.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, (&raw mut fresh).cast(), &raw mut size)
        };
        if ok == 0 {
            self.stats.kernel_drops += u64::from(fresh.tp_drops);
            self.stats.freezes += u64::from(fresh.tp_freeze_q_cnt);
        }
        self.stats
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.fd.as_raw_fd())
    }

    fn method(&self) -> &'static str {
        "ring"
    }
}

fn set_option<T>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> Result<(), ()> {
    // SAFETY: `value` is a whole T and its size is given; the kernel only reads it (and, for a filter, what it points to,
    // which the caller keeps alive).
    let done =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t) };
    if done == 0 { Ok(()) } else { Err(()) }
}

fn take_error(fd: &OwnedFd) -> i32 {
    let mut errno: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `errno` is a whole int and its size is given.
    unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut errno).cast(), &raw mut size) };
    errno
}

/// Binding to an interface that is down leaves an error that says nothing new.
fn drop_pending_error(fd: &OwnedFd) {
    let _ = take_error(fd);
}

fn link_type(hatype: u16) -> LinkType {
    match hatype {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => LinkType::Ethernet,
        libc::ARPHRD_PPP => LinkType::Raw,
        // Tunnels of the host hand over bare IP: none, IPIP, IP6, SIT, GRE.
        libc::ARPHRD_NONE | 768 | 769 | 776 | 778 | 823 => LinkType::Raw,
        other => LinkType::Other(other),
    }
}
