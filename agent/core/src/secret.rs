//! A value that must not be seen: no `Debug`, `Display`, `Clone` or `Serialize`; wiped when dropped.

use skykeep_sys::LockedBuf;
use zeroize::Zeroize;

/// Secret bytes in locked memory that stays out of core dumps and is wiped on drop.
pub struct Secret(LockedBuf);

impl Secret {
    /// Takes the bytes over; the vector is wiped.
    pub fn new(mut bytes: Vec<u8>) -> Self {
        let secret = Secret(LockedBuf::from_slice_wiping(&mut bytes));
        bytes.zeroize();
        secret
    }

    /// Takes a text over; the string is wiped.
    pub fn from_string(text: String) -> Self {
        Secret::new(text.into_bytes())
    }

    /// The bytes, for the moment of their use.
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The bytes as text, for the moment of their use; `None` when they are not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(self.0.as_slice()).ok()
    }

    /// A second copy, on purpose and by name (there is no `Clone`).
    pub fn duplicate(&self) -> Self {
        Secret::new(self.0.as_slice().to_vec())
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.as_slice().len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
