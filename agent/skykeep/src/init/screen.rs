//! A person in front of a screen, while Skykeep speaks on the serial line.

use std::fs;

/// Tells whoever sits at the screen where Skykeep speaks, when it is not there. A machine without a screen loses nothing.
pub fn point_to_the_serial_line() {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    if let Some(text) = hint(&active) {
        let _ = fs::write("/dev/tty0", text);
    }
}

/// `active` lists the consoles that the kernel writes to; programs talk on the last one. Pure.
fn hint(active: &str) -> Option<String> {
    let spoken = active.split_whitespace().last()?;
    let serial = spoken
        .strip_prefix("tty")?
        .starts_with(|c: char| c.is_ascii_alphabetic());
    serial.then(|| {
        format!(
            "\r\nSkykeep speaks on this machine's serial port ({spoken}), not here.\r\n\
             To use this screen and keyboard: switch off and on again, and choose [o] in the menu.\r\n"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_at_the_screen_is_told_only_when_the_serial_line_is_spoken_on() {
        let text = hint("tty0 ttyS0\n").expect("a hint");
        assert!(text.contains("(ttyS0)") && text.contains("[o]"), "{text}");
        assert_eq!(hint("ttyS0 tty0\n"), None);
        assert_eq!(hint("tty1\n"), None);
        assert_eq!(hint(""), None);
    }
}
