"""A reader types a name into the search and is led to the thing of that name."""

import pytest
from playwright.sync_api import TimeoutError

# The first results that are seen, as below the root of the site.
FIRST = """
(root) => [...document.querySelectorAll(".md-search-result__item a")]
  .filter((link) => link.checkVisibility()).slice(0, 4)
  .map((link) => new URL(link.href))
  .map((found) => (found.pathname + found.hash).replace(root, ""))
"""
NAMES = [
    ("elbo-gap", "chapters/elbo/#eq-elbo-gap"),
    ("elbo gap", "chapters/elbo/#eq-elbo-gap"),
    ("vae-kl", "chapters/vae/#eq-vae-kl"),
    ("reparameterization trick", "chapters/vae/#eq-reparameterize"),
    ("RoPE", "chapters/text/#eq-text-rotary"),
    ("fokker-planck", "chapters/sde/#eq-sde-fokker-planck"),
    ("ddim_step", "reference/samplers/#fromnoise.samplers.ddim_step"),
    ("kl_diagonal", "reference/gaussian_kl/#fromnoise.gaussian_kl.kl_diagonal"),
    ("GaussianMixture", "reference/mixtures/#fromnoise.mixtures.GaussianMixture"),
]


def results(visited, typed: str, wanted: str) -> list[str]:
    """The first results, once what is wanted is among them or had time to come."""
    page = visited.open("index.html")
    root = page.evaluate("new URL('.', location).pathname")
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.matches('input')")
    page.keyboard.type(typed, delay=10)
    page.locator(".md-search-result__item a").first.wait_for(timeout=20_000)
    try:
        look = f"([root, wanted]) => ({FIRST})(root).includes(wanted)"
        page.wait_for_function(look, arg=[root, wanted], timeout=3_000)
    except TimeoutError:
        pass
    return page.evaluate(FIRST, root)


@pytest.mark.parametrize("typed, wanted", NAMES)
def test_a_name_leads_to_what_bears_it(visit, typed, wanted):
    visited = visit()
    assert wanted in results(visited, typed, wanted)
    assert visited.problems == []


def test_without_its_entry_an_equation_is_not_found(visit):
    """What the test above would see if the build forgot the equations."""
    visited = visit()

    def forget(route):
        answer = route.fetch()
        index = answer.json()
        index["docs"] = [doc for doc in index["docs"] if "#eq-" not in doc["location"]]
        route.fulfill(response=answer, json=index)

    visited.page.route("**/search_index.json", forget)
    assert NAMES[0][1] not in results(visited, *NAMES[0])


def test_a_result_opens_at_its_place(visit):
    visited = visit(width=360)
    page = visited.open("index.html")
    page.locator("label[for=__search]:visible").first.click()
    page.keyboard.type("elbo-gap", delay=10)
    page.locator(".md-search-result__item a[href*='#eq-elbo-gap']:visible").click()
    page.wait_for_url("**/chapters/elbo/**#eq-elbo-gap")
    top = page.locator("#eq-elbo-gap").evaluate("one => one.getBoundingClientRect().top")
    assert 0 <= top < 800
    assert visited.problems == []
