//! Server-sent events out of bytes as they arrive, cut anywhere: what `tail` reads. The server is not trusted to be ours.
//!
//! Limits: a block (one event) of at most `BLOCK_BYTES_MAX`; a longer one ends the reading, because it would never be an alert.

/// An alert with all its evidence ids is a few hundred KiB at most.
pub const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One event of the feed; what a block does not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub id: String,
    pub name: String,
    pub data: String,
}

/// The server sent a block without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endless;

/// Bytes that are no whole block yet.
#[derive(Default)]
pub struct Blocks {
    rest: Vec<u8>,
    /// Up to here there is no end of a block.
    looked: usize,
}

impl Blocks {
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Endless> {
        if self.rest.len().saturating_add(bytes.len()) > BLOCK_BYTES_MAX {
            // Whole blocks may be among them; they are to be taken out with `take` before more is pushed.
            return Err(Endless);
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole block, if there is one. Comments alone give an empty one.
    pub fn take(&mut self) -> Option<Told> {
        let from = self.looked.saturating_sub(1);
        let Some(end) = self.rest.get(from..).and_then(|rest| rest.windows(2).position(|w| w == b"\n\n")) else {
            self.looked = self.rest.len();
            return None;
        };
        let block: Vec<u8> = self.rest.drain(..from + end + 2).collect();
        self.looked = 0;
        Some(read(&String::from_utf8_lossy(&block)))
    }
}

fn read(block: &str) -> Told {
    let field = |name: &str| block.lines().find_map(|l| l.strip_prefix(name)).map(str::trim).unwrap_or_default().to_owned();
    Told { id: field("id:"), name: field("event:"), data: field("data:") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_the_same_wherever_the_bytes_are_cut() {
        let text = ": hello\n\nid: 7-1\nevent: alert\ndata: {\"a\":\"\u{4e2d}\"}\n\nevent: resync\n\nid: half";
        let whole = |size: usize| {
            let (mut blocks, mut all) = (Blocks::default(), Vec::new());
            for part in text.as_bytes().chunks(size) {
                blocks.push(part).unwrap();
                all.extend(std::iter::from_fn(|| blocks.take()));
            }
            all
        };
        let all = whole(text.len());
        assert_eq!((all.len(), all[1].id.as_str(), all[1].name.as_str()), (3, "7-1", "alert"));
        assert_eq!((all[1].data.as_str(), all[2].name.as_str()), ("{\"a\":\"\u{4e2d}\"}", "resync"));
        for size in 1..text.len() {
            assert_eq!(whole(size), all, "{size}");
        }
    }

    #[test]
    fn a_block_without_an_end_is_refused() {
        let mut blocks = Blocks::default();
        let part = vec![b'x'; BLOCK_BYTES_MAX / 2];
        assert_eq!((blocks.push(&part), blocks.push(&part), blocks.push(b"x")), (Ok(()), Ok(()), Err(Endless)));
        assert_eq!(blocks.take(), None);
    }
}
