//! Access control lists: ext4 keeps them shorter than the kernel gives them.

/// From ext4's form to that of the attributes `system.posix_acl_*`; `None` when it is none.
pub(super) fn to_attribute(kept: &[u8]) -> Option<Vec<u8>> {
    let mut rest = kept.strip_prefix(&1u32.to_le_bytes())?;
    let mut attribute = 2u32.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let (entry, later) = rest.split_at_checked(4)?;
        attribute.extend(entry);
        let tag = u16::from_le_bytes([*entry.first()?, *entry.get(1)?]);
        // Only a named user and a named group have a number.
        rest = match tag {
            2 | 8 => {
                let (number, later) = later.split_at_checked(4)?;
                attribute.extend(number);
                later
            }
            1 | 4 | 16 | 32 => {
                attribute.extend(u32::MAX.to_le_bytes());
                later
            }
            _ => return None,
        };
    }
    Some(attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_list_becomes_a_long_one() {
        let short = [1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 6, 0, 210, 4, 0, 0];
        let long = [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 210, 4, 0, 0];
        assert_eq!(to_attribute(&short).unwrap(), long);
        for wrong in [&short[..15], &short[..3], &[2, 0, 0, 0], &[1, 0, 0, 0, 3, 0, 0, 0]] {
            assert_eq!(to_attribute(wrong), None);
        }
    }
}
