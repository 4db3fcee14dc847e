"""The documentation holds what it promises: its code runs, its names exist, its pages are built.

blocks.py         the fenced code blocks of a page, and the markers before them
service.py        the service that the blocks call
test_blocks.py    every shell and Python block is run, or says why not
test_mentions.py  settings, files and figures that the pages name
test_site.py      the site is built and loads nothing from another server
"""
