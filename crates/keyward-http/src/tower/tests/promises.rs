//! The contract between the guard and its service.

use std::future::{Future as _, Ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use keyward_core::rules::hashing::Cost;
use keyward_core::store::Store;
use tower_layer::Layer as _;
use tower_service::Service;

use super::super::{GuardLayer, Guarded, GuardedFuture, VerifiedKey};
use super::{Named, Scene, bearer, call, change, make_ready, now, request, set_cost, told, wait};
use crate::guard::Asked;

#[test]
fn a_hash_is_waited_for_by_nobody_but_its_request() {
    let scene = Scene::new();
    let good = bearer(&scene.mint("good", |_| {}));
    let mut service = scene.reading().layer(Named::default());
    make_ready(&mut service);
    let mut first = pin!(service.call(request(&[("authorization", &good)])));
    // The request keeps the service that was ready; the next one must become ready first.
    make_ready(&mut service);
    let refused = wait(service.call(request(&[]))).unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(told(&wait(first.as_mut()).unwrap()), "200 good");
    // It matched before, so it is answered at the first poll.
    make_ready(&mut service);
    let mut second = pin!(service.call(request(&[("authorization", &good)])));
    let polled = second.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(response)) if response.status() == 200));
}

#[test]
fn an_error_of_the_service_is_its_own() {
    let scene = Scene::new();
    let good = bearer(&scene.mint("good", |_| {}));
    let mut service = scene.reading().layer(Named::default());
    for _ in 0..2 {
        let mut asked = request(&[("authorization", &good)]);
        *asked.uri_mut() = "/broken".parse().unwrap();
        assert_eq!(call(&mut service, asked).unwrap_err(), "broken");
    }
}

#[test]
fn a_service_that_is_not_ready_is_not_called() {
    #[derive(Clone)]
    struct Busy(Poll<Result<(), &'static str>>);
    impl Service<Request<()>> for Busy {
        type Response = Response<Vec<u8>>;
        type Error = &'static str;
        type Future = Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            self.0
        }
        fn call(&mut self, _: Request<()>) -> Self::Future {
            panic!("it is not ready")
        }
    }
    let scene = Scene::new();
    for state in [Poll::Pending, Poll::Ready(Err("closed")), Poll::Ready(Ok(()))] {
        let mut service = scene.reading().layer(Busy(state));
        assert_eq!(service.poll_ready(&mut Context::from_waker(Waker::noop())), state);
    }
}

#[test]
fn what_others_change_counts_at_the_next_request() {
    let scene = Scene::new();
    let good = bearer(&scene.mint("good", |_| {}));
    let mut service = scene.reading().layer(Named::default());
    for enabled in [true, false, true] {
        change(&scene.path(), "good", enabled);
        let status = call(&mut service, request(&[("authorization", &good)])).unwrap().status();
        assert_eq!(status == 200, enabled);
    }
}

#[test]
fn uses_are_counted_and_old_hashes_are_renewed() {
    let scene = Scene::new();
    let good = scene.mint("good", |_| {});
    let dearer = Cost { passes: 2, ..Cost::FLOOR };
    set_cost(&mut Store::open(&scene.path()).unwrap(), dearer);
    let mut service = scene.reading().layer(Named::default());
    for _ in 0..3 {
        assert_eq!(call(&mut service, request(&[("authorization", &bearer(&good))])).unwrap().status(), 200);
    }
    assert_eq!(call(&mut service, request(&[])).unwrap().status(), 401);
    scene.guard.flush();
    let store = Store::open(&scene.path()).unwrap();
    let view = store.view().unwrap();
    let key = view.find("good").unwrap().unwrap();
    assert_eq!((key.use_count, key.last_used_at), (3, Some(now())));
    let presented = view.presented(&key.secrets[0].id).unwrap().unwrap();
    assert!(!presented.hash.needs_renewal(dearer));
}

#[test]
fn the_service_learns_everything_about_the_key_but_its_hash() {
    let scene = Scene::new();
    let good = bearer(&scene.mint("good", |_| {}));
    let layer = scene.reading();
    let ruling = match layer.ask(&request(&[("authorization", &good)])) {
        Asked::Waiting(waiting) => wait(waiting),
        Asked::Ruled(ruling) => ruling,
    };
    let key = layer.conclude(ruling).unwrap();
    assert_eq!((key.name().as_str(), key.scopes().collect::<Vec<_>>()), ("good", vec!["read"]));
    assert!(key.has_scope("read") && !key.has_scope("rea") && !key.has_scope("write"));
    assert_eq!((key.owner(), key.tenant(), key.group(), key.role()), (None, None, None, None));
    assert_eq!(format!("{key:?}"), format!("VerifiedKey {{ id: {:?}, name: {:?}, .. }}", key.id(), key.name()));
    assert!(!format!("{key:?}").contains("argon2"));
}

#[test]
fn it_goes_wherever_a_service_goes() {
    fn everywhere<T: Clone + Send + Sync + 'static>() {}
    fn sent<T: Send>() {}
    fn refuses<R: From<Vec<u8>>>() {}
    everywhere::<GuardLayer>();
    everywhere::<Guarded<Named>>();
    everywhere::<VerifiedKey>();
    sent::<GuardedFuture<Named, ()>>();
    refuses::<axum::body::Body>();
    #[cfg(feature = "server")]
    refuses::<http_body_util::Full<bytes::Bytes>>();
}
