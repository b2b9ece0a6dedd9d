"""TLS of a ksocket: settls and gettls, in words and in bytes, on real sockets."""

from __future__ import annotations

import errno as e
import os
import socket
import sys
from pathlib import Path
from typing import Any

from cryptography.x509 import load_pem_x509_certificate
from twisted.trial.unittest import SynchronousTestCase

from ngksock.kpi import IPPROTO_TLS
from ngksock.netgraph import EOF
from ngksock.netgraph.layout import quote
from ngksock.netgraph.port import GraphPort
from ngksock.netgraph.replay import NoFiles
from ngksock.netgraph.session import Session
from ngksock.nodes.ksocket import ksocket
from ngksock.nodes.ksocket.tls import GETTLS, SETTLS, TLSOptions, TLSState
from ngksock.service.run import Run, ScriptError
from ngksock.service.script import Library
from ngksock.testing import Sandbox
from ngksock.testing.exchange import check_messages
from tests.certificates import CA, CLIENT, NAME, OTHER_CA, SERVER, pem_of, self_made
from tests.nodes.reactive import TCP, UDP, ReactiveCase
from tests.nodes.test_ksocket import OWN  # and its strategies, for addresses

TLS = "inet/stream/tls"
SERVER_SUBJECT = load_pem_x509_certificate(
    SERVER.cert_chain_pems[0].bytes()
).subject.rfc4514_string()


class FormTests(SynchronousTestCase):
    """The layouts, and the hook names."""

    def test_conforms(self):
        """Its messages keep the promises of all, on a hook for TLS too."""
        check_messages(ksocket, (TLS,), (), 30)

    def test_settls(self):
        """Every field in text and in bytes; a file that names none gets what is usual."""
        text = (
            '{ cert="a.pem" key="k" ca="c" verify=1 servername="x.org" '
            'alpn=[ "h2" "http/1.1" ] minversion="1.3" certdir="d" keylog="l" timeout=7 }'
        )
        value = TLSOptions(
            "a.pem", "k", "c", 1, "x.org", ["h2", "http/1.1"], "1.3", "d", "l", 7
        )  # fmt: skip
        self.assertEqual(value, SETTLS.parse(text))
        self.assertEqual(text, SETTLS.unparse(value))
        self.assertEqual(value, SETTLS.unpack(SETTLS.pack(value)))
        self.assertEqual(TLSOptions(), SETTLS.parse("{}"))
        self.assertEqual("{}", SETTLS.unparse(TLSOptions()))
        self.assertEqual(
            bytes(4) + b"\xff" * 4 + bytes(8) + bytes(4) + (10).to_bytes(4, sys.byteorder),
            SETTLS.pack(TLSOptions()),
        )
        self.assertEqual("{ verify=0 timeout=0 }", SETTLS.unparse(SETTLS.parse(
            "{ timeout=0 verify=0 }")))  # fmt: skip

    def test_gettls(self):
        """What is empty is left out of the text, as with every message."""
        value = TLSState("TLSv1.3", "TLS_AES_256_GCM_SHA384", "CN=x", "h2", 1)
        text = (
            '{ version="TLSv1.3" cipher="TLS_AES_256_GCM_SHA384" '
            'subject="CN=x" alpn="h2" resumed=1 }'
        )
        self.assertEqual(text, GETTLS.unparse(value))
        self.assertEqual(value, GETTLS.unpack(GETTLS.pack(GETTLS.parse(text))))

    def test_bytes_and_utf8(self):
        """A character in a file is a byte: paths may be any, the other texts are utf-8."""
        utf8 = "zoë.example".encode().decode("latin-1")
        config = TLSOptions(cert="\xff", servername=utf8, alpn=[utf8]).config()
        self.assertEqual(b"\xff", os.fsencode(config.cert))
        self.assertEqual(("zoë.example", ("zoë.example",)), (config.servername, config.alpn))
        for wrong in (TLSOptions(servername="\xff"), TLSOptions(alpn=["h2", "\xff"])):
            error = self.assertRaises(OSError, wrong.config)
            self.assertIn("is not in utf-8", str(error))


