//! What agents said stands after a restart of the collector, at once and without the agents: who they are, what runs there, what each
//! sees and what it cannot. Both programs are real; the agent is gone before the collector is ended, so nothing can be said again.

use super::*;
use serde_json::Value;

#[test]
fn who_sees_what_is_known_at_once_after_a_restart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let register = dir.path().join("register.toml");
    fs::write(&register, "[[unit]]\nid = \"this-host\"\nname = \"本机\"\nsector = \"telecom\"\n")?;
    let Some(program) = programs::program("vedette-agent") else { return Ok(()) };
    let start = || programs::collector(&dir.path().join("collector"), "127.0.0.1", &register);
    let Some(mut collector) = start()? else { return Ok(()) };
    let log = dir.path().join("app.log");
    fs::write(&log, "")?;
    let config = configure(dir.path(), &log)?;
    enrol(&program, &config, collector.ready["enrolment"].as_str().context("no enrolment string")?)?;
    let agent = run(&program, &config)?;
    let stated = until_stated(&collector)?;
    drop(agent);
    ensure!(stated["version"].as_str().is_some_and(|v| !v.is_empty()), "{stated:#}");
    ensure!(stated["os"].as_str().is_some_and(|o| !o.is_empty()) && stated["kernel"].as_str().is_some_and(|k| !k.is_empty()), "{stated:#}");

    terminate(&mut collector)?;
    drop(collector);
    let collector = start()?.context("the collector was there before")?;
    same(&stated, &only_agent(&collector)?, "stopped in order")?;
    // Dropping is SIGKILL.
    drop(collector);
    let collector = start()?.context("the collector was there before")?;
    same(&stated, &only_agent(&collector)?, "killed")
}

/// Heard, with what it sees (its log) and what it does not (no packets here).
fn until_stated(collector: &Collector) -> Result<Value> {
    #[expect(clippy::disallowed_methods, reason = "waits for other processes")]
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let agent = collector.admin.json("/api/v1/agents")?["items"][0].clone();
        let sees = |sensor: &str| agent["coverage"].as_array().is_some_and(|c| c.iter().any(|row| row["sensor"] == sensor));
        if sees("log") && sees("net") && agent["version"].is_string() && agent["kernel"].is_string() {
            return Ok(agent);
        }
        #[expect(clippy::disallowed_methods, reason = "waits for other processes")]
        let late = Instant::now() > deadline;
        ensure!(!late, "the agent did not say who it is and what it sees: {agent:#}");
    }
}

fn only_agent(collector: &Collector) -> Result<Value> {
    let page = collector.admin.json("/api/v1/agents")?;
    ensure!(page["items"].as_array().is_some_and(|items| items.len() == 1), "{page:#}");
    Ok(page["items"][0].clone())
}

fn same(before: &Value, after: &Value, how: &str) -> Result<()> {
    for fact in ["id", "host", "unit_id", "unit", "sector", "version", "os", "kernel", "addresses", "coverage"] {
        ensure!(before[fact] == after[fact], "{how}: {fact} was {}, is {}", before[fact], after[fact]);
    }
    ensure!(after["ledger"].as_array().is_some_and(|rows| !rows.is_empty()), "{how}: {after:#}");
    ensure!(after["last_seen"].as_str() >= before["last_seen"].as_str() && after["liveness"] != "never_seen", "{how}: {after:#}");
    Ok(())
}

/// SIGTERM, and the end of the process.
#[expect(clippy::disallowed_methods, reason = "a case stops the program it tests")]
fn terminate(collector: &mut Collector) -> Result<()> {
    let status = Command::new("kill").arg("-TERM").arg(collector.child.0.id().to_string()).status()?;
    ensure!(status.success(), "kill -TERM failed");
    let status = collector.child.0.wait()?;
    ensure!(status.success(), "the collector ended with {status}");
    Ok(())
}
