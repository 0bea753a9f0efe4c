//! Patterns for paths: `*`, `?` and `[a-z]` within a part between slashes. A hidden file is matched only by a part that begins with a dot.
//!
//! Limits: 4,096 entries looked at in a folder, 16 folders deep. `**` is refused by the configuration check.

use std::path::{Path, PathBuf};

const ENTRIES_MAX: usize = 4096;
const PARTS_MAX: usize = 16;

/// Why a pattern cannot be used, or nothing.
pub fn refuse(pattern: &str) -> Option<&'static str> {
    if !pattern.starts_with('/') {
        return Some("a path begins with a slash");
    }
    if pattern.contains("**") {
        return Some("'**' is not supported; name each level with '*'");
    }
    if pattern.split('/').any(|part| part == "..") {
        return Some("'..' is not supported; name the folder itself");
    }
    if pattern.split('/').count() > PARTS_MAX {
        return Some("more than 16 levels deep");
    }
    None
}

/// True if the part has a wildcard.
pub fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

/// Paths that match, sorted, at most `max`; false if there are more.
pub fn expand(pattern: &str, max: usize) -> (Vec<PathBuf>, bool) {
    let mut found = vec![PathBuf::from("/")];
    let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).take(PARTS_MAX).collect();
    let mut whole = true;
    for (n, part) in parts.iter().enumerate() {
        let last = n + 1 == parts.len();
        if !is_pattern(part) {
            for path in &mut found {
                path.push(part);
            }
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.take(ENTRIES_MAX).flatten() {
                if entry.file_name().to_str().is_some_and(|name| matches(part, name)) && (last || entry.path().is_dir()) {
                    next.push(entry.path());
                }
            }
        }
        next.sort();
        if next.len() > max {
            next.truncate(max);
            whole = false;
        }
        found = next;
    }
    found.retain(|path| path.exists());
    found.sort();
    (found, whole)
}

/// True if the path matches the pattern part by part; a pattern without a slash is compared with the file name alone.
pub fn path_matches(pattern: &str, path: &Path) -> bool {
    if !pattern.contains('/') {
        return path.file_name().and_then(|n| n.to_str()).is_some_and(|name| matches(pattern, name));
    }
    let Some(path) = path.to_str() else { return false };
    let (mut a, mut b) = (pattern.split('/'), path.split('/'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(pattern), Some(name)) if matches(pattern, name) => {}
            _ => return false,
        }
    }
}

/// One part against one name. Linear in both: on a mismatch only the last `*` is tried again.
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let p: Vec<char> = pattern.chars().collect();
    let n: Vec<char> = name.chars().collect();
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < n.len() {
        let step = match p.get(i) {
            Some('*') => {
                star = Some((i, j));
                i += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => set(&p[i..], n[j]),
            Some(c) if *c == n[j] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(width), _) => {
                i += width;
                j += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                i = at + 1;
                j = from + 1;
            }
            (None, None) => return false,
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

/// Width of the set `[…]` at the start of `p` if it has the letter; `None` if not. A `[` without its end is the letter itself.
fn set(p: &[char], letter: char) -> Option<usize> {
    let Some(end) = p.iter().skip(2).position(|c| *c == ']').map(|n| n + 2) else { return (letter == '[').then_some(1) };
    let mut inside = &p[1..end];
    let negated = matches!(inside.first(), Some('!' | '^'));
    if negated {
        inside = &inside[1..];
    }
    let mut has = false;
    let mut at = 0;
    while at < inside.len() {
        if at + 2 < inside.len() && inside[at + 1] == '-' {
            has |= (inside[at]..=inside[at + 2]).contains(&letter);
            at += 3;
        } else {
            has |= inside[at] == letter;
            at += 1;
        }
    }
    (has != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_match_as_a_shell_would() {
        for (pattern, name, yes) in [
            ("*.log", "a.log", true),
            ("*.log", ".a.log", false),
            ("*.log", "a.log.1", false),
            ("a?c*", "abcd", true),
            ("*.[0-9]", "syslog.1", true),
            ("*.[!0-9]", "syslog.1", false),
            ("*-*-*", "a-b-c", true),
            ("*-*-*", "a-b", false),
            ("", "a", false),
            ("[", "[", true),
            ("[]a]", "]", true),
            ("日*", "日志", true),
        ] {
            assert_eq!(matches(pattern, name), yes, "{pattern} {name}");
        }
        assert!(path_matches("/var/log/*/access.log", Path::new("/var/log/nginx/access.log")));
        assert!(!path_matches("/var/log/*", Path::new("/var/log/nginx/access.log")));
        assert!(path_matches("*.gz", Path::new("/var/log/x.gz")));
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)));
    }

    #[test]
    fn a_folder_is_expanded_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.log", "a.log", "c.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let pattern = format!("{}/*.log", dir.path().display());
        let (all, whole) = expand(&pattern, 10);
        assert_eq!(
            (all.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>(), whole),
            (vec!["a.log", "b.log"], true)
        );
        assert!(!expand(&pattern, 1).1);
        assert_eq!(refuse("/a/**/b"), Some("'**' is not supported; name each level with '*'"));
    }
}
