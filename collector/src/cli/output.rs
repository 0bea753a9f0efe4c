//! Printing: tables that keep their columns with Chinese text, JSON, JSON lines, CSV. Colour only on a terminal, and not with `NO_COLOR`.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Jsonl,
    Csv,
    /// How many; `match`: by rule
    Count,
    /// ATT&CK Navigator layer; only for `rules coverage`
    Navigator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    Auto,
    Zh,
    En,
}

impl Lang {
    /// With what the environment says where nothing was said.
    pub fn decided(self) -> Language {
        match self {
            Self::Zh => Language::Zh,
            Self::En => Language::En,
            Self::Auto => of_environment(|name| std::env::var(name).ok()),
        }
    }
}

/// The language decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Zh,
    En,
}

/// A column: heading in English and Chinese, and how a row fills it.
pub struct Column {
    pub en: &'static str,
    pub zh: &'static str,
    pub cell: fn(&Value, Language) -> String,
    pub look: Look,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Plain,
    /// An id or a time: never broken over lines, so that it can be copied.
    Key,
    /// Left out on a terminal narrower than `WIDE`.
    Extra,
    Number,
    /// A severity or state word: marked where it calls for attention.
    Mark,
}

/// Columns of a terminal from which on everything is shown.
const WIDE: u16 = 120;

pub struct Printer {
    pub format: Format,
    pub lang: Language,
    pub color: bool,
}

impl Printer {
    pub fn new(format: Format, lang: Lang) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { format, lang: lang.decided(), color }
    }

    pub fn list(&self, items: &[Value], columns: &[Column]) {
        write(&self.render_list(items, columns));
    }

    pub fn render_list(&self, items: &[Value], columns: &[Column]) -> String {
        match self.format {
            Format::Json => format!("{}\n", serde_json::to_string_pretty(items).unwrap_or_default()),
            Format::Jsonl => items.iter().map(|i| format!("{i}\n")).collect(),
            Format::Csv => crate::serve::reply::to_csv(items),
            Format::Count => format!("{}\n", items.len()),
            Format::Navigator | Format::Table => self.table(items, columns),
        }
    }

    fn table(&self, items: &[Value], columns: &[Column]) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if !std::io::stdout().is_terminal() {
            table.set_width(200);
        }
        let narrow = table.width().is_some_and(|width| width < WIDE);
        let columns: Vec<&Column> = columns.iter().filter(|c| !narrow || c.look != Look::Extra).collect();
        let head = |c: &&Column| {
            let cell = Cell::new(if self.lang == Language::Zh { c.zh } else { c.en });
            let cell = if c.look == Look::Number { cell.set_alignment(CellAlignment::Right) } else { cell };
            if self.color { cell.add_attribute(Attribute::Dim) } else { cell }
        };
        table.set_header(columns.iter().map(head));
        for (at, column) in columns.iter().enumerate() {
            if let Some(shown) = table.column_mut(at).filter(|_| matches!(column.look, Look::Key | Look::Mark | Look::Number)) {
                shown.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for item in items {
            table.add_row(columns.iter().map(|c| self.cell(&(c.cell)(item, self.lang), c.look)));
        }
        let mut text: String = table.lines().map(|l| format!("{}\n", l.trim_end())).collect();
        if items.is_empty() {
            text.push_str(if self.lang == Language::Zh { "（无）\n" } else { "(none)\n" });
        }
        text
    }

    fn cell(&self, text: &str, look: Look) -> Cell {
        let cell = Cell::new(clean(text));
        match look {
            Look::Plain | Look::Key | Look::Extra => cell,
            Look::Number => cell.set_alignment(CellAlignment::Right),
            Look::Mark if !self.color => cell,
            Look::Mark => match text {
                "critical" | "严重" | "silent" | "失联" => {
                    cell.fg(Color::Magenta).add_attribute(Attribute::Bold).add_attribute(Attribute::Reverse)
                }
                "high" | "高" | "late" | "迟到" => cell.fg(Color::Magenta).add_attribute(Attribute::Bold),
                "medium" | "中" => cell.fg(Color::Blue),
                _ => cell,
            },
        }
    }

    pub fn one(&self, value: &Value, text: impl Fn(&Value, Language) -> String) {
        match self.format {
            Format::Json => write(&format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default())),
            Format::Jsonl => write(&format!("{value}\n")),
            Format::Csv => write(&crate::serve::reply::to_csv(std::slice::from_ref(value))),
            Format::Count => write("1\n"),
            Format::Navigator | Format::Table => write(&text(value, self.lang)),
        }
    }
}

/// Text for a terminal: control characters of hostile log lines must not reach it.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Writes to standard output; a reader that went away (`| head`) is no error.
pub fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

fn of_environment(get: impl Fn(&str) -> Option<String>) -> Language {
    let word = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(get).find(|v| !v.is_empty()).unwrap_or_default();
    if word.starts_with("zh") { Language::Zh } else { Language::En }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: &[Column] = &[
        Column { en: "title", zh: "标题", cell: |v, _| v["t"].as_str().unwrap_or("").to_owned(), look: Look::Plain },
        Column { en: "count", zh: "次数", cell: |v, _| v["n"].to_string(), look: Look::Number },
    ];

    #[test]
    fn chinese_keeps_the_columns_and_control_characters_are_gone() {
        let printer = Printer { format: Format::Table, lang: Language::Zh, color: false };
        let items = [json!({"t": "端口扫描", "n": 7}), json!({"t": "x\u{1b}[31mred", "n": 120})];
        let text = printer.render_list(&items, COLUMNS);
        assert!(!text.contains('\u{1b}'));
        let width = |line: &str| line.chars().map(|c| if (c as u32) > 0x2e80 && c != '\u{fffd}' { 2 } else { 1 }).sum::<usize>();
        let widths: Vec<usize> = text.lines().map(width).collect();
        assert!(widths.windows(2).all(|w| w[0] == w[1]), "{text}");
        let none = printer.render_list(&[], COLUMNS);
        assert!(none.contains("（无）"));
        let json = Printer { format: Format::Json, ..printer };
        assert_eq!(json.render_list(&[], COLUMNS), "[]\n");
    }

    #[test]
    fn the_language_follows_the_environment() {
        assert_eq!(of_environment(|n| (n == "LANG").then(|| "zh_CN.UTF-8".to_owned())), Language::Zh);
        assert_eq!(of_environment(|n| Some(if n == "LC_ALL" { "C" } else { "zh_CN" }.to_owned())), Language::En);
    }
}
