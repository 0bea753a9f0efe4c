//! The Linux lane as a stream: copies of it one after another, ten milliseconds between two events, so that windows have something to
//! hold; all public rules as files; four correlations over records that are frequent in it.

use std::io::Write;
use std::path::Path;

use crate::{lane, rules};

const BETWEEN_MS: u64 = 10;
const TIME: &[u8] = b"\"UtcTime\":\"";
const TIME_BYTES: usize = 23;

pub fn write(folder: &Path, copies: usize) {
    std::fs::create_dir_all(folder.join("sigma")).expect("a folder");
    for (n, rule) in rules("all").iter().enumerate() {
        std::fs::write(folder.join(format!("sigma/{n:05}.yml")), &rule.yaml).expect("a rule's file");
    }
    std::fs::write(folder.join("four.yml"), FOUR).expect("the correlations' file");
    let mut out = std::io::BufWriter::new(std::fs::File::create(folder.join("lane.jsonl")).expect("the lane's file"));
    let lane = lane("linux");
    for (n, line) in (0..copies).flat_map(|_| &lane).enumerate() {
        let ms = n as u64 * BETWEEN_MS;
        let time = format!("2026-11-23 {:02}:{:02}:{:02}.{:03}", ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
        let at = line.windows(TIME.len()).position(|w| w == TIME).map(|at| at + TIME.len());
        match at.filter(|at| line.len() >= at + TIME_BYTES) {
            Some(at) => {
                [&line[..at], time.as_bytes(), &line[at + TIME_BYTES..], b"\n"].iter().for_each(|part| out.write_all(part).expect("room"))
            }
            None => [line.as_slice(), b"\n"].iter().for_each(|part| out.write_all(part).expect("room")),
        }
    }
    out.flush().expect("room on the disk");
}

const FOUR: &str = "\
title: program run, as audited
id: 00000000-0000-4000-9000-000000000001
name: bench_exec
logsource: {product: linux, service: auditd}
detection: {s: {type: EXECVE}, condition: s}
---
title: system call, as audited
id: 00000000-0000-4000-9000-000000000002
name: bench_call
logsource: {product: linux, service: auditd}
detection: {s: {type: SYSCALL}, condition: s}
---
title: process created
id: 00000000-0000-4000-9000-000000000003
name: bench_process
logsource: {product: linux, category: process_creation}
detection: {s: {Image|startswith: /}, condition: s}
---
title: web request
id: 00000000-0000-4000-9000-000000000004
name: bench_web
logsource: {category: webserver}
detection: {s: {cs-method: [GET, POST]}, condition: s}
---
title: many programs at a host
id: 00000000-0000-4000-9000-000000000011
correlation:
  type: event_count
  rules: [bench_exec]
  group-by: [Computer]
  timespan: 5m
  condition: {gte: 20}
---
title: many different programs at a host
id: 00000000-0000-4000-9000-000000000012
correlation:
  type: value_count
  rules: [bench_process]
  group-by: [Computer]
  timespan: 5m
  condition: {field: Image, gte: 25}
---
title: a call, then a program
id: 00000000-0000-4000-9000-000000000013
correlation:
  type: temporal_ordered
  rules: [bench_call, bench_exec]
  group-by: [Computer]
  timespan: 1m
---
title: much sent to a client
id: 00000000-0000-4000-9000-000000000014
correlation:
  type: value_sum
  rules: [bench_web]
  group-by: [c-ip]
  timespan: 5m
  condition: {field: sc-bytes, gte: 1000000}
";
