//! A repository at one commit, in memory, and what Flux will find in it.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::error::GitopsError;

/// All files of one commit.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    /// The commit, 40 hex digits.
    pub commit: String,
    /// Path (with `/`, without one at its beginning) to content.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file it stands in.
    pub file: String,
    /// The object.
    pub value: Value,
    /// The namespace it lands in, when that is known.
    pub namespace: Option<String>,
}

/// What `flux bootstrap` put into the repository.
#[derive(Debug, Clone)]
pub struct FluxRoot {
    /// Everything of `gotk-components.yaml`.
    pub components: Vec<Document>,
    /// The GitRepository of `gotk-sync.yaml`.
    pub source: Document,
    /// The root Kustomization of `gotk-sync.yaml`.
    pub root: Document,
}

/// A text inside an object.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A list inside an object.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

impl Document {
    /// The kind.
    pub fn kind(&self) -> &str {
        text(&self.value, "/kind")
    }

    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        text(&self.value, "/apiVersion")
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// The name.
    pub fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    /// The namespace it lands in; `default` when nothing says another.
    pub fn namespace(&self) -> &str {
        let own = text(&self.value, "/metadata/namespace");
        match &self.namespace {
            Some(set) => set,
            None if own.is_empty() => "default",
            None => own,
        }
    }

    /// Whether this is `kind` of an API group whose name begins with `group`.
    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.kind() == kind && self.group() == group
    }
}

/// A path without `.`, `..` and superfluous slashes; `None` when it leaves the repository.
pub(crate) fn normal(base: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            other => parts.push(other),
        }
    }
    Some(parts.join("/"))
}

/// Most bytes of a working tree that are read; Flux's own limit for a source is far below.
const MAX_TREE: u64 = 256 * 1024 * 1024;

impl Repository {
    /// Reads a working tree as it lies on disk; `.git` and links are left out. The commit is not known.
    pub fn from_folder(folder: &Path) -> Result<Self, GitopsError> {
        let problem = |path: &Path, why: String| GitopsError::Folder {
            path: path.display().to_string(),
            why,
        };
        let mut repository = Repository::default();
        let mut left = MAX_TREE;
        let mut ahead = vec![folder.to_owned()];
        while let Some(at) = ahead.pop() {
            for entry in std::fs::read_dir(&at).map_err(|e| problem(&at, e.to_string()))? {
                let entry = entry.map_err(|e| problem(&at, e.to_string()))?;
                let path = entry.path();
                let kind = entry.file_type().map_err(|e| problem(&path, e.to_string()))?;
                if kind.is_dir() && entry.file_name() != ".git" {
                    ahead.push(path);
                } else if kind.is_file() {
                    let size = entry.metadata().map_err(|e| problem(&path, e.to_string()))?.len();
                    left = left
                        .checked_sub(size)
                        .ok_or_else(|| GitopsError::TooLarge(format!("it has more than {MAX_TREE} bytes")))?;
                    let name = path
                        .strip_prefix(folder)
                        .unwrap_or(&path)
                        .to_string_lossy()
                        .into_owned();
                    let bytes = std::fs::read(&path).map_err(|e| problem(&path, e.to_string()))?;
                    repository.files.insert(name, bytes);
                }
            }
        }
        Ok(repository)
    }

    /// Whether a folder is there.
    pub fn has_folder(&self, path: &str) -> bool {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        self.files
            .range(prefix.clone()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(&prefix))
    }

    /// The objects of a YAML file, empty documents left out.
    pub fn documents(&self, file: &str) -> Result<Vec<Document>, GitopsError> {
        let yaml = |why: String| GitopsError::Yaml {
            file: file.to_owned(),
            why,
        };
        let bytes = self.files.get(file).ok_or_else(|| yaml("it is not there".into()))?;
        let text = std::str::from_utf8(bytes).map_err(|_| yaml("it is not UTF-8 text".into()))?;
        let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| yaml(e.to_string()))?;
        let mut documents = Vec::new();
        for value in values {
            // `kind: List` is how some tools write several objects.
            let items = if self::text(&value, "/kind") == "List" {
                list(&value, "/items").to_vec()
            } else {
                vec![value]
            };
            documents.extend(items.into_iter().map(|value| Document {
                file: file.to_owned(),
                value,
                namespace: None,
            }));
        }
        Ok(documents)
    }

    /// Finds what `flux bootstrap` made under the castle's root path.
    pub fn flux(&self, path: &str) -> Result<FluxRoot, GitopsError> {
        let missing = |what: &str| GitopsError::Layout {
            missing: what.to_owned(),
            path: path.to_owned(),
        };
        let root = normal("", path).ok_or_else(|| missing("root path"))?;
        let find = |name: &str| {
            let places = [format!("{root}/flux-system/{name}"), format!("{root}/{name}")];
            places
                .into_iter()
                .find(|p| self.files.contains_key(p))
                .ok_or_else(|| missing(name))
        };
        let components = self.documents(&find("gotk-components.yaml")?)?;
        let sync = self.documents(&find("gotk-sync.yaml")?)?;
        let one = |group: &str, kind: &str| {
            sync.iter()
                .find(|d| d.is(group, kind))
                .cloned()
                .ok_or_else(|| missing(&format!("{kind} in gotk-sync.yaml")))
        };
        Ok(FluxRoot {
            components,
            source: one("source.toolkit.fluxcd.io", "GitRepository")?,
            root: one("kustomize.toolkit.fluxcd.io", "Kustomization")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_can_not_leave_the_repository() {
        assert_eq!(
            normal("clusters/rossi", "../../infrastructure/").as_deref(),
            Some("infrastructure")
        );
        assert_eq!(normal("", "./clusters//rossi").as_deref(), Some("clusters/rossi"));
        assert_eq!(normal("a", "../../etc"), None);
    }

    #[test]
    fn several_objects_in_one_file_are_all_read_and_empty_ones_left_out() {
        let yaml = "---\n# only a comment\n---\nkind: A\n---\nkind: List\nitems:\n- {kind: B}\n- {kind: C}\n";
        let files = BTreeMap::from([("x.yaml".to_owned(), yaml.into())]);
        let repository = Repository {
            commit: String::new(),
            files,
        };
        let kinds: Vec<_> = repository
            .documents("x.yaml")
            .unwrap()
            .iter()
            .map(|d| d.kind().to_owned())
            .collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        assert!(repository.has_folder("") && !repository.has_folder("x"));
    }
}
