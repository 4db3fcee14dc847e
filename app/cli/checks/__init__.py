"""What `speechsum doctor` checks. Each check returns what it finds, and none changes anything.

finding.py   what a check returns
machine.py   cores, memory, libraries, the GPU and its driver
model.py     the model of the settings, the disk for it, and whether its parts can be fetched
service.py   settings, port and database
"""
