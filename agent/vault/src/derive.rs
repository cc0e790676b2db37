//! Derived secrets: whatever can be derived from the castle's root is not stored anywhere.
//!
//! HKDF-SHA256 without salt; the info is `skykeep/v1/<generation>/<label>`. The labels stand in `docs/FORMATS.md`.

use hkdf::Hkdf;
use sha2::Sha256;
use skykeep_core::{Generation, Secret};
use zeroize::Zeroizing;

/// 32 bytes for one purpose of one generation.
pub fn derive(root: &Secret, generation: &Generation, label: &str) -> Secret {
    expand(root, &format!("skykeep/v1/{generation}/{label}"))
}

/// 32 bytes for one purpose of the castle, the same in every generation (for what must be read before the generation
/// is known, such as the run journal). `castle` is no ULID, so this never meets [`derive`].
pub fn derive_lasting(root: &Secret, label: &str) -> Secret {
    expand(root, &format!("skykeep/v1/castle/{label}"))
}

fn expand(root: &Secret, info: &str) -> Secret {
    let mut key = Zeroizing::new(vec![0_u8; 32]);
    // 32 bytes are one block: HKDF-SHA256 refuses only more than 255 of them.
    let _fits = Hkdf::<Sha256>::new(None, root.expose()).expand(info.as_bytes(), &mut key);
    Secret::new(std::mem::take(&mut *key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_generations_give_different_secrets_and_the_same_ones_everywhere() {
        let root = Secret::new((0..32).collect());
        let one: Generation = "01JD0000000000000000000000".parse().unwrap();
        let two: Generation = "01JD0000000000000000000001".parse().unwrap();
        let secret = derive(&root, &one, "kubernetes/ca");
        // Recomputed by tests/vault-reader (Python `cryptography`), see docs/FORMATS.md.
        insta::assert_snapshot!(hex::encode(secret.expose()));
        assert_ne!(secret.expose(), derive(&root, &two, "kubernetes/ca").expose());
        assert_ne!(secret.expose(), derive(&root, &one, "kubernetes/etcd-ca").expose());
        assert_ne!(secret.expose(), derive_lasting(&root, "kubernetes/ca").expose());
    }
}
