//! The least that a hyper server does: it answers 200 to everything, with one event loop per core.

use std::convert::Infallible;
use std::net::TcpListener;
use std::thread;

use anyhow::Result;
use http_body_util::Empty;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// Serves at this address until it is killed.
pub(crate) fn serve(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut threads = vec![];
    for _ in 0..cores {
        let listener = listener.try_clone()?;
        threads.push(thread::spawn(|| turn(listener)));
    }
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

fn turn(listener: TcpListener) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let answer = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    })
}
