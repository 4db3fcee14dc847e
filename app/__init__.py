"""The service: recorded speech in, a summary out. Knows nothing about training."""

import os

# Nothing is reported to anybody. onnxruntime from 1.29 on (voice activity) and vLLM send usage unless told not to, and
# read these when they are imported; what the environment says already wins.
for _name in ("ORT_DISABLE_TELEMETRY", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_name, "1")
