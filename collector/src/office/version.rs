//! Which of two package versions is the newer, as Debian's policy manual (5.6.12) orders them; rpm's versions without `^` order alike.
//!
//! `[epoch:]upstream[-revision]`: the epoch by number, then both parts by turns of non-digits and digits; letters before other signs, `~` before
//! everything, also the end.

use std::cmp::Ordering;

pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    a.0.cmp(&b.0).then_with(|| part(a.1, b.1)).then_with(|| part(a.2, b.2))
}

/// Epoch, upstream version, revision.
fn parts(text: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, text),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

fn part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (words_a, rest_a) = split(a, |c| !c.is_ascii_digit());
        let (words_b, rest_b) = split(b, |c| !c.is_ascii_digit());
        let (number_a, left_a) = split(rest_a, |c| c.is_ascii_digit());
        let (number_b, left_b) = split(rest_b, |c| c.is_ascii_digit());
        let order = words(words_a, words_b).then_with(|| number(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (left_a, left_b);
    }
    Ordering::Equal
}

fn split(text: &str, of: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !of(c)).unwrap_or(text.len()))
}

/// The end of a text weighs 0, `~` less, letters their place, other signs more than any letter.
fn words(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        None => 0,
        Some('~') => -1,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(c)),
        Some(c) => i64::from(u32::from(c)) + 256,
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (x, y) = (a.next(), b.next());
        match weight(x).cmp(&weight(y)) {
            Ordering::Equal if x.is_none() && y.is_none() => return Ordering::Equal,
            Ordering::Equal => {}
            other => return other,
        }
    }
}

/// Numbers of any length.
fn number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of Debian's own test of `dpkg --compare-versions` and of the policy's text, older first.
    #[test]
    fn versions_are_ordered_as_the_policy_says() {
        let rising = [
            ("1.0~beta1~svn1245", "1.0~beta1"),
            ("1.0~beta1", "1.0"),
            ("~~", "~~a"),
            ("~~a", "~"),
            ("~", ""),
            ("", "a"),
            ("1.2.3", "1.2.10"),
            ("1.0a", "1.0+"),
            ("7.4.1-1", "7.4.1-2"),
            ("7.4.1-1", "7.4.1-1+deb12u1"),
            ("9:1.0", "10:0.5"),
            ("3.0.14-1~deb12u2", "3.0.15-1~deb12u1"),
            ("3.0.7-9.el9", "3.0.7-27.el9"),
            ("2.0", "1:1.0"),
            ("99999999999999999999", "100000000000000000000"),
        ];
        for (older, newer) in rising {
            assert_eq!((compare(older, newer), compare(newer, older)), (Ordering::Less, Ordering::Greater), "{older} {newer}");
        }
        for (one, same) in [("1.0", "1.0"), ("0:1.0", "1.0"), ("1.00", "1.0"), ("1.0-", "1.0")] {
            assert_eq!(compare(one, same), Ordering::Equal, "{one} {same}");
        }
    }
}
