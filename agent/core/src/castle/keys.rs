//! What the old castle writes with, and who takes it away.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Castle, SecretRef, check::ensure};
use crate::explain::Explained;

/// Keys of the old castle that are switched off before the names move, and on again by `skykeep dns undo`. Only keys that the
/// reborn castle does not use: what both use would be taken from both.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeAway {
    /// API tokens at Cloudflare, with which it writes records.
    #[serde(default)]
    pub cloudflare: Option<CloudflareTokens>,
    /// Access keys at AWS, with which it writes backups.
    #[serde(default)]
    pub aws: Option<AccessKeys>,
}

/// API tokens at Cloudflare.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloudflareTokens {
    /// A token that may edit API tokens (permission `API Tokens: Edit`). It is used for nothing else.
    pub with: SecretRef,
    /// The account whose tokens they are; without it they are a user's.
    #[serde(default)]
    pub account: Option<String>,
    /// Their ids, 32 hexadecimal digits each: not the tokens themselves.
    pub tokens: Vec<String>,
}

/// Access keys of a user of AWS's IAM.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessKeys {
    /// Access key id of a user that may `iam:ListAccessKeys` and `iam:UpdateAccessKey` of the user below.
    pub access_key_id: SecretRef,
    /// Its secret access key.
    pub secret_access_key: SecretRef,
    /// The user of the old castle.
    pub user: String,
    /// Ids of its access keys.
    pub keys: Vec<String>,
    /// A region of the partition whose IAM it is; `us-east-1` stands for all of the public one.
    #[serde(default = "public")]
    pub region: String,
}

fn public() -> String {
    "us-east-1".into()
}

impl TakeAway {
    /// Every secret that it names.
    pub fn secret_refs(&self) -> Vec<SecretRef> {
        let tokens = self.cloudflare.iter().map(|c| c.with.clone());
        let keys = self.aws.iter();
        tokens
            .chain(keys.flat_map(|a| [a.access_key_id.clone(), a.secret_access_key.clone()]))
            .collect()
    }
}

pub(super) fn check(castle: &Castle) -> Result<(), Explained> {
    let Some(away) = &castle.old_castle.take_away else {
        return Ok(());
    };
    ensure(
        castle.dns.is_some(),
        "oldCastle.takeAway",
        "castle.yaml has no `dns`: it would never come to the moment in which keys are taken",
        "Take the field out, or name the zone.",
    )?;
    let hexadecimal = |id: &String| id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (tokens, keys) = (away.cloudflare.as_ref(), away.aws.as_ref());
    ensure(
        tokens.is_some() || keys.is_some(),
        "oldCastle.takeAway",
        "it names nothing",
        "Name `cloudflare` or `aws`, or take the field out.",
    )?;
    ensure(
        tokens.is_none_or(|t| !t.tokens.is_empty() && t.tokens.iter().chain(&t.account).all(hexadecimal)),
        "oldCastle.takeAway.cloudflare",
        // Not repeated: it may be a token that somebody pasted here.
        "a token's and an account's id have 32 hexadecimal digits, and there has to be a token",
        "Take the id from the token's page at Cloudflare (it is in the address), or from `GET /user/tokens`. The token itself belongs nowhere here.",
    )?;
    let id = |id: &String| {
        id.len() == 20 && id.starts_with("AKIA") && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    ensure(
        keys.is_none_or(|k| !k.keys.is_empty() && k.keys.iter().all(id)),
        "oldCastle.takeAway.aws.keys",
        "an access key id is AKIA and 16 capital letters and digits, and there has to be one",
        "Take it from IAM, the user's page, security credentials.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../../tests/castle/castle.yaml");

    fn with(lines: &str) -> Result<Castle, Explained> {
        let (head, tail) = GOOD.split_once("oldCastle:\n").unwrap();
        let (_, tail) = tail.split_once("dns:\n").unwrap();
        Castle::parse(&format!("{head}oldCastle:\n{lines}dns:\n{tail}"))
    }

    #[test]
    fn the_keys_of_the_old_castle_are_ids_and_what_switches_them_is_a_reference() {
        let castle = Castle::parse(GOOD).unwrap();
        let away = castle.old_castle.take_away.as_ref().unwrap();
        assert_eq!(away.secret_refs().len(), 3);
        assert!(away.secret_refs().iter().all(|r| castle.secret_refs().contains(r)));
    }

    #[test]
    fn a_token_in_the_place_of_its_id_is_refused_and_not_repeated() {
        let token = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY";
        let text = format!("  takeAway:\n    cloudflare: {{with: vault:keys, tokens: [{token}]}}\n");
        let error = with(&text).unwrap_err().to_string();
        assert!(!error.contains(token));
        insta::assert_snapshot!(error);
    }

    #[test]
    fn nothing_to_take_and_no_names_that_move_are_mistakes() {
        let error = with("  takeAway: {}\n").unwrap_err();
        assert!(error.why.contains("it names nothing"), "{error}");
        let short =
            "  takeAway:\n    aws: {accessKeyId: vault:a, secretAccessKey: vault:b, user: home, keys: [AKIA1]}\n";
        assert!(with(short).unwrap_err().what.contains("aws.keys"));
    }
}
