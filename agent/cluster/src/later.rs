//! What the cluster's API wants to be sent later is sent later.

use std::time::Duration;

use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use kube::client::Body;
use tower::retry::Policy;

/// How often a request is sent again at most.
const TIMES: u32 = 30;
/// Without a word of the server's, and the longest that we take its word for.
const PAUSE: (u64, u64) = (1, 5);

/// Sends a request again that was answered with 429 ("too many requests", "storage is (re)initializing"): such a request was
/// not carried out, so that is safe for all of them. API servers answer so while they start, and one that was made anew starts in
/// the middle of a run. Every other answer is the caller's.
#[derive(Debug, Clone)]
pub(crate) struct Later(u32);

impl Later {
    pub(crate) fn new() -> Self {
        Later(TIMES)
    }
}

impl<Res, E> Policy<Request<Body>, Response<Res>, E> for Later {
    type Future = tokio::time::Sleep;

    fn retry(&mut self, _: &mut Request<Body>, answer: &mut Result<Response<Res>, E>) -> Option<Self::Future> {
        let answer = answer.as_ref().ok()?;
        if answer.status() != StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        self.0 = self.0.checked_sub(1)?;
        let told = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let seconds = told.and_then(|text| text.trim().parse().ok()).unwrap_or(PAUSE.0);
        Some(tokio::time::sleep(Duration::from_secs(seconds.min(PAUSE.1))))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        let mut again = Request::new(request.body().try_clone()?);
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.version_mut() = request.version();
        *again.headers_mut() = request.headers().clone();
        *again.extensions_mut() = request.extensions().clone();
        Some(again)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
    };

    use tower::{ServiceBuilder, ServiceExt, retry::RetryLayer, service_fn};

    use super::*;

    /// Sends one request to a server that answers `status` so many times, then 200; gives the last status and how often it was asked.
    async fn ask(status: u16, times: u32) -> (u16, u32) {
        let asked = Arc::new(AtomicU32::new(0));
        let seen = asked.clone();
        let server = service_fn(move |request: Request<Body>| {
            assert_eq!(request.method(), "POST");
            let before = seen.fetch_add(1, Ordering::SeqCst);
            let status = if before < times { status } else { 200 };
            async move {
                let answer = Response::builder().status(status).header(RETRY_AFTER, "0");
                Ok::<_, Infallible>(answer.body(()).unwrap())
            }
        });
        let client = ServiceBuilder::new()
            .layer(RetryLayer::new(Later::new()))
            .service(server);
        let request = Request::post("/apis").body(Body::from(b"{}".to_vec())).unwrap();
        let answer = client.oneshot(request).await.unwrap();
        (answer.status().as_u16(), asked.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_server_that_still_starts_is_asked_again_and_not_for_ever() {
        assert_eq!(ask(429, 3).await, (200, 4));
        assert_eq!(ask(429, 1000).await, (429, TIMES + 1));
    }

    #[tokio::test]
    async fn any_other_answer_is_the_callers() {
        for status in [200, 404, 409, 500, 503, 504] {
            assert_eq!(
                ask(status, 1000).await,
                (status, 1),
                "{status} may have been carried out, or will not change"
            );
        }
    }
}
