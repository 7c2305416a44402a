//! Who may connect.

/// How clients are authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether clients are accepted without proving who they are. Off unless the configuration says
    /// otherwise.
    pub anonymous: bool,
}
