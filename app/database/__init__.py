"""What outlives a process: jobs, webhooks to deliver, kept answers. SQLite for one process, PostgreSQL for several."""
