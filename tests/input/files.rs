//! Captures and logs that are cut, empty, lying, packed, binary or far too long: through `replay` of both programs.

use std::io::Write;

use super::*;

/// Both programs with the arguments that make them replay quietly: the agent counts events by source, the collector prints alerts.
fn both() -> Result<Vec<(Bench, Vec<String>)>> {
    let mut all = Vec::new();
    for (program, arguments) in [
        ("vedette-agent", vec!["replay".to_owned(), "--output".into(), "count".into()]),
        (
            "vedette",
            vec![
                "replay".to_owned(),
                "--output".into(),
                "jsonl".into(),
                "--rules".into(),
                config("rules"),
                "--mappings".into(),
                config("mappings"),
            ],
        ),
    ] {
        if let Some(bench) = Bench::new(program)? {
            all.push((bench, arguments));
        }
    }
    Ok(all)
}

impl Bench {
    fn replay(&self, arguments: &[String], files: &[&str]) -> Result<Said> {
        let all: Vec<&str> = arguments.iter().map(String::as_str).chain(files.iter().copied()).collect();
        self.run(&all)
    }
}

impl Said {
    /// Events, by the agent's counts or by the collector's last line.
    fn events(&self) -> Result<u64> {
        if let Some(line) = self.err.lines().rev().find(|l| l.contains(" events, ")) {
            let word = line.split(", ").nth(1).and_then(|w| w.split(' ').next()).context("a number")?;
            return Ok(word.parse()?);
        }
        self.out.lines().map(|l| Ok(l.split_whitespace().next().context("a number")?.parse::<u64>()?)).sum()
    }
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

/// A pcapng file with one ARP packet, and then a block that is given.
fn pcapng(then: &[u8]) -> Vec<u8> {
    let section = [&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let arp: Vec<u8> = [
        &[0xff; 6][..],
        &[2, 0, 0, 0, 0, 1],
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &[2, 0, 0, 0, 0, 1, 10, 0, 0, 1],
        &[0, 0, 0, 0, 0, 0, 10, 0, 0, 2],
        &[0; 2],
    ]
    .concat();
    let packet = [&[0; 12][..], &42u32.to_le_bytes(), &42u32.to_le_bytes(), &arp].concat();
    [block(0x0a0d_0d0a, &section), block(1, &[1, 0, 0, 0, 0xff, 0xff, 0, 0]), block(6, &packet), then.to_vec()].concat()
}

#[test]
fn a_capture_that_is_cut_or_lies_gives_what_stands_before() -> Result<()> {
    let lies: [(&str, Vec<u8>); 4] = [
        ("whole.pcapng", Vec::new()),
        ("lying-block.pcapng", [&6u32.to_le_bytes()[..], &0xffff_fff0u32.to_le_bytes(), &[0; 64]].concat()),
        ("lying-packet.pcapng", [&6u32.to_le_bytes()[..], &36u32.to_le_bytes(), &[0; 12], &[0xee; 8], &[0; 4]].concat()),
        ("cut.pcapng", block(6, &[0; 40])[..20].to_vec()),
    ];
    for (bench, arguments) in both()? {
        let mut whole = 0;
        for (name, then) in &lies {
            bench.write(name, pcapng(then))?;
            let said = bench.replay(&arguments, &[name])?;
            if *name == "whole.pcapng" {
                whole = said.events()?;
                ensure!(whole > 0, "{said:?}");
                said.is(0, &[])?;
            } else {
                ensure!(said.events()? == whole, "{name}: {said:?}");
                said.is(2, &[&format!("{name}: "), "at byte 124"]).context(*name)?;
            }
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_is_named_and_the_files_beside_it_are_read() -> Result<()> {
    for (bench, arguments) in both()? {
        bench.write("a.log", line(1))?;
        bench.write("z.log", line(2))?;
        bench.write("folder/x", "")?;
        bench.write("empty.pcap", "")?;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for pid in 0..20_000 {
            packed.write_all(line(pid).as_bytes())?;
        }
        let packed = packed.finish()?;
        bench.write("half.log.gz", &packed[..packed.len() / 2])?;
        // Readable by nobody, root included, from its first byte on.
        let cases: [(&str, &[&str]); 4] = [
            ("nosuch", &["nosuch", "No such file"]),
            ("folder", &["folder", "it is a folder; name files"]),
            ("/proc/self/mem", &["/proc/self/mem", "os error"]),
            ("half.log.gz", &["half.log.gz"]),
        ];
        for (name, words) in cases {
            let said = bench.replay(&arguments, &["a.log", name, "z.log"])?;
            said.is(2, words).with_context(|| format!("{} {name}", bench.program.display()))?;
            let events = said.events()?;
            ensure!(if name == "half.log.gz" { events > 5_000 } else { events == 2 }, "{name}: {events} events");
        }
        let said = bench.replay(&arguments, &["a.log", "empty.pcap", "z.log"])?;
        said.is(0, &["empty.pcap: it is empty"])?;
        ensure!(said.events()? == 2, "{said:?}");
    }
    Ok(())
}

#[test]
fn packed_captures_and_logs_are_what_they_are_unpacked() -> Result<()> {
    for (bench, arguments) in both()? {
        for (name, bytes) in [("x.pcapng", pcapng(&[])), ("x.log", [line(1), line(2)].concat().into_bytes())] {
            bench.write(name, &bytes)?;
            let packed = format!("{name}.gz");
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&bytes)?;
            bench.write(&packed, encoder.finish()?)?;
            let (plain, packed) = (bench.replay(&arguments, &[name])?, bench.replay(&arguments, &[&packed])?);
            ensure!(plain.code == packed.code && plain.out == packed.out && plain.events()? == packed.events()?, "{plain:?} {packed:?}");
        }
    }
    Ok(())
}

#[test]
fn binary_in_a_log_costs_only_itself() -> Result<()> {
    let noise: Vec<u8> = (0..4_096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).filter(|b| *b != b'\n').collect();
    for (bench, arguments) in both()? {
        let text = [line(1).as_bytes(), &noise, b"\0\0\n\xff\xfe\n", line(2).as_bytes()].concat();
        bench.write("b.log", text)?;
        let said = bench.replay(&arguments, &["b.log"])?;
        said.is(0, &[])?;
        ensure!(said.events()? == 4, "{said:?}");
        bench.write("j.jsonl", "{\"time\": 1, \"x\": \n{\"time\":\"2026-01-01T00:00:00Z\",\"status_id\":2}\n{\"time\":\"yesterday\"}\n")?;
        if bench.program.ends_with("vedette") {
            let said = bench.replay(&arguments, &["j.jsonl"])?;
            said.is(2, &["j.jsonl:1: not JSON", "1 more", "the other lines were replayed"])?;
            ensure!(said.events()? == 1, "{said:?}");
        }
    }
    Ok(())
}

/// The lines come through a pipe, so that the program can be asked for its peak of memory while it waits for more.
#[test]
fn a_line_of_100_mb_is_one_event_in_bounded_memory() -> Result<()> {
    const MORE_MIB_MAX: u64 = 24;
    for (bench, arguments) in both()? {
        let (usual, said) = peak_kib(&bench, &arguments, "usual.log", 0)?;
        ensure!(said.events()? == 4_001, "{} events", said.events()?);
        let (peak, said) = peak_kib(&bench, &arguments, "long.log", 100)?;
        println!("{}: peak {} MiB, without the long line {} MiB", bench.program.display(), peak / 1024, usual / 1024);
        ensure!(peak.saturating_sub(usual) / 1024 < MORE_MIB_MAX, "peak {peak} KiB, without the long line {usual} KiB");
        ensure!(said.err.contains("1 lines longer than"), "{said:?}");
        ensure!(said.events()? == 4_001, "{} events", said.events()?);
    }
    Ok(())
}

/// Peak of memory after a line of so many MiB and 4,000 usual ones.
#[expect(clippy::disallowed_methods, reason = "a case starts the program it tests")]
fn peak_kib(bench: &Bench, arguments: &[String], name: &str, mib: usize) -> Result<(u64, Said)> {
    let pipe = bench.path(name);
    ensure!(Command::new("mkfifo").arg(&pipe).status()?.success(), "mkfifo failed");
    let child = Command::new(&bench.program)
        .args(arguments)
        .arg(&pipe)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let id = child.id();
    let mut writer = std::fs::File::options().write(true).open(&pipe)?;
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..mib {
        writer.write_all(&chunk)?;
    }
    writer.write_all(if mib == 0 { b"x\n" } else { b"\n" })?;
    // More than the pipe holds, so that the long line is behind it.
    for pid in 0..4_000 {
        writer.write_all(line(pid).as_bytes())?;
    }
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    drop(writer);
    let peak: u64 = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
        .with_context(|| format!("no VmHWM in {status}"))?;
    let output = child.wait_with_output()?;
    let said = Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    Ok((peak, said))
}
