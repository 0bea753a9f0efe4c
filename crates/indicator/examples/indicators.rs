//! What a million indicators cost: memory, load time, a look-up, an event. Run with `--release`; figures depend on the machine, so nothing is judged here.
//!
//! `cargo run --release -p indicator --example indicators [entries]`

use event::{Event, Kind, LogSource, Timestamp, field};
use indicator::{Observable, ReadOptions, SetBuilder, mark, pack, read, unpack};

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begun = std::time::Instant::now();
    let out = work();
    (out, begun.elapsed().as_secs_f64())
}

fn mix(n: u64) -> u64 {
    let z = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// Four in ten addresses, three names, two hashes, one URL.
fn value(n: u64) -> String {
    let r = mix(n + 1);
    match n % 10 {
        0..=3 => std::net::Ipv4Addr::from_bits(0x0b00_0000 + u32::try_from(r % 0xc000_0000).unwrap_or(0)).to_string(),
        4..=6 => format!("h{:x}.evil-{:x}.example", r & 0xfff, n),
        7..=8 => format!("{:016x}{:016x}{:016x}{:016x}", r, mix(r), mix(r + 1), mix(r + 2)),
        _ => format!("http://cdn-{n:x}.example/a/{:x}.php", r & 0xff_ffff),
    }
}

fn main() {
    let entries: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let text: String = (0..entries).map(|n| value(n) + "\n").collect();
    let mut builder = SetBuilder::new();
    let options = ReadOptions { source: "bench".into(), ..ReadOptions::default() };
    let (reading, parse) = timed(|| read(text.as_bytes(), &options, &mut |e| builder.add(e)));
    let (set, build) = timed(|| builder.build());
    println!("entries {} of {} lines, refused {}", set.len(), entries, reading.refused());
    println!("load: read {parse:.3} s + build {build:.3} s");
    println!("memory: {} bytes, {:.1} an entry", set.bytes(), set.bytes() as f64 / set.len() as f64);

    let absent: Vec<Observable> = (0..200_000u64).filter_map(|n| Observable::parse(&value(n + 10 * entries)).ok()).collect();
    let (found, t) = timed(|| absent.iter().map(|o| set.about(o).len()).sum::<usize>());
    println!("look-up of an absent value: {:.0} ns ({found} found)", t * 1e9 / absent.len() as f64);
    let present: Vec<Observable> = (0..200_000u64).filter_map(|n| Observable::parse(&value(mix(n) % entries)).ok()).collect();
    let (found, t) = timed(|| present.iter().map(|o| set.about(o).len()).sum::<usize>());
    println!("look-up of a present value, told in full: {:.0} ns ({found} found)", t * 1e9 / present.len() as f64);

    let at = Timestamp::from_secs(1_790_000_000);
    let ip = |n: u64| std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(u32::try_from(mix(n) >> 32).unwrap_or(0)));
    let flow = |n| {
        Event::new(at, Kind::NetworkActivity, 1, LogSource::new("", "network_connection", "flow"))
            .with(field::SRC_IP, ip(n))
            .with(field::DST_IP, ip(n + 9))
            .with(field::DST_PORT, 443)
    };
    let dns = |n: u64| {
        Event::new(at, Kind::DnsActivity, 1, LogSource::new("", "dns", "dns"))
            .with(field::SRC_IP, ip(n))
            .with(field::DNS_QUERY, format!("www{n}.shop.city.example"))
    };
    let http = |n: u64| {
        Event::new(at, Kind::HttpActivity, 1, LogSource::new("", "http", "http"))
            .with(field::SRC_IP, ip(n))
            .with(field::DST_IP, ip(n + 7))
            .with(field::HTTP_HOST, format!("cdn{n}.city.example"))
            .with(field::HTTP_URL, "/index.html?q=1")
    };
    for (name, make) in [("flow", &flow as &dyn Fn(u64) -> Event), ("dns", &dns), ("http", &http)] {
        let mut events: Vec<Event> = (0..200_000).map(make).collect();
        let (hits, t) = timed(|| events.iter_mut().map(|e| mark(&set, e).count).sum::<usize>());
        println!("{name} event: {:.0} ns ({hits} hits)", t * 1e9 / events.len() as f64);
    }
    let (layer, t) = timed(|| pack(&set));
    println!("packed for the wire: {} bytes, {:.1} an entry, {t:.3} s", layer.bytes.len(), layer.bytes.len() as f64 / entries as f64);
    let (made, t) = timed(|| {
        let mut builder = SetBuilder::new();
        unpack(&layer.bytes, &mut builder).map(|_| builder.build().len())
    });
    println!("unpacked and built on an agent: {made:?} entries in {t:.3} s");
}
