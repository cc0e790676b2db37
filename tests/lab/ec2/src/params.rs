//! The form of a query request: decoding, typed access, and the rule that no parameter may pass unnoticed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::error::{ApiError, Result, Service};

/// The decoded form, with a memory of what was looked at.
pub struct Form {
    map: BTreeMap<String, String>,
    used: RefCell<BTreeSet<String>>,
    service: Service,
}

/// Decodes `a=b&c=d` (percent encoding, plus for space).
pub fn decode(raw: &str) -> Vec<(String, String)> {
    raw.split('&')
        .filter(|s| !s.is_empty())
        .map(|pair| {
            let (k, v) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(k, true), unescape(v, true))
        })
        .collect()
}

/// Percent decoding; bytes that are no UTF-8 become the replacement character.
pub fn unescape(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |n: usize| bytes.get(i + n).and_then(|b| (*b as char).to_digit(16));
        match (bytes[i], hex(1), hex(2)) {
            (b'%', Some(h), Some(l)) => {
                out.push((h * 16 + l) as u8);
                i += 2;
            }
            (b'+', ..) if plus => out.push(b' '),
            (b, ..) => out.push(b),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Form {
    /// From pairs; a repeated key keeps the last value.
    pub fn new(service: Service, pairs: Vec<(String, String)>) -> Self {
        Self {
            map: pairs.into_iter().collect(),
            used: RefCell::default(),
            service,
        }
    }

    /// All pairs (for the call log and for idempotency).
    pub fn map(&self) -> &BTreeMap<String, String> {
        &self.map
    }

    /// The whole form as parameters.
    pub fn params(&self) -> Params<'_> {
        Params {
            form: self,
            prefix: String::new(),
        }
    }
}

/// A view on the form below a prefix.
#[derive(Clone)]
pub struct Params<'a> {
    form: &'a Form,
    prefix: String,
}

impl<'a> Params<'a> {
    fn key(&self, name: &str) -> String {
        match (self.prefix.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (_, true) => self.prefix.clone(),
            _ => format!("{}.{name}", self.prefix),
        }
    }

    /// All pairs of the request, whatever the prefix.
    pub fn all(&self) -> &'a BTreeMap<String, String> {
        &self.form.map
    }

    /// The value of this very prefix (an element of a list).
    pub fn own(&self) -> String {
        self.opt("").unwrap_or_default()
    }

    /// A parameter that may be absent. An empty value counts as given.
    pub fn opt(&self, name: &str) -> Option<String> {
        let key = self.key(name);
        let value = self.form.map.get(&key)?;
        self.form.used.borrow_mut().insert(key);
        Some(value.clone())
    }

    /// A parameter that must be there.
    pub fn req(&self, name: &str) -> Result<String> {
        self.opt(name)
            .filter(|v| !v.is_empty())
            .ok_or_else(|| self.missing(name))
    }

    /// The error for an absent parameter.
    pub fn missing(&self, name: &str) -> ApiError {
        let key = self.key(name);
        match self.form.service {
            Service::Elb | Service::Sts | Service::Iam => ApiError::validation(format!(
                "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                lower_first(&key)
            )),
            _ => ApiError::bad(
                "MissingParameter",
                format!("The request must contain the parameter {key}"),
            ),
        }
    }

    fn invalid(&self, name: &str, value: &str, wanted: &str) -> ApiError {
        let key = self.key(name);
        match self.form.service {
            Service::Elb | Service::Sts | Service::Iam => ApiError::validation(format!(
                "Value '{value}' at '{}' is not a valid {wanted}",
                lower_first(&key)
            )),
            _ => ApiError::value(format!("Invalid value '{value}' for {key}: expected a {wanted}")),
        }
    }

    /// Anything that parses from text.
    pub fn parse<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>> {
        match self.opt(name) {
            None => Ok(None),
            Some(v) => v.parse().map(Some).map_err(|_| self.invalid(name, &v, wanted)),
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.parse(name, "boolean")
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> Result<Option<i64>> {
        self.parse(name, "integer")
    }

    /// An IPv4 address.
    pub fn ip(&self, name: &str) -> Result<Option<Ipv4Addr>> {
        self.parse(name, "IPv4 address")
    }

    /// `name.1`, `name.2`, … (ELB: `name.member.1`), each as a view; ordered by number.
    pub fn subs(&self, name: &str) -> Vec<Params<'a>> {
        let mut base = self.key(name);
        if matches!(self.form.service, Service::Elb | Service::Sts | Service::Iam) {
            base.push_str(".member");
        }
        let start = format!("{base}.");
        let numbers: BTreeSet<u32> = self
            .form
            .map
            .keys()
            .filter_map(|k| k.strip_prefix(&start)?.split('.').next()?.parse().ok())
            .collect();
        numbers
            .into_iter()
            .map(|n| Params {
                form: self.form,
                prefix: format!("{base}.{n}"),
            })
            .collect()
    }

    /// A nested structure, if any of its members is there.
    pub fn sub(&self, name: &str) -> Option<Params<'a>> {
        let prefix = self.key(name);
        let start = format!("{prefix}.");
        self.form.map.keys().any(|k| k.starts_with(&start)).then_some(Params {
            form: self.form,
            prefix,
        })
    }

    /// A list of plain values.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.subs(name).iter().map(Params::own).collect()
    }

    /// EC2's attribute form `Name.Value=true`, or plain `Name=true`.
    pub fn attribute_flag(&self, name: &str) -> Result<Option<bool>> {
        match self.flag(&format!("{name}.Value"))? {
            Some(v) => Ok(Some(v)),
            None => self.flag(name),
        }
    }

    /// Every parameter must have been looked at: this double refuses what it does not understand instead of ignoring it.
    pub fn finish(&self) -> Result<()> {
        let used = self.form.used.borrow();
        match self.form.map.keys().find(|k| !used.contains(*k)) {
            None => Ok(()),
            Some(k) => match self.form.service {
                Service::Elb | Service::Sts | Service::Iam => Err(ApiError::validation(format!(
                    "The parameter {k} is not known to this double"
                ))),
                _ => Err(ApiError::bad(
                    "UnknownParameter",
                    format!("The parameter {k} is not recognized"),
                )),
            },
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(service: Service, raw: &str) -> Form {
        Form::new(service, decode(raw))
    }

    #[test]
    fn lists_are_ordered_by_number_and_decoded() {
        let f = form(Service::Ec2, "A.10=z&A.2=b%2Fc&A.1=a+b");
        assert_eq!(f.params().list("A"), ["a b", "b/c", "z"]);
        f.params().finish().unwrap();
    }

    #[test]
    fn elb_lists_have_member_in_their_names() {
        let f = form(Service::Elb, "Subnets.member.1=s1&Subnets.member.2=s2");
        assert_eq!(f.params().list("Subnets"), ["s1", "s2"]);
    }

    #[test]
    fn a_parameter_nobody_looked_at_is_refused() {
        let f = form(Service::Ec2, "A=1&Typo=2");
        f.params().opt("A");
        assert_eq!(
            f.params().finish().unwrap_err().message,
            "The parameter Typo is not recognized"
        );
    }

    #[test]
    fn an_absent_parameter_is_named() {
        let f = form(Service::Ec2, "A=1");
        assert_eq!(
            f.params().req("VpcId").unwrap_err().message,
            "The request must contain the parameter VpcId"
        );
    }
}
