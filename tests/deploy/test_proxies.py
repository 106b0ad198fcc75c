"""The examples of deploy/ in front of two real gateways: TLS, the client's own address, and one gateway going away."""

import asyncio
import contextlib
import datetime
import ipaddress
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from requests.adapters import HTTPAdapter

from acceptance.processes import SEND, Process, cascade, environment
from bench.ports import free_ports
from cascade.core.directory import ApiKey
from cascade.core.secret import Secret
from cascade.settings import Settings
from cascade.store import accounts, engines
from programs import program

DEPLOY = Path(__file__).parents[2] / "deploy"
NGINX = DEPLOY / "nginx" / "cascade.conf"
CADDY = DEPLOY / "caddy" / "Caddyfile"
HERE, ELSEWHERE = "127.0.0.2", "127.0.0.3"
"""Where clients come from: not the address of the proxy."""
READY_S = 45.0


class Proxy(NamedTuple):
    url: str
    key: str
    certificate: Path

    def session(self, address: str = HERE) -> requests.Session:
        """Of a client at that address."""
        session = requests.Session()
        session.trust_env = False  # or a bundle in the environment would count for more
        session.verify = str(self.certificate)
        session.headers["X-Authorization-Key"] = self.key
        for scheme in ("http://", "https://"):
            session.mount(scheme, _From(address))
        return session


class _From(HTTPAdapter):
    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *given: Any, **more: Any) -> None:
        super().init_poolmanager(*given, **more, source_address=(self._address, 0))


def make_certificate(home: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, hour = datetime.datetime.now(datetime.UTC), datetime.timedelta(hours=1)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - hour, now + hour)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = home / "fullchain.pem", home / "privkey.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


def nginx(home: Path, port: int, certificate: tuple[Path, Path]) -> list[str]:
    """The command that runs nginx with the example, on our ports."""
    site = NGINX.read_text()
    for given, ours in (
        ("127.0.0.1:8081", f"127.0.0.1:{port + 3}"),
        ("127.0.0.1:8082", f"127.0.0.1:{port + 4}"),
        ("listen 80;", f"listen 127.0.0.1:{port + 2};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/letsencrypt/live/cascade.example.com/fullchain.pem", str(certificate[0])),
        ("/etc/letsencrypt/live/cascade.example.com/privkey.pem", str(certificate[1])),
    ):
        assert given in site
        site = site.replace(given, ours)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {home / kind};\n" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = home / "nginx.conf"
    configuration.write_text(
        f"{user} daemon off; pid {home / 'pid'}; error_log {home / 'error.log'};"
        f" events {{}} http {{ access_log off; {places} {site} }}"
    )
    command = [program("nginx"), "-p", str(home), "-e", str(home / "error.log"), "-c", str(configuration)]
    subprocess.run([*command, "-t", "-q"], check=True)
    return command


def caddy(home: Path, port: int, certificate: tuple[Path, Path]) -> list[str]:
    site = CADDY.read_text()
    for given, ours in (
        ("127.0.0.1:8081 127.0.0.1:8082", f"127.0.0.1:{port + 3} 127.0.0.1:{port + 4}"),
        ("cascade.example.com {", f"https://localhost:{port + 1} {{\n\ttls {certificate[0]} {certificate[1]}\n"),
    ):
        assert given in site
        site = site.replace(given, ours)
    configuration = home / "Caddyfile"
    configuration.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}")
    return [program("caddy"), "run", "--config", str(configuration), "--adapter", "caddyfile"]


async def add_key(url: str) -> str:
    """An API key that may be used from HERE alone."""
    database = engines.database(url, 4)
    await database.open(owner=False)
    key = secrets.token_urlsafe(32)
    async with database.transaction() as tx:
        account_id = await accounts.add_account(tx, "acme", 0)
        await accounts.add_key(tx, ApiKey(account_id, "here", networks=(ip_network(HERE),)), Secret(key), 0)
    await database.close()
    return key


