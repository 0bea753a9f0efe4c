//! Figures beside what was promised.

#[derive(Default)]
pub struct Report {
    section: &'static str,
    rows: Vec<Row>,
}

struct Row {
    section: &'static str,
    name: String,
    figure: String,
    against: String,
    verdict: &'static str,
}

impl Report {
    pub fn section(&mut self, name: &'static str) {
        self.section = name;
    }

    /// A figure that is to be `limit` or less.
    pub fn at_most(&mut self, name: &str, figure: f64, limit: f64, unit: &str) {
        self.push(
            name,
            format!("{} {unit}", number(figure)),
            format!("at most {} {unit}", number(limit)),
            if figure <= limit { "OK" } else { "MISS" },
        );
    }

    /// A figure that is to be `floor` or more.
    pub fn at_least(&mut self, name: &str, figure: f64, floor: f64, unit: &str) {
        self.push(
            name,
            format!("{} {unit}", number(figure)),
            format!("at least {} {unit}", number(floor)),
            if figure >= floor { "OK" } else { "MISS" },
        );
    }

    /// A figure with a minimum and an aim: more is better.
    pub fn aims_up(&mut self, name: &str, figure: f64, minimum: f64, aim: f64, unit: &str) {
        self.goal(
            name,
            figure,
            figure >= minimum,
            figure >= aim,
            &format!("minimum {}, aim {} {unit}", number(minimum), number(aim)),
            unit,
        );
    }

    /// A figure with a minimum and an aim: less is better.
    pub fn aims_down(&mut self, name: &str, figure: f64, minimum: f64, aim: f64, unit: &str) {
        self.goal(
            name,
            figure,
            figure <= minimum,
            figure <= aim,
            &format!("at most {}, aim {} {unit}", number(minimum), number(aim)),
            unit,
        );
    }

    fn goal(&mut self, name: &str, figure: f64, kept: bool, reached: bool, against: &str, unit: &str) {
        let aim = if reached { "aim met" } else { "aim not met" };
        self.push(name, format!("{} {unit}", number(figure)), format!("{against}: {aim}"), if kept { "OK" } else { "MISS" });
    }

    /// A figure nothing was promised about.
    pub fn says(&mut self, name: &str, figure: f64, unit: &str, beside: &str) {
        self.push(name, format!("{} {unit}", number(figure)), beside.to_owned(), "");
    }

    /// Something that could not be measured, and why.
    pub fn skipped(&mut self, name: &str, why: &str) {
        self.push(name, "-".to_owned(), why.to_owned(), "SKIPPED");
    }

    pub fn print(&self) {
        for row in &self.rows {
            println!("{}", line(row));
        }
        let count = |word| self.rows.iter().filter(|r| r.verdict == word).count();
        println!("{} kept, {} missed, {} skipped", count("OK"), count("MISS"), count("SKIPPED"));
    }

    fn push(&mut self, name: &str, figure: String, against: String, verdict: &'static str) {
        let row = Row { section: self.section, name: name.to_owned(), figure, against, verdict };
        println!("{}", line(&row));
        self.rows.push(row);
    }
}

fn line(row: &Row) -> String {
    format!("{:<8} {:<58} {:>22}   {:<44} {}", row.section, row.name, row.figure, row.against, row.verdict).trim_end().to_owned()
}

/// Three figures that count; thousands apart.
fn number(n: f64) -> String {
    if n.abs() >= 1_000.0 {
        let digits = format!("{:.0}", n.abs());
        let mut out = String::from(if n < 0.0 { "-" } else { "" });
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        return out;
    }
    let places = if n == n.trunc() || n.abs() >= 100.0 {
        0
    } else if n.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{n:.places$}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn figures_are_readable() {
        let shown = [0.0, 0.123, 12.34, 250.0, 999.6, 1_000.0, 1_234_567.8, -4_321.0].map(super::number);
        assert_eq!(shown, ["0", "0.12", "12.3", "250", "1000", "1,000", "1,234,568", "-4,321"]);
    }
}
