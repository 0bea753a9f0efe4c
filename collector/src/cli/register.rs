//! `vedette units|objects|assets`, `vedette register`, `vedette route test`: the register through the API.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::client::{Client, Trouble, address};
use super::names::UnitNames;
use super::output::{Language, Printer, clean, write};
use super::{exit, show, word};

/// Bytes of a file to import.
const IMPORT_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, Clone, Args)]
pub struct UnitsArgs {
    #[command(subcommand)]
    pub what: Option<UnitsCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum UnitsCommand {
    /// List units
    List,
    /// Show one with its contacts, networks and domains
    Show { id: String },
    /// Register or change one; what is not said of contacts, networks and domains stays
    Put {
        id: String,
        #[arg(long)]
        name: String,
        #[arg(long, default_value = "")]
        name_en: String,
        /// finance, energy, power, telecom, transport, …
        #[arg(long)]
        sector: String,
        /// Networks in CIDR form, with commas
        #[arg(long, value_delimiter = ',')]
        networks: Option<Vec<String>>,
        /// Domain names; one stands for those below it
        #[arg(long, value_delimiter = ',')]
        domains: Option<Vec<String>>,
        /// The city may name it as a source when it warns others
        #[arg(long)]
        named: Option<bool>,
    },
    /// Replace whom to call: `role:name:phone:mail`, once for each (role: duty, substitute, leader, protection)
    Contacts {
        id: String,
        #[arg(long = "contact", required = true)]
        contacts: Vec<String>,
    },
    /// Remove one; refused while something belongs to it
    Delete { id: String },
}

#[derive(Debug, Clone, Args)]
pub struct ObjectsArgs {
    #[command(subcommand)]
    pub what: Option<ObjectsCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ObjectsCommand {
    /// List protected objects
    List {
        #[arg(long, default_value = "")]
        unit: String,
    },
    /// Register or change one; it is said whole
    Put {
        id: String,
        #[arg(long)]
        unit: String,
        #[arg(long)]
        name: String,
        #[arg(long, default_value = "")]
        name_en: String,
        /// MLPS level (等级保护), 1 to 5
        #[arg(long)]
        mlps: Option<u8>,
        /// Critical information infrastructure (关基)
        #[arg(long)]
        cii: bool,
        /// Protection department (保护工作部门)
        #[arg(long, default_value = "")]
        protection: String,
        /// Filing number (备案编号)
        #[arg(long, default_value = "")]
        filing: String,
        /// Objects it cannot work without, with commas
        #[arg(long, value_delimiter = ',')]
        needs: Vec<String>,
    },
    /// Remove one; refused while an asset belongs to it or another object needs it
    Delete { id: String },
    /// List which object cannot work without which
    Dependencies,
    /// Say that an object cannot work without another
    Need { object: String, needs: String },
    /// Say that it can
    Unneed { object: String, needs: String },
}

#[derive(Debug, Clone, Args)]
pub struct AssetsArgs {
    #[command(subcommand)]
    pub what: Option<AssetsCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum AssetsCommand {
    /// List declared assets
    List {
        #[arg(long, default_value = "")]
        unit: String,
        #[arg(long, default_value = "")]
        object: String,
    },
    /// Register or change one; it is said whole
    Put {
        id: String,
        #[arg(long)]
        unit: String,
        #[arg(long, default_value = "")]
        name: String,
        /// Protected object it belongs to
        #[arg(long, default_value = "")]
        object: String,
        /// 1 ordinary, 2 important, 3 especially important
        #[arg(long, default_value_t = 1)]
        importance: u8,
        /// Agent id, 16 hex digits
        #[arg(long)]
        agent: Option<String>,
        #[arg(long)]
        hostname: Option<String>,
        /// Addresses or networks, with commas
        #[arg(long, value_delimiter = ',')]
        addresses: Vec<String>,
        #[arg(long, default_value = "")]
        os: String,
        /// Ports that may be open, with commas
        #[arg(long, value_delimiter = ',')]
        ports: Vec<u16>,
    },
    /// Remove one
    Delete { id: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    Csv,
    Toml,
}

impl FileFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Toml => "toml",
        }
    }
}

#[derive(Debug, Clone, Subcommand)]
pub enum RegisterCommand {
    /// Take a register in, CSV or TOML: all of it or nothing, each problem with its line
    ///
    ///   vedette register export > register.csv      # edit it in a spreadsheet
    ///   vedette register import register.csv --dry-run
    #[command(verbatim_doc_comment)]
    Import {
        file: PathBuf,
        /// Told from the text if not said
        #[arg(long, value_enum)]
        format: Option<FileFormat>,
        /// Say what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the register as a file that can be imported again
    Export {
        #[arg(long, value_enum, default_value_t = FileFormat::Csv)]
        format: FileFormat,
        /// unit, object, asset; all if not said
        #[arg(long, default_value = "")]
        kind: String,
    },
    /// What was declared against what is heard: unknown, silent and drifted hosts (exit 1 if there is one)
    Differences {
        /// unknown, silent, drifted
        #[arg(long, default_value = "")]
        what: String,
        #[arg(long, default_value = "")]
        unit: String,
        /// Those people let stand as well
        #[arg(long)]
        ignored: bool,
    },
    /// Take what is heard into the register
    Accept {
        /// Difference, as `vedette register differences` lists it
        id: String,
        /// Id of the new asset, where it is to be other than the host's name
        #[arg(long)]
        asset: Option<String>,
        #[arg(long, default_value = "")]
        name: String,
        #[arg(long, default_value = "")]
        object: String,
        #[arg(long)]
        importance: Option<u8>,
    },
    /// Let a difference stand for some days, with a reason
    Ignore {
        id: String,
        #[arg(long)]
        reason: String,
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=366))]
        days: i64,
    },
}

