//! Power button and lid, as the kernel's input devices tell them.

use super::verdict::Event;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::Sender;

/// Bytes of one `struct input_event` on 64-bit Linux: two words of time, type, code, value.
const EVENT: usize = 24;
const EV_KEY: u16 = 1;
const EV_SW: u16 = 5;
const KEY_A: usize = 30;
const KEY_POWER: u16 = 116;
const SW_LID: u16 = 0;
/// How often new devices are looked for, milliseconds.
const LOOK: u16 = 1000;

/// Tells each press of the power button and each closing of the lid. Ends when nobody listens.
pub fn watch(tell: &Sender<Event>) {
    let mut open: BTreeMap<String, File> = BTreeMap::new();
    loop {
        look_for_devices(&mut open);
        let mut ready: Vec<PollFd> = open
            .values()
            .map(|f| PollFd::new(f.as_fd(), PollFlags::POLLIN))
            .collect();
        if poll(&mut ready, PollTimeout::from(LOOK)).is_err() {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        drop(ready);
        // Nothing ready answers "would block"; a device that is gone answers an error for ever, so it is closed.
        open.retain(|_, file| {
            let mut bytes = [0; EVENT * 64];
            match file.read(&mut bytes) {
                Ok(n) => {
                    let said = bytes.get(..n).unwrap_or_default();
                    meaning(said).into_iter().all(|event| tell.send(event).is_ok())
                }
                Err(e) => e.kind() == std::io::ErrorKind::WouldBlock,
            }
        });
    }
}

fn look_for_devices(open: &mut BTreeMap<String, File>) {
    for entry in fs::read_dir("/sys/class/input").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("event") || open.contains_key(&name) {
            continue;
        }
        let capabilities = |kind: &str| fs::read_to_string(entry.path().join("device/capabilities").join(kind));
        let keys = capabilities("key").unwrap_or_default();
        let switches = capabilities("sw").unwrap_or_default();
        if !is_button(&keys, &switches) {
            continue;
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open(Path::new("/dev/input").join(&name));
        if let Ok(file) = opened {
            open.insert(name, file);
        }
    }
}

/// Whether a device has a power button or a lid and no letters: a keyboard is never opened, or the kernel would keep what is typed on it for us.
fn is_button(keys: &str, switches: &str) -> bool {
    !has(keys, KEY_A) && (has(keys, usize::from(KEY_POWER)) || has(switches, usize::from(SW_LID)))
}

/// One bit of a capability list: 64-bit words in hexadecimal, the lowest last.
fn has(words: &str, bit: usize) -> bool {
    let word = words.split_whitespace().rev().nth(bit / 64);
    word.and_then(|word| u64::from_str_radix(word, 16).ok())
        .is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

/// What a run of input events means.
fn meaning(bytes: &[u8]) -> Vec<Event> {
    let (events, _rest) = bytes.as_chunks::<EVENT>();
    let said = events.iter().filter_map(|event| {
        let [.., k0, k1, c0, c1, v0, v1, v2, v3] = *event;
        let kind = u16::from_ne_bytes([k0, k1]);
        let code = u16::from_ne_bytes([c0, c1]);
        match (kind, code, i32::from_ne_bytes([v0, v1, v2, v3])) {
            (EV_KEY, KEY_POWER, 1) => Some(Event::PowerButton),
            (EV_SW, SW_LID, 1) => Some(Event::LidClosed),
            _ => None,
        }
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![7; 16];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_press_and_a_closing_count_and_a_release_and_an_opening_do_not() {
        let said = [
            event(EV_KEY, KEY_POWER, 1),
            event(EV_KEY, KEY_POWER, 0),
            event(0, 0, 0),
            event(EV_SW, SW_LID, 1),
            event(EV_SW, SW_LID, 0),
        ];
        assert_eq!(meaning(&said.concat()), [Event::PowerButton, Event::LidClosed]);
        assert!(meaning(&event(EV_KEY, 30, 1)).is_empty());
        assert!(meaning(&[1; 23]).is_empty(), "half an event");
    }

    #[test]
    fn the_acpi_buttons_are_watched_and_keyboards_are_not() {
        // As /sys shows them: LNXPWRBN, a lid, an AT keyboard, a USB keyboard's second interface with a power key.
        assert!(is_button("10000000000000 0\n", "0\n"));
        assert!(is_button("0\n", "1\n"));
        let keyboard = "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n";
        assert!(!is_button(keyboard, "0\n"));
        assert!(!is_button("10000000000000 40000000\n", "1\n"));
        assert!(!is_button("", ""));
        assert!(!is_button("rubbish", "more rubbish"));
    }
}
