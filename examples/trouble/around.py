"""What a shop has around it, each in a process of its own: `python around.py mail PORT`, a mail server that takes
everything, and `python around.py supplier PATH`, who takes a question and never answers.
"""

from __future__ import annotations

import socketserver
import sys


class Mail(socketserver.StreamRequestHandler):
    """As much SMTP as Django's send_mail() needs."""

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        is_text = False
        for line in self.rfile:
            word = line.strip().upper()
            if is_text:
                if word == b".":
                    is_text = False
                    self.wfile.write(b"250 taken\r\n")
            elif word == b"DATA":
                is_text = True
                self.wfile.write(b"354 go on\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 fine\r\n")


class Supplier(socketserver.StreamRequestHandler):
    """Reads until the other one hangs up."""

    def handle(self) -> None:
        for _ in self.rfile:
            pass


class MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class SupplierServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def main() -> None:
    what, where = sys.argv[1:]
    server: socketserver.BaseServer
    if what == "mail":
        server = MailServer(("127.0.0.1", int(where)), Mail)
    else:
        server = SupplierServer(where, Supplier)
    print("listens", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
