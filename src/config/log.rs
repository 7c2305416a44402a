//! How much the broker says on standard error. The only options without a room of their own.

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// The least important level that is still written.
    pub level: Level,
}

/// How important a line is; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// The broker cannot do what it is there for.
    Error,
    /// Somebody should look, the broker goes on.
    Warn,
    /// Start, stop, and what an operator wants to have read afterwards.
    #[default]
    Info,
    /// Each connection: who came, who left and why.
    Debug,
    /// Each packet.
    Trace,
}

impl Level {
    /// The name in the configuration file, which is that of the log filter too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
