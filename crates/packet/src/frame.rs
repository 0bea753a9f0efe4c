//! One captured frame, borrowed from whoever read it.

use event::Timestamp;

/// No frame is longer than this on any wire or in any offload engine; a stated length past it is held here.
pub const FRAME_LEN_MAX: u32 = 262_144;

/// A frame as it was captured. `bytes` may be shorter than `len` (snap length); never the other way round.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// When it was seen, by the capturing kernel or the file.
    pub time: Timestamp,
    pub link: LinkType,
    /// Length on the wire, bytes, at most `FRAME_LEN_MAX`.
    pub len: u32,
    pub bytes: &'a [u8],
    pub direction: Direction,
    /// VLAN id that the network card or kernel took out of the frame, if it said so.
    pub vlan: Option<u16>,
    /// Which of a sensor's interfaces saw it; 0 where there is only one.
    pub interface: u16,
}

impl<'a> Frame<'a> {
    /// A frame as a file gives it: the stated length is clamped between the bytes that are there and `FRAME_LEN_MAX`.
    pub fn new(time: Timestamp, link: LinkType, len: u32, bytes: &'a [u8]) -> Self {
        let held = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { time, link, len: len.clamp(held, FRAME_LEN_MAX.max(held)), bytes, direction: Direction::Unknown, vlan: None, interface: 0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    Unknown,
    In,
    Out,
}

/// What the first bytes of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkType {
    Ethernet,
    /// An IP packet, version by its first half byte.
    Raw,
    /// BSD loopback: address family in four bytes, either byte order.
    Null,
    LinuxSll,
    LinuxSll2,
    Ppp,
    /// Cisco HDLC: address, control, Ethernet type.
    CiscoHdlc,
    /// What stands behind an Ethernet type, without the header in front: inside of a tunnel.
    EtherType(u16),
    /// Known to files, not read here; the pcap link type number.
    Other(u16),
}

impl LinkType {
    /// From the link type number of a capture file; the upper bits (frame check sequence length) are ignored.
    pub const fn from_pcap(number: u32) -> Self {
        match number & 0xffff {
            1 => Self::Ethernet,
            0 | 108 => Self::Null,
            12 | 14 | 101 | 228 | 229 => Self::Raw,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            9 | 50 => Self::Ppp,
            104 => Self::CiscoHdlc,
            other => Self::Other(other as u16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lying_length_is_clamped() {
        let frame = Frame::new(Timestamp::ZERO, LinkType::Ethernet, u32::MAX, &[0; 60]);
        assert_eq!(frame.len, FRAME_LEN_MAX);
        assert_eq!(Frame::new(Timestamp::ZERO, LinkType::Ethernet, 10, &[0; 60]).len, 60);
    }

    #[test]
    fn frame_check_bits_do_not_hide_the_link_type() {
        assert_eq!(LinkType::from_pcap(0x3000_0001), LinkType::Ethernet);
        assert_eq!(LinkType::from_pcap(147), LinkType::Other(147));
    }
}
