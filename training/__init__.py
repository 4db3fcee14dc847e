"""The pipeline that makes the served checkpoints. Imports `app.core.prompts`, `app.core.audio` and `model_repo`;
nothing else of the service.
"""

import app as app  # which tells libraries to report nothing
