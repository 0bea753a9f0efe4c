"""Peers of the notification channels on loopback: a mail server (aiosmtpd), a webhook receiver, group robots that count, syslog receivers.

First line of standard output: the ports as JSON. Then one JSON line for everything received, with `at` (seconds, wall clock). With --cert and
--key a second mail server asks for STARTTLS and AUTH. Lines on standard input: `fail N` lets the next N mails fail for now (451), `hold N` takes
the next N mails and never says so.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

parser = argparse.ArgumentParser()
parser.add_argument("--cert")
parser.add_argument("--key")
arguments = parser.parse_args()
failing = 0
holding = 0


def say(**what):
    print(json.dumps({"at": time.time(), **what}, ensure_ascii=False), flush=True)


class Mailbox:
    def __init__(self, name):
        self.name = name

    async def handle_DATA(self, server, session, envelope):
        global failing, holding
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {p.get_content_type(): p.get_content() for p in message.walk() if not p.is_multipart()}
        refused = failing > 0
        failing -= int(refused)
        held = not refused and holding > 0
        holding -= int(held)
        say(
            peer=self.name,
            refused=refused,
            held=held,
            to=envelope.rcpt_tos[0],
            id=str(message["message-id"]),
            references=str(message["references"]),
            subject=str(message["subject"]),
            auto=str(message["auto-submitted"]),
            plain=parts.get("text/plain", ""),
            html=parts.get("text/html", ""),
            defects=[str(d) for d in message.defects],
            tls=session.ssl is not None,
            login=session.authenticated,
        )
        if held:
            await asyncio.Event().wait()
        return "451 4.3.0 not now" if refused else "250 2.0.0 taken"


def check(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"vedette", b"geheim 1")
    return AuthResult(success=good)


robots = {}


async def web(reader, writer):
    try:
        request = (await reader.readline()).decode().split()
        headers = {}
        while line := (await reader.readline()).decode().strip():
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
        path = request[1]
        robot = path.strip("/").split("?")[0]
        answer = "{}"
        if robot in ("dingtalk", "wecom", "feishu"):
            # The peers' own rule: so many in any minute, and then none for ten minutes.
            most = 100 if robot == "feishu" else 20
            now = time.monotonic()
            times = [t for t in robots.get(robot, []) if now - t < 60]
            often = len(times) >= most
            robots[robot] = times + [now]
            field = "code" if robot == "feishu" else "errcode"
            code = {"dingtalk": 130101, "wecom": 45009, "feishu": 11232}[robot] if often else 0
            answer = json.dumps({field: code, "errmsg": "often" if often else "ok", "msg": ""})
            say(peer=robot, often=often, path=path, body=json.loads(body))
        else:
            say(peer="webhook", path=path, headers=headers, body=body)
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer)}\r\nconnection: close\r\n\r\n{answer}".encode())
        await writer.drain()
    except Exception as error:
        say(peer="webhook", error=repr(error))
    finally:
        writer.close()


class Udp(asyncio.DatagramProtocol):
    def datagram_received(self, data, address):
        say(peer="udp", line=data.decode())


async def counted(reader, writer):
    try:
        while length := await reader.readuntil(b" "):
            say(peer="tcp", line=(await reader.readexactly(int(length))).decode())
    except asyncio.IncompleteReadError:
        pass
    writer.close()


async def orders():
    global failing, holding
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        word, number = line.split()
        if word == "fail":
            failing = int(number)
        if word == "hold":
            holding = int(number)
        say(peer="orders", done=line.strip())


async def main():
    loop = asyncio.get_running_loop()
    port = lambda server: server.sockets[0].getsockname()[1]
    mail = await loop.create_server(lambda: SMTP(Mailbox("mail"), enable_SMTPUTF8=False), "127.0.0.1", 0)
    ports = {"mail": port(mail)}
    if arguments.cert:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.cert, arguments.key)
        options = {"tls_context": context, "require_starttls": True, "authenticator": check, "auth_required": True, "auth_require_tls": True}
        secure = await loop.create_server(lambda: SMTP(Mailbox("secure"), **options), "127.0.0.1", 0)
        ports["secure"] = port(secure)
    ports["web"] = port(await asyncio.start_server(web, "127.0.0.1", 0, backlog=1000))
    ports["tcp"] = port(await asyncio.start_server(counted, "127.0.0.1", 0))
    transport, _ = await loop.create_datagram_endpoint(Udp, local_addr=("127.0.0.1", 0))
    ports["udp"] = transport.get_extra_info("sockname")[1]
    print(json.dumps(ports), flush=True)
    await orders()


asyncio.run(main())
