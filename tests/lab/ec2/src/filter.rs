//! Filters with wildcards, tag filters, explicit ids and pages: the same for every Describe call.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::ctx::Ctx;
use crate::error::{ApiError, Result};
use crate::params::Params;
use crate::state::State;

/// A thing that can be described.
pub trait Resource {
    /// Names of the filters it knows, without tags.
    const FILTERS: &'static [&'static str];
    /// Its id.
    fn id(&self) -> &str;
    /// Its values for a filter.
    fn values(&self, filter: &str, st: &State) -> Vec<String>;
}

/// `Filter.N.Name` and `Filter.N.Value.M`.
pub struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// From the request.
    pub fn read(p: &Params) -> Result<Self> {
        let mut out = Vec::new();
        for f in p.subs("Filter") {
            let (name, values) = (f.req("Name")?, f.list("Value"));
            if values.is_empty() {
                return Err(ApiError::value("The filter 'null' is invalid"));
            }
            out.push((name, values));
        }
        Ok(Self(out))
    }

    /// Every name must be known.
    pub fn check(&self, known: &[&str]) -> Result<()> {
        let tag = |n: &str| n == "tag-key" || n.starts_with("tag:");
        match self.0.iter().find(|(n, _)| !tag(n) && !known.contains(&n.as_str())) {
            Some((n, _)) => Err(ApiError::value(format!("The filter '{n}' is invalid"))),
            None => Ok(()),
        }
    }

    /// All filters must match; of one filter's values any.
    pub fn matches(&self, tags: Option<&BTreeMap<String, String>>, values: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|(name, wanted)| {
            let have: Vec<String> = match (name.strip_prefix("tag:"), name.as_str()) {
                (Some(key), _) => tags.and_then(|t| t.get(key)).cloned().into_iter().collect(),
                (_, "tag-key") => tags.map(|t| t.keys().cloned().collect()).unwrap_or_default(),
                (_, name) => values(name),
            };
            wanted.iter().any(|w| have.iter().any(|h| wild(w, h)))
        })
    }
}

/// `*` any characters, `?` one character, `\` takes the next as it is. Case matters.
pub fn wild(pattern: &str, text: &str) -> bool {
    fn go(p: &[char], t: &[char]) -> bool {
        match (p, t) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=t.len()).any(|n| go(rest, &t[n..])),
            (['\\', c, rest @ ..], [d, more @ ..]) => c == d && go(rest, more),
            (['?', rest @ ..], [_, more @ ..]) => go(rest, more),
            ([c, rest @ ..], [d, more @ ..]) => c == d && go(rest, more),
            _ => false,
        }
    }
    go(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

/// The resources asked for: explicit ids must exist, filters select, young ones may still be invisible.
pub fn select<T: Resource + Clone>(
    ctx: &Ctx,
    map: &BTreeMap<String, T>,
    ids: &[String],
    not_found: impl Fn(&[String]) -> ApiError,
) -> Result<Vec<T>> {
    let filters = Filters::read(&ctx.p)?;
    filters.check(T::FILTERS)?;
    let missing: Vec<String> = ids
        .iter()
        .filter(|id| !map.contains_key(*id) || !ctx.visible(id))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Err(not_found(&missing));
    }
    Ok(map
        .values()
        .filter(|r| ctx.visible(r.id()))
        .filter(|r| ids.is_empty() || ids.iter().any(|id| id == r.id()))
        .filter(|r| filters.matches(ctx.st.tags.get(r.id()), |f| r.values(f, &ctx.st)))
        .cloned()
        .collect())
}

/// One page of EC2's kind (`MaxResults`, `NextToken`), and the token of the next.
pub fn page<T>(p: &Params, items: Vec<T>, ids_given: bool) -> Result<(Vec<T>, Option<String>)> {
    let max = p.int("MaxResults")?;
    let token = p.opt("NextToken");
    if max.is_some() && ids_given {
        return Err(ApiError::bad(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    if let Some(n) = max.filter(|n| !(5..=1000).contains(n)) {
        return Err(ApiError::value(format!(
            "Value ( {n} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."
        )));
    }
    let bad = || ApiError::bad("InvalidNextToken", "The token provided is invalid.");
    cut(items, max.unwrap_or(1000), token, bad)
}

/// Cuts a page out; the token is opaque to clients.
pub fn cut<T>(
    items: Vec<T>,
    max: i64,
    token: Option<String>,
    bad: impl Fn() -> ApiError,
) -> Result<(Vec<T>, Option<String>)> {
    let from: usize = match token {
        None => 0,
        Some(t) => STANDARD
            .decode(t)
            .ok()
            .and_then(|b| String::from_utf8(b).ok()?.strip_prefix("from ")?.parse().ok())
            .ok_or_else(bad)?,
    };
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let next = (items.len() > from.saturating_add(max)).then(|| STANDARD.encode(format!("from {}", from + max)));
    Ok((items.into_iter().skip(from).take(max).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Service;
    use crate::params::{Form, decode};

    fn read(raw: &str) -> Filters {
        Filters::read(&Form::new(Service::Ec2, decode(raw)).params()).unwrap()
    }

    #[test]
    fn wildcards_match_as_ec2_documents_them() {
        assert!(wild("ami-*", "ami-1") && wild("?x*", "axbc") && wild("*", "") && wild("\\*", "*"));
        assert!(!wild("ami-?", "ami-12") && !wild("a", "A") && !wild("\\*", "x"));
    }

    #[test]
    fn values_are_joined_by_or_and_filters_by_and() {
        let f =
            read("Filter.1.Name=state&Filter.1.Value.1=a&Filter.1.Value.2=b&Filter.2.Name=tag:K&Filter.2.Value.1=v*");
        let tags = BTreeMap::from([("K".to_owned(), "v1".to_owned())]);
        assert!(f.matches(Some(&tags), |_| vec!["b".to_owned()]));
        assert!(!f.matches(Some(&tags), |_| vec!["c".to_owned()]));
        assert!(!f.matches(None, |_| vec!["b".to_owned()]));
    }

    #[test]
    fn an_unknown_filter_is_an_error() {
        let f = read("Filter.1.Name=colour&Filter.1.Value.1=red");
        assert_eq!(
            f.check(&["state"]).unwrap_err().message,
            "The filter 'colour' is invalid"
        );
    }

    #[test]
    fn pages_follow_one_another_until_the_token_ends() {
        let bad = || ApiError::value("bad");
        let (first, token) = cut((0..7).collect(), 5, None, bad).unwrap();
        assert_eq!(first, [0, 1, 2, 3, 4]);
        let (second, end) = cut((0..7).collect(), 5, token, bad).unwrap();
        assert_eq!((second, end), (vec![5, 6], None));
        assert!(cut(vec![1], 5, Some("rubbish".to_owned()), bad).is_err());
    }

    #[test]
    fn a_page_of_less_than_five_is_refused() {
        let form = Form::new(Service::Ec2, decode("MaxResults=2"));
        assert_eq!(
            page(&form.params(), vec![1], false).unwrap_err().code,
            "InvalidParameterValue"
        );
    }
}
