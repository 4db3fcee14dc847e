"""The models that a service has loaded: loading and unloading them, and which of them a request gets."""
