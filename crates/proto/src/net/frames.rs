//! Cuts one direction into messages that begin with their length, and gives the head of each.
//!
//! Limits: of a message `Shape::keep` bytes are held and given, the rest is passed over without being copied, so a file sent in messages of
//! megabytes costs a few comparisons a segment. What is no message puts the reader out of step; it looks for the next piece that begins with one.

/// How messages of a protocol are told apart.
pub(crate) struct Shape {
    /// Bytes in which the length stands.
    pub header: usize,
    /// Bytes of a message that are looked at.
    pub keep: usize,
    /// Length of the message these bytes (at least `header`) begin, header included; 0 if that takes more bytes to know; nothing if they
    /// begin none.
    pub length: fn(&[u8]) -> Option<usize>,
    /// Where the next message begins in bytes behind a gap.
    pub sync: fn(&[u8]) -> Option<usize>,
}

#[derive(Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    /// Bytes of the message that are still to pass.
    skip: usize,
    lost: bool,
}

impl Frames {
    /// Bytes are missing: what was begun is forgotten.
    pub(crate) fn gap(&mut self) {
        *self = Self { lost: true, ..Self::default() };
    }

    /// Gives the head of each message with its whole length to `each`, which says whether to go on. False if the bytes fell out of step.
    pub(crate) fn feed(&mut self, shape: &Shape, mut bytes: &[u8], each: &mut dyn FnMut(&[u8], usize) -> bool) -> bool {
        if self.lost {
            let Some(at) = (shape.sync)(bytes) else { return true };
            self.lost = false;
            bytes = bytes.get(at..).unwrap_or_default();
        }
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return true;
            }
            if self.head.is_empty() {
                // The usual case: the message lies in the piece.
                if bytes.len() < shape.header {
                    self.head.extend_from_slice(bytes);
                    return true;
                }
                let Some(length) = (shape.length)(bytes).filter(|l| *l == 0 || *l >= shape.header) else {
                    self.gap();
                    return false;
                };
                if length == 0 {
                    let (first, later) = bytes.split_at(shape.header);
                    self.head.extend_from_slice(first);
                    bytes = later;
                    continue;
                }
                let wanted = length.min(shape.keep);
                let Some(head) = bytes.get(..wanted) else {
                    self.head.extend_from_slice(bytes);
                    return true;
                };
                bytes = bytes.get(wanted..).unwrap_or_default();
                self.skip = length - wanted;
                if !each(head, length) {
                    return true;
                }
                continue;
            }
            let take = |head: &mut Vec<u8>, upto: usize, bytes: &mut &[u8]| {
                let (now, later) = bytes.split_at(upto.saturating_sub(head.len()).min(bytes.len()));
                head.extend_from_slice(now);
                *bytes = later;
                head.len() >= upto
            };
            if !take(&mut self.head, shape.header, &mut bytes) {
                return true;
            }
            let Some(length) = (shape.length)(&self.head).filter(|l| *l == 0 || *l >= shape.header) else {
                self.gap();
                return false;
            };
            if length == 0 {
                if self.head.len() >= shape.keep {
                    self.gap();
                    return false;
                }
                let longer = self.head.len() + 1;
                if !take(&mut self.head, longer, &mut bytes) {
                    return true;
                }
                continue;
            }
            let wanted = length.min(shape.keep);
            if !take(&mut self.head, wanted, &mut bytes) {
                return true;
            }
            self.skip = length - wanted;
            let head = std::mem::take(&mut self.head);
            if !each(&head, length) {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        header: 2,
        keep: 4,
        length: |b| (*b.first()? == b'#').then(|| usize::from(b[1])),
        sync: |b| b.iter().position(|b| *b == b'#'),
    };

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        for step in 1..12 {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for part in b"#\x03a#\x02#\x08bcdefg#\x05xyz".chunks(step) {
                assert!(frames.feed(&SHAPE, part, &mut |head, length| {
                    seen.push((head.to_vec(), length));
                    true
                }));
            }
            let wanted: Vec<(Vec<u8>, usize)> =
                vec![(b"#\x03a".to_vec(), 3), (b"#\x02".to_vec(), 2), (b"#\x08bc".to_vec(), 8), (b"#\x05xy".to_vec(), 5)];
            assert_eq!(seen, wanted, "{step}");
        }
    }

    #[test]
    fn out_of_step_the_next_message_is_looked_for() {
        let (mut frames, mut seen) = (Frames::default(), 0);
        let mut each = |_: &[u8], _: usize| {
            seen += 1;
            true
        };
        assert!(!frames.feed(&SHAPE, b"junk", &mut each));
        assert!(frames.feed(&SHAPE, b"more junk", &mut each));
        assert!(frames.feed(&SHAPE, b"junk#\x03a", &mut each));
        assert_eq!(seen, 1);
    }
}
