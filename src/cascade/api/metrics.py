"""What Prometheus may ask of the doors."""

from prometheus_client import Counter

ACCEPTED = Counter("cascade_messages_accepted", "Messages stored.")
CHANGED = Counter("cascade_messages_changed", "Messages that clients changed before they began.", ["change"])
REFUSED = Counter("cascade_requests_refused", "Requests answered with an error.", ["code"])
CALLBACKS_REFUSED = Counter("cascade_callbacks_refused", "Callbacks that were not believed.", ["link", "why"])
