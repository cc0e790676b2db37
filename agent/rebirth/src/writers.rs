//! Programs of the reborn repository that write the cutover's records themselves are held back until their owner chooses.

use skykeep_core::{Explain, Progress, Trouble, castle::Castle};
use skykeep_gitops::{Injection, Layout};

use crate::estate::Estate;

/// The changes that hold them; what somebody has lifted by name (`lifted`) is not held again.
pub(crate) fn holds(estate: &Estate, lifted: &[String]) -> Result<Vec<Injection>, Trouble> {
    let layout = estate.layout()?;
    let all = layout.writers(&estate.castle).into_iter();
    let wanted = all.filter(|one| !lifted.contains(&one.id()));
    Ok(wanted.filter(|one| reach(layout, one).is_ok()).collect())
}

/// Says which are held, and which can't be.
pub(crate) fn tell(layout: &Layout, castle: &Castle, progress: &Progress) {
    for one in layout.writers(castle) {
        match reach(layout, &one) {
            Ok(()) => progress.note(format!("{} is held back until you choose: {}", one.id(), one.why)),
            Err(why) => progress.note(format!("{} CAN NOT BE HELD BACK although {}: {why}", one.id(), one.why)),
        }
    }
}

/// Whether Flux can be told to change this object, and if not, why.
fn reach(layout: &Layout, one: &Injection) -> Result<(), String> {
    let nested = layout.nest(std::slice::from_ref(one));
    nested.map(drop).map_err(|e| e.why())
}
