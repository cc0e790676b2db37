//! What we ask of the kernel over netlink: links up, tags, an address, the default route.

use crate::card::Card;
use crate::error::NetError;
use futures::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMetric};
use rtnetlink::{Handle, LinkUnspec, LinkVlan, RouteMessageBuilder};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The largest packet that we send and ask for: the least that every IPv6 path carries. Tunnels that swallow larger ones without a word (hotels, VPNs) are common;
/// the laptop moves no bulk data, so this costs next to nothing.
const PACKET: u32 = 1280;

/// A netlink connection; it lives as long as this.
pub(crate) struct Kernel {
    handle: Handle,
    task: tokio::task::JoinHandle<()>,
}

fn refused(asked: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> NetError {
    let asked = asked.into();
    move |answer| said(asked, answer)
}

fn said(asked: String, answer: impl Display) -> NetError {
    NetError::Kernel {
        asked,
        answer: answer.to_string(),
    }
}

impl Kernel {
    pub(crate) fn connect() -> Result<Self, NetError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|e| said("talk about its network".to_owned(), e))?;
        Ok(Kernel {
            handle,
            task: tokio::spawn(connection),
        })
    }

    pub(crate) async fn link_up(&self, index: u32, name: &str) -> Result<(), NetError> {
        let on = LinkUnspec::new_with_index(index).up().build();
        let done = self.handle.link().set(on).execute().await;
        done.map_err(refused(format!("switch {name} on")))
    }

    /// Its routes and its IPv6 addresses go with it.
    pub(crate) async fn link_down(&self, index: u32, name: &str) -> Result<(), NetError> {
        let off = LinkUnspec::new_with_index(index).down().build();
        let done = self.handle.link().set(off).execute().await;
        done.map_err(refused(format!("switch {name} off")))
    }

    /// Gives a card another hardware address. Most drivers take one only while the card is off; it stays off.
    pub(crate) async fn set_mac(&self, card: &Card, mac: [u8; 6]) -> Result<(), NetError> {
        let off = LinkUnspec::new_with_index(card.index).down().build();
        let changed = LinkUnspec::new_with_index(card.index).address(mac.to_vec()).build();
        for message in [off, changed] {
            let asked = format!("give {} another hardware address", card.name);
            self.handle
                .link()
                .set(message)
                .execute()
                .await
                .map_err(refused(asked))?;
        }
        Ok(())
    }

    /// A card on top of a real one, behind this tag. Gives its index.
    pub(crate) async fn add_tagged(&self, real: &Card, name: &str, tag: u16) -> Result<u32, NetError> {
        let asked = || refused(format!("put the VLAN tag {tag} on {}", real.name));
        let new = LinkVlan::new(name, real.index, tag).build();
        self.handle.link().add(new).execute().await.map_err(asked())?;
        let mut found = self.handle.link().get().match_name(name.to_owned()).execute();
        let link = found.try_next().await.map_err(asked())?;
        link.map(|link| link.header.index)
            .ok_or_else(|| said(format!("show {name}"), "it is not there"))
    }

    /// Takes away what [`Kernel::add_tagged`] made on this card, in an earlier try.
    pub(crate) async fn remove_tagged(&self, real: u32) -> Result<(), NetError> {
        let asked = || refused("take a VLAN tag off a card");
        let vlan = |attribute: &LinkAttribute| match attribute {
            LinkAttribute::LinkInfo(infos) => infos.contains(&LinkInfo::Kind(InfoKind::Vlan)),
            _ => false,
        };
        let mut found = self.handle.link().get().execute();
        while let Some(link) = found.try_next().await.map_err(asked())? {
            if link.attributes.iter().any(vlan) && link.attributes.contains(&LinkAttribute::Link(real)) {
                let index = link.header.index;
                self.handle.link().del(index).execute().await.map_err(asked())?;
            }
        }
        Ok(())
    }

    /// Takes every IPv4 address (and with them the routes) off a card: what an earlier try left there.
    pub(crate) async fn clear(&self, index: u32) -> Result<(), NetError> {
        let asked = || refused("take old addresses off a card");
        let mut found = self.handle.address().get().set_link_index_filter(index).execute();
        while let Some(address) = found.try_next().await.map_err(asked())? {
            if address.header.family == AddressFamily::Inet {
                self.handle.address().del(address).execute().await.map_err(asked())?;
            }
        }
        Ok(())
    }

    pub(crate) async fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> Result<(), NetError> {
        let request = self.handle.address().add(index, address, prefix).replace();
        request
            .execute()
            .await
            .map_err(refused(format!("take the address {address}/{prefix}")))
    }

    /// The way out. The router may lie outside the card's own network (some providers do that): then it is said to be on the wire.
    pub(crate) async fn default_route(&self, index: u32, router: IpAddr) -> Result<(), NetError> {
        let mut route = match router {
            IpAddr::V4(router) => RouteMessageBuilder::<Ipv4Addr>::new()
                .output_interface(index)
                .gateway(router)
                .onlink()
                .build(),
            IpAddr::V6(router) => RouteMessageBuilder::<Ipv6Addr>::new()
                .output_interface(index)
                .gateway(router)
                .onlink()
                .build(),
        };
        let metrics = vec![RouteMetric::Mtu(PACKET)];
        route.attributes.push(RouteAttribute::Metrics(metrics));
        self.handle
            .route()
            .add(route)
            .replace()
            .execute()
            .await
            .map_err(refused(format!("route through {router}")))
    }

    /// Whether somebody on the wire answered when this address was looked for, as every packet to it needs.
    pub(crate) async fn answers(&self, address: IpAddr) -> Result<bool, NetError> {
        use NeighbourState::{Delay, Noarp, Permanent, Probe, Reachable, Stale};
        let wanted = match address {
            IpAddr::V4(four) => NeighbourAddress::Inet(four),
            IpAddr::V6(six) => NeighbourAddress::Inet6(six),
        };
        let mut found = self.handle.neighbours().get().execute();
        while let Some(one) = found.try_next().await.map_err(refused("list its neighbours"))? {
            let known = matches!(one.header.state, Delay | Noarp | Permanent | Probe | Reachable | Stale);
            let it = |attribute: &NeighbourAttribute| matches!(attribute, NeighbourAttribute::Destination(a) if *a == wanted);
            if known && one.attributes.iter().any(it) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Before a card is switched on. Packets stay within [`PACKET`] with IPv6 too, and its address there tells nobody which card it is. A kernel without one of
/// these knobs works as well.
pub(crate) fn prepare(card: &str) {
    let knobs = [
        (format!("ipv6/conf/{card}/mtu"), PACKET.to_string()),
        (format!("ipv6/conf/{card}/addr_gen_mode"), "3".into()),
        // A way that carries even less is noticed by the silence that follows.
        ("ipv4/tcp_mtu_probing".into(), "1".into()),
    ];
    for (knob, value) in knobs {
        let _ = std::fs::write(format!("/proc/sys/net/{knob}"), value);
    }
}

/// Whether a card speaks IPv6 itself. One that only carries a tag must not: the router of the network without the tag would lead out of it.
pub(crate) fn six_without_tag(card: &str, on: bool) {
    let _ = std::fs::write(
        format!("/proc/sys/net/ipv6/conf/{card}/disable_ipv6"),
        if on { "0" } else { "1" },
    );
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.task.abort();
    }
}
