//! Waiting, with errors that stay what they are.

use std::{future::Future, time::Duration};

use skykeep_core::{Deadline, Explain, deadline};

use crate::Result;

/// Looks until it is there. Unlike [`deadline::poll`], a lasting error comes out as what it is.
pub(crate) async fn wait<T, F, Fut>(what: &str, until: Deadline, every: Duration, look: F) -> Result<T>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<deadline::Look<T>>>,
{
    let found = deadline::poll(what, until, every, || async {
        match look().await {
            Ok(deadline::Look::Ready(found)) => Ok(deadline::Look::Ready(Ok(found))),
            Ok(deadline::Look::NotYet(seen)) => Ok(deadline::Look::NotYet(seen)),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => Ok(deadline::Look::Ready(Err(error))),
        }
    });
    found.await?
}
