//! `vedette`: the collector and the operator's command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use collector::command;

/// Vedette 烽燧: city-wide network-security monitoring and early warning
#[derive(Parser)]
#[command(name = "vedette", version, max_term_width = 120, after_help = "Exit codes: 0 ok · 1 findings · 2 bad input · 3 cannot connect or go on · 4 denied")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(command::ServeArgs),
    Replay(command::ReplayCommand),
    Check(command::CheckArgs),
    Demo(command::DemoArgs),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(args) => command::serve(&args),
        Command::Replay(args) => command::replay(&args),
        Command::Check(args) => command::check(&args),
        Command::Demo(args) => command::demo(&args),
    }
}
