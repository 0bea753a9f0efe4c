//! BER as Kerberos, LDAP and SNMP use it: tags of one byte, definite lengths. What is cut gives the part that is there.

/// Walks over elements that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ber<'b>(pub &'b [u8]);

/// Bytes of a header (tag and length), and the length of the content.
pub(crate) fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.get(1)?);
    if first < 0x80 {
        return Some((2, first));
    }
    let count = first & 0x7f;
    if !(1..=4).contains(&count) {
        return None;
    }
    let length = bytes.get(2..2 + count)?.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
    Some((2 + count, length))
}

impl<'b> Ber<'b> {
    /// The next element: tag and content.
    pub(crate) fn next(&mut self) -> Option<(u8, &'b [u8])> {
        let (head, length) = header(self.0)?;
        let tag = *self.0.first()?;
        let end = head.saturating_add(length).min(self.0.len());
        let content = self.0.get(head..end)?;
        self.0 = self.0.get(end..)?;
        Some((tag, content))
    }

    /// The content of the next element, if it has this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'b [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.next()?;
        (found == tag).then(|| {
            *self = ahead;
            content
        })
    }

    /// The next element, if it is an integer or an enumeration.
    pub(crate) fn int(&mut self) -> Option<i64> {
        let mut ahead = *self;
        let (tag, content) = ahead.next()?;
        if !matches!(tag, 2 | 0x0a) {
            return None;
        }
        *self = ahead;
        int(content)
    }

    /// The content of the first element with this tag among those that follow.
    pub(crate) fn find(mut self, tag: u8) -> Option<&'b [u8]> {
        while let Some((found, content)) = self.next() {
            if found == tag {
                return Some(content);
            }
        }
        None
    }
}

/// A number of at most eight bytes.
pub(crate) fn int(content: &[u8]) -> Option<i64> {
    let first = *content.first()?;
    if content.len() > 8 {
        return None;
    }
    let sign = if first & 0x80 == 0 { 0 } else { -1 };
    Some(content.iter().fold(sign, |n, b| n << 8 | i64::from(*b)))
}

/// An object identifier in dots, the first `PARTS_MAX` parts of it.
pub(crate) fn oid(content: &[u8]) -> String {
    const PARTS_MAX: usize = 32;
    let mut parts: Vec<u64> = Vec::new();
    let mut held = 0u64;
    for b in content {
        held = held << 7 | u64::from(b & 0x7f);
        if b & 0x80 == 0 {
            if parts.is_empty() {
                let first = (held / 40).min(2);
                parts.push(first);
                held -= first * 40;
            }
            parts.push(held);
            held = 0;
            if parts.len() >= PARTS_MAX {
                break;
            }
        }
    }
    parts.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_one_after_the_other() {
        let mut ber = Ber(&[0x02, 1, 5, 0x30, 0x81, 2, 4, 0, 0x0a, 2, 0xff, 0x38]);
        assert_eq!((ber.int(), ber.take(0x04), ber.take(0x30)), (Some(5), None, Some(&[4, 0][..])));
        assert_eq!((ber.int(), ber.next()), (Some(-200), None));
        assert_eq!(Ber(&[0x30, 9, 1]).next(), Some((0x30, &[1][..])));
    }

    #[test]
    fn identifiers() {
        assert_eq!(oid(&[0x2b, 6, 1, 4, 1, 0x83, 0x1a]), "1.3.6.1.4.1.410");
        assert_eq!(oid(&[0x88, 0x37, 3]), "2.999.3");
        assert_eq!(oid(&[]), "");
    }
}
