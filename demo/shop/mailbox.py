# SPDX-License-Identifier: Apache-2.0
"""A mail server for one afternoon: as much SMTP as smtplib speaks. It keeps subjects and recipients, delivers nothing, and
says 451 (try later) to every eighth new recipient, once."""
import socketserver
import threading


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say("220 mailbox")
        recipient = ""
        for line in self.rfile:
            verb = line.strip().upper()
            if verb.startswith((b"EHLO", b"HELO", b"MAIL", b"RSET")):
                self.say("250 ok")
            elif verb.startswith(b"RCPT"):
                recipient = line.split(b"<")[1].split(b">")[0].decode()
                self.say("451 later" if self.server.refuses(recipient) else "250 ok")
            elif verb == b"DATA":
                self.say("354 go on")
                self.server.keep(recipient, self.rfile)
                self.say("250 kept")
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("500 what?")


class Mailbox(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Session)
        self.lock = threading.Lock()
        self.seen, self.kept, self.refused = set(), [], 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def refuses(self, recipient):
        with self.lock:
            new = recipient not in self.seen
            self.seen.add(recipient)
            refused = new and len(self.seen) % 8 == 0
            self.refused += refused
            return refused

    def keep(self, recipient, lines):
        subject = ""
        for line in lines:
            if line == b".\r\n":
                break
            if line.startswith(b"Subject: "):
                subject = line[9:].decode().strip()
        with self.lock:
            self.kept.append((recipient, subject))
