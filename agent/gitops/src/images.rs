//! Which images the rendered repository names openly.

use std::collections::BTreeSet;

use serde_json::Value;
use skykeep_core::castle::Castle;

use crate::{Repository, lint::rendered};

/// Every `image` in an object which Flux applies (of pods, and of values of charts), and in the defaults of charts that lie in the
/// repository. What a chart from elsewhere or an operator chooses by itself is not seen.
pub fn images(repository: &Repository, castle: &Castle) -> Vec<String> {
    let mut found = BTreeSet::new();
    for value in rendered(repository, &castle.gitops.path) {
        collect(&value, &mut found);
    }
    let of_a_chart = |file: &&String| {
        let folder = file.strip_suffix("values.yaml");
        folder.is_some_and(|folder| repository.files.contains_key(&format!("{folder}Chart.yaml")))
    };
    for file in repository.files.keys().filter(of_a_chart) {
        for document in repository.documents(file).unwrap_or_default() {
            collect(&document.value, &mut found);
        }
    }
    found.into_iter().collect()
}

/// Charts' usual way to say it: `{registry?, repository, tag}`.
fn in_parts(value: &Value) -> Option<String> {
    let part = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (repository, tag) = (part("repository")?, part("tag")?);
    Some(match part("registry") {
        Some(registry) => format!("{registry}/{repository}:{tag}"),
        None => format!("{repository}:{tag}"),
    })
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(image) if name == "image" && !image.contains(['{', '$', ' ']) => {
                        found.insert(image.clone());
                    }
                    Value::Object(_) if name == "image" => found.extend(in_parts(field)),
                    _ => collect(field, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| collect(one, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_pods_and_values_are_found_and_templates_are_not() {
        let value = serde_json::json!({"spec": {"template": {"spec": {
            "initContainers": [{"image": "a:1"}], "containers": [{"image": "b:1"}, {"image": "{{ .Values.x }}"}]}},
            "values": {"image": "c:1", "other": {"image": {"repository": "d"}}, "more": {"image": {"registry": "e.io", "repository": "f", "tag": "1"}}}}});
        let mut found = BTreeSet::new();
        collect(&value, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a:1", "b:1", "c:1", "e.io/f:1"]);
    }
}
