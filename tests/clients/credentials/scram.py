"""A client's half of SCRAM-SHA-256, with Python's own cryptography.

    scram.py verifier USER PASSWORD SALT ITERATIONS      the line of a file of verifiers
    scram.py proof PASSWORD GS2 CLIENT-FIRST-BARE SERVER-FIRST
                                                         client-final, and the server-final to expect

Names and passwords are taken as they are, without SASLprep.
"""

import base64
import hashlib
import hmac
import sys


def b64(data):
    return base64.b64encode(data).decode()


def keys(password, salt, iterations):
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    return [hmac.digest(salted, what, "sha256") for what in (b"Client Key", b"Server Key")]


def verifier(user, password, salt, iterations):
    client_key, server_key = keys(password, salt.encode(), int(iterations))
    stored = hashlib.sha256(client_key).digest()
    return f"{user}:SCRAM-SHA-256${iterations}:{b64(salt.encode())}${b64(stored)}:{b64(server_key)}"


def proof(password, gs2, bare, server_first):
    said = dict(part.split("=", 1) for part in server_first.split(","))
    client_key, server_key = keys(password, base64.b64decode(said["s"]), int(said["i"]))
    without_proof = f"c={b64(gs2.encode())},r={said['r']}"
    message = f"{bare},{server_first},{without_proof}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    proved = bytes(a ^ b for a, b in zip(client_key, signature))
    final = b64(hmac.digest(server_key, message, "sha256"))
    return f"{without_proof},p={b64(proved)}\nv={final}"


print({"verifier": verifier, "proof": proof}[sys.argv[1]](*sys.argv[2:]))