class DryRunTests(SynchronousTestCase):
    """What --check finds, which touches no file."""

    def found(self, *lines: str, kind: str = TLS) -> tuple[int, str]:
        """Run *lines* on a ksocket of a graph that opens nothing; return the first error."""
        sandbox = Sandbox(checking=True)
        local = sandbox.local
        port = GraphPort(sandbox.graph, local, inbox=local.inbox)
        session = Session(port, lambda text: None, sandbox.reports.append, NoFiles())
        session.run(f"mkpeer ksocket x {kind}")
        try:
            for line in lines:
                session.run(f"msg x {line}")
        except OSError as error:
            return error.errno or 0, error.strerror or ""
        finally:
            sandbox.close()
        return 0, ""

    def test_good(self):
        """Files that are not there yet are no error, and gettls has an answer."""
        missing = 'settls { cert="/no/such/file" ca="/nor/this" certdir="/nor/that" keylog="/n/l" }'
        self.assertEqual((0, ""), self.found(missing, missing, "listen 5", "gettls"))
        self.assertEqual((0, ""), self.found("connect inet/127.0.0.1:443"))

    def test_values(self):
        """Values that cannot be are EINVAL, with a sentence."""
        name = "x" * 64
        for text, said in {
            'minversion="1.1"': "minversion is 1.2 or 1.3, not '1.1'",
            "verify=2": "verify is 1, 0, or -1 for the usual, not 2",
            "timeout=0": "0 s is no time for a handshake",
            "timeout=-1": "-1 s is no time for a handshake",
            'alpn=[ "" ]': "a protocol's name has 1 to 255 bytes",
            f'servername="{name}"': f"'{name}' is not the name of a server",
            'servername="a b"': "'a b' is not the name of a server",
            'key="k.pem"': "a key is given, and no certificate",
        }.items():
            self.assertEqual((e.EINVAL, said), self.found(f"settls {{ {text} }}"), text)

    def test_text(self):
        """What the text itself has wrong is found by the layout."""
        for text, errno in {
            '{ certificate="x" }': e.ENOENT, '{ cert="x" cert="y" }': e.EALREADY,
            "{ cert=x }": e.EINVAL, "{ verify=yes }": e.EINVAL, "{ timeout=1.5 }": e.EINVAL,
            "": e.EINVAL, "{": e.EINVAL,
        }.items():  # fmt: skip
            self.assertEqual(errno, self.found(f"settls {text}")[0], text)

    def test_not_tls(self):
        """Other sockets have neither message: EOPNOTSUPP, with the hook that has."""
        for kind, hook in {TCP: TLS, "inet6/dgram/udp": "inet6/stream/tls"}.items():
            said = f"a socket of kind {kind} speaks no TLS; {hook} does"
            for line in ("settls {}", "gettls"):
                self.assertEqual((e.EOPNOTSUPP, said), self.found(line, kind=kind))

    def test_too_late(self):
        """settls behind connect or listen is found."""
        said = "TLS is configured before listen or connect"
        certificate = 'settls { cert="c" }'
        for begin in ("listen 5", "connect inet/127.0.0.1:443"):
            self.assertEqual((e.EINVAL, said), self.found(certificate, begin, "settls {}"))

    def test_not_enough(self):
        """A listener without certificate, and a local server without a name, are found."""
        error, said = self.found("listen 5")
        self.assertEqual(e.EINVAL, error)
        self.assertEqual("who listens needs a certificate: set cert or certdir", said)
        error, said = self.found('settls { cert="c" verify=1 }', "listen 5")
        self.assertIn("who verifies clients needs ca", said)
        error, said = self.found('connect local/"/x"', kind="local/stream/tls")
        self.assertIn("a local address does not say who is there", said)
        for text in ('{ servername="x.org" }', "{ verify=0 }"):
            lines = f"settls {text}", 'connect local/"/x"'
            self.assertEqual((0, ""), self.found(*lines, kind="local/stream/tls"))


