//! Published files (releases, Kubernetes binaries) from a folder `HOST/PATH`, with byte ranges.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use anyhow::Result;
use bytes::Bytes;
use futures::TryStreamExt;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::http::{Body, Request, percent_decode, set, text};

/// Answers with the file `root/host/path`.
pub async fn serve(root: Option<&Path>, host: &str, path: &str, request: &Request) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    let Some(file) = root.and_then(|root| locate(root, host, path)) else {
        return text(StatusCode::NOT_FOUND, "Not Found");
    };
    match send(&file, request).await {
        Ok(response) => response,
        Err(_) => text(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn locate(root: &Path, host: &str, path: &str) -> Option<PathBuf> {
    let mut file = root.join(host);
    for part in percent_decode(path)?.split('/').filter(|part| !part.is_empty()) {
        if part == ".." || part == "." {
            return None;
        }
        file.push(part);
    }
    Some(file)
}

async fn send(path: &Path, request: &Request) -> Result<Response<Body>> {
    let mut file = File::open(path).await?;
    let metadata = file.metadata().await?;
    anyhow::ensure!(metadata.is_file(), "not a file");
    let size = metadata.len();
    let wanted = request
        .headers()
        .get("range")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| range(value, size));
    let (status, first, length) = match wanted {
        None => (StatusCode::OK, 0, size),
        Some(Some((first, last))) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Some(None) => {
            let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "");
            set(response.headers_mut(), "content-range", &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let body: Body = if request.method() == Method::HEAD {
        Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()
    } else {
        file.seek(SeekFrom::Start(first)).await?;
        let stream = ReaderStream::with_capacity(file.take(length), 256 * 1024);
        BodyExt::boxed_unsync(StreamBody::new(stream.map_ok(Frame::data).map_err(anyhow::Error::from)))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set(headers, "content-type", "application/octet-stream");
    set(headers, "accept-ranges", "bytes");
    set(headers, "content-length", &length.to_string());
    if let Ok(modified) = metadata.modified() {
        set(headers, "last-modified", &httpdate::fmt_http_date(modified));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        set(
            headers,
            "content-range",
            &format!("bytes {first}-{}/{size}", first + length - 1),
        );
    }
    Ok(response)
}

/// `None`: no range that we know, send all. `Some(None)`: out of the file. `Some(Some((first, last)))`: these bytes.
fn range(header: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let count: u64 = last.parse().ok()?;
        return Some((count > 0 && size > 0).then(|| (size.saturating_sub(count), size - 1)));
    }
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    Some((first < size && first <= last).then(|| (first, last.min(size - 1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        assert_eq!(range("bytes=0-3", 10), Some(Some((0, 3))));
        assert_eq!(range("bytes=4-", 10), Some(Some((4, 9))));
        assert_eq!(range("bytes=-3", 10), Some(Some((7, 9))));
        assert_eq!(range("bytes=10-", 10), Some(None));
        assert_eq!(range("lines=1-2", 10), None);
        assert_eq!(range("bytes=0-1,4-5", 10), None);
    }

    #[test]
    fn a_path_cannot_leave_its_folder() {
        assert_eq!(locate(Path::new("/a"), "h", "/x/%2e%2e/y"), None);
        assert_eq!(
            locate(Path::new("/a"), "h", "/x/y%2B1"),
            Some(PathBuf::from("/a/h/x/y+1"))
        );
    }
}
