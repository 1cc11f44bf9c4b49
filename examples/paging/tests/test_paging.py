import pytest
from paging import Page, count, links, page


@pytest.mark.parametrize(("results", "pages"), [(0, 1), (1, 1), (10, 1), (11, 2), (95, 10)])
def test_count(results, pages):
    assert count(results, 10) == pages


def test_a_page_holds_something():
    with pytest.raises(ValueError, match="at least one"):
        count(5, 0)


def test_the_last_page_may_be_short():
    assert page(3, 25, 10) == Page(3, 21, 25)


def test_out_of_range_is_the_nearest():
    assert page(0, 25, 10).number == 1
    assert page(9, 25, 10).number == 3


def test_links_in_the_middle():
    assert links(5, 9) == [3, 4, 5, 6, 7]


def test_links_at_the_end():
    assert links(9, 9) == [7, 8, 9]


def test_links_none_around():
    assert links(1, 1, around=0) != [2]
