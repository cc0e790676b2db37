//! On which line of a file something stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

/// A YAML node that remembers its lines.
struct Node {
    line: u64,
    shape: Shape,
}

enum Shape {
    /// Key, the key's line, value.
    Map(Vec<(String, u64, Node)>),
    List(Vec<Node>),
    Scalar(String),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = Spanned::<Shape>::deserialize(deserializer)?;
        Ok(Node {
            line: found.referenced.line(),
            shape: found.value,
        })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shapes)
    }
}

struct Shapes;

macro_rules! scalar {
    ($($name:ident: $of:ty),*) => {
        $(fn $name<E>(self, v: $of) -> Result<Shape, E> {
            Ok(Shape::Scalar(v.to_string()))
        })*
    };
}

impl<'de> Visitor<'de> for Shapes {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    scalar!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar(String::new()))
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar(String::new()))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        Shape::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = items.next_element()? {
            list.push(node);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Node>()? {
            match key.shape {
                Shape::Scalar(text) => map.push((text, key.line, entries.next_value()?)),
                _ => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Shape::Map(map))
    }
}

impl Node {
    fn child(&self, key: &str) -> Option<(u64, &Node)> {
        match &self.shape {
            Shape::Map(entries) => entries.iter().find(|(k, ..)| k == key).map(|(_, line, n)| (*line, n)),
            Shape::List(items) => items.get(key.parse::<usize>().ok()?).map(|n| (n.line, n)),
            Shape::Scalar(_) => None,
        }
    }

    fn text(&self, pointer: &str) -> &str {
        let mut node = self;
        for key in pointer.split('/').skip(1) {
            match node.child(key) {
                Some((_, next)) => node = next,
                None => return "",
            }
        }
        match &node.shape {
            Shape::Scalar(text) => text,
            _ => "",
        }
    }

    /// The line of what `pointer` names, or of the deepest part of it that is there.
    fn line_of(&self, pointer: &str) -> u64 {
        let (mut node, mut line) = (self, self.line);
        for key in pointer.split('/').skip(1) {
            let Some((next_line, next)) = node.child(key) else {
                break;
            };
            (line, node) = (next_line, next);
        }
        line
    }

    /// The objects of a document: itself, or the items of a `List`.
    fn objects(&self) -> Vec<&Node> {
        match self.child("items") {
            Some((
                _,
                Node {
                    shape: Shape::List(items),
                    ..
                },
            )) if self.text("/kind") == "List" => items.iter().collect(),
            _ => vec![self],
        }
    }
}

/// The line of `pointer` (or the deepest part of it) in the object of that kind and name.
pub(super) fn in_object(yaml: &str, kind: &str, name: &str, pointer: &str) -> Option<u64> {
    let documents: Vec<Node> = serde_saphyr::from_multiple(yaml).ok()?;
    documents
        .iter()
        .flat_map(Node::objects)
        .find(|o| o.text("/kind") == kind && o.text("/metadata/name") == name)
        .map(|o| o.line_of(pointer))
}

/// The line of `pointer` (or the deepest part of it) in a file of one document.
pub(super) fn in_file(yaml: &str, pointer: &str) -> Option<u64> {
    let document: Node = serde_saphyr::from_str(yaml).ok()?;
    Some(document.line_of(pointer))
}

/// The first line that holds `needle`.
pub(super) fn holding(text: &str, needle: &str) -> Option<u64> {
    let at = text.lines().position(|l| l.contains(needle))?;
    u64::try_from(at).ok().map(|n| n + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "kind: A\nmetadata: {name: x}\n---\n# words\nkind: B\nmetadata:\n  name: x\nspec:\n  list:\n    - {a: 1}\n    - b: true\n      c: ~\n";

    #[test]
    fn a_line_is_found_in_the_right_object_and_as_deep_as_it_goes() {
        let line = |pointer| in_object(YAML, "B", "x", pointer);
        assert_eq!(line("/spec/list/1/c"), Some(12));
        assert_eq!(line("/spec/list/0/a"), Some(10));
        assert_eq!(line("/spec/missing/deeper"), Some(8));
        assert_eq!(line(""), Some(5));
        assert_eq!(in_object(YAML, "A", "x", "/metadata/name"), Some(2));
        assert_eq!(in_object(YAML, "C", "x", ""), None);
        assert_eq!(holding(YAML, "- b"), Some(11));
    }

    #[test]
    fn items_of_a_list_are_objects_too() {
        let yaml = "kind: List\nitems:\n- kind: A\n  metadata: {name: x}\n  spec: 1\n";
        assert_eq!(in_object(yaml, "A", "x", "/spec"), Some(5));
    }
}
