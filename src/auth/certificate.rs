//! Who has shown a certificate is who it says.
//!
//! The listener has verified the certificate and taken the user from the field that it is told to look at;
//! so nothing is left to prove here, and User Name and Password of the CONNECT count for nothing.

use super::gate::{Answer, Opinion, Way};
use super::{Identity, Request};

/// Accepts whoever comes with a user from its certificate, and passes on everybody else.
#[derive(Clone, Copy, Debug)]
pub struct Certificate;

impl Way for Certificate {
    fn opinion(&self, request: &Request<'_>, _: &mut dyn FnMut() -> Answer) -> Opinion {
        match &request.caller.user {
            Some(user) => Opinion::Accept(Identity::of(user.clone())),
            None => Opinion::Next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Caller;
    use super::*;

    fn opinion(user: Option<&str>) -> Opinion {
        let caller = Caller {
            user: user.map(Into::into),
            ..Caller::default()
        };
        let request = Request {
            client_id: "c",
            caller: &caller,
            user_name: Some("somebody else"),
            password: Some(b"secret"),
        };
        Certificate.opinion(&request, &mut || panic!("it is said at once"))
    }

    #[test]
    fn the_user_of_the_certificate_counts_and_no_other() {
        let Opinion::Accept(identity) = opinion(Some("anna")) else {
            panic!("anna has shown her certificate");
        };
        assert_eq!(identity.user.as_deref(), Some("anna"));
        assert!(matches!(opinion(None), Opinion::Next));
    }
}
