//! The owner's part as the kernel takes it: a `newc` archive (Documentation/driver-api/early-userspace/buffer-format.rst) of plain files under /skykeep.

/// Packs files into `skykeep/`: owned by root, for nobody else to read, without dates; the same bytes for the same files.
pub fn pack<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    member(&mut out, 1, 0o040_700, "skykeep", &[]);
    for (number, (name, content)) in (2..).zip(files) {
        member(&mut out, number, 0o100_600, &format!("skykeep/{name}"), content);
    }
    member(&mut out, 0, 0, "TRAILER!!!", &[]);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn member(out: &mut Vec<u8>, inode: u32, mode: u32, name: &str, content: &[u8]) {
    let size = content.len();
    let length = name.len() + 1;
    out.extend(b"070701");
    // inode, mode, uid, gid, links, mtime, size, device (4), length of the name, checksum (unused)
    for field in [inode, mode, 0, 0, 1, 0] {
        out.extend(format!("{field:08x}").bytes());
    }
    out.extend(format!("{size:08x}").bytes());
    out.extend([b'0'; 32]);
    out.extend(format!("{length:08x}").bytes());
    out.extend([b'0'; 8]);
    out.extend(name.bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(content);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The plain files under `skykeep/` of the first archive in `slot`; none when the slot is empty. The error says what is wrong.
pub fn unpack(slot: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut files = Vec::new();
    let mut at = 0;
    if slot.iter().all(|byte| *byte == 0) {
        return Ok(files);
    }
    loop {
        let header = slot.get(at..at + 110).ok_or("its archive is cut off")?;
        if !header.starts_with(b"070701") {
            return Err(format!("no archive member where one should be, at byte {at}"));
        }
        let field = |number: usize| -> Result<usize, String> {
            header
                .get(6 + number * 8..14 + number * 8)
                .and_then(|text| std::str::from_utf8(text).ok())
                .and_then(|text| usize::from_str_radix(text, 16).ok())
                .ok_or_else(|| format!("a damaged archive member at byte {at}"))
        };
        let (mode, size, length) = (field(1)?, field(6)?, field(11)?);
        let cut = || "its archive is cut off".to_owned();
        let name = slot.get(at + 110..at + 110 + length).ok_or_else(cut)?;
        let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned();
        let start = (at + 110 + length).next_multiple_of(4);
        let content = slot.get(start..start.saturating_add(size)).ok_or_else(cut)?;
        if name == "TRAILER!!!" {
            return Ok(files);
        }
        if let Some(name) = name.strip_prefix("skykeep/")
            && mode & 0o170_000 == 0o100_000
        {
            files.push((name.to_owned(), content.to_vec()));
        }
        at = (start + size).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_cpio_reads_it_too() {
        let files: [(&str, &[u8]); 2] = [("castle.yaml", b"name: rossi\n"), ("vault.skv", &[0, 1, 2])];
        let archive = pack(files);
        let mut slot = archive.clone();
        slot.resize(4096, 0);
        let back = unpack(&slot).expect("unpack");
        assert_eq!(back.len(), 2);
        assert_eq!(back.first().expect("first").1, b"name: rossi\n");
        // Somebody else's reader, from Debian.
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("a"), &archive).expect("write");
        let run = std::process::Command::new("sh")
            .args([
                "-c",
                "cpio -t --quiet <a && cpio -i --quiet --to-stdout 'skykeep/castle.yaml' <a",
            ])
            .current_dir(folder.path())
            .output()
            .expect("cpio");
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert_eq!(
            text, "skykeep\nskykeep/castle.yaml\nskykeep/vault.skv\nname: rossi\n",
            "{run:?}"
        );
    }

    #[test]
    fn an_empty_slot_holds_nothing_and_rubbish_is_an_error() {
        assert_eq!(unpack(&[0; 4096]), Ok(Vec::new()));
        assert!(unpack(&[7; 4096]).is_err());
        let archive = pack([("castle.yaml", [0u8; 100].as_slice())]);
        for end in 1..archive.len() - 512 {
            assert!(unpack(archive.get(..end).expect("part")).is_err(), "{end}");
        }
        let mut huge = archive.clone();
        huge.get_mut(54..62).expect("size").copy_from_slice(b"ffffffff");
        assert!(unpack(&huge).is_err());
    }
}
