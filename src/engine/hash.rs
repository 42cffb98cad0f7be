//! The hashing that fingerprints are made of: portable, seedless, the same on every machine.

/// Scrambles 64 bits so that every input bit moves every output bit (the finaliser of
/// SplitMix64, Steele, Lea and Flood, OOPSLA 2014). A bijection.
#[inline]
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One number out of two; order matters.
#[inline]
pub fn mix2(a: u64, b: u64) -> u64 {
    mix(mix(a.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ b)
}

/// A hash of bytes, for work hashes and exact visited sets.
pub fn bytes(data: &[u8]) -> u64 {
    let mut h = mix(data.len() as u64 ^ 0x6775_7073_696d);
    for chunk in data.chunks(8) {
        let mut word = [0u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        h = mix2(h, u64::from_le_bytes(word));
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_a_contract() {
        assert_eq!(mix(1), 0x5692_161d_100b_05e5);
        assert_ne!(mix2(1, 2), mix2(2, 1));
        assert_ne!(bytes(b"a"), bytes(b"a\0"));
    }
}
