//! Changing the guest's RAM from outside, by QEMU's debugger port. Faults are made so, never by a hook in the product.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Writes bytes at a physical address. The guest stands still afterwards.
pub(crate) fn write(socket: &Path, physical: u64, bytes: &[u8]) -> Result<()> {
    let mut line = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    line.set_read_timeout(Some(Duration::from_secs(20)))?;
    // Physical addresses, not those of whatever program runs just now.
    command(&mut line, "Qqemu.PhyMemMode:1")?;
    let text = hex::encode(bytes);
    command(&mut line, &format!("M{physical:x},{:x}:{text}", bytes.len()))
}

/// One packet of the remote protocol, which must be answered with OK.
fn command(line: &mut UnixStream, text: &str) -> Result<()> {
    line.write_all(packet(text).as_bytes())?;
    loop {
        let answer = answer(line)?;
        // Being connected stops the guest, which is told in between.
        if answer.contains("$T") {
            continue;
        }
        ensure!(answer.contains("$OK#"), "the debugger port says {answer} to {text}");
        return Ok(());
    }
}

fn answer(line: &mut UnixStream) -> Result<String> {
    let mut heard = Vec::new();
    while !heard.windows(3).any(|end| matches!(end, [b'#', _, _])) {
        let mut byte = [0];
        line.read_exact(&mut byte)
            .context("the debugger port does not answer")?;
        heard.extend(byte);
    }
    line.write_all(b"+")?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

fn packet(text: &str) -> String {
    let sum = text.bytes().fold(0u8, u8::wrapping_add);
    format!("${text}#{sum:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_ends_with_the_sum_of_its_letters() {
        assert_eq!(packet("qSupported"), "$qSupported#37");
    }
}
