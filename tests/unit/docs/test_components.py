"""Every part of a site has a page, and all pages answer the same questions."""

from pathlib import Path

import pytest
import yaml

from tests.unit.docs.pages import ROOT, article, component_pages, front_matter, headings, port_row

QUESTIONS = [
    "What it is for here",
    "How it is named and reached",
    "Who talks to it and to whom it talks",
    "How it balances load",
    "How it is deployed and configured",
    "How it is scaled",
    "How it is watched",
    "How it is backed up and restored",
    "How it fails and what is seen then",
    "Where to read on",
]
SERVICES = yaml.safe_load((ROOT / "playbooks/group_vars/all/services.yml").read_text())["site_services"]
ROLES = [
    role["role"]
    for play in yaml.safe_load((ROOT / "playbooks/site.yml").read_text())
    for role in play["roles"]
]


@pytest.mark.parametrize("page", component_pages(), ids=lambda page: page.stem)
def test_all_pages_answer_the_same_questions(page: Path) -> None:
    assert headings(page) == QUESTIONS


@pytest.mark.parametrize("page", component_pages(), ids=lambda page: page.stem)
def test_no_question_is_left_without_an_answer(page: Path) -> None:
    answers = page.read_text().split("\n## ")[1:]
    empty = [part.splitlines()[0] for part in answers if len(" ".join(part.splitlines()[1:]).split()) < 4]
    assert empty == []


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_one_page(role: str) -> None:
    assert sum(role in front_matter(page)["roles"] for page in component_pages()) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_one_page_that_names_its_port(built: Path, service: str) -> None:
    pages = [page for page in component_pages() if service in front_matter(page)["services"]]
    assert len(pages) == 1, f"services: of the front matter of one component page shall name {service}"
    text = article(built, f"components/{pages[0].stem}")
    assert port_row(service, SERVICES[service]) in text
