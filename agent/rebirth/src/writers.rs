//! Programs of the reborn repository that write the cutover's records themselves are held back until their owner chooses.

use skykeep_core::{Explain, Progress};
use skykeep_gitops::Injection;

use crate::{error::RebirthError, estate::Estate};

/// The changes that hold them; what somebody has lifted by name (`lifted`) is not held again.
pub(crate) fn holds(estate: &Estate, lifted: &[String]) -> Result<Vec<Injection>, RebirthError> {
    let all = skykeep_gitops::writers(estate.repository.get()?, &estate.castle);
    let wanted = all.into_iter().filter(|one| !lifted.contains(&one.id()));
    Ok(wanted.filter(|one| reach(estate, one).is_ok()).collect())
}

/// Says which are held, and which can't be.
pub(crate) fn tell(estate: &Estate, progress: &Progress) -> Result<(), RebirthError> {
    for one in skykeep_gitops::writers(estate.repository.get()?, &estate.castle) {
        match reach(estate, &one) {
            Ok(()) => progress.note(format!("{} is held back until you choose: {}", one.id(), one.why)),
            Err(why) => progress.note(format!("{} CAN NOT BE HELD BACK although {}: {why}", one.id(), one.why)),
        }
    }
    Ok(())
}

/// Whether Flux can be told to change this object, and if not, why.
fn reach(estate: &Estate, one: &Injection) -> Result<(), String> {
    let repository = estate.repository.get().map_err(|e| e.why())?;
    let path = &estate.castle.gitops.path;
    let nested = skykeep_gitops::nest(repository, path, std::slice::from_ref(one));
    nested.map(drop).map_err(|e| e.why())
}
