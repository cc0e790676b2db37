//! A very small XML writer: elements, text, lists. Replies are built, never parsed.

/// First line of a document.
pub const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// Escapes text for an element.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            c if (c as u32) < 0x20 && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A document in the making.
#[derive(Default)]
pub struct Xml {
    out: String,
}

impl Xml {
    /// An empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// `<name>text</name>`.
    pub fn text(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.out
            .push_str(&format!("<{name}>{}</{name}>", escape(&value.to_string())));
        self
    }

    /// `<name>text</name>` if there is a value.
    pub fn maybe(&mut self, name: &str, value: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// An element with children.
    pub fn el(&mut self, name: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.out.push_str(&format!("<{name}>"));
        fill(self);
        self.out.push_str(&format!("</{name}>"));
        self
    }

    /// A list: `<name><item>…</item>…</name>`.
    pub fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.el(name, |x| {
            for one in items {
                x.el(item, |x| fill(x, one));
            }
        })
    }

    /// A list of plain values: `<name><item>value</item>…</name>`.
    pub fn values<T: std::fmt::Display>(
        &mut self,
        name: &str,
        item: &str,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.el(name, |x| {
            for value in values {
                x.text(item, value);
            }
        })
    }

    /// EC2's `<return>true</return>`.
    pub fn done() -> String {
        "<return>true</return>".to_owned()
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_lists_nest() {
        let mut x = Xml::new();
        x.list("set", "item", ["a<b", "c&d"], |x, v| {
            x.text("v", v);
        });
        assert_eq!(
            x.finish(),
            "<set><item><v>a&lt;b</v></item><item><v>c&amp;d</v></item></set>"
        );
    }
}
