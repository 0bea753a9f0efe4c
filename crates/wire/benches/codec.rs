//! What an event costs on the wire: `cargo bench -p wire`. One core, best of seven, nanoseconds an event; bytes before and after zstd.

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
mod measure {
    use std::hint::black_box;
    use std::time::Instant;

    use event::{Class, Epoch, Event, Kind, LogSource, Timestamp, field};
    use wire::{Packer, Row};

    /// A mix as an agent of a server sees it: ssh failures, flows, DNS answers, web requests.
    fn events(count: usize) -> Vec<Event> {
        (0..count)
            .map(|n| {
                let time = Timestamp::from_ns(1_763_856_000_000_000_000 + n as i64 * 1_734_117);
                let ip = |net: u8| std::net::IpAddr::from([203, 0, net, (n * 7 % 251) as u8]);
                match n % 4 {
                    0 => Event::new(time, Kind::Authentication, 1, LogSource::new("linux", "", "sshd"))
                        .with(field::STATUS_ID, 2)
                        .with(field::USER_NAME, ["root", "admin", "oracle"][n % 3])
                        .with(field::SRC_IP, ip(113))
                        .with(field::SRC_PORT, 40_000 + (n * 13 % 20_000) as u16)
                        .with(field::AUTH_PROTOCOL, "password")
                        .with(field::SERVICE_NAME, "sshd")
                        .with(field::IS_REMOTE, true)
                        .with(field::LOG_PATH, "/var/log/auth.log")
                        .with(
                            field::RAW_DATA,
                            format!(
                                "Nov 23 08:00:{:02} grid-7 sshd[{}]: Failed password for root from 203.0.113.{} port {} ssh2",
                                n % 60,
                                800 + n % 90,
                                n * 7 % 251,
                                40_000 + n * 13 % 20_000
                            ),
                        ),
                    1 => Event::new(time, Kind::NetworkActivity, 2, LogSource::new("", "network_connection", "flow"))
                        .with(field::SRC_IP, ip(2))
                        .with(field::DST_IP, ip(51))
                        .with(field::SRC_PORT, 30_000 + (n * 17 % 30_000) as u16)
                        .with(field::DST_PORT, [443u16, 80, 53, 22][n / 4 % 4])
                        .with(field::PROTOCOL, "tcp")
                        .with(field::CONN_STATE, "SF")
                        .with(field::FLAG_HISTORY, "ShADadFf")
                        .with(field::BYTES_IN, (n * 977 % 100_000) as i64)
                        .with(field::BYTES_OUT, (n * 331 % 10_000) as i64)
                        .with(field::PACKETS, (n % 90) as i64)
                        .with(field::DURATION_MS, (n * 37 % 5_000) as i64)
                        .with(field::COMMUNITY_ID, format!("1:{:027x}=", n as u128 * 0x9e37_79b9_7f4a_7c15_f39c_c060)),
                    2 => Event::new(time, Kind::DnsActivity, 2, LogSource::new("", "dns", "dns"))
                        .with(field::SRC_IP, ip(2))
                        .with(field::DST_IP, ip(53))
                        .with(field::DNS_QUERY, format!("host{}.example.cn", n * 31 % 997))
                        .with(field::DNS_TYPE, "A")
                        .with(field::DNS_RCODE, "NoError")
                        .with(field::DNS_ANSWERS, vec![format!("198.51.100.{}", n % 250)])
                        .with(field::DNS_ENTROPY, 2.5 + (n % 10) as f64 / 10.0),
                    _ => Event::new(time, Kind::HttpActivity, 3, LogSource::new("nginx", "webserver", ""))
                        .with(field::SRC_IP, ip(7))
                        .with(field::HTTP_METHOD, "GET")
                        .with(field::HTTP_PATH, format!("/api/v1/items/{}", n * 7919 % 10_007))
                        .with(field::HTTP_STATUS, 200)
                        .with(field::HTTP_LENGTH, (n * 73 % 40_000) as i64)
                        .with(field::HTTP_USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36")
                        .with(field::LOG_PATH, "/var/log/nginx/access.log"),
                }
            })
            .collect()
    }

    fn best(count: usize, mut work: impl FnMut()) -> f64 {
        (0..7)
            .map(|_| {
                let start = Instant::now();
                work();
                start.elapsed().as_nanos() as f64 / count as f64
            })
            .fold(f64::INFINITY, f64::min)
    }

    pub fn run() {
        const COUNT: usize = 20_000;
        let events = events(COUNT);
        let encoded: Vec<Vec<u8>> = events
            .iter()
            .map(|event| {
                let mut out = Vec::new();
                wire::event::encode(event, &mut out);
                out
            })
            .collect();
        let fields: usize = events.iter().map(|e| e.body.len()).sum();
        let raw: usize = encoded.iter().map(Vec::len).sum();
        println!("{COUNT} events, {:.1} fields and {:.0} bytes each", fields as f64 / COUNT as f64, raw as f64 / COUNT as f64);
        let mut out = Vec::with_capacity(1024);
        let encode = best(COUNT, || {
            for event in &events {
                out.clear();
                wire::event::encode(black_box(event), &mut out);
                black_box(&out);
            }
        });
        let decode = best(COUNT, || {
            for bytes in &encoded {
                black_box(wire::event::decode(black_box(bytes)).expect("ours"));
            }
        });
        let view = best(COUNT, || {
            for bytes in &encoded {
                let view = wire::event::EventView::read(black_box(bytes)).expect("ours");
                black_box(view.fields().filter_map(Result::ok).count());
            }
        });
        println!("encode {encode:.0} ns, decode {decode:.0} ns, walk without copying {view:.0} ns");
        for level in [1, 3] {
            for size in [20, 100, 500] {
                let mut packer = Packer::new(level);
                let mut batches = Vec::new();
                let pack = best(COUNT, || {
                    batches.clear();
                    for chunk in encoded.chunks(size) {
                        for bytes in chunk {
                            assert!(packer.push(Row::Event(bytes)));
                        }
                        batches.extend(packer.pack(Class::Normal, Epoch(1), 1));
                    }
                });
                let unpack = best(COUNT, || {
                    for batch in &batches {
                        black_box(black_box(batch).unpack().expect("ours").rows().count());
                    }
                });
                let packed: usize = batches.iter().map(|b| b.to_bytes().len()).sum();
                println!(
                    "zstd {level}, {size:3} a batch: {:5.1} bytes, pack {pack:.0} ns, unpack and check {unpack:.0} ns",
                    packed as f64 / COUNT as f64
                );
            }
        }
    }
}

fn main() {
    // `cargo test` runs benches too; only `cargo bench` measures.
    if std::env::args().any(|arg| arg == "--bench") {
        measure::run();
    }
}
