//! The castle file (`castle.yaml`): the estate as its owner describes it. It holds no secret, only where each one is.

mod check;
mod cidr;
mod cloud;
mod dns;
mod entry;
mod gitops;
mod keys;
mod laptop;
mod longhorn;
mod old;
mod operator;
mod postgres;
mod secret_ref;
mod sources;
mod suppliers;
mod treasure;
mod types;

pub use dns::*;
pub use entry::*;
pub use gitops::*;
pub use keys::{AccessKeys, CloudflareTokens, TakeAway};
pub use laptop::*;
pub use longhorn::Longhorn;
pub use old::*;
pub use operator::{DatabaseOperator, WAITS_FOR};
pub use postgres::{Postgres, PostgresCheck};
pub use secret_ref::*;
pub use sources::*;
pub use suppliers::*;
pub use treasure::*;
pub use types::*;

use crate::explain::Explained;

impl Castle {
    /// Reads and checks a castle file. Unknown fields, bad networks and dangling references are errors with a position
    /// or a field name and a hint.
    pub fn parse(yaml: &str) -> Result<Self, Explained> {
        // No snippet of the text in the error: somebody may have pasted a secret there.
        let options = serde_saphyr::options! { with_snippet: false };
        let castle: Castle = serde_saphyr::from_str_with_options(yaml, options).map_err(|e| Explained {
            what: "castle.yaml can't be read".into(),
            why: e.to_string().trim().to_owned(),
            remedy: "Mend that line; `skykeep schema` prints every field that there is.".into(),
        })?;
        check::check(&castle)?;
        Ok(castle)
    }

