//! The protocol's pure rooms, held against models and against what others wrote.
//!
//! One test binary, because linking is what costs: `codec_properties` asks the codec about itself,
//! `codec_oracles` asks two other codecs about ours.

mod codec_oracles;
mod codec_properties;
mod packets;
mod trie_model;
