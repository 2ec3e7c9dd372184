//! What a proxy asks, and what it does if the guard does not answer or its answer changes.

use std::time::Duration;

use super::client::Ask;
use super::lab::{Lab, Place};
use super::recorder::{Answer, Request};
use super::{Http, Proxy};

/// The guard's answer to an allowed request, forged by another server.
const YES: &str = "HTTP/1.1 200 OK\r\nX-Keyward-Name: deploy\r\nContent-Length: 0\r\n\r\n";

/// Failures to answer. No proxy waits longer than five seconds.
const NO_ANSWERS: [Answer; 3] = [
    |_| vec![],
    |_| b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec(),
    |_| {
        std::thread::sleep(Duration::from_secs(7));
        YES.as_bytes().to_vec()
    },
];

pub fn run(proxy: &Proxy) {
    let lab = Lab::new(Place::Tcp);
    let (_running, address) = lab.proxy(proxy, Http::One);
    let status = || Ask::with(&lab.secret).send(&lab, address, Http::One).status;
    let [down, others @ ..] = proxy.unanswered;
    assert_eq!(status(), down, "{}", proxy.name);
    for (answer, expected) in NO_ANSWERS.into_iter().zip(others) {
        let _impostor = lab.impostor(answer);
        assert_eq!(status(), expected, "{}", proxy.name);
    }
    assert!(lab.service.take().is_empty(), "{}", proxy.name);

    asks_well(proxy, &lab, address);

    // Administrative changes apply from the next request, even on open connections.
    let guard = lab.guard(&[]);
    assert_eq!(status(), 200, "{}", proxy.name);
    lab.keyward("disable deploy");
    assert_eq!(status(), 401, "{}", proxy.name);
    assert_eq!(lab.service.take().len(), 1, "{}", proxy.name);
    lab.keyward("enable deploy");
    assert_eq!(status(), 200, "{}", proxy.name);
    assert_eq!(guard.stop(), Some(0), "{}", proxy.name);
    assert_eq!(status(), down, "{}", proxy.name);
}

/// A proxy asks with its own facts, without the body, over reused connections.
fn asks_well(proxy: &Proxy, lab: &Lab, address: std::net::SocketAddr) {
    let impostor = lab.impostor(|_| YES.as_bytes().to_vec());
    let facts = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Uri"];
    let ask = facts.into_iter().fold(Ask::with(&lab.secret), |ask, name| ask.header(name, "forged-value"));
    let ask = ask.body(b"a body".to_vec());
    for _ in 0..10 {
        assert_eq!(ask.send(lab, address, Http::One).status, 200, "{}", proxy.name);
    }
    let asked = impostor.take();
    assert_eq!(asked.len(), 10, "{}", proxy.name);
    assert!(impostor.connections() <= proxy.connections, "{}: {}", proxy.name, impostor.connections());
    for Request { head, body } in &asked {
        assert!(body.is_empty() && !head.to_lowercase().contains("transfer-encoding"), "{head}");
        assert!(!head.contains("forged-value"), "{head}");
    }
    let question = &asked[0];
    assert_eq!(question.line(), proxy.asks);
    assert_eq!(question.values("authorization"), [format!("Bearer {}", lab.secret)]);
    let told = facts.map(|name| question.values(name).join(" and "));
    if proxy.asks.contains("/envoy/") {
        // Envoy's method and path are those of the question itself.
        assert_eq!(told[1..], ["", "", "http", ""], "{}", question.head);
        assert!(told[0].parse::<std::net::IpAddr>().is_ok(), "{}", question.head);
    } else {
        assert_eq!([&told[0], &told[2], &told[3], &told[4]], ["127.0.0.1", "POST", "http", "/orders?page=2"]);
        assert!(told[1].starts_with("127.0.0.1"), "{}", question.head);
    }
    lab.service.take();
}
