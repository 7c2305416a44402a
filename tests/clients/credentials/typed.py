"""Runs a program on a terminal of its own and types an answer at each prompt that ends with ": ", as soon as
the terminal does not show any more what is typed.

    typed.py ANSWER... -- PROGRAM ARGUMENT...

Writes what was to be seen on the terminal, and exits as the program did.
"""

import os
import pty
import sys
import termios
import time

border = sys.argv.index("--")
answers, program = sys.argv[1:border], sys.argv[border + 1 :]

child, terminal = pty.fork()
if child == 0:
    os.execv(program[0], program)



def hidden(terminal):
    """Waits until what is typed is not shown; the terminal tells only when asked."""
    end = time.monotonic() + 15
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        if time.monotonic() > end:
            sys.exit("what is typed would be shown")
        time.sleep(0.005)


seen, told = b"", 0
while True:
    try:
        more = os.read(terminal, 4096)
    except OSError:
        # So a terminal says that nobody is left on it.
        break
    if not more:
        break
    seen += more
    if answers and seen[told:].endswith(b": "):
        told = len(seen)
        hidden(terminal)
        os.write(terminal, answers.pop(0).encode() + b"\n")

print(seen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
