"""Every way that is known to write an address of the inside so that it looks like one of the outside."""

import pytest

from cascade.core.targets import TargetRefusedError, Targets

STRICT = Targets()
HOME = Targets.of(["127.0.0.0/8", "10.1.0.0/16", "fd00::/8", "crm.internal"], is_http_allowed=True, ports=[])

REFUSED_URLS = {
    "loopback": "https://127.0.0.1/",
    "the rest of loopback": "https://127.8.8.8/",
    "this host": "https://0.0.0.0/",
    "private 10": "https://10.0.0.1/",
    "private 172.16": "https://172.16.0.1/",
    "private 192.168": "https://192.168.1.1/",
    "cloud metadata": "https://169.254.169.254/latest/meta-data/",
    "carrier NAT": "https://100.64.0.1/",
    "benchmarks": "https://198.18.0.1/",
    "documentation": "https://203.0.113.7/",
    "protocol assignments": "https://192.0.0.8/",
    "6to4 relay": "https://192.88.99.1/",
    "multicast": "https://224.0.0.1/",
    "reserved": "https://240.0.0.1/",
    "broadcast": "https://255.255.255.255/",
    "decimal": "https://2130706433/",
    "octal": "https://0177.0.0.1/",
    "leading zeros": "https://127.000.000.001/",
    "hexadecimal": "https://0x7f000001/",
    "hexadecimal parts": "https://0x7f.0x0.0x0.0x1/",
    "short": "https://127.1/",
    "a name that ends in a number": "https://example.1/",
    "decimal with a dot after it": "https://2130706433./",
    "too large a number": "https://256.256.256.256/",
    "IPv6 loopback": "https://[::1]/",
    "IPv6 unspecified": "https://[::]/",
    "IPv4-mapped": "https://[::ffff:127.0.0.1]/",
    "IPv4-mapped in hexadecimal": "https://[::ffff:7f00:1]/",
    "IPv4-compatible": "https://[::127.0.0.1]/",
    "6to4 of a private address": "https://[2002:a00:1::]/",
    "NAT64 of the metadata address": "https://[64:ff9b::a9fe:a9fe]/",
    "local NAT64": "https://[64:ff9b:1::808:808]/",
    "Teredo of a private client": "https://[2001:0:4136:e378:8000:63bf:f5ff:fffe]/",
    "unique local": "https://[fd00::1]/",
    "link local": "https://[fe80::1]/",
    "link local with a zone": "https://[fe80::1%25eth0]/",
    "site local": "https://[fec0::1]/",
    "IPv6 multicast": "https://[ff02::1]/",
    "IPv6 documentation": "https://[2001:db8::1]/",
    "not IPv6": "https://[v1.abc]/",
    "http": "http://example.com/",
    "another scheme": "ftp://example.com/",
    "no scheme": "example.com/hook",
    "a file": "file:///etc/passwd",
    "a user": "https://user@example.com/",
    "a user and a password": "https://user:password@example.com/",
    "an empty user": "https://@example.com/",
    "a user that looks like the host": "https://example.com@127.0.0.1/",
    "backslash": "https://example.com\\@127.0.0.1/",
    "another port": "https://example.com:8443/",
    "the port of SSH": "https://example.com:22/",
    "no port at all": "https://example.com:99999/",
    "fragment": "https://example.com/#x",
    "no host": "https:///hook",
    "a space": "https://example.com /",
    "a line break": "https://example.com/\r\nHost: inside",
    "NUL": "https://example.com\x00.inside/",
    "wide digits": "https://１２７.０.０.１/",
    "a name that is not ASCII": "https://пошта.укр/",
    "an empty label": "https://example..com/",
    "percent in the host": "https://127%2e0.0.1/",
    "endless": "https://example.com/" + "a" * 2048,
}


@pytest.mark.parametrize("url", REFUSED_URLS.values(), ids=REFUSED_URLS.keys())
def test_refused(url: str) -> None:
    with pytest.raises(TargetRefusedError):
        STRICT.check_url(url)


TAKEN_URLS = {
    "a name": ("https://example.com/hook?a=b", "https://example.com/hook?a=b", "example.com"),
    "no path": ("https://example.com", "https://example.com/", "example.com"),
    "capitals": ("HTTPS://Example.COM/Hook", "https://example.com/Hook", "example.com"),
    "the usual port": ("https://example.com:443/", "https://example.com:443/", "example.com"),
    "a dot at the end": ("https://example.com./", "https://example.com/", "example.com"),
    "punycode": ("https://xn--80a1acny.xn--j1amh/", "https://xn--80a1acny.xn--j1amh/", "xn--80a1acny.xn--j1amh"),
    "a public IPv4 address": ("https://8.8.8.8/", "https://8.8.8.8/", "8.8.8.8"),
    "a public IPv6 address": ("https://[2606:4700::1]/", "https://[2606:4700::1]/", "2606:4700::1"),
    "NAT64 of a public address": ("https://[64:ff9b::8.8.8.8]/", "https://[64:ff9b::808:808]/", "64:ff9b::808:808"),
    "a path with a colon and an at": ("https://example.com/a:b@c", "https://example.com/a:b@c", "example.com"),
}


@pytest.mark.parametrize(("url", "rebuilt", "host"), TAKEN_URLS.values(), ids=TAKEN_URLS.keys())
def test_taken(url: str, rebuilt: str, host: str) -> None:
    target = STRICT.check_url(url)
    assert (target.url, target.host, target.port) == (rebuilt, host, 443)


ADDRESSES = {
    "all public": (STRICT, "example.com", ["93.184.215.14", "2606:4700::1"], True),
    "one of them private": (STRICT, "example.com", ["93.184.215.14", "10.0.0.1"], False),
    "link local with its zone": (STRICT, "example.com", ["fe80::1%eth0"], False),
    "mapped loopback": (STRICT, "example.com", ["::ffff:127.0.0.1"], False),
    "a network of the operator's": (HOME, "example.com", ["10.1.2.3"], True),
    "a network of the operator's, mapped": (HOME, "example.com", ["::ffff:10.1.2.3"], True),
    "the network next to it": (HOME, "example.com", ["10.2.0.1"], False),
    "one inside that network, one not": (HOME, "example.com", ["10.1.2.3", "10.2.0.1"], False),
    "IPv6 of the operator's": (HOME, "example.com", ["fd00::7"], True),
    "a host of the operator's": (HOME, "CRM.internal", ["192.168.0.1"], True),
    "another host of that domain": (HOME, "db.internal", ["192.168.0.1"], False),
}


@pytest.mark.parametrize(("targets", "host", "addresses", "is_taken"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_what_a_name_may_resolve_to(targets: Targets, host: str, addresses: list[str], is_taken: bool) -> None:
    if is_taken:
        targets.check_addresses(host, addresses)
    else:
        with pytest.raises(TargetRefusedError):
            targets.check_addresses(host, addresses)


def test_the_operator_may_allow_plain_http_any_port_and_its_own_networks() -> None:
    assert HOME.check_url("http://127.0.0.1:8080/hook").url == "http://127.0.0.1:8080/hook"
    with pytest.raises(TargetRefusedError):
        HOME.check_url("http://192.168.0.1/")


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "10.0.0.1/8", "not a host", "1.2.3", "::zz"])
def test_an_allow_list_that_cannot_be_read_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Targets.of([entry], is_http_allowed=False, ports=[443])