@pytest.fixture
def proxies(tmp_path: Path, empty_postgres_url: str) -> Iterator[tuple[list[Proxy], Process]]:
    """nginx and Caddy before the same two gateways; and the first of these."""
    port = free_ports(5)
    certificate = make_certificate(tmp_path)
    commands = [run(tmp_path, port, certificate) for run in (nginx, caddy)]
    variables = {
        "CASCADE_STORE__URL": empty_postgres_url,
        "CASCADE_STORE__CONNECTIONS": "4",
        "CASCADE_SECRETS__KEYS": f'["{Fernet.generate_key().decode()}"]',
        "CASCADE_HTTP__TRUSTED_PROXIES": '["127.0.0.1"]',
        "CASCADE_HTTP__LEAVE_S": "2",
        "CASCADE_LIMITS__SEND_RATE": "0",
    }
    with contextlib.ExitStack() as stack:
        gateways = [
            stack.enter_context(cascade(tmp_path / "gateways", "serve", CASCADE_HTTP__PORT=str(one), **variables))
            for one in (port + 3, port + 4)
        ]
        for command in commands:
            running = subprocess.Popen(
                command, env=environment({"HOME": str(tmp_path)}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(running.wait)
            stack.callback(running.terminate)
        key = asyncio.run(add_key(empty_postgres_url))
        found = [Proxy(f"https://localhost:{port + place}", key, certificate[0]) for place in (0, 1)]
        for url in (f"http://127.0.0.1:{port + 3}", f"http://127.0.0.1:{port + 4}", *(proxy.url for proxy in found)):
            wait_until_ready(found[0].session(), url)
        yield found, gateways[0]


def wait_until_ready(session: requests.Session, url: str) -> None:
    """And until the gateway knows the key."""
    deadline = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(requests.ConnectionError):
            if session.get(f"{url}/v1/channels", timeout=5).status_code == 200:
                return
        assert time.monotonic() < deadline, url
        time.sleep(0.05)


def message(number: int) -> list[dict[str, str]]:
    words = {"fromName": "Shop", "toPhone": "+380501112233", "messageType": "promo", "text": "Hello"}
    return [{"id": f"order-{number}", **words}]


@pytest.mark.timeout(120)  # two gateways and two proxies start, whatever else the machine does
def test_clients_come_through_under_their_own_address_and_none_notices_a_stop(
    proxies: tuple[list[Proxy], Process],
) -> None:
    both, gateway = proxies
    for proxy in both:
        # The key is for HERE alone: the gateways see the client and not the proxy, and believe no forged header.
        forged = {"X-Forwarded-For": HERE}
        refused = proxy.session(ELSEWHERE).post(proxy.url + SEND, json=message(1), headers=forged, timeout=10)
        assert refused.status_code == 403
        assert proxy.session().get(f"{proxy.url}/metrics", timeout=10).status_code == 404

    def send_until_after_the_stop(client: int) -> list[int]:
        proxy, more = both[client % 2], 100
        statuses: list[int] = []
        session = proxy.session()
        while more:
            number = client * 100_000 + len(statuses)
            statuses.append(session.post(proxy.url + SEND, json=message(number), timeout=30).status_code)
            time.sleep(0.02)  # as clients do: without it, none meets a closed door
            more -= gateway.popen.poll() is not None
        return statuses

    with ThreadPoolExecutor(4) as clients:
        answers = [clients.submit(send_until_after_the_stop, client) for client in range(4)]
        gateway.popen.terminate()
        assert [set(answer.result()) for answer in answers] == [{200}] * 4
    assert gateway.popen.wait(30) == 0


def test_the_example_for_compose_is_the_same_but_for_names() -> None:
    names = {
        "server 127.0.0.1:8081": "server gateway-1:8080",
        "server 127.0.0.1:8082": "server gateway-2:8080",
        "/etc/letsencrypt/live/cascade.example.com/": "/etc/nginx/certificates/",
    }
    wanted = NGINX.read_text()
    for given, there in names.items():
        wanted = wanted.replace(given, there)
    compose = (DEPLOY / "nginx" / "cascade.compose.conf").read_text()
    assert compose.partition("upstream")[2] == wanted.partition("upstream")[2]


def test_nobody_in_compose_is_given_an_address_that_is_anothers() -> None:
    compose = (DEPLOY / "compose.yaml").read_text()
    network = re.search(r"subnet: (\S+), gateway: (\S+), ip_range: (\S+) }", compose)
    assert network is not None
    subnet, given = ip_network(network[1]), ip_network(network[3])
    fixed = [ip_address(each) for each in (network[2], *re.findall(r"ipv4_address: (\S+) }", compose))]
    assert len(set(fixed)) == len(fixed) == 4
    assert all(one in subnet and one not in given for one in fixed)
    assert f"TRUSTED_PROXIES: '[\"{fixed[-1]}\"]'" in compose  # nginx is the last one


def test_what_an_operator_fills_in_is_kept_out_of_the_repository() -> None:
    ignored = (DEPLOY.parent / ".gitignore").read_text().splitlines()
    assert {"/deploy/environment", "/deploy/certificates/"} <= set(ignored)


def test_the_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    for name in ("cascade.service", "cascade@.service"):
        text = (DEPLOY / "systemd" / name).read_text().replace("/opt/cascade/bin/cascade", "/bin/true")
        (tmp_path / name).write_text(text)
    for name in ("cascade.service", "cascade@8081.service"):
        command = [program("systemd-analyze"), "verify", "--man=no", str(tmp_path / name)]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "path", sorted(path for path in DEPLOY.rglob("*") if path.is_file()), ids=lambda path: path.name
)
def test_no_file_names_a_setting_that_there_is_not(path: Path) -> None:
    for section, name in re.findall(r"CASCADE_([A-Z]+)__([A-Z_]+)\b", path.read_text()):
        model = Settings.model_fields[section.lower()].annotation
        assert name.lower() in model.model_fields, f"CASCADE_{section}__{name}"  # type: ignore[union-attr]
