"""Long work: a recording is posted, and its summary is made when its turn comes, whatever happens to the process."""
