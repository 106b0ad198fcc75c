"""What every provider is promised and promises, run for each against its twin in the sandbox: real sockets, the
provider's real transport, and the gateway's real door for callbacks.

To let a provider join, add one file `case_<channel>_<provider>.py` with a `CASE` (see `case.Case`). It says
- how the transport is built, given where the twins are and where the provider may call us (`case.Twins`);
- `refusals`: with which reason a phone that `rejects`, is `blocked` or `absent` is refused, and whether the provider
  says so in its answer or later in a receipt;
- `secrets`: every secret of the account, so that none is found in a log line or a detail;
- `credential`: fields of the adapter that make it a stranger to the twin;
- `signed`, for a provider that calls: the same call with another body, signed as the provider signs;
- `forged`: the same call as somebody writes it who does not know the secret;
- `has_no`: each promise of `promises.PROMISES` that its protocol cannot keep, and why. Nothing is passed over in
  silence: a test compares this list with what the transport declares of itself.

A new promise is a function and a line in `PROMISES`; it then holds for all.
"""
