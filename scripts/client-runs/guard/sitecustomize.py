"""Laid before every Python client: no socket of it reaches anything but this machine."""

import socket

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


def _here(sock, address):
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    host = address[0]
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise PermissionError(f"not on loopback, so nothing is sent: {host}")


def connect(self, address):
    _here(self, address)
    return _connect(self, address)


def connect_ex(self, address):
    _here(self, address)
    return _connect_ex(self, address)


socket.socket.connect = connect
socket.socket.connect_ex = connect_ex
