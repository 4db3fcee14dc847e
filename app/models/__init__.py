"""The models a service has loaded: their lives, and which of them a request gets."""
