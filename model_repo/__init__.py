"""The registry of served checkpoints, as code and as data.

`model_repo/<name>/<version>/` holds what this project trained: a manifest, an adapter, small configuration files. This
package reads and checks them (`manifest`, `registry`), fetches the base parts that they build on (`parts`,
`gguf_model`, `whisper_encoder`), and puts both together into a folder that an engine can load (`assemble`). Knows
nothing about the service or about training.
"""
