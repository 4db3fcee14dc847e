"""Chat models on vLLM servers, over HTTP."""