#[derive(Debug, Clone, Subcommand)]
pub enum RouteCommand {
    /// Whom a warning about this would concern, and why; nobody is told
    ///
    ///   vedette route test --address 10.30.2.7 --object core-banking
    #[command(verbatim_doc_comment)]
    Test(RouteArgs),
}

#[derive(Debug, Clone, Args)]
pub struct RouteArgs {
    /// Address, or network in CIDR form; each of these may be given several times
    #[arg(long = "address")]
    addresses: Vec<String>,
    #[arg(long = "domain")]
    domains: Vec<String>,
    /// `type=value`: ipv4-addr, ipv6-addr, domain-name, url, email-addr
    #[arg(long = "indicator")]
    indicators: Vec<String>,
    /// Host name or agent id
    #[arg(long = "host")]
    hosts: Vec<String>,
    #[arg(long = "asset")]
    assets: Vec<String>,
    #[arg(long = "object")]
    objects: Vec<String>,
    #[arg(long = "sector")]
    sectors: Vec<String>,
    #[arg(long = "unit")]
    units: Vec<String>,
    /// Steps of dependency to follow, 0 to 8 [default: 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=8))]
    hops: Option<u32>,
}

fn items(mut page: Value) -> Vec<Value> {
    match page.get_mut("items").map(Value::take) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

pub async fn units(client: &Client, printer: &Printer, args: &UnitsArgs) -> Result<u8, Trouble> {
    match args.what.as_ref().unwrap_or(&UnitsCommand::List) {
        UnitsCommand::List => {
            let units = client.pages("/api/v1/units", &[], usize::MAX).await?;
            printer.list(&UnitNames::of(client, printer).await.all(units), show::UNITS);
        }
        UnitsCommand::Show { id } => printer.one(&client.get(&format!("/api/v1/units/{}", word(id)?), &[]).await?, show::fields),
        UnitsCommand::Put { id, name, name_en, sector, networks, domains, named } => {
            let body =
                json!({"name": name, "name_en": name_en, "sector": sector, "networks": networks, "domains": domains, "named": named});
            printer.one(&client.put(&format!("/api/v1/units/{}", word(id)?), &body).await?, show::fields);
        }
        UnitsCommand::Contacts { id, contacts } => {
            let contacts = contacts.iter().map(|c| contact(c)).collect::<Result<Vec<_>, _>>()?;
            let path = format!("/api/v1/units/{}/contacts", word(id)?);
            printer.one(&client.put(&path, &json!({"contacts": contacts})).await?, show::fields);
        }
        UnitsCommand::Delete { id } => client.delete(&format!("/api/v1/units/{}", word(id)?)).await?,
    }
    Ok(exit::DONE)
}

/// `role:name:phone:mail`; what is left away at the end is not there.
fn contact(text: &str) -> Result<Value, Trouble> {
    let parts: Vec<&str> = text.splitn(4, ':').map(str::trim).collect();
    let part = |n: usize| parts.get(n).copied().unwrap_or("");
    if part(1).is_empty() {
        return Err(Trouble::Input(format!(
            "--contact '{text}': write role:name:phone:mail, e.g. duty:值班室:0000-1001:duty@bank.example"
        )));
    }
    let said = [("role", part(0)), ("name", part(1)), ("phone", part(2)), ("mail", part(3))];
    Ok(said.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_owned(), Value::from(v))).collect::<Map<_, _>>().into())
}

