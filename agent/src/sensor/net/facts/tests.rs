use super::*;

fn ip(n: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + n).to_be_bytes())
}

fn attempt(src: u32, dst: u32, port: u16, ms: i64, outcome: Outcome) -> Attempt {
    Attempt { time: Timestamp::from_ms(ms), src: ip(src), dst: ip(dst), port, protocol: 6, outcome }
}

fn number(event: &Event, field: Field) -> i64 {
    event.get(field).and_then(Value::as_int).unwrap_or(-1)
}

/// Facts of one service.
fn of<'e>(told: &'e [Event], service: &str) -> Vec<&'e Event> {
    told.iter().filter(|e| e.source.service.as_deref() == Some(service)).collect()
}

#[test]
fn a_scan_is_told_as_it_doubles_with_who_and_which_host() {
    let (mut facts, mut told) = (Facts::new(0), Vec::new());
    for n in 0..100 {
        let attempt = attempt(66, 10, 1000 + n, i64::from(n) * 10, if n % 10 == 0 { Outcome::Opened } else { Outcome::Failed });
        facts.attempt(&attempt, attempt.time, &mut |e| told.push(e));
    }
    let minute: Vec<&Event> = of(&told, "fan_out").into_iter().filter(|e| number(e, field::FACT_WINDOW) == 60).collect();
    let counts: Vec<i64> = minute.iter().map(|e| number(e, field::FAN_SERVICES)).collect();
    assert_eq!(counts[..3], [8, 16, 32]);
    // Past 32 the counts are sketched, and say so.
    assert_eq!(counts.len(), 4);
    assert!(
        minute[2].get(field::FACT_ERROR).and_then(Value::as_f64) == Some(0.0)
            && minute[3].get(field::FACT_ERROR).and_then(Value::as_f64) > Some(0.0)
    );
    let last = minute[3];
    assert_eq!(
        (last.text(field::SRC_IP), last.text(field::DST_IP), last.get(field::DST_PORT)),
        ("10.0.0.66".into(), "10.0.0.10".into(), None)
    );
    let (attempts, failed) = (number(last, field::FAN_ATTEMPTS), number(last, field::FAN_FAILED));
    assert_eq!((number(last, field::FAN_HOSTS), number(last, field::FAN_FAILED_SHARE)), (1, failed * 100 / attempts));
    assert_eq!(failed, attempts - (attempts + 9) / 10);
}

#[test]
fn a_slow_scan_is_seen_in_the_hour_and_a_flood_of_strangers_does_not_hide_it() {
    let (mut facts, mut told) = (Facts::new(7), Vec::new());
    for n in 0..50u32 {
        // Two probes of the slow one, then five hundred strangers, every minute.
        for k in 0..2u32 {
            let slow = attempt(66, 10, (n * 2 + k) as u16, i64::from(n) * 60_000 + i64::from(k), Outcome::Failed);
            facts.attempt(&slow, slow.time, &mut |e| told.push(e));
        }
        for k in 0..500u32 {
            let stranger = attempt(1000 + n * 500 + k, 20, 80, i64::from(n) * 60_000 + 1000 + i64::from(k), Outcome::Failed);
            facts.attempt(&stranger, stranger.time, &mut |e| told.push(e));
        }
    }
    let hour: Vec<&Event> = of(&told, "fan_out").into_iter().filter(|e| number(e, field::FACT_WINDOW) == 3600).collect();
    assert!(hour.iter().any(|e| number(e, field::FAN_SERVICES) >= 60), "{hour:?}");
    assert!(facts.lost().0 > 10_000, "{:?}", facts.lost());
}

#[test]
fn answers_to_nobody_are_no_fan_out() {
    // Backscatter: a victim's answers to addresses that were forged. They open nothing and are no attempts of the victim.
    let mut pipeline = super::super::Pipeline::new(super::super::PipelineConfig::default());
    let mut told = Vec::new();
    for n in 0..2000u32 {
        let mut frame = vec![0u8; 54];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&40u16.to_be_bytes());
        frame[22..24].copy_from_slice(&[60, 6]);
        frame[26..30].copy_from_slice(&[198, 51, 100, 7]);
        frame[30..34].copy_from_slice(&(0x0a00_0000 + n).to_be_bytes());
        frame[34..38].copy_from_slice(&[0, 80, (n >> 8) as u8 | 0x40, n as u8]);
        frame[46..48].copy_from_slice(&[0x50, 0x12]);
        let time = Timestamp::from_ms(1_700_000_000_000 + i64::from(n) * 20);
        let frame = packet::Frame::new(time, packet::LinkType::Ethernet, 54, &frame);
        pipeline.frame(&frame, &mut |_, e| told.push(e));
    }
    pipeline.flush(&mut |_, e| told.push(e));
    assert!(of(&told, "fan_out").is_empty() && of(&told, "beacon").is_empty(), "{:?}", of(&told, "fan_out"));
    assert!(!told.is_empty());
}

