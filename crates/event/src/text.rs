//! Text of a value: what is short lies in place, what is long on the heap.
//!
//! Nine texts in ten of an event have at most 22 bytes (an address, a state, a protocol, a name); each kept in place is one allocation less in
//! every sensor, decoder and store. The size is that of a boxed text and its tag.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

const SHORT_BYTES: usize = 22;

/// An immutable text.
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Short { len: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<str>),
}

const _: () = assert!(size_of::<Text>() == 24);

impl Text {
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // Only whole texts are put in, so this never falls back.
            Repr::Short { len, bytes } => bytes.get(..usize::from(*len)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default(),
            Repr::Long(text) => text,
        }
    }
}

impl Text {
    /// The same without a look at whether it is UTF-8, which it is.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Repr::Long(text) => text.as_bytes(),
        }
    }

    /// A short text from bytes that are ASCII, without a look at whether they are: of others the highest bit is dropped.
    pub(crate) fn ascii(ascii: &[u8]) -> Option<Self> {
        let mut bytes = [b' '; SHORT_BYTES];
        for (place, byte) in bytes.get_mut(..ascii.len())?.iter_mut().zip(ascii) {
            *place = byte & 0x7f;
        }
        Some(Self(Repr::Short { len: ascii.len() as u8, bytes }))
    }

    /// A text that lies in place, with blanks behind it, and its length.
    #[inline]
    pub(crate) fn short(&self) -> Option<(&[u8; SHORT_BYTES], usize)> {
        if let Repr::Short { len, bytes } = &self.0 { Some((bytes, usize::from(*len))) } else { None }
    }
}

impl From<&str> for Text {
    #[inline]
    fn from(text: &str) -> Self {
        // Blanks behind a text: nothing there that JSON would have to escape.
        let mut bytes = [b' '; SHORT_BYTES];
        match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Self(Repr::Short { len: text.len() as u8, bytes })
            }
            None => Self(Repr::Long(text.into())),
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        if text.len() <= SHORT_BYTES { Self::from(text.as_str()) } else { Self(Repr::Long(text.into())) }
    }
}

impl From<Box<str>> for Text {
    fn from(text: Box<str>) -> Self {
        if text.len() <= SHORT_BYTES { Self::from(&*text) } else { Self(Repr::Long(text)) }
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from("")
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_out_as_it_went_in() {
        for n in 0..60 {
            for c in ["a", "é", "烽"] {
                let text = c.repeat(n);
                assert_eq!(&*Text::from(text.as_str()), text);
                let ascii = Text::ascii(text.as_bytes());
                assert_eq!(ascii.is_some(), text.len() <= SHORT_BYTES);
                assert!(ascii.is_none_or(|ascii| ascii.is_ascii() && (!text.is_ascii() || *ascii == text)));
                assert_eq!(Text::from(text.clone()), Text::from(text.clone().into_boxed_str()));
                assert_eq!(format!("{} {:?}", Text::from(text.as_str()), Text::from(text.as_str())), format!("{text} {text:?}"));
            }
        }
    }
}
