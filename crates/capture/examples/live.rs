//! `live METHOD INTERFACE SECONDS`: takes frames off an interface and decodes each, until nothing has come for two seconds or the time is over; says
//! what came, what the kernel dropped and what it cost. For benches.
//!
//! METHOD `ring` is this crate's own source with 8 MiB; `pnet` is `pnet_datalink` as it comes, the way its documentation shows.

use std::time::{Duration, Instant};

use capture::{LiveConfig, PacketSource, interfaces, open};
use event::Timestamp;
use packet::{Body, Frame, LinkType, decode};

const QUIET: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [method, name, seconds] = &words[..] else { return Err("live METHOD INTERFACE SECONDS".into()) };
    let time = Duration::from_secs(seconds.parse()?);
    let mut count = Count::default();
    let (mut drops, mut freezes) = (0, 0);
    if method == "pnet" {
        let found = pnet_datalink::interfaces().into_iter().find(|i| i.name == *name).ok_or("no such interface")?;
        let config = pnet_datalink::Config { read_timeout: Some(WAIT), ..pnet_datalink::Config::default() };
        let Ok(pnet_datalink::Channel::Ethernet(_, mut receiver)) = pnet_datalink::channel(&found, config) else {
            return Err("pnet cannot open the interface".into());
        };
        println!("READY");
        run(time, &mut count, |count| match receiver.next() {
            Ok(bytes) => {
                count.take(&Frame::new(Timestamp::ZERO, LinkType::Ethernet, 0, bytes));
                true
            }
            Err(_) => false,
        });
    } else {
        let interface = interfaces().into_iter().find(|i| i.name == *name).ok_or("no such interface")?;
        let mut source: Box<dyn PacketSource> = open(&interface, &LiveConfig::default())?;
        println!("READY");
        run(time, &mut count, |count| match source.next(WAIT) {
            Ok(Some(frame)) => {
                count.take(&frame);
                true
            }
            _ => false,
        });
        let stats = source.stats();
        (drops, freezes) = (stats.kernel_drops, stats.freezes);
    }
    println!("FIGURE got {}", count.frames);
    println!("FIGURE bytes {}", count.bytes);
    println!("FIGURE ip {}", count.ip);
    println!("FIGURE drops {drops}");
    println!("FIGURE freezes {freezes}");
    println!("FIGURE cpu_ns {}", cpu_ns() - count.before);
    Ok(())
}

#[derive(Default)]
struct Count {
    frames: u64,
    bytes: u64,
    ip: u64,
    /// CPU time when the first frame came: waiting for it is not counted.
    before: u64,
}

impl Count {
    fn take(&mut self, frame: &Frame<'_>) {
        self.frames += 1;
        self.bytes += u64::from(frame.len);
        self.ip += u64::from(matches!(decode(frame).body, Body::Ip(_)));
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn run(time: Duration, count: &mut Count, mut next: impl FnMut(&mut Count) -> bool) {
    let begin = Instant::now();
    count.before = cpu_ns();
    let mut last = None;
    let mut turns = 0u32;
    loop {
        turns = turns.wrapping_add(1);
        if next(count) {
            // The clock is asked now and then only: it would be a cost of the bench.
            if last.is_none() || turns.is_multiple_of(1024) {
                last = Some(Instant::now());
            }
        } else if last.is_some_and(|at: Instant| at.elapsed() > QUIET) {
            return;
        }
        if (turns.is_multiple_of(1024) || last.is_none()) && begin.elapsed() > time {
            return;
        }
    }
}

/// Nanoseconds on a processor so far, user and system, as the scheduler counts them.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}
