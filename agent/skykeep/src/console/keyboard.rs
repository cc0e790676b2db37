//! The layout of the keyboard in front of the screen: said where a passphrase is asked for, and changed there by one key.

use std::{
    io::{self, stdin},
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
};

use skykeep_core::castle::Keyboard;

use super::layout;

/// The kernel's own at start.
static ACTIVE: Mutex<Keyboard> = Mutex::new(Keyboard::Us);

/// Sets the layout. On a line that has none, nothing is done.
///
/// # Errors
/// When the kernel does not allow it.
pub fn set(keyboard: Keyboard) -> io::Result<()> {
    let mut active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    if *active != keyboard && skykeep_sys::has_keyboard(stdin().as_fd()) {
        skykeep_sys::set_keys(stdin().as_fd(), layout::keys(keyboard))?;
        *active = keyboard;
    }
    Ok(())
}

/// Takes the next layout, and says which.
pub fn next() -> String {
    let active = *ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    match set(layout::after(active)) {
        Ok(()) => line(),
        Err(e) => format!("The keyboard's layout can't be changed: {e}"),
    }
}

/// Which layout holds, how it is changed, and how accents are compared.
pub fn line() -> String {
    let active = *ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
    said(skykeep_sys::has_keyboard(stdin().as_fd()).then_some(active))
}

fn said(keyboard: Option<Keyboard>) -> String {
    let layout = match keyboard {
        Some(keyboard) => format!("{}; Ctrl-L takes the next one", layout::name(keyboard)),
        None => "as set at the other end of this serial line".into(),
    };
    format!("Keyboard: {layout}. Accents: Unicode NFC.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_named_and_a_serial_line_has_none() {
        assert_eq!(
            said(Some(Keyboard::It)),
            "Keyboard: Italian (it); Ctrl-L takes the next one. Accents: Unicode NFC."
        );
        let serial = said(None);
        assert!(serial.contains("other end") && serial.len() <= 80, "{serial}");
    }

    #[test]
    fn where_there_is_no_screen_nothing_is_changed_and_that_is_no_error() {
        // The tests' own input is no screen's keyboard.
        assert!(set(Keyboard::Fr).is_ok());
        assert!(next().contains("other end"));
    }
}
