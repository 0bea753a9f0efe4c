//! gRPC messages as plain bytes: the meaning of a message is `wire`'s affair, the frame around it is tonic's. Bytes are
//! handed on without a copy, so a batch reaches the collector's log as it was received.

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Longest message in either direction, enforced before a message is gathered.
pub const MESSAGE_BYTES_MAX: usize = wire::link::MESSAGE_BYTES_MAX;
/// gRPC path of the bidirectional stream of `wire::link` messages.
pub const STREAM_PATH: &str = "/vedette.link.v1.Link/Stream";
/// gRPC path of certificate renewal: signing request (DER) in, certificate (DER) out.
pub const RENEW_PATH: &str = "/vedette.link.v1.Link/Renew";
/// Service name in both paths.
pub const SERVICE: &str = "vedette.link.v1.Link";
/// Metadata in both directions: the sender's wall clock, milliseconds UTC. Only ever measured, never a reason to refuse.
pub const CLOCK_HEADER: &str = "vedette-clock-ms";

/// Bytes in, bytes out.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
