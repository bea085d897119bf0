"""On which way an end-to-end test runs. Without one of these marks it runs on both: that is for what the way itself could
break. What the services decide is the same on either, and is shown on one."""

import pytest

# Tests of one way share its system, so that one worker runs them all.
MEMORY, RABBITMQ = (pytest.param(way, marks=pytest.mark.xdist_group(way)) for way in ("memory", "rabbitmq"))

IN_MEMORY = pytest.mark.parametrize("way", [MEMORY], indirect=True, scope="session")
OVER_RABBITMQ = pytest.mark.parametrize("way", [RABBITMQ], indirect=True, scope="session")
