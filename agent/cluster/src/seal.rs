//! A node's plan, sealed to that node alone: AES-256-GCM under a one-time key that only its user data holds. The blob lies behind a
//! short-lived URL and is deleted after use; from then on the key in the user data opens nothing.
//!
//! Labels: `node/<name>/<attempt>` is the key, `node-nonce/<name>/<attempt>` keys the nonce (HMAC-SHA256 of the plan, first 12 bytes), so
//! that the same plan gives the same blob on every laptop and two different plans never share a nonce.
//! Blob: `SKNODE01`, nonce (12), ciphertext and tag.

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use skykeep_core::{Generation, Secret};
use zeroize::Zeroizing;

use crate::{ClusterError, NodePlan, pki::Derive, plan::SecretText};

const MAGIC: &[u8; 8] = b"SKNODE01";

/// One try at making one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeId {
    /// The castle's name.
    pub castle: String,
    /// The generation, as text.
    pub generation: String,
    /// The node's name.
    pub node: String,
    /// Which try this is, from 1.
    pub attempt: u32,
}

impl NodeId {
    /// Names one try at making one node.
    pub fn new(castle: &str, generation: &Generation, node: &str, attempt: u32) -> Self {
        NodeId {
            castle: castle.into(),
            generation: generation.to_string(),
            node: node.into(),
            attempt,
        }
    }

    /// What the blob is bound to.
    fn associated_data(&self) -> Vec<u8> {
        format!(
            "skykeep node 1\0{}\0{}\0{}\0{}",
            self.castle, self.generation, self.node, self.attempt
        )
        .into_bytes()
    }

    /// The one-time key.
    pub fn key(&self, derive: Derive<'_>) -> Secret {
        derive(&format!("node/{}/{}", self.node, self.attempt))
    }
}

/// What the node is told by its user data: who it is, where its plan lies, and the key that opens it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Who it is.
    pub id: NodeId,
    /// Presigned URL of the sealed plan.
    pub blob_url: SecretText,
    /// The one-time key, hex.
    pub key: SecretText,
}

/// Seals a plan to one try at making one node.
pub fn seal(plan: &NodePlan, id: &NodeId, derive: Derive<'_>) -> Result<Vec<u8>, ClusterError> {
    let text = Zeroizing::new(serde_json::to_vec(plan).map_err(|e| ClusterError::Seal(e.to_string()))?);
    let nonce_key = derive(&format!("node-nonce/{}/{}", id.node, id.attempt));
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(nonce_key.expose()).map_err(|e| ClusterError::pki("nonce", e))?;
    mac.update(&text);
    let nonce: Vec<u8> = mac.finalize().into_bytes().into_iter().take(12).collect();
    let sealed = cipher(id.key(derive).expose())?
        .encrypt(
            nonce_of(&nonce)?,
            Payload {
                msg: &text,
                aad: &id.associated_data(),
            },
        )
        .map_err(|_| ClusterError::Seal("the plan can't be encrypted".into()))?;
    Ok([MAGIC.as_slice(), &nonce, &sealed].concat())
}

/// Opens a sealed plan with what the user data said.
pub fn open(blob: &[u8], config: &NodeConfig) -> Result<NodePlan, ClusterError> {
    let problem = |why: &str| ClusterError::Seal(why.to_owned());
    let rest = blob
        .strip_prefix(MAGIC)
        .ok_or_else(|| problem("what was downloaded is no sealed plan"))?;
    let (nonce, sealed) = rest
        .split_at_checked(12)
        .ok_or_else(|| problem("the sealed plan is cut short"))?;
    let key = Zeroizing::new(hex::decode(config.key.expose()).map_err(|_| problem("the one-time key is no hex"))?);
    let text = cipher(&key)?
        .decrypt(
            nonce_of(nonce)?,
            Payload {
                msg: sealed,
                aad: &config.id.associated_data(),
            },
        )
        .map_err(|_| problem("it was made for another node or another attempt, or it was changed"))?;
    let text = Zeroizing::new(text);
    let plan: NodePlan = serde_json::from_slice(&text).map_err(|e| ClusterError::Seal(e.to_string()))?;
    if plan.version != 1 {
        return Err(ClusterError::Seal(format!(
            "the plan has version {}, this agent knows version 1",
            plan.version
        )));
    }
    Ok(plan)
}

fn cipher(key: &[u8]) -> Result<Aes256Gcm, ClusterError> {
    Aes256Gcm::new_from_slice(key).map_err(|_| ClusterError::Seal("the one-time key has not 32 bytes".into()))
}

fn nonce_of(bytes: &[u8]) -> Result<&aes_gcm::Nonce<aes_gcm::aead::consts::U12>, ClusterError> {
    bytes
        .try_into()
        .map_err(|_| ClusterError::Seal("the nonce has not 12 bytes".into()))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::Role;

    fn derive(label: &str) -> Secret {
        Secret::new(Sha256::digest(label.as_bytes()).to_vec())
    }

    fn plan(castle: &str) -> NodePlan {
        NodePlan {
            version: 1,
            castle: castle.into(),
            generation: "01KAS0000000000000000000RS".into(),
            node: "w1".into(),
            role: Role::Worker,
            deadline_s: 1,
            images: Vec::new(),
            copies: std::collections::BTreeMap::new(),
            etcd: None,
            artifacts: vec![],
            hosts: vec![],
            files: vec![],
            steps: vec![],
            done_when: vec![],
            wipe: vec![],
        }
    }

    fn id(attempt: u32) -> NodeId {
        NodeId::new("rossi", &"01KAS0000000000000000000RS".parse().unwrap(), "w1", attempt)
    }

    fn config(id: NodeId) -> NodeConfig {
        let key = hex::encode(id.key(&derive).expose());
        NodeConfig {
            id,
            blob_url: "https://s3.example/blob".to_owned().into(),
            key: key.into(),
        }
    }

    #[test]
    fn a_node_opens_its_own_plan_and_no_other_attempts() {
        let blob = seal(&plan("rossi"), &id(1), &derive).unwrap();
        assert_eq!(open(&blob, &config(id(1))).unwrap().node, "w1");
        assert!(open(&blob, &config(id(2))).is_err());
        let mut right_key_wrong_name = config(id(1));
        right_key_wrong_name.id.node = "w2".into();
        assert!(open(&blob, &right_key_wrong_name).is_err());
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let blob = seal(&plan("rossi"), &id(1), &derive).unwrap();
        for at in [0, 8, 20, blob.len() - 1] {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert!(open(&changed, &config(id(1))).is_err(), "byte {at}");
        }
        assert!(open(&blob[..15], &config(id(1))).is_err());
    }

    #[test]
    fn the_same_plan_gives_the_same_blob_and_another_plan_another_nonce() {
        let blob = seal(&plan("rossi"), &id(1), &derive).unwrap();
        assert_eq!(blob, seal(&plan("rossi"), &id(1), &derive).unwrap());
        assert_ne!(blob[8..20], seal(&plan("verdi"), &id(1), &derive).unwrap()[8..20]);
    }
}
