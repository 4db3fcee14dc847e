"""Bytes in, 16 kHz mono samples out; speech or no speech; windows. The only place that touches a codec."""
