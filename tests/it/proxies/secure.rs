//! Only the proxy knows whether a request arrived over a secure connection.

use super::client::Ask;
use super::lab::{Lab, Place};
use super::{Http, Proxy};

pub fn run(proxy: &Proxy) {
    let lab = Lab::new(Place::Tcp);
    let _guard = lab.guard(&[]);
    let (_plain, plain) = lab.proxy(proxy, Http::One);
    let (_secure, secure) = lab.proxy(proxy, Http::Secure);
    let ask = Ask::with(&lab.secure).header("X-Forwarded-Proto", "https");
    assert_eq!(ask.send(&lab, plain, Http::One).status, 403, "{}", proxy.name);
    assert!(lab.service.take().is_empty(), "{}", proxy.name);
    let ask = Ask::with(&lab.secure).header("X-Forwarded-Proto", "http");
    assert_eq!(ask.send(&lab, secure, Http::Secure).status, 200, "{}", proxy.name);
    let arrived = lab.service.take();
    assert_eq!(arrived[0].values("x-forwarded-proto"), ["https"], "{}: {}", proxy.name, arrived[0].head);
}
