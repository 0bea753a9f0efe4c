//! Known exploited flaws (KEV) and chances of exploitation (EPSS), read from the files of `[weakness]`; `exchange::weakness` knows their forms.
//! Grading asks them: `vedette grade --weakness FILE`.

use std::io::Read;
use std::path::PathBuf;

use exchange::weakness::Weaknesses;

/// Bytes of one file; EPSS of all flaws has 10 MB.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Reads the files in order, a later one over an earlier one of its kind. What cannot be read is named; the others count.
pub fn load(paths: &[PathBuf]) -> (Weaknesses, Vec<String>) {
    let (mut all, mut problems) = (Weaknesses::default(), Vec::new());
    for path in paths {
        let shown = path.display();
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            problems.push(format!("{shown}: {error}"));
            continue;
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            problems.push(format!("{shown}: larger than {} MiB", FILE_BYTES_MAX >> 20));
            continue;
        }
        match all.read(&bytes) {
            Ok(read) => problems.extend(read.problems.into_iter().map(|(line, reason)| format!("{shown}:{line}: {reason}"))),
            Err(reason) => problems.push(format!("{shown}: {reason}")),
        }
    }
    (all, problems)
}
