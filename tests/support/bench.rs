//! A folder and a program that is run in it to its end.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::programs;

/// What a program said before it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Ended with this code, and its complaint holds all of these.
    pub fn is(&self, code: i32, words: &[&str]) -> Result<()> {
        ensure!(self.code == Some(code), "exit {:?}, not {code}: {self:?}", self.code);
        for word in words {
            ensure!(self.err.contains(word), "'{word}' is not said in:\n{}", self.err);
        }
        Ok(())
    }

    /// Standard output as JSON lines.
    pub fn lines(&self) -> Result<Vec<serde_json::Value>> {
        self.out.lines().map(|l| serde_json::from_str(l).with_context(|| format!("'{l}' is no JSON"))).collect()
    }

    /// Standard output as one JSON value.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.out).with_context(|| format!("no JSON: {self:?}"))
    }
}

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub program: PathBuf,
}

impl Bench {
    /// None, said loudly, where the program is not built.
    pub fn new(program: &str) -> Result<Option<Self>> {
        let Some(program) = programs::program(program) else { return Ok(None) };
        Ok(Some(Self { dir: tempfile::tempdir()?, program }))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(&path, bytes)?;
        Ok(path)
    }

    pub fn run(&self, arguments: &[&str]) -> Result<Said> {
        self.feed(arguments, b"")
    }

    /// Runs it to its end with this on standard input; one that does not end within a minute is killed, and that is no good exit code.
    #[expect(clippy::disallowed_methods, reason = "a case starts the program it tests")]
    pub fn feed(&self, arguments: &[&str], input: &[u8]) -> Result<Said> {
        let mut child = Command::new("timeout")
            .args(["-s", "KILL", "60"])
            .arg(&self.program)
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("the child has an input")?;
        let input = input.to_vec();
        // A program that ends before it has read everything is no fault of the case.
        let fed = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output()?;
        let _ = fed.join();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
    }
}

/// A file or folder of `config/`.
pub fn config(name: &str) -> String {
    programs::root().join("config").join(name).display().to_string()
}
