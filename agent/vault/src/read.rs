//! A cursor over bytes that never panics.

use crate::error::VaultError;

/// Reads big-endian fields off the front of a slice.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], VaultError> {
        let (head, tail) = self
            .0
            .split_at_checked(n)
            .ok_or(VaultError::Damaged("it ends too early"))?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], VaultError> {
        let (head, tail) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(VaultError::Damaged("it ends too early"))?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, VaultError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, VaultError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, VaultError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, VaultError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A field with a two-byte length before it.
    pub(crate) fn short(&mut self) -> Result<&'a [u8], VaultError> {
        let n = self.u16()?;
        self.take(usize::from(n))
    }

    /// Refuses anything left over.
    pub(crate) fn end(&self) -> Result<(), VaultError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(VaultError::Damaged("there is something behind its end"))
        }
    }
}
