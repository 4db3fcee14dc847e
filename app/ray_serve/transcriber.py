"""A speech recognizer in the replicas of the deployment `ear`, instead of in this process."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.asr.transcript import Transcript
from app.ray_serve.lost_replicas import call_replica

EAR = "ear"


class ServeTranscriber:
    """Behind the handle of a deployment of `EarReplica`. A recording whose replica is lost is transcribed again."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle.options(method_name="transcribe")

    async def start(self) -> None:
        """Do nothing: the replicas load the model by themselves."""

    async def stop(self) -> None:
        """Do nothing: the replicas keep running."""

    async def transcribe(self, samples: NDArray[np.float32], vocabulary: Sequence[str] = ()) -> Transcript:
        """Transcribe float32 mono samples at 16 kHz, shape (n,). If the call is cancelled, so is the work.

        Raises `Unavailable` (code "engine_lost") if replicas were lost again and again.
        """

        async def call() -> Transcript:
            response = self._handle.remote(samples, tuple(vocabulary))
            try:
                return await response  # type: ignore[no-any-return]
            finally:
                response.cancel()  # has no effect on a call that has ended

        return await call_replica(EAR, call)
