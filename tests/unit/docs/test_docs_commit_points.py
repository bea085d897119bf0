"""docs/commit-points.md accounts for every failpoint in the code, and for none that is not there any more."""

from support import commit_points

PLACES = commit_points.places()
KILLED = commit_points.killed()
ELSEWHERE = commit_points.elsewhere()


def test_every_commit_point_in_the_code_is_killed_in_a_flow_or_listed_with_the_reason() -> None:
    """Else: let a flow in `support.flows` come by it and run `make kills`, or say in the page why none does."""
    left = [place for place in PLACES if not any(map(place.has, KILLED)) and not any(map(place.is_in, ELSEWHERE))]
    assert left == []


def test_every_commit_point_of_the_page_is_in_the_code() -> None:
    assert [name for name in KILLED if not any(place.has(name) for place in PLACES)] == []
    assert [entry for entry in ELSEWHERE if not any(place.is_in(entry) for place in PLACES)] == []
