//! Keeping a lease alive in the background.

use crate::card::Card;
use crate::dhcp::{Lease, Socket, renew};
use skykeep_core::Progress;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::time::Instant;

/// Renews at half of the time, by the book: the server itself first, anybody near the end. Ends when the lease is lost, and says so.
pub(crate) async fn keep(card: Card, mut lease: Lease, progress: Progress) {
    while let Some(time) = lease.time {
        let end = Instant::now() + time;
        tokio::time::sleep(time / 2).await;
        match renew_until(&card, &lease, end).await {
            Ok(renewed) => lease = renewed,
            Err(why) => {
                progress.note(format!(
                    "the network address {} is no longer ours: {why}",
                    lease.address
                ));
                return;
            }
        }
    }
}

async fn renew_until(card: &Card, lease: &Lease, end: Instant) -> Result<Lease, String> {
    // Opened for the renewal only: between renewals the laptop listens on no port.
    let socket = Socket::on(card).map_err(|e| e.to_string())?;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("its time ran out without an answer".into());
        }
        let late = lease.time.is_some_and(|time| left < time / 8);
        let to = if late { Ipv4Addr::BROADCAST } else { lease.server };
        match renew(&socket, lease, to).await {
            Ok(Some(renewed)) => return Ok(renewed),
            Ok(None) => tokio::time::sleep(pause(left)).await,
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// Half of what is left, at most a minute: short leases (the tests') and long ones both get several tries.
fn pause(left: Duration) -> Duration {
    (left / 2).min(Duration::from_secs(60))
}
