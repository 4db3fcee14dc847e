"""The service: recorded speech in, a summary out. Knows nothing about training."""

import os

# The service sends no usage data to anybody. onnxruntime from 1.29 on (voice activity detection) and vLLM do so unless
# these variables are set when they are imported. Values that are already in the environment take precedence.
for _name in ("ORT_DISABLE_TELEMETRY", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_name, "1")
