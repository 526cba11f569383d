"""Inference requests: a load generator with Poisson arrivals, and a server that answers them with the best topology.

The server runs between generations, in the evolving process; requests that arrive meanwhile wait in a short queue, and
those that find it full are refused. Knows the observer only as something that times a request.
"""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from dashboard.observer import Observer
from examples.evolving_router.digits import Split
from examples.evolving_router.genome import Genome
from examples.evolving_router.model import DigitsRouter

BATCHES = (1, 2, 4, 8, 16, 32)
WAITING = 32  # requests the queue holds
LONGEST_GAP_SECONDS = 10.0  # without any request: the load generator is not running
SLOW_SECONDS = 0.25  # what --slow makes a request take, well above the objective of 0.1 s


@dataclass(slots=True)
class Served:
    """What was served: `calls` is (T, E), tokens per position and expert."""

    calls: torch.Tensor
    requests: int = 0
    images: int = 0


class LoadGenerator:
    """Sends batches of images at random times.

    Args:
        per_second: mean arrival rate; the gaps are exponentially distributed, as in a Poisson process.
    """

    def __init__(self, images: Split, per_second: float, seed: int) -> None:
        self._images, self._per_second = images, per_second
        self._rng = np.random.default_rng(seed)
        self._stop = threading.Event()
        self.waiting: queue.Queue[torch.Tensor] = queue.Queue(WAITING)
        self.refused = 0

    @contextmanager
    def running(self) -> Iterator["LoadGenerator"]:
        """Send requests while the block runs."""
        thread = threading.Thread(target=self._send, name="load-generator", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _send(self) -> None:
        while not self._stop.wait(self._rng.exponential(1 / self._per_second)):
            rows = self._rng.integers(len(self._images), size=self._rng.choice(BATCHES))
            try:
                self.waiting.put_nowait(self._images.tokens[torch.from_numpy(rows)])
            except queue.Full:
                self.refused += 1


class Server:
    """Answers requests under a topology and counts which expert served which token.

    Args:
        slow: answer each request from so many paler copies of its images that it takes at least about a quarter of a second.
    """

    def __init__(
        self, model: DigitsRouter, load: LoadGenerator, observer: Observer, *, slow: bool = False
    ) -> None:
        self._model, self._load, self._observer = model, load, observer
        self._slow = slow
        self._copies = 1

    def serve(self, genome: Genome, at_least: int, until: float) -> Served:
        """Answer `at_least` requests, and more until the monotonic time `until`."""
        device = self._model.position.device
        mask = torch.from_numpy(genome.mask).to(device)
        served = Served(torch.zeros(genome.mask.shape, dtype=torch.int64, device=device))
        while served.requests < at_least or time.monotonic() < until:
            patience = (
                max(until - time.monotonic(), 0.001) if served.requests >= at_least else LONGEST_GAP_SECONDS
            )
            try:
                tokens = self._load.waiting.get(timeout=patience)
            except queue.Empty:
                break  # nobody asked
            with self._observer.inference(batch_size=len(tokens)):  # observer 4/5
                served.calls += self.answer(tokens, mask, genome.top_k)
            served.requests += 1
            served.images += len(tokens)
        return served

    @torch.no_grad()
    def answer(self, tokens: torch.Tensor, mask: torch.Tensor, top_k: int) -> torch.Tensor:
        """Classify one batch (N, T, 4); returns the tokens served per (position, expert)."""
        began = time.perf_counter()
        logits, served = self._model(tokens, mask, top_k)
        for copy in range(1, self._copies):  # paler copies of the images, their scores added up
            logits = logits + self._model(tokens * (1 - 0.2 * copy / self._copies), mask, top_k)[0]
        logits.argmax(dim=-1).cpu()  # the answer leaves the device: the request is done
        if self._slow and time.perf_counter() - began < SLOW_SECONDS:
            self._copies *= 2
        return served
