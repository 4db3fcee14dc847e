"""The registry of served checkpoints, as code and as data.

`model_repo/<name>/<version>/` holds what this project trained (a manifest, an adapter, small configuration files).
This package reads and checks them (`manifest`, `registry`), fetches the base parts they grow on (`parts`, `gguf_text`,
`whisper_encoder`), and puts both together into a folder an engine can load (`assemble`). Knows nothing about the
service or about training.
"""
