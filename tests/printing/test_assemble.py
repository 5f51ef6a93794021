"""Many pages become one document whose links lead to places in it."""

import pytest

from printing import assemble
from printing.pages import parts


def assembled(book):
    chosen = parts(book)
    return assemble.document(book, chosen)


def test_chapters_are_numbered_in_the_order_of_the_navigation(small):
    book = small('<h1 id="one">First</h1>')
    assert [(part.number, part.title) for part in parts(book)] == [(1, "First"), (2, "Two")]


def test_the_same_id_on_two_pages_becomes_two_places(small):
    tree = assembled(small('<h1 id="same">One</h1>', '<h1 id="same">Two</h1>'))
    assert assemble.dangling(tree) == []
    assert {"chapters-one--same", "chapters-two--same"} <= set(tree.xpath("//@id"))


def test_an_id_that_stands_twice_on_a_page_is_found(small):
    tree = assembled(small('<h1 id="same">One</h1><p id="same">again</p>'))
    assert assemble.dangling(tree) == ["chapters-one--same"]


def test_a_link_between_chapters_leads_to_its_place_in_the_book(small):
    book = small(
        '<h1>One</h1><p><a href="../two/#deep">there</a> <a href="../two/">all</a></p>',
        '<h1>Two</h1><h2 id="deep">Deep</h2>',
    )
    tree = assembled(book)
    assert tree.xpath("//p/a/@href") == ["#chapters-two--deep", "#chapters-two"]
    assert assemble.dangling(tree) == []


def test_a_link_to_no_place_is_refused(small):
    with pytest.raises(assemble.DanglingLink, match="#nowhere"):
        assembled(small('<h1>One</h1><p><a href="../two/#nowhere">there</a></p>'))


def test_a_link_out_of_the_book_becomes_text_or_an_address_of_the_site(small):
    text = '<h1>One</h1><p>See <a href="../../reference/one/#one">the module</a>.</p>'
    tree = assembled(small(text))
    assert tree.xpath("//p/a") == []
    assert tree.xpath("string(//p)") == "See the module."
    home = (
        '<html><head><title>Home - Small</title><link rel="canonical" href="https://a.example/b/">'
        "</head><body><article class='md-content__inner'><h1>S</h1></article></body></html>"
    )
    tree = assembled(small(text, home=home))
    assert tree.xpath("//p/a/@href") == ["https://a.example/b/reference/one/#one"]


def test_what_belongs_to_the_screen_is_left_out(small):
    book = small(
        '<h1>One<a class="headerlink" href="#one">#</a></h1><script>run</script>'
        '<img class="light" src="../../a.svg"><img class="dark" src="../../b.svg">'
        "<details><summary>Answer</summary><p>It is 42.</p></details><button>Copy</button>"
        '<details class="chapter-script"><pre>again</pre></details><p>Download it.</p>'
    )
    for name in ("a.svg", "b.svg"):
        (book.site / name).write_text("<svg/>")
    tree = assembled(book)
    assert tree.xpath("//img/@src") == [assemble.HOST + "a.svg"]
    assert tree.xpath("//script | //button | //details") == []
    assert tree.xpath("//section[1]")[0].text_content() == "Chapter 1OneAnswerIt is 42."


def test_what_is_wide_on_the_screen_stands_directly_in_its_part(small):
    book = small('<div class="stretch"><h1>One</h1></div><div class="stretch"><p>two</p></div>')
    (part, _) = assembled(book).xpath("//section")
    assert [element.tag for element in part] == ["h1", "p"]


def test_a_picture_that_is_not_there_is_refused(small):
    with pytest.raises(assemble.DanglingLink, match=r"gone\.svg"):
        assembled(small('<h1>One</h1><img src="../../gone.svg">'))


def test_the_name_of_a_file_is_the_first_line_of_its_listing(small):
    book = small(
        '<h1>One</h1><div class="highlight"><span class="filename">src/a.py</span>'
        "<pre><code>import a</code></pre></div>"
    )
    assert assembled(book).xpath("string(//code)") == "src/a.py\nimport a"
