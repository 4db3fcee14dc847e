"""An archive of recordings, summarized on a Ray cluster: one row for each recording.

`inputs` lists the recordings, `summarizer` makes the row of one, `output_folder` writes each row exactly once, and
`ray_run` spreads the work with Ray Data. Only `ray_install` and `ray_run` need Ray.
"""
