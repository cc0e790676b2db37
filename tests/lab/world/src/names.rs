//! The public names that the world answers for.

/// Names under which the OCI registry answers.
pub const REGISTRIES: [&str; 4] = ["registry.k8s.io", "ghcr.io", "registry-1.docker.io", "quay.io"];

/// Sites that only say the time (in their Date header).
pub const PUBLIC_SITES: [&str; 6] = [
    "www.cloudflare.com",
    "cloudflare.com",
    "www.google.com",
    "www.debian.org",
    "kernel.org",
    "letsencrypt.org",
];

const SERVICES: [&str; 7] = [
    "api.cloudflare.com",
    "api.hetzner.cloud",
    "eu.infisical.com",
    "github.com",
    "release-assets.githubusercontent.com",
    "dl.k8s.io",
    "cdn.dl.k8s.io",
];

/// Every name that leads to the front, except the many under amazonaws.com.
pub fn at_the_front() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().chain(REGISTRIES).chain(PUBLIC_SITES)
}

/// Whether the front takes a certificate for this name.
pub fn is_of_the_world(name: &str) -> bool {
    name.ends_with(".amazonaws.com") || at_the_front().any(|known| known == name)
}

/// Whether a host under amazonaws.com is S3: `s3.REGION`, `s3.dualstack.REGION`, each with or without a bucket before it.
pub fn is_s3(host: &str) -> bool {
    host.trim_end_matches(".amazonaws.com")
        .split('.')
        .any(|part| part == "s3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_is_known_with_and_without_a_bucket() {
        for host in [
            "s3.eu-central-1.amazonaws.com",
            "rossi-backups.s3.dualstack.eu-central-1.amazonaws.com",
            "s3.amazonaws.com",
        ] {
            assert!(is_s3(host), "{host}");
        }
        assert!(!is_s3("ec2.eu-central-1.amazonaws.com"));
    }
}
