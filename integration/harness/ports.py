# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports of this machine."""
import random
import socket

# Below the range from which the kernel takes the ports of outgoing connections, so that none of
# those can take a port between our choice and its use.
_FIRST, _LAST = 20000, 32000
_given = set()


def free_port():
    while True:
        port = random.SystemRandom().randrange(_FIRST, _LAST)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
