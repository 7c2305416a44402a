//! Who may connect.

/// How clients are authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether clients are accepted without proving who they are. Off unless the configuration says
    /// otherwise.
    pub anonymous: bool,
    /// The ways of proof, in the order in which they are asked. Those that nothing is configured for are as
    /// if they were not there.
    pub ways: Vec<WayName>,
    /// Whether users come from certificates: of clients on a listener, or told by a trusted proxy.
    pub certificates: bool,
}

/// What a way of proof is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayName {
    /// A certificate that a listener has verified.
    Certificate,
    /// A User Name and its Password, in a file.
    Password,
    /// A signed token in place of the Password.
    Token,
    /// A service that is asked over HTTP.
    Http,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            anonymous: false,
            ways: vec![
                WayName::Certificate,
                WayName::Password,
                WayName::Token,
                WayName::Http,
            ],
            certificates: false,
        }
    }
}
