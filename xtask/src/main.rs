//! Chores of the house: `cargo xtask run | test | ci | fuzz | bench | gen`.

mod bench;
mod ci;
mod fuzz;
mod generate;
mod packages;
mod run;
mod shell;
mod test;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask <chore>

  run [--demo] [--debug] [--var DIR]   build both programs, start a collector in ./var, enrol and start an agent
                                       on this host, print the console's address and a first login
  test [FILTER]                        install what the tests need (Debian packages) and run all of them
  ci                                   what is checked before a change lands: fmt, clippy, tests, licences, contracts, short fuzz
  fuzz --captures N                    every capture of the data set in N broken forms, whole, in a release build
  fuzz [TARGET] [--seconds N]          every fuzz target (or one) from its seed corpus, 5 seconds each unless told otherwise
  bench [NAME]                         the promised figures, each with its floor or peer: engine-free names are listed without NAME
  gen [--check]                        write (or compare) what is printed from code: config samples, field reference, OpenAPI
";

fn main() {
    if let Err(error) = chore() {
        eprintln!("xtask: {error:#}");
        std::process::exit(1);
    }
}

fn chore() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    match args.first().map(String::as_str) {
        Some("run") => run::run(rest),
        Some("test") => test::test(rest),
        Some("ci") => ci::ci(),
        Some("fuzz") => fuzz::fuzz(rest),
        Some("bench") => bench::bench(rest),
        Some("gen") => generate::generate(rest),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("there is no chore '{other}'; `cargo xtask help` lists them"),
    }
}
