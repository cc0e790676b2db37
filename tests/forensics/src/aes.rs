//! The key schedule of AES-256 (FIPS 197, 5.2): what a cipher object holds in place of its key.

/// The 15 round keys of a 32-byte key, one after the other.
pub fn schedule(key: &[u8; 32]) -> Vec<u8> {
    let sbox = sbox();
    let sub = |word: [u8; 4]| word.map(|byte| sbox[usize::from(byte)]);
    let mut words: Vec<[u8; 4]> = key.as_chunks::<4>().0.to_vec();
    let mut round = 1u8;
    for i in 8..60 {
        let mut word = words[i - 1];
        if i % 8 == 0 {
            word.rotate_left(1);
            word = sub(word);
            word[0] ^= round;
            round = double(round);
        } else if i % 8 == 4 {
            word = sub(word);
        }
        let old = words[i - 8];
        words.push([0, 1, 2, 3].map(|n| old[n] ^ word[n]));
    }
    words.concat()
}

/// Times x in AES's field.
fn double(byte: u8) -> u8 {
    (byte << 1) ^ if byte & 0x80 == 0 { 0 } else { 0x1b }
}

/// The substitution table: p runs through all powers of the generator 3, q through their inverses.
fn sbox() -> [u8; 256] {
    let mut table = [0; 256];
    let (mut p, mut q) = (1u8, 1u8);
    loop {
        p ^= double(p);
        q ^= q << 1;
        q ^= q << 2;
        q ^= q << 4;
        if q & 0x80 != 0 {
            q ^= 0x09;
        }
        let turned = q ^ q.rotate_left(1) ^ q.rotate_left(2) ^ q.rotate_left(3) ^ q.rotate_left(4);
        table[usize::from(p)] = turned ^ 0x63;
        if p == 1 {
            table[0] = 0x63;
            return table;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_that_of_the_standards_own_example() {
        // FIPS 197, appendix A.3.
        let key = hex::decode("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").unwrap();
        let schedule = schedule(key.as_slice().try_into().unwrap());
        assert_eq!(schedule.len(), 240);
        assert_eq!(hex::encode(&schedule[32..36]), "9ba35411");
        assert_eq!(hex::encode(&schedule[236..]), "706c631e");
    }
}
