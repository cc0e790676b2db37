//! DHCPv4 as RFC 2131 has it, the client's half: discover, offer, request, acknowledge, and renewal.
//!
//! It speaks through an ordinary UDP socket that is bound to one card and asks for broadcast answers, so no raw socket is needed.

mod client;
mod message;

pub(crate) use client::{Renewal, Socket, ask, renew};
pub(crate) use message::Lease;
