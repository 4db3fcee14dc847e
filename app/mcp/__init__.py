"""`speechsum mcp`: a server of the Model Context Protocol, by which an assistant summarizes recordings and asks about
them. It is a client of a running service.

command.py     what the command runs, and the transport; its options are in `app.cli.mcp`
server.py      the tools
results.py     what the tools return
recordings.py  which recordings a tool may read
"""
