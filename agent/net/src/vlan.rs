//! Networks behind a VLAN's tag (IEEE 802.1Q): a card of their own on top of a real one.

use crate::card::Card;
use crate::error::NetError;
use crate::kernel::{self, Kernel};

/// Linux' longest name of a card, bytes.
const LONGEST: usize = 15;

/// Makes and switches on the card that meets the network with this tag at `real`.
pub(crate) async fn on(kernel: &Kernel, real: &Card, tag: u16) -> Result<Card, NetError> {
    let name = name(real, tag);
    let index = kernel.add_tagged(real, &name, tag).await?;
    kernel::prepare(&name);
    kernel.link_up(index, &name).await?;
    Ok(Card {
        name,
        index,
        mac: real.mac,
        carrier: real.carrier,
        beneath: Some(real.real()),
    })
}

/// As everybody names them: `eth0.30`.
pub(crate) fn name(real: &Card, tag: u16) -> String {
    let name = format!("{}.{tag}", real.name);
    if name.len() <= LONGEST {
        name
    } else {
        format!("vlan{}.{tag}", real.index)
    }
}

/// Understands a typed tag. The error is a sentence for the person.
pub fn typed_tag(text: &str) -> Result<u16, String> {
    let tag = text.trim().parse().ok().filter(|tag| (1..=4094).contains(tag));
    tag.ok_or_else(|| "A VLAN's tag is a number from 1 to 4094.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_number_that_the_standard_leaves_free() {
        assert_eq!(typed_tag(" 30 "), Ok(30));
        assert_eq!(typed_tag("4094"), Ok(4094));
        for text in ["", "0", "4095", "65566", "-1", "30,40", "guest"] {
            assert!(typed_tag(text).is_err(), "{text}");
        }
    }

    #[test]
    fn its_card_has_a_name_that_the_kernel_takes() {
        let card = |name: &str| Card {
            name: name.into(),
            index: 7,
            mac: [2, 0, 0, 0, 0, 1],
            carrier: true,
            beneath: None,
        };
        assert_eq!(name(&card("eth0"), 30), "eth0.30");
        assert_eq!(name(&card("enx00e04c680001"), 4094), "vlan7.4094");
    }
}
