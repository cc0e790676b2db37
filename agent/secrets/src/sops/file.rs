//! The outside of a SOPS file: its format, its own part (`sops`), and the rest.

use super::{SopsError, tree::Node};

/// Largest file that is read, bytes.
const LARGEST: usize = 4 * 1024 * 1024;
/// Ways to wrap a data key that we can't use.
const OTHER_KEYS: [&str; 5] = ["pgp", "kms", "gcp_kms", "azure_kv", "hc_vault"];

/// A file taken apart; nothing in it is believed yet.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) content: Node,
    pub(crate) meta: Meta,
    /// It was encrypted as one piece: its only value is the whole content.
    pub(crate) whole: bool,
}

/// SOPS's own part of a file.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    /// The seal over all values, encrypted.
    pub(crate) mac: String,
    /// When the file was written: authenticated with the seal.
    pub(crate) last_modified: String,
    /// The seal is over encrypted values only.
    pub(crate) only_encrypted: bool,
    /// The data key for each age recipient: recipient and armored file.
    pub(crate) age: Vec<(String, String)>,
}

/// Takes a file apart as its name says: `.yaml`, `.yml`, `.json`, `.env`; anything else was encrypted as one piece.
pub(crate) fn take_apart(name: &str, bytes: &[u8]) -> Result<Parts, SopsError> {
    if bytes.len() > LARGEST {
        return Err(SopsError::NotSops("it is larger than 4 MiB".into()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| SopsError::NotSops("it is no text".into()))?;
    let ending = name.rsplit('/').next().and_then(|n| n.rsplit_once('.')).map(|(_, e)| e);
    match ending {
        Some("yaml" | "yml") => structured(yaml(text)?, false),
        Some("json") => structured(json(text)?, false),
        Some("env") => dotenv(text),
        Some("ini") => Err(SopsError::Unsupported("INI files are not read".into())),
        _ => structured(json(text)?, true),
    }
}

fn yaml(text: &str) -> Result<Node, SopsError> {
    // No snippet of the text in the error: what is not encrypted there need not be shown either.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| SopsError::NotSops(e.to_string().trim().to_owned()))
}

fn json(text: &str) -> Result<Node, SopsError> {
    serde_json::from_str(text)
        .map_err(|e| SopsError::NotSops(format!("it is no JSON (line {}, column {})", e.line(), e.column())))
}

fn structured(root: Node, whole: bool) -> Result<Parts, SopsError> {
    let Node::Map(mut items) = root else {
        return Err(SopsError::NotSops("it has no fields".into()));
    };
    let at = items
        .iter()
        .position(|(name, _)| name == "sops")
        .ok_or_else(|| SopsError::NotSops("it has no field `sops`".into()))?;
    let (_, own) = items.remove(at);
    Ok(Parts {
        content: Node::Map(items),
        meta: meta(&own)?,
        whole,
    })
}

fn meta(own: &Node) -> Result<Meta, SopsError> {
    let text = |name: &str| own.get(name).and_then(Node::text).unwrap_or_default();
    if !own.get("key_groups").map_or(&[][..], Node::items).is_empty() {
        return Err(SopsError::Unsupported(
            "its key is shared among several groups (Shamir)".into(),
        ));
    }
    let recipient = |item: &Node| {
        let field = |name: &str| item.get(name).and_then(Node::text).map(str::to_owned);
        Some((field("recipient")?, field("enc")?))
    };
    let age: Vec<_> = own
        .get("age")
        .map_or(&[][..], Node::items)
        .iter()
        .filter_map(recipient)
        .collect();
    if age.is_empty() {
        let others: Vec<&str> = OTHER_KEYS
            .into_iter()
            .filter(|name| own.get(name).is_some_and(|list| !list.items().is_empty()))
            .collect();
        return Err(SopsError::NoKey(format!(
            "it has no age recipient{}",
            if others.is_empty() {
                String::new()
            } else {
                format!(", only {}", others.join(", "))
            }
        )));
    }
    let meta = Meta {
        mac: text("mac").to_owned(),
        last_modified: text("lastmodified").to_owned(),
        only_encrypted: text("mac_only_encrypted").eq_ignore_ascii_case("true"),
        age,
    };
    if meta.mac.is_empty() || meta.last_modified.is_empty() {
        return Err(SopsError::Damaged("its seal over all values is missing".into()));
    }
    Ok(meta)
}

/// `NAME=value` lines; SOPS's own part is flattened into `sops_...` names, newlines are written as `\n`.
fn dotenv(text: &str) -> Result<Parts, SopsError> {
    let mut items: Vec<(String, Node)> = Vec::new();
    let mut own: Vec<(String, Node)> = Vec::new();
    let mut recipients = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| SopsError::NotSops("a line has no `=`".into()))?;
        let value = value.replace("\\n", "\n");
        let Some(field) = name.strip_prefix("sops_") else {
            if items.iter().any(|(known, _)| known == name) {
                return Err(SopsError::NotSops("a name stands twice".into()));
            }
            items.push((name.to_owned(), Node::Leaf(value)));
            continue;
        };
        match field
            .strip_prefix("age__list_")
            .and_then(|rest| rest.split_once("__map_"))
        {
            Some((number, part)) => recipients.push((number.to_owned(), part.to_owned(), value)),
            None if field.starts_with("key_groups") => own.push(("key_groups".into(), Node::List(vec![Node::Null]))),
            None => own.push((field.to_owned(), Node::Leaf(value))),
        }
    }
    let numbers: std::collections::BTreeSet<&String> = recipients.iter().map(|(number, ..)| number).collect();
    let age = numbers.into_iter().map(|number| {
        let fields = recipients.iter().filter(|(n, ..)| n == number);
        Node::Map(
            fields
                .map(|(_, part, value)| (part.clone(), Node::Leaf(value.clone())))
                .collect(),
        )
    });
    let age = Node::List(age.collect());
    if own.is_empty() {
        return Err(SopsError::NotSops("it has no `sops_...` lines".into()));
    }
    own.push(("age".into(), age));
    Ok(Parts {
        content: Node::Map(items),
        meta: meta(&Node::Map(own))?,
        whole: false,
    })
}