pub async fn objects(client: &Client, printer: &Printer, args: &ObjectsArgs) -> Result<u8, Trouble> {
    let all = ObjectsCommand::List { unit: String::new() };
    match args.what.as_ref().unwrap_or(&all) {
        ObjectsCommand::List { unit } => {
            printer.list(&client.pages("/api/v1/objects", &[("unit", unit)], usize::MAX).await?, show::OBJECTS)
        }
        ObjectsCommand::Put { id, unit, name, name_en, mlps, cii, protection, filing, needs } => {
            let body = json!({"unit_id": unit, "name": name, "name_en": name_en, "mlps": mlps, "cii": cii, "protection": protection, "filing": filing, "needs": needs});
            printer.one(&client.put(&format!("/api/v1/objects/{}", word(id)?), &body).await?, show::fields);
        }
        ObjectsCommand::Delete { id } => client.delete(&format!("/api/v1/objects/{}", word(id)?)).await?,
        ObjectsCommand::Dependencies => {
            let page = client.get("/api/v1/dependencies", &[]).await?;
            for circle in page["circles"].as_array().into_iter().flatten() {
                let list: Vec<&str> = circle.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let what = if printer.lang == Language::Zh { "相互依赖" } else { "need each other" };
                eprintln!("{what}: {}", clean(&list.join(" → ")));
            }
            printer.list(&items(page), show::DEPENDENCIES);
        }
        ObjectsCommand::Need { object, needs } => {
            let path = format!("/api/v1/dependencies/{}:{}", word(object)?, word(needs)?);
            printer.one(&client.put(&path, &Value::Null).await?, show::fields);
        }
        ObjectsCommand::Unneed { object, needs } => {
            client.delete(&format!("/api/v1/dependencies/{}:{}", word(object)?, word(needs)?)).await?;
        }
    }
    Ok(exit::DONE)
}

pub async fn assets(client: &Client, printer: &Printer, args: &AssetsArgs) -> Result<u8, Trouble> {
    let all = AssetsCommand::List { unit: String::new(), object: String::new() };
    match args.what.as_ref().unwrap_or(&all) {
        AssetsCommand::List { unit, object } => {
            printer.list(&client.pages("/api/v1/assets", &[("unit", unit), ("object", object)], usize::MAX).await?, show::ASSETS);
        }
        AssetsCommand::Put { id, unit, name, object, importance, agent, hostname, addresses, os, ports } => {
            let body = json!({"unit_id": unit, "name": name, "object": object, "importance": importance, "agent": agent, "hostname": hostname, "addresses": addresses, "os": os, "ports": ports});
            printer.one(&client.put(&format!("/api/v1/assets/{}", word(id)?), &body).await?, show::fields);
        }
        AssetsCommand::Delete { id } => client.delete(&format!("/api/v1/assets/{}", word(id)?)).await?,
    }
    Ok(exit::DONE)
}

