//! A layer of tower: the guard in front of a router of axum, for example.
