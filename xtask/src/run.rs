//! `cargo xtask run`: both programs on this machine, from nothing to an open console.
//!
//! Everything lives in `./var` (or `--var DIR`); a second run goes on where the first one stopped. Ctrl-C stops both.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell;

struct Options {
    demo: bool,
    debug: bool,
    var: PathBuf,
}

pub fn run(args: &[String]) -> Result<()> {
    let options = read(args)?;
    let profile = if options.debug { "debug" } else { "release" };
    let mut build = vec!["build", "--locked", "--bins", "-p", "agent", "-p", "collector"];
    if !options.debug {
        build.push("--release");
    }
    shell::sh("cargo", &build)?;
    let programs = shell::target_dir().join(profile);
    std::fs::create_dir_all(&options.var).with_context(|| format!("cannot create {}", options.var.display()))?;

    let collector_data = options.var.join("collector");
    let mut serve = shell::command(&programs.join("vedette").display().to_string());
    serve
        .arg("serve")
        .arg("--data")
        .arg(&collector_data)
        .arg("--rules")
        .arg(shell::root().join("config/rules"))
        .arg("--mappings")
        .arg(shell::root().join("config/mappings"));
    serve.arg("--register").arg(shell::root().join("config/register.toml")).args(["--bootstrap", "this-host"]);
    let mut collector = Stopped(serve.stdout(Stdio::piped()).spawn().context("cannot start vedette")?);
    let first = first_line(&mut collector.0)?;
    let ready: serde_json::Value =
        serde_json::from_str(&first).with_context(|| format!("vedette said '{first}' where its addresses were expected"))?;

    let agent_state = options.var.join("agent");
    let agent = programs.join("vedette-agent").display().to_string();
    if !agent_state.join("identity.pem").exists() {
        let string = ready["enrolment"].as_str().context("vedette gave no enrolment string")?;
        let status = shell::command(&agent).arg("enrol").arg("--state").arg(&agent_state).arg(string).status()?;
        if !status.success() {
            bail!("the agent could not enrol");
        }
    }
    let mut agent =
        Stopped(shell::command(&agent).arg("run").arg("--state").arg(&agent_state).spawn().context("cannot start vedette-agent")?);

    let mut city = if options.demo {
        let mut demo = shell::command(&programs.join("vedette").display().to_string());
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        demo.arg("demo")
            .args(["--server", &text("console")])
            .arg("--state")
            .arg(options.var.join("demo"))
            .env("VEDETTE_TOKEN", text("token"));
        Some(Stopped(demo.spawn().context("cannot start the demo city")?))
    } else {
        None
    };

    println!("\n  console   {}", ready["console"].as_str().unwrap_or("?"));
    match (ready["user"].as_str(), ready["password"].as_str()) {
        (Some(user), Some(password)) => println!("  login     {user} / {password}   (shown this once)"),
        _ => println!("  login     as before (delete {} to start over)", options.var.display()),
    }
    println!("  metrics   {}/metrics", ready["console"].as_str().unwrap_or("?"));
    println!("  stop      Ctrl-C\n");

    // Whichever of the two ends first ends the run; Ctrl-C reaches all three through the terminal.
    let status = collector.0.wait()?;
    drop(city.take());
    let _ = agent.0.kill();
    if !status.success() {
        bail!("vedette ended with {status}");
    }
    Ok(())
}

fn read(args: &[String]) -> Result<Options> {
    let mut options = Options { demo: false, debug: false, var: shell::root().join("var") };
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--demo" => options.demo = true,
            "--debug" => options.debug = true,
            "--var" => options.var = std::path::absolute(rest.next().context("--var takes a folder")?)?,
            other => bail!("`cargo xtask run` knows --demo, --debug and --var DIR, not '{other}'"),
        }
    }
    Ok(options)
}

fn first_line(child: &mut Child) -> Result<String> {
    let mut reader = BufReader::new(child.stdout.take().context("the child has an output")?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.is_empty() {
        let status = child.wait()?;
        bail!("vedette ended before it was ready ({status})");
    }
    // The pipe stays open behind our back so that a later line cannot stop the collector.
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::stdout()));
    Ok(line.trim().to_owned())
}

/// A child that does not outlive us.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
