//! The command line. Results go to standard output, everything else to standard error; the exit code says how it went (`Exit`).

mod doctor;
mod explain;
mod replay;
mod status;

use clap::{Parser, Subcommand, ValueEnum};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::app;
use crate::config::{self, Config, LogFormat};
use crate::identity::{IdentityError, Invitation};
use crate::privilege;
use spool::OpenError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    /// It worked, and found something that wants attention.
    Findings = 1,
    /// The input, configuration or command line cannot be used.
    BadInput = 2,
    CannotConnect = 3,
    Denied = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[derive(Parser)]
#[command(
    name = "vedette-agent",
    version,
    about = "Watches this host for a Vedette collector: packets, logs, files. Read-only: no listener, no command, no change to the host.",
    after_help = "\
First steps:
  vedette-agent doctor                      what this host allows, what is missing and how to give it
  vedette-agent enrol 'vedette1:…'         join a collector with the line it gave (valid once, 30 minutes)
  vedette-agent run                         watch, until stopped

Without a collector:
  vedette-agent replay trace.pcap auth.log  what the agent would have seen, as OCSF JSON lines
  vedette-agent explain 'Nov 23 …'          how one log line is understood

Exit codes: 0 fine, 1 something wants attention, 2 bad input or configuration, 3 cannot connect, 4 denied."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args, Clone)]
struct Where {
    /// Configuration file; without it /etc/vedette/agent.toml if there is one, else the defaults
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// State folder (identity, spool), in place of `state`
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Where {
    fn load(&self) -> Result<Config, settings::Errors> {
        // A relative folder is meant from where the command is given.
        let state = self.state.as_ref().map(|p| std::path::absolute(p).unwrap_or_else(|_| p.clone()));
        Config::load(self.config.as_deref(), state.as_deref(), std::env::vars())
    }
}

#[derive(Subcommand)]
enum Command {
    /// Watch this host until stopped; SIGHUP reads the configuration anew
    Run {
        #[command(flatten)]
        place: Where,
    },
    /// Join a collector with the line it gave
    #[command(
        visible_alias = "enroll",
        after_help = "The line holds the collector's address, the fingerprint of its authority and a token that works once. A key is made on this host and never leaves it."
    )]
    Enrol {
        #[command(flatten)]
        place: Where,
        /// Give this host a new identity although it has one
        #[arg(long)]
        replace: bool,
        /// The enrolment line: vedette1:<host:port>:<fingerprint>:<token>
        line: String,
    },
    /// Check the configuration and tell everything that is wrong with it
    Check {
        #[command(flatten)]
        place: Where,
    },
    /// Look at rights, paths, disk, clock, sensors and the way to the collector
    Doctor {
        #[command(flatten)]
        place: Where,
    },
    /// How the running agent is doing, from its local metrics
    Status {
        #[command(flatten)]
        place: Where,
    },
    /// Read captures and log files as the sensors would, and print the events
    Replay {
        /// pcap, pcapng or log files, also gzipped
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        ask: replay::Ask,
    },
    /// Show how a log line is understood, or one flow of a capture packet by packet; without anything, reads lines from standard input
    #[command(after_help = "\
  vedette-agent explain 'Nov 23 …'               how one log line is understood
  vedette-agent explain trace.pcap               the flows of a capture, with their ids
  vedette-agent explain trace.pcap --flow ID     its packets: what was decoded, what the flow table and the protocol readers made of it")]
    Explain {
        /// A log line, or a capture file
        #[arg(value_name = "LINE|FILE")]
        line: Option<String>,
        /// Flow of the capture: the id that the list shows, `connection.uid` of an event, or a Community ID
        #[arg(long, value_name = "ID", requires = "line")]
        flow: Option<String>,
        /// Format to assume
        #[arg(long, value_name = "NAME")]
        format: Option<String>,
    },
    /// Print what is built in
    Print { what: What },
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The commented configuration with all defaults
    Config,
    /// The fields events may carry, as Markdown
    Fields,
    /// The network protocols that are read, a line each
    Protocols,
}

pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::BadInput.into() } else { Exit::Ok.into() };
        }
    };
    match cli.command {
        Command::Run { place } => run(&place),
        Command::Enrol { place, replace, line } => enrol(&place, &line, replace),
        Command::Check { place } => match place.load() {
            Ok(_) => {
                say("configuration is fine");
                Exit::Ok
            }
            Err(errors) => bad_config(&errors),
        },
        Command::Doctor { place } => doctor::run(place.load()),
        Command::Status { place } => match place.load() {
            Ok(config) => status::run(&config),
            Err(errors) => bad_config(&errors),
        },
        Command::Replay { files, ask } => replay::run(&files, &ask),
        Command::Explain { line, flow, format } => explain::run(line.as_deref(), flow.as_deref(), format.as_deref()),
        Command::Print { what: What::Config } => {
            put(&config::print());
            Exit::Ok
        }
        Command::Print { what: What::Fields } => {
            put(&config::print_fields());
            Exit::Ok
        }
        Command::Print { what: What::Protocols } => {
            put(&crate::sensor::net::protocols().map(|(name, about)| format!("{name:<10} {about}\n")).collect::<String>());
            Exit::Ok
        }
    }
    .into()
}

fn run(place: &Where) -> Exit {
    let config = match place.load() {
        Ok(config) => config,
        Err(errors) => return bad_config(&errors),
    };
    let format = if config.log.format == LogFormat::Json { telemetry::LogFormat::Json } else { telemetry::LogFormat::Text };
    if let Err(error) = telemetry::init_logging("vedette-agent", format, &config.log.level) {
        complain(&error.to_string());
        return Exit::BadInput;
    }
    // Before the first thread: what is started later has no more rights than this.
    if let Err(error) = privilege::shed(privilege::needed_for(&config.state)) {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(%error, cause, "rights without use are kept");
    }
    let again = place.clone();
    match app::run(config, move || again.load()) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            complain(&format!("{error:#}"));
            failure(&error)
        }
    }
}

fn failure(error: &anyhow::Error) -> Exit {
    let kind = |e: &std::io::Error| e.kind() == std::io::ErrorKind::PermissionDenied;
    for cause in error.chain() {
        if matches!(cause.downcast_ref::<OpenError>(), Some(OpenError::Locked)) {
            complain("another agent runs with this state folder; stop it, or give this one its own with --state");
            return Exit::BadInput;
        }
        if cause.downcast_ref::<std::io::Error>().is_some_and(kind) {
            return Exit::Denied;
        }
    }
    Exit::BadInput
}

fn enrol(place: &Where, line: &str, replace: bool) -> Exit {
    let config = match place.load() {
        Ok(config) => config,
        Err(errors) => return bad_config(&errors),
    };
    let invitation: Invitation = match line.trim().parse() {
        Ok(invitation) => invitation,
        Err(error) => {
            complain(&format!("{error}"));
            return Exit::BadInput;
        }
    };
    match app::enrol(&config.state, &invitation, replace) {
        Ok(identity) => {
            say(&format!("enrolled as agent {}; collector {}", identity.agent, identity.collector));
            Exit::Ok
        }
        Err(error) => {
            complain(&error.to_string());
            match error {
                IdentityError::Unreachable { .. } | IdentityError::Silent { .. } => Exit::CannotConnect,
                IdentityError::Refused(_) => Exit::Denied,
                IdentityError::File { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => Exit::Denied,
                IdentityError::AlreadyEnrolled { .. } => Exit::Findings,
                _ => Exit::BadInput,
            }
        }
    }
}

fn bad_config(errors: &settings::Errors) -> Exit {
    complain(&errors.to_string());
    Exit::BadInput
}

/// To standard output. A reader that went away is no error of ours.
fn put(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn say(line: &str) {
    put(&format!("{line}\n"));
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Where a file argument cannot be used: its name and why.
fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) {
    complain(&format!("cannot {what} {}: {error}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_forms_others_rely_on_are_understood() {
        for line in [
            "vedette-agent run --state /x",
            "vedette-agent run --config /etc/vedette/agent.toml",
            "vedette-agent enrol --state /x vedette1:a:1:b",
            "vedette-agent check --config /x",
            "vedette-agent replay a.pcap b.log -o jsonl",
            "vedette-agent replay a.pcap --flows-only --flows-max 65536 -o none",
            "vedette-agent explain a.pcap --flow 1:abc=",
            "vedette-agent print config",
            "vedette-agent print fields",
            "vedette-agent doctor",
            "vedette-agent status",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
