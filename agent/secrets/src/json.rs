//! Bodies that may hold secrets: read into memory that is wiped, parsed without copies where that is possible.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Visitor};
use zeroize::{Zeroize, Zeroizing};

/// Largest answer that is read.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// Reads a whole body. The chunks that hyper hands over are its own memory and can't be wiped here.
pub(crate) async fn body(response: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, String> {
    use futures::TryStreamExt;
    let announced = response
        .content_length()
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(64 * 1024);
    let mut stream = response.bytes_stream();
    let mut all = Zeroizing::new(Vec::with_capacity(announced.min(MAX_BODY)));
    while let Some(chunk) = stream.try_next().await.map_err(|e| skykeep_core::explain::chain(&e))? {
        if all.len() + chunk.len() > MAX_BODY {
            return Err(format!("the answer is longer than {MAX_BODY} bytes"));
        }
        if all.capacity() - all.len() < chunk.len() {
            // Growing by hand: a plain push would free the old block without wiping it.
            let mut larger = Zeroizing::new(Vec::with_capacity((all.len() + chunk.len()) * 2));
            larger.extend_from_slice(&all);
            all = larger;
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// A text borrowed from the body, or, when it had escapes, owned and wiped.
#[derive(Default)]
pub(crate) struct Hush<'a>(Cow<'a, str>);

impl Hush<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Drop for Hush<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Hush<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Hush<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Hush<'de>, E> {
                Ok(Hush(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Hush<'de>, E> {
                Ok(Hush(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Hush<'de>, E> {
                Ok(Hush::default())
            }
        }
        deserializer.deserialize_any(Borrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_newlines_and_quotes_survive() {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            a: Hush<'a>,
            #[serde(borrow)]
            b: Hush<'a>,
            #[serde(borrow)]
            c: Hush<'a>,
        }
        let body: Body = serde_json::from_str(r#"{"a":"plain","b":"-----BEGIN\nX\u00e9\"'\n","c":null}"#).unwrap();
        assert_eq!(body.a.as_str(), "plain");
        assert_eq!(body.b.as_str(), "-----BEGIN\nX\u{e9}\"'\n");
        assert_eq!(body.c.as_str(), "");
    }
}