class TLSCase(ReactiveCase):
    """A case with certificates in files, and verbs for ksockets that speak TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)
        self.ca = self.file("ca.pem", CA.cert_pem.bytes())
        self.cert = self.file("server.pem", pem_of(SERVER))

    def file(self, name: str, contents: bytes) -> str:
        """Write a file; return its path."""
        path = os.path.join(self.folder, name)
        Path(path).write_bytes(contents)
        return path

    def options(self, **values: Any) -> str:
        """Return the text of settls."""
        return f"settls {SETTLS.unparse(TLSOptions(**values))}"

    def serve(self, kind: str = TLS, at: str = "inet/127.0.0.1:0", **values: Any) -> str:
        """Let a ksocket beyond ``l`` listen, with our usual certificate; return its address."""
        values.setdefault("cert", self.cert)
        self.run_lines(
            f"mkpeer ksocket l {kind}", f"msg .:l {self.options(**values)}",
            f"msg .:l bind {at}", "msg .:l listen 5",
        )  # fmt: skip
        return self.ask(".:l", "getname")

    def dial(self, address: str, kind: str = TLS, **values: Any) -> int:
        """Let a ksocket beyond ``c`` connect; return the token of the answer."""
        values.setdefault("ca", self.ca)
        self.run_lines(f"mkpeer ksocket c {kind}", f"msg .:c {self.options(**values)}")
        with self.assertRaises(BlockingIOError):
            self.post(".:c", f"connect {address}")
        return next(self._tokens) - 1

    async def accept(self) -> None:
        """Accept a connection, to be beyond ``s``."""
        token = self.post(".:l", "accept")
        [(sender, _)] = await self.until(lambda: self.answers(token))
        self.run_lines(f"connect . [{sender:x}]: s x")

    async def answer(self, token: int) -> int:
        """Return the errno a connect is answered by."""
        [(_, message)] = await self.until(lambda: self.answers(token))
        return int.from_bytes(message.data, sys.byteorder, signed=True)

    async def both(self, server: dict[str, Any], client: dict[str, Any]) -> None:
        """Connect ``c`` to ``s``, and end who listens."""
        token = self.dial(self.serve(**server), **client)
        await self.accept()
        self.assertEqual(0, await self.answer(token))

    def state(self, hook: str) -> TLSState:
        """Return what gettls says."""
        return GETTLS.parse(self.ask(f".:{hook}", "gettls"))


class ConnectionTests(TLSCase):
    """Connections, and what is told of them."""

    async def test_both_ways(self):
        """Data goes both ways, and the end of file after it; then both nodes have ended."""
        await self.both({}, {})
        nodes = self.node(".:c"), self.node(".:s")
        data = os.urandom(300_000)
        self.local.send("c", data)
        self.local.send_batch("s", [b"wel", b"come"])
        await self.until(lambda: self.got("s") == data and self.got("c") == b"welcome")
        self.local.send("c", EOF)
        await self.until(lambda: EOF in self.local.received["s"])
        self.local.send("s", b"last words")
        await self.until(lambda: self.got("c") == b"welcomelast words")
        self.local.send("s", EOF)
        for node in nodes:
            await self.until(self.gone(node))
        self.assertEqual([], self.reports)

    async def test_gettls(self):
        """gettls tells version, cipher, subject, protocol; both forms say the same."""
        certificate = self.file("client.pem", pem_of(CLIENT))
        server = {"verify": 1, "ca": self.ca, "alpn": ["h2", "http/1.1"]}
        client = {"cert": certificate, "servername": NAME, "alpn": ["http/1.1", "spdy"]}
        await self.both(server, client)
        seen = self.state("c"), self.state("s")
        self.assertEqual(["TLSv1.3"] * 2, [state.version for state in seen])
        self.assertEqual(["http/1.1"] * 2, [state.alpn for state in seen])
        self.assertIn("CN=a client", seen[1].subject)
        self.assertEqual(SERVER_SUBJECT, seen[0].subject)
        self.assertTrue(seen[0].cipher.startswith("TLS_"), seen)
        self.assertEqual([GETTLS.pack(seen[0])], self.binary(".:c", OWN, 4))

    async def test_resumed(self):
        """A second connection goes on with the session of the first."""
        address = self.serve()
        for resumed in (0, 1):
            token = self.dial(address)
            await self.accept()
            self.assertEqual(0, await self.answer(token))
            self.local.forget()
            self.local.send("s", b"a ticket comes before this")
            await self.until(lambda: self.got("c"))
            self.assertEqual((resumed, resumed), (self.state("c").resumed, self.state("s").resumed))
            self.assertEqual(bool(resumed), ", resumed; " in self.node(".:c").status())
            self.run_lines("rmhook c", "rmhook s")

    async def test_local(self):
        """A local socket speaks TLS with a server that was named."""
        at = f"local/{quote(os.path.relpath(os.path.join(self.folder, 'sock')))}"
        token = self.dial(
            self.serve("local/stream/tls", at),
            "local/stream/tls",
            servername=NAME,
            minversion="1.3",
        )
        await self.accept()
        self.assertEqual(0, await self.answer(token))
        self.assertIn("local/stream/tls connected", self.node(".:c").status())

    async def test_status(self):
        """The status tells version, cipher and the peer's subject; no word of it elsewhere."""
        await self.both({"alpn": ["h2"]}, {"alpn": ["h2"], "servername": NAME})
        status = self.node(".:c").status()
        cipher = self.state("c").cipher
        self.assertTrue(status.startswith("inet/stream/tls connected inet/127.0.0.1:"), status)
        self.assertIn(f"; TLSv1.3 {cipher}, peer {SERVER_SUBJECT}, alpn h2; received 0 ", status)
        self.assertIn(f"; TLSv1.3 {cipher}, peer without certificate, alpn h2;",
                      self.node(".:s").status())  # fmt: skip
        status = self.node(".:l").status()
        self.assertTrue(status.startswith("inet/stream/tls listening inet/127.0.0.1:"), status)
        self.assertNotIn("TLS ", status)

    async def test_status_in_handshake(self):
        """While the peer is silent the status says so, and gettls is ENOTCONN."""
        server, address = self.server()
        token = self.dial(address)
        await self.accepted(server)
        await self.until(lambda: "; in the TLS handshake; received" in self.node(".:c").status())
        self.assertEqual(e.ENOTCONN, self.errno("msg .:c gettls"))
        self.run_lines("rmhook c")
        self.assertEqual([], self.answers(token))

    async def test_inherited(self):
        """What a listener was told holds for those it accepts: a certificate is required."""
        address = self.serve(verify=1, ca=self.ca, minversion="1.2")
        token = self.dial(address, cert=self.file("client.pem", pem_of(CLIENT)))
        await self.accept()
        self.assertEqual(0, await self.answer(token))
        self.assertEqual(e.EISCONN, self.errno(f"msg .:s {self.options()}"))
        self.assertEqual(["# accepted"], self.node(".:s").config())
        self.run_lines("rmhook c", "rmhook s")
        token = self.dial(address, minversion="1.3")
        node = self.node(".:c")
        await self.until(self.gone(node))
        said = "the peer requires a certificate, and we have none"
        self.assertTrue(any(said in report for report in self.reports), self.reports)

    async def test_listener(self):
        """A listener's script serves TLS connections, and can make some."""
        origin = self.serve()
        self.run_lines(
            "mkpeer listener boot boot", "name .:boot door", f"mkpeer door: ksocket socket {TLS}",
            f"msg door:socket {self.options(cert=self.cert)}",
            "msg door:socket bind inet/127.0.0.1:0",
            f"msg door: setscript {{ lines=[ {quote(f'mkpeer ksocket out {TLS}')} "
            f"{quote(f'msg .:out {self.options(ca=self.ca)}')} "
            f"{quote(f'msg .:out connect {origin}')} ] }}",
            "msg door: start 5",
        )  # fmt: skip
        token = self.dial(self.ask("door:socket", "getname"), servername=NAME)
        await self.accept()
        self.assertEqual(0, await self.answer(token))
        self.local.send("c", b"through two")
        await self.until(lambda: self.got("s") == b"through two")


