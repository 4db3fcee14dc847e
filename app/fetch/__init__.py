"""Where the service may connect to on a caller's word. Knows nothing about routes, nor about audio."""
