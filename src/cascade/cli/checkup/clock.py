"""Whether this machine's clock is right, by the clocks of others."""

from typing import Final

from cascade.cli.checkup.finding import Finding, State, well

OFF_MS: Final = 5_000
FAR_OFF_MS: Final = 60_000


def of_clock(ahead_ms: int, whose: str) -> Finding:
    """`ahead_ms`: how far ours is before that of `whose`; negative: behind it."""
    if abs(ahead_ms) < OFF_MS:
        return well("clock", f"agrees with that of {whose}")
    way = "ahead of" if ahead_ms > 0 else "behind"
    fix = "Let NTP set it (`timedatectl set-ntp true`): schedules, webhooks' signatures and providers' tokens go by it"
    state = State.ILL if abs(ahead_ms) >= FAR_OFF_MS else State.WARNING
    return Finding("clock", state, f"{abs(ahead_ms) / 1000:.0f} s {way} that of {whose}", fix)
