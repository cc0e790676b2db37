//! Wi-Fi: what is in the air, joining it, and staying in. The radio is driven by Debian's wpa_supplicant over its control socket (docs/adr/0010).

mod choice;
mod control;
mod event;
mod radio;
mod scan;

pub use choice::{Choice, PasswordFault, check_password};
pub use event::Refusal;
pub use radio::{Radio, card, may_come};
pub use scan::{Network, Security, Ssid};
