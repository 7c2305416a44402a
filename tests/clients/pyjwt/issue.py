"""Keys and tokens as PyJWT and cryptography make them.

    issue.py FOLDER

Makes a key of each kind and writes the public halves to FOLDER: rsa.pem, p256.pem, p384.pem, ed25519.pem,
all of them together as keys.json, with these names as key ids, and the secret as `secret`. Reads the file
`wanted` there, a list in JSON of tokens: {"key": "rsa", "algorithm": "RS256", "claims": {…}, "headers": {…}},
the last of which may be missing. Prints one token on each line.

Two keys are an attacker's: with "none" a token is not signed at all, with "forged" the PEM text of the
public RSA key, which everybody has, is taken for a secret.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import secrets
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm


def main():
    folder = pathlib.Path(sys.argv[1])
    keys = {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    writers = {"rsa": RSAAlgorithm, "p256": ECAlgorithm, "p384": ECAlgorithm, "ed25519": OKPAlgorithm}
    jwks = []
    for name, key in keys.items():
        public = key.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pem").write_bytes(pem)
        jwks.append({**writers[name].to_jwk(public, as_dict=True), "kid": name, "use": "sig"})
    (folder / "keys.json").write_text(json.dumps({"keys": jwks}))
    keys["secret"] = secrets.token_hex(64)
    (folder / "secret").write_text(keys["secret"] + "\n")
    for wanted in json.loads((folder / "wanted").read_text()):
        print(token(folder, keys, **wanted))


def token(folder, keys, key, algorithm, claims, headers=None):
    if key == "none":
        return jwt.encode(claims, None, algorithm="none", headers=headers)
    if key == "forged":
        return forged((folder / "rsa.pem").read_bytes(), claims)
    return jwt.encode(claims, keys[key], algorithm=algorithm, headers=headers)


def forged(pem, claims):
    """PyJWT refuses to do this, and rightly so."""
    encoded = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join(encoded(part) for part in parts)
    signature = hmac.new(pem, signed, hashlib.sha256).digest()
    return (signed + b"." + encoded(signature)).decode()


main()
