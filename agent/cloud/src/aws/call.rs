//! How AWS is called: for answers, for pages of answers, and with patience for things that are not visible yet.

use std::{future::Future, time::Duration};

use serde::de::DeserializeOwned;
use skykeep_aws::{AwsError, Params, Service};
use skykeep_core::Progress;
use tokio::time::Instant;

use super::{AwsCloud, CONSISTENCY, xml::Page};
use crate::{CloudError, Result};

/// How long a thing that was created a moment ago may be unknown to the next call.
const VISIBLE_WITHIN: Duration = Duration::from_secs(45);

fn read<T: DeserializeOwned>(action: &str, text: &str) -> Result<T, AwsError> {
    // Some ELB actions answer with nothing worth reading.
    quick_xml::de::from_str(text).map_err(|e| AwsError::Unreadable {
        action: action.to_owned(),
        why: e.to_string(),
    })
}

/// Whether AWS may only not have heard yet of something that exists. Images are not made by us.
fn young(error: &AwsError) -> bool {
    error.is_not_found() && !error.code().is_some_and(|code| code.starts_with("InvalidAMIID"))
}

pub(super) fn lift(doing: &str) -> impl FnOnce(AwsError) -> CloudError {
    let doing = doing.to_owned();
    move |error| CloudError::Aws {
        doing,
        error: Box::new(error),
    }
}

impl AwsCloud {
    /// Calls an action that changes something.
    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        service: Service,
        doing: &str,
        action: &str,
        params: &Params,
    ) -> Result<T> {
        let text = self.query.call(service, action, params).await.map_err(lift(doing))?;
        read(action, &text).map_err(lift(doing))
    }

    /// The same for actions that may be done twice, about things that may have been created a moment ago: while AWS does not
    /// know them yet, and on passing trouble, it is tried again. Errors in `fine` count as done (`None`).
    pub(super) async fn settle<T: DeserializeOwned>(
        &self,
        service: Service,
        doing: &str,
        action: &str,
        params: &Params,
        fine: &[&str],
    ) -> Result<Option<T>> {
        let until = Instant::now() + VISIBLE_WITHIN;
        loop {
            match self.query.ask(service, action, params).await {
                Ok(text) => return read(action, &text).map(Some).map_err(lift(doing)),
                Err(e) if e.code().is_some_and(|code| fine.contains(&code)) => return Ok(None),
                Err(e) if young(&e) && Instant::now() < until => tokio::time::sleep(Duration::from_secs(1)).await,
                Err(e) => return Err(lift(doing)(e)),
            }
        }
    }

    /// All pages of a listing. Things that do not exist are an empty list.
    pub(super) async fn list<P: Page>(
        &self,
        service: Service,
        doing: &str,
        action: &str,
        params: Params,
    ) -> Result<Vec<P::Item>> {
        let marker = if service == Service::Ec2 { "NextToken" } else { "Marker" };
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = match next.take() {
                Some(token) => params.clone().with(marker, token),
                None => params.clone(),
            };
            let text = match self.query.ask(service, action, &page).await {
                Ok(text) => text,
                Err(e) if e.is_not_found() => return Ok(all),
                Err(e) => return Err(lift(doing)(e)),
            };
            let (items, token) = read::<P>(action, &text).map_err(lift(doing))?.open();
            all.extend(items);
            match token.filter(|t| !t.is_empty()) {
                Some(token) => next = Some(token),
                None => return Ok(all),
            }
        }
    }

    /// Finds, adopts, or else creates. When the answer to the creation is lost it may have been carried out all the same: it is
    /// looked for until AWS's reads are sure to show it, and only then created once more. Of twins (two laptops at once, or a
    /// search that was too early) the lowest id stays and the other is discarded; one that can't be discarded is not empty and
    /// stays for [`crate::Cloud::destroy`].
    pub(super) async fn adopt<T, Find, Create, Discard>(
        &self,
        what: &str,
        progress: &Progress,
        find: impl Fn() -> Find,
        create: impl Fn() -> Create,
        discard: impl Fn(String) -> Discard,
        id: impl Fn(&T) -> &str,
    ) -> Result<T>
    where
        Find: Future<Output = Result<Vec<T>>>,
        Create: Future<Output = Result<T>>,
        Discard: Future<Output = Result<()>>,
    {
        let mut found = look(&find, self.doubtful_until).await?;
        if let Some(first) = found.iter().min_by(|a, b| id(a).cmp(id(b))) {
            progress.note(format!("{what} {} adopted", id(first)));
        } else {
            let made = match create().await {
                Err(error) if unanswered(&error) => {
                    progress.note(format!(
                        "the creation of the {what} was not answered: looking whether it was done"
                    ));
                    found = look(&find, Instant::now() + CONSISTENCY).await?;
                    match found.is_empty() {
                        true => Some(create().await?),
                        false => None,
                    }
                }
                made => Some(made?),
            };
            if let Some(made) = made {
                progress.note(format!("{what} {} created", id(&made)));
                found = find().await?;
                if !found.iter().any(|t| id(t) == id(&made)) {
                    found.push(made);
                }
            }
        }
        found.sort_by(|a, b| id(a).cmp(id(b)));
        let mut rest = found.into_iter();
        let stays = rest.next().ok_or_else(|| nothing(what))?;
        for twin in rest {
            match discard(id(&twin).to_owned()).await {
                Ok(()) => progress.note(format!(
                    "{what} {} was a twin of {} and is deleted",
                    id(&twin),
                    id(&stays)
                )),
                Err(e) => {
                    progress.note(format!(
                        "{what} {} is a twin of {} and stays: {e:?}",
                        id(&twin),
                        id(&stays)
                    ));
                }
            }
        }
        Ok(stays)
    }
}

/// Looks once, and while nothing is found again and again until a point in time.
async fn look<T, Find: Future<Output = Result<Vec<T>>>>(find: impl Fn() -> Find, until: Instant) -> Result<Vec<T>> {
    loop {
        let found = find().await?;
        if !found.is_empty() || Instant::now() >= until {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Whether the request may have been carried out although it failed for us.
fn unanswered(error: &CloudError) -> bool {
    matches!(
        error,
        CloudError::Aws { error, .. } if match error.as_ref() {
            AwsError::NoAnswer { .. } | AwsError::Unreadable { .. } => true,
            AwsError::Refused { status, .. } => *status >= 500 && !error.is_throttled(),
            AwsError::Unsigned { .. } => false,
        }
    )
}

fn nothing(what: &str) -> CloudError {
    CloudError::Unfit(skykeep_core::Explained {
        what: format!("The {what} was created, but is not there"),
        why: "the cloud's answers contradict one another".into(),
        remedy: "Start again.".into(),
    })
}
