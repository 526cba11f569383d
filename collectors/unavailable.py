"""One exception for "this source cannot be read": the reason in a sentence, and what to do about it."""


class Unavailable(Exception):
    """A source is off or does not answer as it should. Never raised for an empty answer or a NaN.

    Args:
        reason: one sentence a person understands at 03:00, naming the cause ("Prometheus at … refused the connection").
        advice: what to do about it, another sentence; may be empty.
        kind: a stable machine word for the cause, e.g. "refused", "timeout", "not-json", "http-500",
            "bad_data" (Prometheus's own errorType), "no-driver". Tests and metrics key on it.
    """

    def __init__(self, reason: str, *, advice: str = "", kind: str = "unavailable") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.reason} {self.advice}".strip()
