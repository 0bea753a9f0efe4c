//! `status`: how the running agent is doing, read from its local metrics page.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Exit, complain, say};
use crate::config::{Config, Listen};

const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(super) fn run(config: &Config) -> Exit {
    let listen = match Listen::parse(&config.metrics.listen) {
        Ok(Listen::Off) | Err(_) => {
            complain("metrics.listen is off, so the running agent cannot be asked; set it to \"127.0.0.1:9465\" or a unix socket");
            return Exit::BadInput;
        }
        Ok(listen) => listen,
    };
    let (ready, metrics) = match (get(&listen, "/-/ready"), get(&listen, "/metrics")) {
        (Ok(ready), Ok(metrics)) => (ready, metrics),
        (Err(error), _) | (_, Err(error)) => {
            complain(&format!(
                "no agent answers at {}: {error}; is it running? (vedette-agent run, or systemctl status vedette-agent)",
                config.metrics.listen
            ));
            return Exit::CannotConnect;
        }
    };
    let (status, detail) = ready;
    let value = |name: &str| value(&metrics.1, name);
    say(&format!("{:<12}{}", "state", detail.trim()));
    say(&format!("{:<12}{}", "link", if value("vedette_agent_uplink_connected") == Some(1.0) { "connected" } else { "not connected" }));
    if let Some(age) = value("vedette_agent_uplink_last_ack_age_seconds") {
        say(&format!("{:<12}{age:.1} s ago", "last ack"));
    }
    if let Some(bytes) = value("vedette_agent_process_memory_bytes") {
        say(&format!("{:<12}{:.1} MiB", "memory", bytes / 1_048_576.0));
    }
    say(&format!("\n{:<10}{:>14}{:>14}{:>14}{:>14}", "class", "produced", "acknowledged", "spooled", "lost"));
    let mut lost = 0.0;
    for class in event::Class::ALL.map(event::Class::name) {
        let cell = |state: &str| value(&format!("vedette_agent_ledger_records{{class=\"{class}\",state=\"{state}\"}}")).unwrap_or(0.0);
        lost += cell("lost");
        say(&format!("{class:<10}{:>14}{:>14}{:>14}{:>14}", cell("produced"), cell("acknowledged"), cell("spooled"), cell("lost")));
    }
    say(&format!("\n{:<10}{:>10}{:>10}{:>10}{:>10}", "sensor", "seeing", "partial", "blind", "off"));
    for kind in crate::sensor::SENSORS {
        let name = kind.name();
        let cell = |state: &str| value(&format!("vedette_agent_sensor_subjects{{sensor=\"{name}\",state=\"{state}\"}}")).unwrap_or(0.0);
        say(&format!("{name:<10}{:>10}{:>10}{:>10}{:>10}", cell("seeing"), cell("partial"), cell("blind"), cell("off")));
    }
    if status == 200 && lost == 0.0 { Exit::Ok } else { Exit::Findings }
}

fn value(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn get(listen: &Listen, path: &str) -> std::io::Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = match listen {
        Listen::Loopback(address) => {
            let stream = TcpStream::connect_timeout(address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, &request)?
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, &request)?
        }
        Listen::Off => return Err(std::io::Error::other("off")),
    };
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| std::io::Error::other("not an HTTP answer"))?;
    let status = head.split(' ').nth(1).and_then(|n| n.parse().ok()).ok_or_else(|| std::io::Error::other("not an HTTP answer"))?;
    Ok((status, body.to_owned()))
}

fn exchange(mut stream: impl Read + Write, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
