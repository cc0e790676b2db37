//! Asking for passphrases: the one that opens, and a new one that is strong enough.

use std::io::IsTerminal;

use skykeep_core::{Explained, Secret, Trouble};
use skykeep_vault::{SlotKind, recovery, strength};

use crate::console::prompt;

/// The question before a vault is opened.
pub const PASSPHRASE: &str = "Passphrase: ";

/// A new passphrase. At a terminal a generated one is offered and whatever is chosen is typed a second time; elsewhere
/// it is the next line of standard input, or, with `generate`, a generated one that is printed once.
pub fn new_passphrase(generate: bool) -> Result<Secret, Trouble> {
    if generate {
        let made = recovery::generate_passphrase()?;
        println!("{}", made.expose_str().unwrap_or_default());
        return Ok(made);
    }
    if !std::io::stdin().is_terminal() {
        let typed = prompt::hidden_line("New passphrase: ")?;
        strength::check(&typed)?;
        return Ok(typed);
    }
    let offer = recovery::generate_passphrase()?;
    eprintln!(
        "The vault is a public file: only its passphrase protects it. Write this one down and keep it:\n\n    {}\n\n\
         Accents are compared in Unicode form NFC: typed as one key or as two, they are the same.",
        offer.expose_str().unwrap_or_default()
    );
    let chosen = loop {
        let typed = prompt::hidden_line("New passphrase (Enter takes the words above): ")?;
        if typed.is_empty() {
            break offer;
        }
        match strength::check(&typed) {
            Ok(()) => break typed,
            Err(error) => eprintln!("{}", Trouble::from(error)),
        }
    };
    let again = prompt::hidden_line("The same again: ")?;
    if again.expose() == chosen.expose() {
        return Ok(chosen);
    }
    Err(Explained {
        what: "Nothing was changed".into(),
        why: "the two passphrases differ".into(),
        remedy: "Start again; the words that were offered are gone.".into(),
    }
    .into())
}

/// A new secret for a slot of this kind. A recovery code is made here and printed once.
pub fn new_for(kind: SlotKind, generate: bool) -> Result<Secret, Trouble> {
    if kind != SlotKind::Recovery {
        return new_passphrase(generate);
    }
    let code = recovery::generate_recovery()?;
    eprintln!("The recovery code, shown this once. Write it on paper; four letters of each word are enough:");
    for (number, word) in (1..).zip(code.expose_str().unwrap_or_default().split(' ')) {
        println!("{number:>2} {word}");
    }
    Ok(code)
}
