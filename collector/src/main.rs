//! `vedette`: the collector and the operator's command line.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use collector::{cli, command, explain, grading, matching};

/// What workers and connections allocate, the engine's and the writers' threads free: the system's allocator makes such threads wait for
/// each other (two cores matched 1.35 times what one did; with this one 1.8 times).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Vedette 烽燧: city-wide network-security monitoring and early warning
#[derive(Parser)]
#[command(
    name = "vedette",
    version,
    max_term_width = 120,
    after_help = "Exit codes: 0 done · 1 something was found · 2 bad input · 3 cannot connect or go on · 4 denied"
)]
struct Arguments {
    #[command(flatten)]
    global: cli::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(command::ServeArgs),
    Replay(command::ReplayCommand),
    Match(matching::MatchArgs),
    Explain(explain::ExplainArgs),
    Grade(grading::GradeArgs),
    Check(command::CheckArgs),
    Demo(command::DemoArgs),
    /// Print completions for a shell
    Completions {
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Online(cli::Command),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Serve(args) => command::serve(&args),
        Command::Replay(args) => command::replay(&args, arguments.global.output),
        Command::Match(args) => matching::command(&args, &arguments.global),
        Command::Grade(args) => grading::command(&args, &arguments.global),
        Command::Explain(args) => explain::command(&args, &arguments.global),
        Command::Check(args) => command::check(&args, &arguments.global),
        Command::Demo(args) => command::demo(&args, &arguments.global),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "vedette", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Online(online) => ExitCode::from(cli::run(&arguments.global, &online)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_command_says_what_it_does() {
        let whole = Arguments::command();
        whole.clone().debug_assert();
        for sub in whole.get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
        }
    }

    /// What is wrong with a command a page shows: no such command, no such option.
    fn wrong(whole: &clap::Command, line: &str) -> Option<String> {
        let (mut at, mut deep) = (whole, 0);
        for word in line.split_whitespace().skip(1) {
            let word = word.trim_matches(['\'', '"', '[', ']', ',', ')']);
            if ["#", "|", ">", "&&", "…", "·"].contains(&word) || word.starts_with('#') {
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                let long = long.split('=').next().unwrap_or(long);
                let known = long.is_empty()
                    || long == "help"
                    || at.get_arguments().any(|a| a.get_long_and_visible_aliases().unwrap_or_default().contains(&long));
                if !known {
                    return Some(format!("'{}' has no --{long}", at.get_name()));
                }
            } else if let Some(sub) = at.find_subcommand(word) {
                at = sub;
                deep += 1;
            } else if at.is_subcommand_required_set() && !word.starts_with('-') {
                return Some(format!("'{}' has no command '{word}'", at.get_name()));
            }
        }
        (deep == 0 && line.contains(' ')).then(|| "no command".to_owned())
    }

    #[test]
    fn every_command_the_pages_show_is_one() {
        let mut whole = Arguments::command();
        whole.build();
        assert!(wrong(&whole, "vedette matters campaigns list").is_some() && wrong(&whole, "vedette ack ID --colour red").is_some());
        assert_eq!(wrong(&whole, "vedette close --query 'rule:scan' --reason duplicate --dry-run"), None);
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (mut seen, mut bad) = (0, Vec::new());
        for folder in ["", "docs", "deploy", "config", "config/drills"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap().flatten() {
                let path = entry.path();
                if !path.extension().is_some_and(|e| e == "md" || e == "toml" || e == "yml") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let inline = text.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n'));
                let lines = text.lines().map(|l| l.trim_start_matches(['$', ' ']));
                for line in inline.chain(lines).filter(|l| l.starts_with("vedette ") && l.is_ascii() | l.contains("--")) {
                    seen += 1;
                    bad.extend(wrong(&whole, line).map(|why| format!("{}: `{line}`: {why}", path.display())));
                }
            }
        }
        assert!(seen > 60, "{seen}");
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }
}