#[test]
fn a_flood_is_a_handful_of_facts_with_its_card_and_sources() {
    let (mut facts, mut told) = (Facts::new(0), Vec::new());
    for n in 0..3000u32 {
        let packet = Packet {
            time: Timestamp::from_us(5_000_000 + i64::from(n) * 300),
            src: ip(100_000 + n),
            dst: ip(10),
            protocol: 6,
            icmp_kind: 0,
            port: Some(80),
            card: Some([2, 0, 0, 0, 0, 66]),
            is_attempt: true,
            bytes: 60,
        };
        facts.packet(&packet, &mut |e| told.push(e));
    }
    let counts: Vec<i64> = of(&told, "packet_rate").iter().map(|e| number(e, field::RATE_PACKETS)).collect();
    assert_eq!(counts, [256, 512, 1024, 2048]);
    let last = told.last().unwrap();
    assert_eq!((last.text(field::SRC_MAC), last.get(field::SRC_IP), number(last, field::DST_PORT)), ("02:00:00:00:00:42".into(), None, 80));
    assert_eq!(number(last, field::RATE_ATTEMPTS), 2048);
    assert!(number(last, field::RATE_SOURCES) > 800);
    // The same again in the next seconds is nothing new.
    for n in 0..3000u32 {
        let packet = Packet {
            time: Timestamp::from_us(6_000_000 + i64::from(n) * 300),
            src: ip(n),
            dst: ip(10),
            protocol: 6,
            icmp_kind: 0,
            port: None,
            card: None,
            is_attempt: false,
            bytes: 60,
        };
        facts.packet(&packet, &mut |e| told.push(e));
    }
    assert_eq!(of(&told, "packet_rate").len(), 4);
}

#[test]
fn regular_conversations_have_little_jitter() {
    let (mut facts, mut told) = (Facts::new(0), Vec::new());
    for n in 0..20i64 {
        let regular = attempt(40, 99, 80, n * 5000 + n % 3 * 100, Outcome::Opened);
        facts.attempt(&regular, regular.time, &mut |e| told.push(e));
        let other = attempt(40, 98, 80, n * n * 700, Outcome::Opened);
        facts.attempt(&other, other.time, &mut |e| told.push(e));
    }
    let jitter = |dst: &str| {
        let last = of(&told, "beacon").into_iter().rfind(|e| e.text(field::DST_IP) == dst).unwrap();
        (
            number(last, field::BEACON_COUNT),
            number(last, field::BEACON_INTERVAL_MS),
            last.get(field::BEACON_JITTER).and_then(Value::as_f64).unwrap(),
        )
    };
    let (count, interval, low) = jitter("10.0.0.99");
    assert!((count, interval) == (16, 5100) && low <= 6.0, "{count} {interval} {low}");
    assert!(jitter("10.0.0.98").2 > 30.0);
}

#[test]
fn facts_past_the_limit_of_a_second_are_counted() {
    let (mut facts, mut told) = (Facts::new(0), 0u64);
    for n in 0..1000u32 {
        facts.device([2, 0, 0, 0, (n >> 8) as u8, n as u8], None, Timestamp::from_secs(9), &mut |_| told += 1);
    }
    let held = 1000 - u64::from(FACTS_A_SECOND);
    assert_eq!((told, facts.lost().1), (u64::from(FACTS_A_SECOND), held));
    // Said once, and nothing while nothing more is lost.
    assert_eq!(facts.declare(Timestamp::from_secs(10))[1].map(|d| (d.0, d.2)), Some(("facts_sampled", held)));
    assert_eq!(facts.declare(Timestamp::from_secs(200)), [None; 2]);
}
