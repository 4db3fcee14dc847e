"""The service inside `vllm serve`, as an endpoint plugin: `POST /v1/audio/summaries` beside vLLM's own routes.

    VLLM_PLUGINS=speechsum vllm serve …

`plugin.py` is what vLLM loads, `served_model.py` finds out which model of the service the server has loaded.
"""
