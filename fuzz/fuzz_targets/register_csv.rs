//! Any text as a register in CSV: refused with a line, or rows that are written out and read back as they are.
#![no_main]
use collector::register::Declared;
use collector::register::table::{read_csv, write_csv};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match read_csv(text, &Declared::default()) {
        Ok(read) => {
            let mut all = Declared::default();
            read.rows.iter().for_each(|(_, row)| all.put(row.clone()));
            let _ = read.misfits(&all);
            let again = read_csv(&write_csv(&all, None), &Declared::default()).expect("what is written can be read");
            let mut back = Declared::default();
            again.rows.iter().for_each(|(_, row)| back.put(row.clone()));
            assert_eq!(back, all);
        }
        Err(problems) => assert!(problems.iter().all(|p| !p.text.en.is_empty() && !p.text.zh.is_empty())),
    }
});
