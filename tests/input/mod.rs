//! Bad input through the real programs: the message says what is wrong, where, and what to do; the exit code fits; nothing else is lost.

mod configuration;
mod files;
mod identity;
mod serving;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests::programs;

/// What a program said before it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// Ended with this code, and its complaint holds all of these.
    fn is(&self, code: i32, words: &[&str]) -> Result<()> {
        ensure!(self.code == Some(code), "exit {:?}, not {code}: {self:?}", self.code);
        for word in words {
            ensure!(self.err.contains(word), "'{word}' is not said in:\n{}", self.err);
        }
        Ok(())
    }
}

/// A folder and a program that is run in it.
struct Bench {
    dir: tempfile::TempDir,
    program: PathBuf,
}

impl Bench {
    fn new(program: &str) -> Result<Option<Self>> {
        let Some(program) = programs::program(program) else { return Ok(None) };
        Ok(Some(Self { dir: tempfile::tempdir()?, program }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Runs it to its end; one that does not end within a minute is killed, and that is no good exit code.
    #[expect(clippy::disallowed_methods, reason = "a case starts the program it tests")]
    fn run(&self, arguments: &[&str]) -> Result<Said> {
        let output =
            Command::new("timeout").args(["-s", "KILL", "60"]).arg(&self.program).args(arguments).current_dir(self.dir.path()).output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
    }
}

fn config(name: &str) -> String {
    programs::root().join("config").join(name).display().to_string()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A log line that is an event of its own, told apart by its process number.
fn line(pid: u32) -> String {
    format!("Nov 23 11:00:00 host sshd[{pid}]: Failed password for root from 192.0.2.1 port 22 ssh2\n")
}
