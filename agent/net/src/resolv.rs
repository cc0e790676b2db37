//! The list of name servers, in RAM.

use crate::error::NetError;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

/// Writes `resolv.conf`: two tries of three seconds each, so that a dead server is noticed.
pub(crate) fn write(path: &Path, servers: &[Ipv4Addr]) -> Result<(), NetError> {
    let mut text = String::new();
    for server in servers.iter().take(3) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "nameserver {server}");
    }
    text.push_str("options timeout:3 attempts:2\n");
    std::fs::write(path, text).map_err(|e| NetError::Kernel {
        asked: format!("write {}", path.display()),
        answer: e.to_string(),
    })
}
