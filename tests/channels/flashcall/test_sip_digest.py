"""The answers to challenges, judged by the vectors of the RFCs and by aiosipua, another hand's."""

import pytest
from aiosipua.auth import SipDigestAuth, build_credentials
from aiosipua.headers import parse_auth

from cascade.channels.flashcall.sip import digest
from cascade.channels.flashcall.sip.digest import Challenge, Credentials
from cascade.channels.flashcall.sip.message import Headers, Response
from cascade.core.secret import Secret

MUFASA = Credentials("Mufasa", Secret("Circle of Life"))
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RFC_7616 = {
    "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}


def challenged(*values: str, status: int = 401) -> Response:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return Response(status, "", Headers([(name, value) for value in values]))


@pytest.mark.parametrize("algorithm", RFC_7616)
def test_the_vectors_of_rfc_7616_come_out(algorithm: str) -> None:
    challenge = Challenge("http-auth@example.org", NONCE, algorithm, has_qop=True, opaque="FQhe", is_stale=False)
    name, value = digest.answer(401, challenge, MUFASA, "GET", "/dir/index.html", CNONCE)
    assert name == "Authorization"
    assert f'response="{RFC_7616[algorithm]}"' in value
    assert 'opaque="FQhe"' in value


def test_the_vector_of_rfc_2069_comes_out_without_qop() -> None:
    challenge = Challenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "MD5", False, None, False)
    credentials = Credentials("Mufasa", Secret("CircleOfLife"))
    _, value = digest.answer(407, challenge, credentials, "GET", "/dir/index.html", CNONCE)
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in value
    assert "cnonce" not in value


def test_the_strongest_challenge_is_answered_and_one_that_cannot_be_is_passed_over() -> None:
    found = digest.challenge_of(
        challenged(
            'Digest realm="a", nonce="1", algorithm=MD5, qop="auth-int,auth"',
            "Basic realm=b",
            'Digest realm="c", nonce="2", algorithm=SHA-512-256, qop="auth"',
            'Digest realm="d, e", nonce="3", algorithm=SHA-256, qop="auth", stale=TRUE',
            status=407,
        )
    )
    assert found == Challenge("d, e", "3", "SHA-256", has_qop=True, opaque=None, is_stale=True)


UNANSWERABLE = {
    "no challenge": (),
    "no digest": ('Bearer realm="a"',),
    "no nonce": ('Digest realm="a"',),
    "integrity alone": ('Digest realm="a", nonce="1", qop="auth-int"',),
}


@pytest.mark.parametrize("values", UNANSWERABLE.values(), ids=UNANSWERABLE)
def test_what_cannot_be_answered_is_none(values: tuple[str, ...]) -> None:
    assert digest.challenge_of(challenged(*values)) is None


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_another_hand_answers_the_same(algorithm: str) -> None:
    value = f'Digest realm="trunk", nonce="abc", algorithm={algorithm}, qop="auth", opaque="o"'
    challenge = digest.challenge_of(challenged(value))
    assert challenge is not None
    _, ours = digest.answer(401, challenge, MUFASA, "INVITE", "sip:1@t", "c0ffee")
    theirs = build_credentials(
        SipDigestAuth("Mufasa", "Circle of Life"), parse_auth(value), "INVITE", "sip:1@t", cnonce="c0ffee"
    )
    assert theirs is not None
    assert f'response="{theirs.params["response"]}"' in ours
