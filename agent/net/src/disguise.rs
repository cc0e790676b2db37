//! Hardware addresses that tell nobody which card this is.

use std::hash::{BuildHasher, RandomState};

/// One run's random addresses: the same for a card as long as this (or a copy) lives.
#[derive(Debug, Clone, Default)]
pub struct Disguise(RandomState);

impl Disguise {
    /// The address for a card: locally administered and not a group's, what no maker gave anybody.
    pub fn mac(&self, card: &str) -> [u8; 6] {
        let [first, b, c, d, e, f, ..] = self.0.hash_one(card).to_be_bytes();
        [(first & !1) | 2, b, c, d, e, f]
    }
}

/// Whether an address is one that a maker gave. Phones that share their connection, and virtual machines, have others; those stay.
pub(crate) fn tells(mac: [u8; 6]) -> bool {
    let [first, ..] = mac;
    first & 2 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_no_makers_and_no_groups_stays_for_the_run_and_differs_between_runs() {
        for _ in 0..64 {
            let disguise = Disguise::default();
            let mac = disguise.mac("eth0");
            assert_eq!(mac[0] & 3, 2);
            assert!(!tells(mac));
            assert_eq!(disguise.clone().mac("eth0"), mac);
            assert_ne!(disguise.mac("eth1"), mac);
            assert_ne!(Disguise::default().mac("eth0"), mac);
        }
        assert!(tells([0x00, 0x1b, 0x21, 1, 2, 3]));
    }
}
