"""The limits on what is inside the service: requests, uploads, bytes and audio seconds."""
