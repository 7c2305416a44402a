//! What an idle connection holds here, and how large each piece may be.
//!
//! A million of them are a million times what is pinned here, so that none of it grows unnoticed. The bounds are
//! size classes of the allocator: beyond one of them a piece costs as much as the next. What only few
//! connections need at a time belongs into a box of its own.

use std::mem::size_of;

use super::connection::Connection;
use super::open::Open;
use super::port::Port;
use super::shared::{Session, SessionRef};
use crate::session::Line;

/// Bytes that the counts of an `Arc` take in front of what it holds.
const COUNTS: usize = 16;

#[test]
fn no_piece_of_an_idle_connection_grows_unnoticed() {
    let pieces = [
        // In the connection's task: see `listener::arrival`.
        ("Connection", size_of::<Connection>(), 48),
        // One allocation each.
        ("Open", size_of::<Open>(), 128),
        ("Port", COUNTS + size_of::<Port>(), 192),
        ("Session", COUNTS + size_of::<Session>(), 512),
        ("Line", size_of::<Line>(), 80),
        // In the table of sessions, beside a byte of its own, with room to grow.
        ("SessionRef", size_of::<SessionRef>(), 8),
    ];
    for (piece, bytes, most) in pieces {
        println!("{piece}: {bytes} of {most} bytes");
    }
    for (piece, bytes, most) in pieces {
        assert!(bytes <= most, "{piece} has {bytes} bytes: more than {most}");
    }
}
