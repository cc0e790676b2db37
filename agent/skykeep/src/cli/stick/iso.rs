//! Where the files lie in the hybrid file: ISO 9660 with Rock Ridge names (ECMA-119; IEEE P1282). Files are contiguous there, so the owner's part can be
//! replaced in place.

/// A file's place: first byte and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub at: u64,
    /// Bytes.
    pub length: u64,
}

const SECTOR: u64 = 2048;
/// The volume descriptor's place.
pub const DESCRIPTOR: Place = Place {
    at: 16 * SECTOR,
    length: SECTOR,
};
/// No folder of ours is longer.
const LONGEST_FOLDER: u64 = 64 * SECTOR;

/// The whole volume's length and the root folder's place, from the volume descriptor. The error says what is wrong.
pub fn volume(descriptor: &[u8]) -> Result<(u64, Place), String> {
    if descriptor.get(..6) != Some(b"\x01CD001") {
        return Err("it does not begin like an ISO".into());
    }
    let sectors = number(descriptor, 80).ok_or("its description is cut off")?;
    let root = descriptor
        .get(156..190)
        .and_then(entry)
        .ok_or("its root folder is damaged")?;
    Ok((sectors * SECTOR, root.1))
}

/// The names in a folder with their places. Stops at what it does not understand.
pub fn folder(content: &[u8]) -> Vec<(String, Place)> {
    let mut found = Vec::new();
    for sector in content.chunks(2048) {
        let mut rest = sector;
        while let Some(length) = rest.first().map(|byte| usize::from(*byte)).filter(|length| *length > 0) {
            let Some((name, place)) = rest.get(..length).and_then(entry) else {
                break;
            };
            found.push((name, place));
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    found
}

/// Finds a file by its path, reading folders by `read`.
pub fn find<E>(root: Place, path: &str, mut read: impl FnMut(Place) -> Result<Vec<u8>, E>) -> Result<Option<Place>, E> {
    let mut here = root;
    for part in path.split('/') {
        if here.length > LONGEST_FOLDER {
            return Ok(None);
        }
        let Some((_, place)) = folder(&read(here)?).into_iter().find(|(name, _)| name == part) else {
            return Ok(None);
        };
        here = place;
    }
    Ok(Some(here))
}

/// One directory record: its Rock Ridge name (or its plain one) and its place.
fn entry(record: &[u8]) -> Option<(String, Place)> {
    let place = Place {
        at: number(record, 2)? * SECTOR,
        length: number(record, 10)?,
    };
    let length = usize::from(*record.get(32)?);
    let plain = record.get(33..33 + length)?;
    // System use entries begin at an even byte: two letters, length, version, content.
    let mut rest = record.get(33 + length + (length + 1) % 2..).unwrap_or_default();
    while let [a, b, size, _, ..] = rest {
        let size = usize::from(*size);
        if size < 4 {
            break;
        }
        if (*a, *b) == (b'N', b'M')
            && let Some(name) = rest.get(5..size)
        {
            return Some((String::from_utf8_lossy(name).into_owned(), place));
        }
        rest = rest.get(size..).unwrap_or_default();
    }
    Some((String::from_utf8_lossy(plain).into_owned(), place))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u64::from(u32::from_le_bytes(four)))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A directory record with a Rock Ridge name.
    pub fn record(name: &str, place: Place) -> Vec<u8> {
        let mut out = vec![0, 0];
        let both = |out: &mut Vec<u8>, value: u64| {
            let value = u32::try_from(value).expect("small");
            out.extend(value.to_le_bytes());
            out.extend(value.to_be_bytes());
        };
        both(&mut out, place.at / SECTOR);
        both(&mut out, place.length);
        out.resize(32, 0);
        out.extend([1, b'X']);
        out.extend([b'P', b'X', 6, 1, 0, 0]);
        out.extend([b'N', b'M', u8::try_from(name.len() + 5).expect("short"), 1, 0]);
        out.extend(name.bytes());
        out.resize(out.len().next_multiple_of(2), 0);
        *out.first_mut().expect("first") = u8::try_from(out.len()).expect("short");
        out
    }

    /// A volume descriptor.
    pub fn descriptor(sectors: u32, root: Place) -> Vec<u8> {
        let mut out = b"\x01CD001".to_vec();
        out.resize(80, 0);
        out.extend(sectors.to_le_bytes());
        out.resize(156, 0);
        out.extend(record("", root));
        out.resize(2048, 0);
        out
    }

    #[test]
    fn a_file_is_found_by_its_rock_ridge_path() {
        let place = |at, length| Place { at, length };
        let root = place(20 * SECTOR, SECTOR);
        let (length, found) = volume(&descriptor(30, root)).expect("volume");
        assert_eq!((length, found), (30 * SECTOR, root));
        let read = |asked: Place| -> Result<Vec<u8>, ()> {
            let mut content = if asked == root {
                record("skykeep", place(21 * SECTOR, SECTOR))
            } else {
                [record("initrd", place(0, 5)), record("personal", place(22 * SECTOR, 9))].concat()
            };
            content.resize(2048, 0);
            Ok(content)
        };
        assert_eq!(find(root, "skykeep/personal", read), Ok(Some(place(22 * SECTOR, 9))));
        assert_eq!(find(root, "skykeep/nothing", read), Ok(None));
    }

    #[test]
    fn rubbish_is_refused_and_never_a_crash() {
        assert!(volume(&[]).is_err());
        assert!(volume(&[0xff; 2048]).is_err());
        assert!(volume(b"\x01CD001").is_err());
        for byte in 0..=255u8 {
            let _ = folder(&[byte; 2048]);
        }
    }
}
