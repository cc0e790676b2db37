//! gopass: what one decrypted entry means, and under which paths it goes into the vault.
//!
//! A gopass entry is a text whose first line is the secret and whose other lines describe it; or a whole document (a
//! key, JSON, anything that is no text); or a binary file in base64 behind headers. The rule is fixed, so that an
//! import can be shown beforehand and done again:
//! - whole documents go to the entry's own path as they are;
//! - otherwise the first line goes to the entry's path, and what follows, if anything, to `<path>.more`.

use base64::{Engine, prelude::BASE64_STANDARD};
use skykeep_core::Secret;
use zeroize::Zeroizing;

/// A character that a vault path can't have.
const INSTEAD: char = '-';

/// The vault path of a gopass entry: what a path can't have becomes a hyphen.
pub fn path(prefix: &str, name: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let name: String = name.chars().map(|c| if good(c) { c } else { INSTEAD }).collect();
    match prefix.trim_end_matches('/') {
        "" => name,
        prefix => format!("{prefix}/{name}"),
    }
}

/// Splits a decrypted entry into vault entries: the suffix of each path, and its value.
pub fn split(plain: &[u8]) -> Vec<(&'static str, Secret)> {
    if let Some(binary) = attached(plain) {
        return vec![("", binary)];
    }
    let text = std::str::from_utf8(plain).ok();
    let whole = text.is_none_or(|t| t.starts_with("-----BEGIN ") || t.starts_with(['{', '[']));
    let end = plain.iter().position(|b| *b == b'\n').unwrap_or(plain.len());
    let (first, rest) = plain.split_at(end);
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    if whole || first.is_empty() {
        return vec![("", Secret::new(plain.to_vec()))];
    }
    let mut parts = vec![("", Secret::new(first.strip_suffix(b"\r").unwrap_or(first).to_vec()))];
    if rest.iter().any(|b| !b.is_ascii_whitespace()) {
        parts.push((".more", Secret::new(rest.to_vec())));
    }
    parts
}

/// The content of a binary entry, as `gopass fscopy` and `gopass cat` write it: an empty first line, headers, and base64 right behind them (or, as in other
/// versions, after an empty line).
fn attached(plain: &[u8]) -> Option<Secret> {
    let text = std::str::from_utf8(plain).ok()?;
    let mut lines = text.lines().skip_while(|line| line.is_empty()).peekable();
    let mut base64 = false;
    while let Some((name, value)) = lines.peek().copied().and_then(|line| line.split_once(':')) {
        base64 |= name.trim().eq_ignore_ascii_case("content-transfer-encoding")
            && value.trim().eq_ignore_ascii_case("base64");
        lines.next();
    }
    if !base64 {
        return None;
    }
    let mut packed = Zeroizing::new(String::with_capacity(text.len()));
    packed.extend(lines.flat_map(str::chars).filter(|c| !c.is_ascii_whitespace()));
    BASE64_STANDARD.decode(&*packed).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(plain: &[u8]) -> Vec<(String, Vec<u8>)> {
        split(plain)
            .into_iter()
            .map(|(s, v)| (s.to_owned(), v.expose().to_vec()))
            .collect()
    }

    fn one(value: &[u8]) -> Vec<(String, Vec<u8>)> {
        vec![(String::new(), value.to_vec())]
    }

    #[test]
    fn the_first_line_is_the_secret_and_the_rest_is_kept_beside_it() {
        assert_eq!(parts(b"ghp_x\n"), one(b"ghp_x"));
        assert_eq!(parts(b"ghp_x"), one(b"ghp_x"));
        let more = (".more".to_owned(), b"user: ada\nurl: x\n".to_vec());
        assert_eq!(parts(b"pw\r\nuser: ada\nurl: x\n"), [one(b"pw"), vec![more]].concat());
        assert_eq!(parts(b"pw\n\n"), one(b"pw"));
    }

    #[test]
    fn documents_stay_whole() {
        for whole in [
            &b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END"[..],
            b"{\n \"a\": 1\n}\n",
            b"\xff\n\x00",
            b"\nx\n",
        ] {
            assert_eq!(parts(whole), one(whole));
        }
    }

    #[test]
    fn a_binary_file_is_unpacked() {
        let plain = b"\ncontent-disposition: attachment; filename=\"k\"\ncontent-transfer-encoding: Base64\n\nAAH/\n";
        assert_eq!(parts(plain), one(&[0, 1, 255]));
        // As gopass 1.16.1 wrote it.
        let plain = b"\nContent-Disposition: attachment; filename=\"k\"\nContent-Transfer-Encoding: Base64\nAAH/\n";
        assert_eq!(parts(plain), one(&[0, 1, 255]));
        let plain = b"pw\nContent-Transfer-Encoding: Base64\nAAH/\n";
        assert_eq!(parts(plain).len(), 2, "a password and what is beside it");
    }

    #[test]
    fn names_become_paths_in_a_way_that_can_be_repeated() {
        assert_eq!(path("gopass/", "web/my site@x"), "gopass/web/my-site-x");
        assert_eq!(path("", "caf\u{e9}"), "caf-");
    }
}
