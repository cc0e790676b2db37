//! Shapes that many answers share.

use serde::{Deserialize, de::DeserializeOwned};

/// EC2's lists: `<xSet><item/><item/></xSet>`.
#[derive(Debug, Deserialize)]
pub(crate) struct Items<T> {
    #[serde(rename = "item", default = "Vec::new")]
    pub list: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Items { list: Vec::new() }
    }
}

/// ELB's lists: `<X><member/><member/></X>`.
#[derive(Debug, Deserialize)]
pub(crate) struct Members<T> {
    #[serde(rename = "member", default = "Vec::new")]
    pub list: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Members { list: Vec::new() }
    }
}

/// One page of a listing.
pub(crate) trait Page: DeserializeOwned {
    type Item;
    fn open(self) -> (Vec<Self::Item>, Option<String>);
}

/// Declares a page of EC2: the name of its set and of what lies in it.
macro_rules! ec2_page {
    ($name:ident, $set:literal, $item:ty) => {
        #[derive(serde::Deserialize)]
        struct $name {
            #[serde(rename = $set, default)]
            set: $crate::aws::xml::Items<$item>,
            #[serde(rename = "nextToken")]
            next: Option<String>,
        }
        impl $crate::aws::xml::Page for $name {
            type Item = $item;
            fn open(self) -> (Vec<$item>, Option<String>) {
                (self.set.list, self.next)
            }
        }
    };
}
pub(crate) use ec2_page;

/// Declares a page of ELB: the name of its result, of its list and of what lies in it.
macro_rules! elb_page {
    ($name:ident, $inner:ident, $result:literal, $list:literal, $item:ty) => {
        #[derive(serde::Deserialize)]
        struct $name {
            #[serde(rename = $result)]
            result: $inner,
        }
        #[derive(serde::Deserialize)]
        struct $inner {
            #[serde(rename = $list, default)]
            list: $crate::aws::xml::Members<$item>,
            #[serde(rename = "NextMarker")]
            next: Option<String>,
        }
        impl $crate::aws::xml::Page for $name {
            type Item = $item;
            fn open(self) -> (Vec<$item>, Option<String>) {
                (self.result.list.list, self.result.next)
            }
        }
    };
}
pub(crate) use elb_page;

/// An answer nobody needs to look into.
#[derive(Deserialize)]
pub(crate) struct Done {}

/// A tag as EC2 writes it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tag {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

/// The value of a tag, or nothing.
pub(crate) fn tag<'a>(tags: &'a Items<Tag>, key: &str) -> &'a str {
    tags.list.iter().find(|t| t.key == key).map_or("", |t| t.value.as_str())
}
