"""Storage of what outlives a process: jobs, webhooks, stored responses, keys and quotas.

SQLite serves one process, PostgreSQL several.
"""
