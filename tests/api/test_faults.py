"""The error body is the contract's, section 2, and the seed's."""

import json

import pytest

from cascade.api.faults import ErrorCode, Fault, InvalidRequest, RequestError, error_body
from cascade.core.errors import CascadeError

PHONE = Fault(ErrorCode.INVALID_PHONE, "Invalid phone number format", "toPhone", 0)


def test_the_seed_s_error_is_ours_with_index_and_details() -> None:
    assert json.loads(error_body([PHONE])) == {
        "error": {
            "code": "INVALID_PHONE",
            "message": "Invalid phone number format",
            "field": "toPhone",
            "index": 0,
            "details": [],
        }
    }


def test_every_further_fault_is_a_detail_with_the_same_four_keys() -> None:
    ttl = Fault(ErrorCode.INVALID_TTL, "ttl must be an integer", "ttl", 3)
    assert json.loads(error_body([PHONE, ttl]))["error"]["details"] == [
        {"code": "INVALID_TTL", "message": "ttl must be an integer", "field": "ttl", "index": 3}
    ]


def test_a_fault_of_the_whole_request_has_neither_field_nor_index() -> None:
    error = json.loads(error_body([Fault(ErrorCode.BATCH_EMPTY, "The batch is empty")]))["error"]
    assert error == {
        "code": "BATCH_EMPTY",
        "message": "The batch is empty",
        "field": None,
        "index": None,
        "details": [],
    }


@pytest.mark.parametrize(("faults", "details"), [(1, 0), (2, 1), (101, 100), (102, 100), (5_000, 100)])
def test_details_stop_at_a_hundred(faults: int, details: int) -> None:
    all_faults = [Fault(ErrorCode.INVALID_ID, "id", "id", index) for index in range(faults)]
    error = json.loads(error_body(all_faults))["error"]
    assert error["index"] == 0
    assert [detail["index"] for detail in error["details"]] == list(range(1, details + 1))


def test_an_invalid_request_keeps_its_faults_and_says_only_the_first_code() -> None:
    error = InvalidRequest([PHONE, PHONE])
    assert isinstance(error, CascadeError)
    assert error.faults == (PHONE, PHONE)
    assert str(error) == "INVALID_PHONE, the first of 2 faults"


def test_a_request_error_says_its_message() -> None:
    error = RequestError(404, ErrorCode.NOT_FOUND, "No such message")
    assert isinstance(error, CascadeError)
    assert (error.status, error.code, str(error)) == (404, ErrorCode.NOT_FOUND, "No such message")


def test_the_codes_are_the_contract_s() -> None:
    contract = """
        INVALID_JSON MISSING_FIELD INVALID_FIELD UNKNOWN_FIELD INVALID_ID INVALID_PHONE INVALID_MESSAGE_TYPE
        TEXT_REQUIRED TEXT_TOO_LONG INVALID_TTL INVALID_SCHEDULE INVALID_SURVEY_OPTIONS INVALID_MEDIA_URL
        UNKNOWN_VARIABLE UNKNOWN_ROUTE BATCH_EMPTY BATCH_TOO_LARGE BODY_TOO_LARGE INVALID_SENDER UNAUTHORIZED FORBIDDEN
        NOT_FOUND NOT_CANCELLABLE RATE_LIMITED INTERNAL_ERROR UNAVAILABLE
    """
    assert [code.value for code in ErrorCode] == contract.split()
