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

/// The script for one try at making one node; `copy` is where the agent lies besides its own place. Same inputs, same bytes.
pub fn user_data(
    agent: &Artifact,
    copy: Option<&str>,
    blob_url: &str,
    key: &Secret,
    id: &NodeId,
) -> Result<String, ClusterError> {
    let plain = |text: &str| {
        !text
            .bytes()
            .any(|b| b.is_ascii_control() || matches!(b, b'\'' | b'"' | b'\\' | b' '))
    };
    for text in [
        copy.unwrap_or_default(),
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
        .replace("{copy}", &copy.map(|url| format!(" '{url}'")).unwrap_or_default())
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

    fn make_with(url: &str, copy: Option<&str>) -> Result<String, ClusterError> {
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
            copy,
            "https://s3.example/b/k?X-Amz-Signature=00&X-Amz-Expires=3600",
            &Secret::new(vec![7; 32]),
            &id,
        )
    }

    fn make(url: &str) -> Result<String, ClusterError> {
        make_with(url, None)
    }

    #[test]
    fn a_copy_of_the_agent_is_tried_after_its_own_place() {
        let url = "https://github.example/skykeep";
        let script = make_with(url, Some("https://s3.example/copy?X-Amz-Signature=00")).unwrap();
        assert!(
            script.contains(
                "for from in 'https://github.example/skykeep' 'https://s3.example/copy?X-Amz-Signature=00'; do"
            )
        );
        assert!(make_with(url, Some("https://x/'; rm -rf /; '")).is_err());
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
