//! The key schedule of AES (FIPS 197, 5.2): what a cipher object holds in place of its key.

/// The round keys of a key of 16 or 32 bytes, one after the other.
pub fn schedule(key: &[u8]) -> Vec<u8> {
    let sbox = sbox();
    let sub = |word: [u8; 4]| word.map(|byte| sbox[usize::from(byte)]);
    let mut words: Vec<[u8; 4]> = key.as_chunks::<4>().0.to_vec();
    let length = words.len();
    let mut round = 1u8;
    for i in length..4 * (length + 7) {
        let mut word = words[i - 1];
        if i % length == 0 {
            word.rotate_left(1);
            word = sub(word);
            word[0] ^= round;
            round = double(round);
        } else if length == 8 && i % 8 == 4 {
            word = sub(word);
        }
        let old = words[i - length];
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
    fn the_schedules_are_those_of_the_standards_own_examples() {
        // FIPS 197, appendix A.1.
        let key = hex::decode("2b7e151628aed2a6abf7158809cf4f3c").unwrap();
        let short = schedule(&key);
        assert_eq!(short.len(), 176);
        assert_eq!(hex::encode(&short[172..]), "b6630ca6");
        // FIPS 197, appendix A.3.
        let key = hex::decode("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").unwrap();
        let schedule = schedule(&key);
        assert_eq!(schedule.len(), 240);
        assert_eq!(hex::encode(&schedule[32..36]), "9ba35411");
        assert_eq!(hex::encode(&schedule[236..]), "706c631e");
    }
}
