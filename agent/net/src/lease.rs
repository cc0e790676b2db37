//! Keeping a lease alive in the background, for hours; and getting another one when it is lost.

use crate::card::Card;
use crate::dhcp::{Lease, Renewal, Socket, ask, renew};
use crate::error::NetError;
use crate::kernel::Kernel;
use crate::resolv::Servers;
use skykeep_core::{Deadline, Progress};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// After a failure to get another lease.
const PAUSE: Duration = Duration::from_secs(10);
/// How long one try for another lease may take.
const ASK: Duration = Duration::from_secs(60);

/// The card with the lease, and where its name servers are written.
pub(crate) struct Holder {
    pub(crate) card: Card,
    pub(crate) kernel: Kernel,
    pub(crate) servers: Arc<Servers>,
    pub(crate) progress: Progress,
}

impl Holder {
    /// Gives the card what the lease says, and says the router. What lacks a router or a name server leads nowhere and is an error. `elsewhere`: names are
    /// asked for by IPv6.
    pub(crate) async fn take(&self, lease: &Lease, elsewhere: bool) -> Result<Ipv4Addr, NetError> {
        let lacks = |lacks: &'static str| NetError::NoRoute {
            card: self.card.name.clone(),
            lacks,
        };
        let router = lease.router.ok_or_else(|| lacks("router"))?;
        if lease.dns.is_empty() && !elsewhere {
            return Err(lacks("name server"));
        }
        let (index, address, prefix) = (self.card.index, lease.address, lease.prefix);
        self.kernel.clear(index).await?;
        self.kernel.add_address(index, address.into(), prefix).await?;
        self.kernel.default_route(index, router.into()).await?;
        self.servers.set_four(lease.dns.clone())?;
        self.progress
            .note(format!("{} has {address}/{prefix}, router {router}", self.card.name));
        Ok(router)
    }

    /// Keeps it as long as this runs. Without an answer until its end, or when the server wants it back, the address is given up, as the others on that
    /// network rely on, and another one is asked for: until somebody gives one.
    /// Where IPv6 led out alone, `None`, one is asked for all the time.
    pub(crate) async fn keep(self, lease: Option<Lease>) {
        let mut lease = match lease {
            Some(lease) => lease,
            None => self.another(None).await,
        };
        while let Some(time) = lease.time {
            match self.more_time(&lease, time).await {
                Ok(renewed) => {
                    if let Err(e) = self.follow(&lease, &renewed).await {
                        self.progress.note(e.to_string());
                    }
                    lease = renewed;
                }
                Err(why) => {
                    self.progress.note(format!(
                        "the network address {} is no longer ours: {why}; another one is asked for",
                        lease.address
                    ));
                    lease = self.another(Some(lease.address)).await;
                }
            }
        }
    }

    /// The server may have changed its mind about router and name servers.
    async fn follow(&self, old: &Lease, new: &Lease) -> Result<(), NetError> {
        let same = |lease: &Lease| (lease.prefix, lease.router, lease.dns.clone());
        if same(old) != same(new) {
            self.take(new, false).await?;
        }
        Ok(())
    }

    /// By the book (RFC 2131, 4.4.5): the server itself from T1 on, anybody from T2 on.
    async fn more_time(&self, lease: &Lease, time: Duration) -> Result<Lease, String> {
        let (began, [first, second]) = (Instant::now(), times(lease, time));
        tokio::time::sleep(first).await;
        loop {
            let passed = began.elapsed();
            let left = time.saturating_sub(passed);
            if left.is_zero() {
                return Err("its time ran out without an answer".into());
            }
            let to = if passed < second {
                lease.server
            } else {
                Ipv4Addr::BROADCAST
            };
            // Opened for the question only: between questions the laptop listens on no port.
            let asked = async { renew(&Socket::on(&self.card)?, lease, to).await };
            match tokio::time::timeout(left, asked).await {
                Ok(Ok(Renewal::More(renewed))) => return Ok(renewed),
                Ok(Ok(Renewal::Refused)) => return Err("the DHCP server refuses to renew it".into()),
                // A cable that is out for a while is no reason to give up.
                Ok(Ok(Renewal::Silence) | Err(_)) | Err(_) => {}
            }
            let mark = if passed < second { second } else { time };
            let left = mark.saturating_sub(began.elapsed());
            tokio::time::sleep((left / 2).clamp(Duration::from_secs(1), Duration::from_secs(60))).await;
        }
    }

    async fn another(&self, wished: Option<Ipv4Addr>) -> Lease {
        if let Err(e) = self.kernel.clear(self.card.index).await {
            self.progress.note(e.to_string());
        }
        loop {
            let got = match Socket::on(&self.card) {
                Ok(socket) => ask(&socket, wished, Deadline::after(ASK)).await,
                Err(e) => Err(e.to_string()),
            };
            match got {
                Ok(lease) => match self.take(&lease, false).await {
                    Ok(_) => return lease,
                    Err(e) => self.progress.note(e.to_string()),
                },
                Err(why) => self.progress.waits("a network address", &why),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// T1 and T2: the server's own when they make sense, else half and seven eighths.
fn times(lease: &Lease, time: Duration) -> [Duration; 2] {
    match lease.asks {
        [Some(first), Some(second)] if !first.is_zero() && first <= second && second <= time => [first, second],
        _ => [time / 2, time / 8 * 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::typed_addresses;

    #[test]
    fn times_that_make_no_sense_are_replaced() {
        let seconds = |s: u64| Some(Duration::from_secs(s));
        let with = |asks| Lease {
            asks,
            ..typed_addresses("192.168.1.50/24 192.168.1.1")
                .expect("addresses")
                .lease()
                .expect("IPv4")
        };
        let of = |asks| times(&with(asks), Duration::from_secs(80)).map(|time| time.as_secs());
        assert_eq!(of([seconds(20), seconds(60)]), [20, 60]);
        for asks in [
            [None, None],
            [seconds(20), None],
            [seconds(60), seconds(20)],
            [seconds(0), seconds(20)],
            [seconds(20), seconds(81)],
        ] {
            assert_eq!(of(asks), [40, 70], "{asks:?}");
        }
    }
}
