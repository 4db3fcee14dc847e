"""A soak: mixed traffic against a real service while faults are injected, and an account of every request.

`python -m tools.soak --minutes 30` starts the service, a database and a webhook receiver as processes of their own,
kills and starves them on a seeded schedule, and writes a report. Its exit status is 1 if a request, a job or a webhook
was lost or doubled, or memory or open files grew. docs/soak.md explains the rules.

schedule.py      which fault comes when
ledger.py        every request, job and webhook, and what the rules forbid
clients.py       the clients: what they send and how they judge an answer
recordings.py    what they send
processes.py     the service, PostgreSQL and the receiver as processes
receiver.py      the webhook receiver's program
injector.py      the faults themselves
resources.py     memory and open files over time
run.py           the whole run, in order
report.py        the report as Markdown and JSON
"""
