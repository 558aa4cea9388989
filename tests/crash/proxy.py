"""A TCP proxy that hurts what it carries: cuts in the middle of a frame, flips bits, goes silent.

One thread for each direction of each connection. It knows nothing of frames: a fault strikes at
the byte it happens to stand at, which is in the middle of one more often than not.
"""
import select
import socket
import struct
import threading

CHUNK_BYTES = 16384


class Way:
    """One direction of a connection."""

    def __init__(self, proxy, source, target, pair):
        self.proxy, self.source, self.target, self.pair = proxy, source, target, pair

    def run(self):
        try:
            while not self.proxy.closed:
                if not select.select([self.source], [], [], 0.1)[0]:
                    continue
                if self.proxy.silent:  # half open: taken, never delivered, never answered
                    self.proxy.silence.wait(0.05)
                    continue
                data = self.source.recv(CHUNK_BYTES)
                if not data:
                    break
                if self.proxy.takes('flip'):
                    data = self.proxy.flipped(data)
                if self.proxy.takes('reset'):
                    self.target.sendall(data[:len(data) // 2])
                    self.pair.reset()
                    return
                self.target.sendall(data)
        except (OSError, ValueError):
            pass  # the other way, or the other side, has closed
        self.pair.close()


class Pair:
    def __init__(self, one, other):
        self.sockets = [one, other]

    def close(self):
        for each in self.sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already

    def reset(self):
        for each in self.sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            each.close()


class Proxy:
    """Listens on a port of 127.0.0.1 and carries to `target`, a port, until closed."""

    def __init__(self, port, target, random):
        self.target = target
        self.random = random
        self.closed = False
        self.silent = False
        self.silence = threading.Event()
        self.wanted = {}
        self.struck = 0
        self.lock = threading.Lock()
        self.pairs = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(('127.0.0.1', port))
        self.listener.listen(64)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while not self.closed:
            try:
                if not select.select([self.listener], [], [], 0.1)[0]:
                    continue
                client, _ = self.listener.accept()
            except (OSError, ValueError):
                return  # closed
            try:
                server = socket.create_connection(('127.0.0.1', self.target), timeout=1)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = Pair(client, server)
            self.pairs.append(pair)
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=Way(self, source, target, pair).run, daemon=True).start()

    def strike(self, fault, times=1):
        """The next `times` pieces of data, of any connection, get it."""
        with self.lock:
            self.wanted[fault] = self.wanted.get(fault, 0) + times

    def takes(self, fault):
        with self.lock:
            if self.wanted.get(fault, 0) == 0:
                return False
            self.wanted[fault] -= 1
            self.struck += 1
            return True

    def flipped(self, data):
        at = self.random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ (1 << self.random.randrange(8))]) + data[at + 1:]

    def close(self):
        self.closed = True
        self.listener.close()
        for pair in self.pairs:
            pair.close()
        self.thread.join(2)