pub async fn register(client: &Client, printer: &Printer, command: &RegisterCommand) -> Result<u8, Trouble> {
    match command {
        RegisterCommand::Import { file, format, dry_run } => {
            let input = |e: std::io::Error| Trouble::Input(format!("{}: {e}", file.display()));
            if std::fs::metadata(file).map_err(input)?.len() > IMPORT_BYTES_MAX {
                return Err(Trouble::Input(format!("{}: larger than {} MiB; split it", file.display(), IMPORT_BYTES_MAX >> 20)));
            }
            let bytes = std::fs::read(file).map_err(input)?;
            let mut said = vec![("dry_run", if *dry_run { "true" } else { "false" })];
            said.extend(format.map(|f| ("format", f.name())));
            let done = client.upload(&address("/api/v1/register/import", &said), bytes).await?;
            printer.list(done["items"].as_array().map_or(&[][..], Vec::as_slice), show::REGISTER_CHANGES);
            let (added, changed, same) = (&done["added"], &done["changed"], &done["unchanged"]);
            match (printer.lang, *dry_run) {
                (Language::Zh, true) => eprintln!("试运行：将新增 {added}、修改 {changed}，{same} 行不变；未作改动"),
                (Language::Zh, false) => eprintln!("新增 {added}、修改 {changed}，{same} 行不变"),
                (Language::En, true) => {
                    eprintln!("dry run: {added} would be added, {changed} changed, {same} stay as they are; nothing was done")
                }
                (Language::En, false) => eprintln!("{added} added, {changed} changed, {same} stay as they are"),
            }
        }
        RegisterCommand::Export { format, kind } => {
            let mut said = vec![("format", format.name())];
            if !kind.is_empty() {
                said.push(("kind", kind));
            }
            write(&client.text(&address("/api/v1/register/export", &said)).await?);
        }
        RegisterCommand::Differences { what, unit, ignored } => {
            let ignored = if *ignored { "true" } else { "" };
            let said: Vec<_> =
                [("what", what.as_str()), ("unit", unit), ("ignored", ignored)].into_iter().filter(|(_, v)| !v.is_empty()).collect();
            let found = items(client.get("/api/v1/register/differences", &said).await?);
            printer.list(&found, show::DIFFERENCES);
            return Ok(if found.iter().all(|d| d["ignored"].is_object()) { exit::DONE } else { exit::FOUND });
        }
        RegisterCommand::Accept { id, asset, name, object, importance } => {
            let body = json!({"decision": "accept", "asset": asset, "name": name, "object": object, "importance": importance});
            let done = client.post(&format!("/api/v1/register/differences/{}", word(id)?), &[], &body).await?;
            printer.list(&[done], show::DIFFERENCES);
        }
        RegisterCommand::Ignore { id, reason, days } => {
            let until = crate::clock::now().plus_secs(days * 86_400).to_string();
            let body = json!({"decision": "ignore", "reason": reason, "until": until});
            let done = client.post(&format!("/api/v1/register/differences/{}", word(id)?), &[], &body).await?;
            printer.list(&[done], show::DIFFERENCES);
        }
    }
    Ok(exit::DONE)
}

pub async fn route(client: &Client, printer: &Printer, command: &RouteCommand) -> Result<u8, Trouble> {
    let RouteCommand::Test(args) = command;
    let mut indicators = Vec::new();
    for text in &args.indicators {
        let (kind, value) = text
            .split_once('=')
            .ok_or_else(|| Trouble::Input(format!("--indicator '{text}': write type=value, e.g. domain-name=bad.example")))?;
        indicators.push(json!({"type": kind, "value": value}));
    }
    let question = json!({
        "addresses": args.addresses, "domains": args.domains, "indicators": indicators, "hosts": args.hosts,
        "assets": args.assets, "objects": args.objects, "sectors": args.sectors, "units": args.units, "hops": args.hops,
    });
    let units = items(client.post("/api/v1/route", &[], &question).await?);
    let units = UnitNames::of(client, printer).await.all(units);
    // A row for each reason; the machine formats have a unit with its reasons.
    let rows: Vec<Value> = units
        .iter()
        .flat_map(|u| {
            u["why"]
                .as_array()
                .into_iter()
                .flatten()
                .map(move |why| json!({"unit_id": u["unit_id"], "unit": u["unit"], "sector": u["sector"], "why": why}))
        })
        .collect();
    if printer.format == super::Format::Table {
        printer.list(&rows, show::ROUTED)
    } else {
        printer.list(&units, show::ROUTED)
    }
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_said_in_one_word() {
        assert_eq!(
            contact("duty:值班室:0000-1:a@b.example").unwrap(),
            json!({"role": "duty", "name": "值班室", "phone": "0000-1", "mail": "a@b.example"})
        );
        assert_eq!(contact("leader:李").unwrap(), json!({"role": "leader", "name": "李"}));
        assert!(contact("duty").is_err() && contact("").is_err());
    }
}
