"""Every exception of Cascade. An answer we expect (rejected, retry) is a value; these are for what a caller cannot
go on from. Each says what to do next; none holds a secret or a phone."""


class CascadeError(Exception):
    """The root: whoever catches this catches everything that is ours."""


class ConfigError(CascadeError):
    """A setting is wrong, so the program does not start. `setting` is its dotted name, `fix` what to write instead."""

    def __init__(self, setting: str, problem: str, fix: str) -> None:
        super().__init__(f"{setting}: {problem}. {fix}")
        self.setting = setting
        self.problem = problem
        self.fix = fix


class StoreUnreachableError(ConfigError):
    """The store does not answer at the start: its address is wrong, or it is away. A command ends with it; the gateway
    tries again until it answers."""


class StoreUnavailableError(CascadeError):
    """The store does not answer. Nothing was stored; the same call may be repeated."""


class BucketsAwayError(CascadeError):
    """The Redis that shares the rates of requests does not answer. Ask the store's buckets instead."""


class QueryTimeoutError(StoreUnavailableError):
    """A query ran too long and was stopped. Ask for less: a shorter time, fewer messages."""


class ProviderUnreachableError(CascadeError):
    """A provider gave no answer that can be read. Check its address and the network, then ask again."""


class ForgedCallbackError(CascadeError):
    """A callback without its provider's valid signature: refuse it and believe nothing of it."""


class MalformedCallbackError(CascadeError):
    """A signed callback that does not hold what its provider documents: refuse it; a repeat would be no better."""
