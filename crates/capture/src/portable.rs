//! Capture by pnet: the fallback where there is no ring. It cannot count drops, and says so.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use event::Timestamp;
use packet::{Frame, LinkType};
use pnet_datalink::{Channel, DataLinkReceiver};

use crate::{CaptureError, Interface, LiveConfig, PacketSource, Stats};

/// Offload engines hand over up to 64 KiB at once; a smaller buffer would cut them.
const BUFFER_BYTES: usize = 65_536 + 64;
const WAIT: Duration = Duration::from_millis(50);

pub(crate) struct PnetSource {
    name: String,
    receiver: Box<dyn DataLinkReceiver>,
    got: u64,
}

impl PnetSource {
    pub(crate) fn open(interface: &Interface, config: &LiveConfig) -> Result<Self, CaptureError> {
        let gone = || CaptureError::Gone { interface: interface.name.clone() };
        let found = pnet_datalink::interfaces().into_iter().find(|i| i.name == interface.name).ok_or_else(gone)?;
        let settings = pnet_datalink::Config {
            read_buffer_size: BUFFER_BYTES,
            read_timeout: Some(WAIT),
            promiscuous: config.promiscuous,
            ..pnet_datalink::Config::default()
        };
        match pnet_datalink::channel(&found, settings) {
            Ok(Channel::Ethernet(_, receiver)) => Ok(Self { name: interface.name.clone(), receiver, got: 0 }),
            Ok(_) => Err(gone()),
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(CaptureError::NotAllowed { interface: interface.name.clone() }),
            Err(source) => Err(CaptureError::System { interface: interface.name.clone(), what: "open a channel", source }),
        }
    }
}

impl PacketSource for PnetSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn next(&mut self, _wait: Duration) -> Result<Option<Frame<'_>>, CaptureError> {
        match self.receiver.next() {
            Ok(bytes) => {
                self.got += 1;
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                Ok(Some(Frame::new(now(), LinkType::Ethernet, len, bytes)))
            }
            Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(source) => Err(CaptureError::System { interface: self.name.clone(), what: "receive", source }),
        }
    }

    fn stats(&mut self) -> Stats {
        Stats { got: self.got, ..Stats::default() }
    }

    fn method(&self) -> &'static str {
        "pnet"
    }
}

#[expect(clippy::disallowed_methods, reason = "pnet gives no packet time, so the moment of reading stands in")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ns(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
