//! `vedette notify` and `vedette deliveries`: channels, tests of them, and who was told what.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, Trouble};
use super::output::Printer;
use super::{exit, show, word};

#[derive(Debug, Clone, Subcommand)]
pub enum NotifyCommand {
    /// List channels: where they go, what waits, how the last attempt went (exit 1 if one failed last)
    List,
    /// Send a test, marked as one, through a channel and say what came of it (exit 1 if it was not delivered)
    Test {
        /// Name, as `vedette notify list` shows it
        channel: String,
        /// A mail address, on a mail channel; without it the channel's own first recipient
        #[arg(long)]
        to: Option<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub struct DeliveriesArgs {
    /// queued, failed, sent, dead
    #[arg(long, default_value = "")]
    state: String,
    #[arg(long, default_value = "")]
    channel: String,
    #[arg(long, default_value = "")]
    unit: String,
    /// Id of a warning, receipt, order …
    #[arg(long, default_value = "")]
    about: String,
    /// How many at most
    #[arg(short = 'n', long, default_value_t = 50)]
    limit: usize,
    /// Send this dead letter again
    #[arg(long, value_name = "ID", conflicts_with_all = ["state", "channel", "unit", "about"])]
    retry: Option<String>,
}

pub async fn run(client: &Client, printer: &Printer, command: &NotifyCommand) -> Result<u8, Trouble> {
    match command {
        NotifyCommand::List => {
            let page = client.get("/api/v1/channels", &[]).await?;
            let items = page["items"].as_array().map_or(&[][..], Vec::as_slice);
            printer.list(items, show::CHANNELS);
            let bad = items.iter().any(|c| c["reason"].as_str().is_some_and(|r| !r.is_empty()));
            Ok(if bad { exit::FOUND } else { exit::DONE })
        }
        NotifyCommand::Test { channel, to } => {
            let body = to.as_ref().map_or_else(|| json!({}), |to| json!({ "to": to }));
            let tested = client.post(&format!("/api/v1/channels/{}/test", word(channel)?), &[], &body).await?;
            printer.list(std::slice::from_ref(&tested), show::TESTED);
            Ok(if tested["outcome"] == "sent" { exit::DONE } else { exit::FOUND })
        }
    }
}

pub async fn deliveries(client: &Client, printer: &Printer, args: &DeliveriesArgs) -> Result<u8, Trouble> {
    if let Some(id) = &args.retry {
        let again = client.post(&format!("/api/v1/deliveries/{}/retry", word(id)?), &[], &json!({})).await?;
        printer.list(std::slice::from_ref(&again), show::DELIVERIES);
        return Ok(exit::DONE);
    }
    let query = [("state", args.state.as_str()), ("channel", &args.channel), ("unit", &args.unit), ("about", &args.about)];
    let items: Vec<Value> = client.pages("/api/v1/deliveries", &query, args.limit).await?;
    printer.list(&items, show::DELIVERIES);
    Ok(exit::DONE)
}