class RefusalTests(TLSCase):
    """Errors, with their sentences."""

    async def refused(self, errno: int, said: str, address: str, **client: Any) -> None:
        """Assert that a connect is answered by *errno*, and reported with a sentence."""
        token = self.dial(address, **client)
        node = self.node(".:c")
        self.assertEqual(errno, await self.answer(token))
        await self.until(self.gone(node))
        name = f"ksocket {node!r} ({address}) failed: {e.errorcode[errno]}: "
        self.assertEqual([f"{name}{said}"], self.reports)
        self.reports.clear()

    async def test_connect(self):
        """The answer has the errno, the log the reason: name, signer, date, no TLS, cut off."""
        address = self.serve()
        await self.refused(
            e.EACCES, f"the certificate is for {NAME}, 127.0.0.1, ::1, not for other.example",
            address, servername="other.example",
        )  # fmt: skip
        other = self.file("other.pem", OTHER_CA.cert_pem.bytes())
        token = self.dial(address, ca=other)
        self.assertEqual(e.EACCES, await self.answer(token))
        self.assertIn(f"the certificate of {NAME} is not trusted", self.reports.pop())
        self.run_lines("shutdown .:l")
        old = self.file("old.pem", self_made(NAME, -20, -10))
        token = self.dial(self.serve(cert=old), ca=old, servername=NAME)
        self.assertEqual(e.EACCES, await self.answer(token))
        self.assertIn(f"the certificate of {NAME} expired on 20", self.reports.pop())
        server, address = self.server()
        token = self.dial(address)
        (await self.accepted(server)).send(b"220 welcome\r\n")
        self.assertEqual(e.EPROTO, await self.answer(token))
        self.assertIn("the peer does not speak TLS", self.reports.pop())
        token = self.dial(address)
        (await self.accepted(server)).close()
        self.assertEqual(e.ECONNRESET, await self.answer(token))
        self.assertIn("the peer closed the connection during", self.reports.pop())

    async def test_timeout(self):
        """A peer that is silent for ``timeout`` seconds is given up: ETIMEDOUT."""
        server, address = self.server()
        token = self.dial(address, timeout=1)
        await self.accepted(server)
        self.assertEqual(e.ETIMEDOUT, await self.answer(token))
        self.assertIn("did not finish the TLS handshake in 1 s", self.reports.pop())

    def test_too_late(self):
        """settls behind listen is EINVAL, behind connect EISCONN; a bad file does not matter."""
        address = self.serve()
        self.dial(address)
        for options in (self.options(), self.options(ca="/no/such/file")):
            self.assertEqual(e.EINVAL, self.errno(f"msg .:l {options}"))
            self.assertEqual(e.EISCONN, self.errno(f"msg .:c {options}"))

    def test_not_tls(self):
        """Other sockets have neither message; a node without a hook has no socket."""
        for kind in (TCP, UDP):
            self.run_lines(f"mkpeer ksocket x {kind}")
            for text in ("settls {}", "gettls"):
                self.assertEqual(e.EOPNOTSUPP, self.errno(f"msg .:x {text}"), kind)
            self.run_lines("rmhook x")
        path = f"[{self.net.make(ksocket).id:x}]:"
        for text in ("settls {}", "gettls"):
            self.assertEqual(e.ENXIO, self.errno(f"msg {path} {text}"))
        self.run_lines(f"shutdown {path}")

    def test_kinds(self):
        """The protocol is a word or our number, of a stream; for all else EPROTOTYPE."""
        for name in (TLS, "inet6/stream/tls", "local/stream/tls", f"2/1/{IPPROTO_TLS}"):
            self.run_lines(f"mkpeer ksocket x {name}")
            self.assertEqual(socket.SOCK_STREAM, self.node(".:x").so.gettype()[1])
            words = self.node(".:x").kind.words()
            self.assertEqual(name if "/tls" in name else TLS, words)
            self.run_lines("rmhook x")
        for name in ("inet/dgram/tls", "inet/raw/tls", "local/seqpacket/tls", "inet6/dgram/tls"):
            self.assertEqual(e.EPROTOTYPE, self.errno(f"mkpeer ksocket x {name}"), name)


