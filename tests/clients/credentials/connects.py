"""Connects with paho-mqtt as different users, and says what each was told.

    connects.py PORT DEADLINE, with lines of VERSION<TAB>USER<TAB>PASSWORD on standard input

USER and PASSWORD may be "-" for none at all. For each line one is written: what the broker answered,
in paho's words.
"""

import queue
import sys

import paho.mqtt.client as mqtt


def answer(port, deadline, version, user, password):
    told = queue.Queue()
    kind = mqtt.CallbackAPIVersion.VERSION2
    client = mqtt.Client(kind, "c", protocol=version, reconnect_on_failure=False)
    client.on_connect = lambda _c, _u, _flags, code, _p: told.put(code)
    client.on_disconnect = lambda _c, _u, _flags, code, _p: told.put(f"closed: {code}")
    if user != "-":
        client.username_pw_set(user, None if password == "-" else password)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        return told.get(timeout=deadline)
    finally:
        client.disconnect()
        client.loop_stop()


def main():
    port, deadline = int(sys.argv[1]), float(sys.argv[2])
    for line in sys.stdin.buffer.read().decode().splitlines():
        version, user, password = line.split("\t")
        print(answer(port, deadline, int(version), user, password), flush=True)


main()
