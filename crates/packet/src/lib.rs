//! Frames to flows to ordered bytes, in bounded tables. Knows no protocol above TCP and UDP, no file, no socket, no clock.
//!
//! - `decode` reads one frame (link, VLAN, IP with its extensions, TCP, UDP, ICMP, ARP) without allocating; what is odd comes
//!   back as named anomalies beside what could be read.
//! - `Fragments` puts IP packets together again; `inside` finds the packet that another one carries.
//! - `FlowTable` joins frames to bidirectional flows, orders TCP bytes, and tells an `Observer` what became of each flow.
//!
//! Time is the packet's own time. Nothing here trusts a length that a packet states about itself.

mod anomaly;
mod community;
mod decode;
mod flow;
mod fragment;
mod frame;
mod index;
#[cfg(test)]
mod testing;
mod tunnel;

pub use anomaly::{Anomalies, Anomaly};
pub use community::community_id;
pub use decode::{Arp, Body, Decoded, Fragment, Icmp, Ip, Piece, Tcp, TcpFlags, Transport, Udp, decode, decode_into, decode_slowly};
pub use flow::{Chunk, Count, EndReason, Flow, FlowConfig, FlowStats, FlowTable, Observer, Report, Side, WARM_MAX, Want};
pub use fragment::{FragmentStats, Fragments, Taken};
pub use frame::{Direction, FRAME_LEN_MAX, Frame, LinkType};
pub use index::Index;
pub use tunnel::{Inside, Tunnel, TunnelKind, inside};