class FileTests(TLSCase):
    """Files of certificates."""

    def test_config(self):
        """What was set is told as a message that sets it again: paths in full, in any directory."""
        self.net.shared["directory"] = os.fsencode(self.folder)
        line = (
            'settls { cert="server.pem" ca="ca.pem" verify=0 servername="x.org" '
            'alpn=[ "h2" "http/1.1" ] minversion="1.3" keylog="keys.log" timeout=3 }'
        )
        self.run_lines(f"mkpeer ksocket a {TLS}", f"msg .:a {self.options(cert=self.cert)}")
        self.run_lines("msg .:a bind inet/127.0.0.1:0", f"msg .:a {line}")
        self.run_lines("msg .:a setopt { so_reuseaddr=1 }", "msg .:a listen 5")
        config = self.node(".:a").config()
        self.assertEqual(["setopt", "settls", "bind", "listen"], [c.split()[2] for c in config])
        for name in ("server.pem", "ca.pem", "keys.log"):
            line = line.replace(name, os.path.join(self.folder, name))
        self.assertEqual(f"msg . {line}", config[1])
        self.run_lines(f"mkpeer ksocket b {TLS}")
        self.run_lines(*(text.replace("msg . ", "msg .:b ") for text in config))
        self.assertEqual(config, self.node(".:b").config())
        self.assertEqual(self.node(".:a").so.driver.config, self.node(".:b").so.driver.config)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "keys.log")))

    def run_file(self, settls: str, kind: str = TLS) -> tuple[int, str]:
        """Run a command file with that line; return exit code and message, our folder left out."""
        self.file("a.ng", f"mkpeer ksocket x {kind}\nmsg x {settls}\n".encode())
        library = Library(directory=self.folder)
        self.net.shared["directory"] = os.fsencode(self.folder)
        try:
            Run(self.net, library, self.reports.append, self.reports.append).file("a.ng")
        except ScriptError as error:
            problem = error.problem
            return problem.code, str(problem).replace(f"{self.folder}/", "")
        return 0, ""

    def test_bad_files(self):
        """What is wrong with a file is 71, with errno, sentence and the name of the file."""
        os.mkdir(os.path.join(self.folder, "folder"))
        self.file("text.pem", b"not a certificate")
        self.file("other.pem", pem_of(CLIENT))
        self.file("public.pem", SERVER.cert_chain_pems[0].bytes())
        inval = "EINVAL (Invalid argument)"
        for text, said in {
            'cert="no.pem"': "ENOENT (No such file or directory); no.pem does not exist",
            'cert="folder"': "EISDIR (Is a directory); folder is a directory, not a file",
            'ca="folder"': "EISDIR (Is a directory); folder is a directory, not a file",
            'cert="server.pem" key="other.pem"':
                f"{inval}; the key in other.pem does not match the certificate in server.pem",
            'cert="text.pem"': f"{inval}; text.pem has no certificate in PEM form",
            'cert="public.pem"': f"{inval}; public.pem has no private key in PEM form",
            'certdir="server.pem"': "ENOTDIR (Not a directory); server.pem is not a directory",
            'certdir="folder"': "ENOENT (No such file or directory); "
                "folder has no file whose name ends in .pem",
            'keylog="no/keys"': "ENOENT (No such file or directory); "
                "the key log no/keys: no such file or directory",
        }.items():  # fmt: skip
            found = self.run_file(f"settls {{ {text} }}")
            self.assertEqual((71, f"a.ng:2:14: msg: {said}"), found, text)
        self.assertEqual((0, ""), self.run_file('settls { cert="server.pem" ca="ca.pem" }'))

    def test_odd_name(self):
        """A path of bytes that are no text is shown somehow, and does no harm."""
        code, said = self.run_file('settls { cert="\\xff\\x01" }')
        self.assertEqual(71, code)
        self.assertIn("does not exist", said)

    def test_unchanged(self):
        """A settls that is refused changes nothing."""
        self.run_lines(f"mkpeer ksocket a {TLS}", f"msg .:a {self.options(cert=self.cert)}")
        before = self.node(".:a").config()
        self.assertEqual(e.ENOENT, self.errno(f"msg .:a {self.options(ca='/no/such/file')}"))
        self.assertEqual(e.EINVAL, self.errno("msg .:a settls { verify=7 }"))
        self.assertEqual(before, self.node(".:a").config())
        self.assertEqual(self.cert, self.node(".:a").so.driver.config.cert)
