//! A store on the disk.

pub mod segments;
