//! What an operator asks a running broker, over a Unix domain socket.
//!
//! ```text
//!   options    where the socket is
//!   protocol   what is asked and answered: a line of JSON each
//!   answer     from what is asked to what the broker does and says
//!   socket     one request after the other
//! ```
//!
//! There is no authentication: the file belongs to who runs the broker and nobody else may open it, which
//! is for who binds it to see to. A connection carries one request and its answer. As over HTTP, what a peer can hold on to has a bound:
//! so many at once, so many bytes, so long.

mod answer;
pub mod options;
pub mod protocol;
mod socket;

pub use answer::{House, Reload, Snapshots};
pub use socket::serve;
