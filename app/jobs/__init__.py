"""Jobs: a recording is posted, and its summary is made when its turn comes, even if the process ends in between."""
