//! `vedette baseline`: what is usual on control networks, reviewed, frozen and edited.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, Trouble};
use super::output::{Language, Printer};
use super::{exit, show, word};

#[derive(Debug, Clone, Subcommand)]
pub enum BaselineCommand {
    /// List stations: learning or frozen, how much is usual, how much was not (exit 1 if a frozen one has deviations)
    List {
        /// learning, frozen, deviating
        #[arg(long, default_value = "")]
        state: String,
        /// Unit id
        #[arg(long, default_value = "")]
        unit: String,
    },
    /// Show who asks a station what, on which addresses
    Show {
        /// Station, as `vedette baseline list` shows it
        id: String,
    },
    /// Learn no more: what goes beyond it becomes an alert
    Freeze(EditArgs),
    /// Learn again
    Unfreeze(EditArgs),
    /// Make a deviation usual, or write an entry by hand
    ///
    ///   vedette baseline allow S0123456789 --entry D9876543210 --note 'new historian'
    ///   vedette baseline allow S0123456789 --master 10.1.2.3 --function read_holding_registers --from 0 --to 99
    #[command(verbatim_doc_comment)]
    Allow {
        #[command(flatten)]
        edit: EditArgs,
        /// A deviation, as `vedette baseline show` lists it
        #[arg(long, conflicts_with_all = ["master", "function"])]
        entry: Option<String>,
        /// Address of the host that may ask
        #[arg(long, requires = "function")]
        master: Option<String>,
        /// Function, as `vedette baseline show` writes them
        #[arg(long, requires = "master")]
        function: Option<String>,
        #[arg(long, requires = "function")]
        sub_function: Option<String>,
        /// Kind of object, as `vedette baseline show` writes them
        #[arg(long, requires = "function")]
        object_type: Option<String>,
        /// Unit id, outstation or common address behind the station's address
        #[arg(long, requires = "function")]
        number: Option<i64>,
        /// First address; none: any
        #[arg(long, requires = "function", allow_negative_numbers = true)]
        from: Option<i64>,
        /// Last address
        #[arg(long, requires = "from", allow_negative_numbers = true)]
        to: Option<i64>,
    },
    /// Forget an entry, or a whole station, which is then learned anew
    Forget {
        #[command(flatten)]
        edit: EditArgs,
        /// An entry, as `vedette baseline show` lists it; none: the station
        #[arg(long)]
        entry: Option<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub struct EditArgs {
    /// Stations, as `vedette baseline list` shows them
    #[arg(required = true)]
    ids: Vec<String>,
    /// Why; kept with the baseline and in the audit trail
    #[arg(long, default_value = "")]
    note: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(client: &Client, printer: &Printer, command: &BaselineCommand) -> Result<u8, Trouble> {
    match command {
        BaselineCommand::List { state, unit } => {
            let page = client.pages("/api/v1/baselines", &[("state", state), ("unit", unit)], usize::MAX).await?;
            printer.list(&page, show::BASELINES);
            let bad = page.iter().any(|b| b["state"] == "frozen" && b["deviations"].as_u64().is_some_and(|n| n > 0));
            Ok(if bad { exit::FOUND } else { exit::DONE })
        }
        BaselineCommand::Show { id } => {
            let detail = client.get(&format!("/api/v1/baselines/{}", word(id)?), &[]).await?;
            printer.list(detail["items"].as_array().map_or(&[], Vec::as_slice), show::BASELINE_ENTRIES);
            Ok(exit::DONE)
        }
        BaselineCommand::Freeze(args) => edit(client, printer, args, json!({"action": "freeze"})).await,
        BaselineCommand::Unfreeze(args) => edit(client, printer, args, json!({"action": "unfreeze"})).await,
        BaselineCommand::Forget { edit: args, entry } => edit(client, printer, args, json!({"action": "forget", "entry": entry})).await,
        BaselineCommand::Allow { edit: args, entry, master, function, sub_function, object_type, number, from, to } => {
            let wish = json!({
                "action": "allow", "entry": entry, "master": master, "function": function, "sub_function": sub_function,
                "object_type": object_type, "number": number, "from": from, "to": to,
            });
            edit(client, printer, args, wish).await
        }
    }
}

/// The same edit for each station; says what each came to, and why not.
async fn edit(client: &Client, printer: &Printer, args: &EditArgs, mut wish: Value) -> Result<u8, Trouble> {
    wish["note"] = json!(args.note);
    wish["dry_run"] = json!(args.dry_run);
    let (mut rows, mut code) = (Vec::new(), exit::DONE);
    for id in &args.ids {
        match client.post(&format!("/api/v1/baselines/{}", word(id)?), &[], &wish).await {
            Ok(change) => {
                rows.push(json!({"id": id, "done": change["done"], "dry_run": change["dry_run"], "state": change["baseline"]["state"]}))
            }
            Err(Trouble::Problem(problem)) if matches!(problem.status, 404 | 422) => {
                eprintln!("{id}: {}", Trouble::Problem(problem).say(printer.lang));
                code = exit::BAD_INPUT;
            }
            Err(other) => return Err(other),
        }
    }
    printer.list(&rows, show::BASELINE_CHANGES);
    if args.dry_run {
        let words = if printer.lang == Language::Zh { "仅预演，未作任何更改" } else { "dry run: nothing was changed" };
        eprintln!("{words}");
    }
    Ok(code)
}
