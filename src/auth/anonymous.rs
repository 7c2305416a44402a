//! Everybody, or nobody.

use crate::codec::ReasonCode;

use super::options::Options;
use super::{Access, Auth, Exchange, Identity, Request, Tell, Verdict};

/// Accepts every client without proof, or none at all; what it accepts may do everything.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous {
    accepted: bool,
}

impl Anonymous {
    /// As the options say.
    pub fn new(options: &Options) -> Self {
        Self {
            accepted: options.anonymous,
        }
    }
}

impl Auth for Anonymous {
    fn authenticate(&self, _: &Request<'_>, _: &mut dyn FnMut() -> Tell) -> Verdict {
        if self.accepted {
            Verdict::Accept(Identity::default())
        } else {
            Verdict::Refuse(ReasonCode::NotAuthorized)
        }
    }

    fn exchange(&self, _: &str, _: &Request<'_>) -> Option<Box<dyn Exchange>> {
        None
    }

    fn allows(&self, _: &str, _: &Identity, _: Access<'_>) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_accepted_unless_the_options_say_so() {
        let request = Request {
            client_id: "c",
            peer: None,
            user_name: Some("u"),
            password: Some(b"p"),
        };
        let mut never = || -> Tell { unreachable!("answers at once") };
        let closed = Anonymous::new(&Options::default());
        let verdict = closed.authenticate(&request, &mut never);
        assert!(
            matches!(verdict, Verdict::Refuse(ReasonCode::NotAuthorized)),
            "{verdict:?}"
        );
        let open = Anonymous::new(&Options { anonymous: true });
        let verdict = open.authenticate(&request, &mut never);
        assert!(matches!(verdict, Verdict::Accept(_)), "{verdict:?}");
    }
}