    /// The JSON Schema of the castle file.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Castle).to_value()
    }

    /// Every secret that the castle file refers to, sorted, each once.
    pub fn secret_refs(&self) -> Vec<SecretRef> {
        let mut refs = Vec::new();
        if let Some(i) = &self.secrets.infisical {
            refs.extend([i.client_id.clone(), i.client_secret.clone()]);
        }
        refs.extend(self.secrets.sops.iter().map(|s| s.age_identity.clone()));
        if let Some(copy) = &self.vault.s3 {
            refs.extend([copy.access_key_id.clone(), copy.secret_access_key.clone()]);
        }
        refs.extend([self.state.access_key_id.clone(), self.state.secret_access_key.clone()]);
        refs.extend(self.cloud.secret_refs());
        refs.push(self.gitops.token.clone());
        for secret in &self.before_flux.secrets {
            refs.extend(secret.data.values().cloned());
        }
        for t in &self.treasures {
            if let Some(restic) = &t.restic {
                refs.extend([
                    restic.access_key_id.clone(),
                    restic.secret_access_key.clone(),
                    restic.password.clone(),
                ]);
            }
            refs.extend(t.longhorn.iter().flat_map(Longhorn::secret_refs).cloned());
            refs.extend(t.postgres.iter().flat_map(Postgres::secret_refs).cloned());
        }
        if let Some(dns) = &self.dns {
            refs.extend(dns.secret().cloned());
        }
        for registry in &self.registries {
            refs.extend(registry.username.iter().chain(&registry.password).cloned());
        }
        if let Some(mirror) = &self.mirror {
            refs.extend([mirror.access_key_id.clone(), mirror.secret_access_key.clone()]);
        }
        if let Some(pulse) = &self.pulse {
            refs.extend([pulse.access_key_id.clone(), pulse.secret_access_key.clone()]);
        }
        refs.extend(self.old_castle.take_away.iter().flat_map(TakeAway::secret_refs));
        refs.sort();
        refs.dedup();
        refs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../../tests/castle/castle.yaml");

    #[test]
    fn the_example_castle_is_read() {
        let castle = Castle::parse(GOOD).unwrap();
        assert_eq!((castle.cloud.supplier(), castle.cloud.control_planes()), ("aws", 3));
        assert!(
            castle
                .secret_refs()
                .contains(&SecretRef::Infisical("GITHUB_TOKEN".into()))
        );
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let text = GOOD.replace("name: rossi\n", "name: rossi\nnaem: x\n");
        let error = Castle::parse(&text).unwrap_err();
        insta::assert_snapshot!(error.to_string());
    }

    #[test]
    fn a_bad_network_is_an_error_with_a_hint() {
        let error = Castle::parse(&GOOD.replace("10.42.0.0/16", "10.42.0.0/40")).unwrap_err();
        insta::assert_snapshot!(error.to_string());
    }

    #[test]
    fn networks_that_overlap_are_refused() {
        let error = Castle::parse(&GOOD.replace("podCidr: 10.244.0.0/16", "podCidr: 10.42.128.0/17")).unwrap_err();
        insta::assert_snapshot!(error.to_string());
    }

    #[test]
    fn an_even_number_of_control_planes_is_refused() {
        let error = Castle::parse(&GOOD.replace("controlPlanes: {count: 3", "controlPlanes: {count: 2")).unwrap_err();
        assert!(error.why.contains("quorum"), "{error}");
    }

    #[test]
    fn instance_types_image_and_role_are_looked_at() {
        let with = |from: &str, to: &str| Castle::parse(&GOOD.replace(from, to));
        let group = "controlPlanes: {count: 3, instanceType: t3.large";
        let castle = with(group, &format!("{group}, alternatives: [t3a.large, m6i.large]")).unwrap();
        let [types, _] = castle.cloud.types();
        assert_eq!(types, ["t3.large", "t3a.large", "m6i.large"]);
        let twice = with(group, &format!("{group}, alternatives: [t3.large]")).unwrap_err();
        assert!(twice.why.contains("twice"), "{twice}");
        let spot = with(group, &format!("{group}, spot: true")).unwrap_err();
        assert!(spot.remedy.contains("workers only"), "{spot}");
        assert!(
            with(
                "image: ami-0a1b2c3d4e5f60718",
                "image: ssm:/aws/service/debian/release/12/latest/amd64"
            )
            .is_ok()
        );
        assert!(with("image: ami-0a1b2c3d4e5f60718", "image: debian-12").is_err());
        let role = "image: ami-0a1b2c3d4e5f60718\n    assumeRole: ";
        assert!(
            with(
                "image: ami-0a1b2c3d4e5f60718",
                &format!("{role}arn:aws-cn:iam::123456789012:role/castle")
            )
            .is_ok()
        );
        assert!(with("image: ami-0a1b2c3d4e5f60718", &format!("{role}castle")).is_err());
    }

    /// The example castle, its cloud exchanged for another supplier's.
    fn elsewhere(cloud: &str) -> Result<Castle, Explained> {
        let (head, rest) = GOOD.split_once("cloud:\n").unwrap();
        let (_, tail) = rest.split_once("cluster:\n").unwrap();
        Castle::parse(&format!("{head}cloud:\n{cloud}cluster:\n{tail}"))
    }

    const HETZNER: &str = include_str!("../../../../tests/castle/hetzner.yaml");

    #[test]
    fn another_supplier_is_another_word_and_its_own_fields() {
        let castle = elsewhere(HETZNER).unwrap();
        let cloud = &castle.cloud;
        assert_eq!((cloud.supplier(), cloud.place()), ("hetzner", "eu-central"));
        assert_eq!((cloud.control_planes(), cloud.workers()), (3, 2));
        assert_eq!(cloud.zones(), ["fsn1", "nbg1", "hel1"]);
        assert!(
            castle
                .secret_refs()
                .contains(&SecretRef::Infisical("HCLOUD_TOKEN".into()))
        );

        let with = |from: &str, to: &str| elsewhere(&HETZNER.replace(from, to)).unwrap_err();
        insta::assert_snapshot!(with("[fsn1, nbg1, hel1]", "[fsn1, nbg1, fsn1]"));
        insta::assert_snapshot!(with("10.42.0.0/16", "10.42.0.0/24"));
        insta::assert_snapshot!(with("debian-12", "ubuntu-24.04"));
        insta::assert_snapshot!(with("eu-central", "EU Central"));
    }

    #[test]
    fn a_castle_stands_at_exactly_one_supplier() {
        let (_, aws) = GOOD.split_once("cloud:\n").unwrap();
        let (aws, _) = aws.split_once("cluster:\n").unwrap();
        insta::assert_snapshot!(elsewhere(&format!("{aws}{HETZNER}")).unwrap_err());
        insta::assert_snapshot!(elsewhere(&HETZNER.replace("  hetzner:", "  hetzner_:")).unwrap_err());
    }

    #[test]
    fn what_opens_the_vault_and_the_stores_lies_in_the_vault() {
        let with = |field: &str| Castle::parse(&GOOD.replace("state:\n", &format!("{field}\nstate:\n")));
        let copies = |key: &str| {
            format!(
                "vault:\n  url: https://keep.example/vault.skv\n  s3: {{bucket: b, key: k, region: r, accessKeyId: \"{key}\", \
                 secretAccessKey: \"vault:k\"}}"
            )
        };
        let castle = with(&copies("vault:id")).unwrap();
        assert!(castle.secret_refs().contains(&SecretRef::Vault("id".into())));
        assert_eq!(castle.vault.url.unwrap().host_str(), Some("keep.example"));
        insta::assert_snapshot!(with(&copies("infisical:ID")).unwrap_err());
        assert!(with("vault: {url: \"http://keep.example/vault.skv\"}").is_err());
        let sops = |text: &str| Castle::parse(&GOOD.replace("infisical:GITHUB_TOKEN", text));
        insta::assert_snapshot!(sops("sops:clusters/rossi/git.yaml#token").unwrap_err());
    }

    #[test]
    fn a_secret_in_a_sops_file_is_named_by_file_and_key() {
        let text = GOOD
            .replace(
                "\nsecrets:\n",
                "\nsecrets:\n  sops: {ageIdentity: \"vault:sops/age\"}\n",
            )
            .replace(
                "infisical:RESTIC_PASSWORD",
                "\"sops:clusters/rossi/restic.yaml#stringData/pass~1word\"",
            )
            .replace("infisical:CLOUDFLARE_API_TOKEN", "\"sops:token.bin\"");
        let refs = Castle::parse(&text).unwrap().secret_refs();
        let names: Vec<String> = refs.iter().map(ToString::to_string).collect();
        assert!(
            names.contains(&"sops:clusters/rossi/restic.yaml#stringData/pass~1word".into()),
            "{names:?}"
        );
        assert!(names.contains(&"sops:token.bin".into()) && names.contains(&"vault:sops/age".into()));
        assert!(Castle::parse(&text.replace("  sops: {ageIdentity: \"vault:sops/age\"}\n", "")).is_err());
    }

    #[test]
    fn what_may_be_lost_and_how_long_it_takes_are_numbers_that_make_sense() {
        let with =
            |fields: &str| Castle::parse(&GOOD.replacen("  - name: site\n", &format!("  - name: site\n{fields}"), 1));
        let castle = with("    rpoHours: 26\n    strictRpo: true\n    budgetMinutes: 90\n").unwrap();
        assert_eq!(castle.treasures[0].budget().as_secs(), 5400);
        assert_eq!(Castle::parse(GOOD).unwrap().treasures[0].budget().as_secs(), 60);
        for wrong in [
            "rpoHours: 0",
            "strictRpo: true",
            "budgetMinutes: 0",
            "budgetMinutes: 1441",
        ] {
            let error = with(&format!("    {wrong}\n")).unwrap_err();
            assert!(error.what.contains("castle.yaml: `treasures."), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_secret_reference_without_a_store_is_refused() {
        let error = Castle::parse(&GOOD.replace("infisical:GITHUB_TOKEN", "ghp_abcdef")).unwrap_err();
        assert!(error.why.contains("vault:<path>"), "{error}");
        assert!(
            !error.to_string().contains("ghp_abcdef"),
            "a token typed in by mistake must not be echoed: {error}"
        );
    }
}
