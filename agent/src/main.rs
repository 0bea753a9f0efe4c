//! `vedette-agent`: everything is in the library, so that tests and the collector's replay use the same code.

fn main() -> std::process::ExitCode {
    agent::cli::main()
}
