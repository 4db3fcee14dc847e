"""Audio: decoding to 16 kHz mono samples, speech detection and windows. No other package touches a codec."""
