//! What a cloud machine is given at birth: a shell script that fetches the agent, checks its hash and lets it do the rest.
//!
//! It carries no key of the castle: only a one-time key and a short-lived URL, both worthless once the agent has deleted the blob.

use skykeep_core::{Secret, lock::Artifact};

use crate::{
    ClusterError,
    seal::{NodeConfig, NodeId},
};

/// EC2 takes no more.
const MAX: usize = 16 * 1024;

/// The script for one try at making one node. Same inputs, same bytes.
pub fn user_data(agent: &Artifact, blob_url: &str, key: &Secret, id: &NodeId) -> Result<String, ClusterError> {
    let plain = |text: &str| {
        !text
            .bytes()
            .any(|b| b.is_ascii_control() || matches!(b, b'\'' | b'"' | b'\\' | b' '))
    };
    for text in [
        &agent.url,
        &agent.sha256,
        blob_url,
        &id.castle,
        &id.generation,
        &id.node,
    ] {
        if !plain(text) {
            return Err(ClusterError::Plan(format!("`{text}` can't be put into user data")));
        }
    }
    let config = NodeConfig {
        id: id.clone(),
        blob_url: blob_url.to_owned().into(),
        key: hex::encode(key.expose()).into(),
    };
    let config = serde_json::to_string(&config).map_err(|e| ClusterError::Plan(e.to_string()))?;
    let script = include_str!("user_data.sh")
        .replace(
            "{id}",
            &format!(
                "{} of castle {}, generation {}, attempt {}",
                id.node, id.castle, id.generation, id.attempt
            ),
        )
        .replace("{url}", &agent.url)
        .replace("{sha256}", &agent.sha256)
        .replace("{config}", &config);
    if script.len() > MAX {
        return Err(ClusterError::Plan(format!(
            "the user data has {} bytes, a cloud takes {MAX}",
            script.len()
        )));
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(url: &str) -> Result<String, ClusterError> {
        let agent = Artifact {
            name: "skykeep".into(),
            url: url.into(),
            sha256: "ab".repeat(32),
            size: 1,
            dest: "/usr/local/bin/skykeep".into(),
            mode: "0755".into(),
            unpack: None,
        };
        let id = NodeId::new("rossi", &"01KAS0000000000000000000RS".parse().unwrap(), "cp1", 1);
        user_data(
            &agent,
            "https://s3.example/b/k?X-Amz-Signature=00&X-Amz-Expires=3600",
            &Secret::new(vec![7; 32]),
            &id,
        )
    }

    #[test]
    fn the_script() {
        insta::assert_snapshot!(make("https://github.example/skykeep").unwrap());
    }

    #[test]
    fn a_url_that_would_break_out_of_the_script_is_refused() {
        assert!(make("https://x/'; rm -rf /; '").is_err());
        assert!(make("https://x/\nEND").is_err());
    }

    #[test]
    fn the_script_is_valid_shell() {
        let script = make("https://github.example/skykeep").unwrap();
        let mut child = std::process::Command::new("sh")
            .args(["-n", "/dev/stdin"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}
