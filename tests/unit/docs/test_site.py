"""What holds for the documentation as a whole."""

import re
from pathlib import Path

import yaml

from tests.unit.docs.pages import DOCS, ROOT, Loads, verbs


def test_no_page_loads_anything_from_another_host(built: Path) -> None:
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 20
    foreign = {
        f"{page.relative_to(built)}: {address}"
        for page in pages
        for address in Loads(page.read_text()).addresses
        if re.match(r"[a-z]+:|//", address) and not address.startswith("data:")
    }
    assert foreign == set()


def test_no_style_sheet_loads_anything_from_another_host(built: Path) -> None:
    sheets = sorted(built.rglob("*.css"))
    assert sheets
    loads = [
        address for sheet in sheets for address in re.findall(r"url\(['\"]?([^)'\"]+)", sheet.read_text())
    ]
    assert [address for address in loads if re.match(r"https?:|//", address)] == []


def test_no_page_needs_the_script_that_the_theme_would_load_for_diagrams(built: Path) -> None:
    assert [page for page in built.rglob("*.html") if "mermaid" in Loads(page.read_text()).classes] == []


def test_the_map_shows_every_service_of_a_group(built: Path) -> None:
    services = yaml.safe_load((ROOT / "playbooks/group_vars/all/services.yml").read_text())["site_services"]
    drawn = (
        (built / "explanation/architecture/index.html")
        .read_text()
        .split("<svg viewBox", 1)[1]
        .split("</figure>")[0]
    )
    missing = [n for n, s in services.items() if s["group"] != "all" and f">{n} {s['port']}<" not in drawn]
    assert missing == []
    assert "<title>edge to serve: prediction</title>" in drawn


def test_every_page_says_which_site_it_needs() -> None:
    pages = [page for page in DOCS.rglob("*.md") if "decisions" not in page.parts]
    wrong = [
        str(page) for page in pages if not re.match(r"---\nsite: (none|single-node)\n", page.read_text())
    ]
    assert wrong == []


def test_pages_and_readme_name_no_verb_that_does_not_exist() -> None:
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        used = re.findall(r"(?:^\$ |`|\$\()(?:\./)?millrace ([a-z]\w*)", page.read_text(), re.M)
        assert [verb for verb in used if verb not in verbs()] == [], page


def test_the_readme_shows_the_two_commands_and_fits_on_a_screen() -> None:
    text = (ROOT / "README.md").read_text()
    assert {"demo", "test"} <= set(re.findall(r"^\$? *\./millrace (\w+)", text, re.M))
    assert len(text.splitlines()) <= 60


def test_no_version_is_typed_by_hand() -> None:
    components = yaml.safe_load((ROOT / "playbooks/bom.yml").read_text())["bom_components"]
    versions = {item["version"] for item in components.values() if item["source"] != "this repository"}
    typed = {
        f"{page.relative_to(ROOT)}: {version}"
        for page in [ROOT / "README.md", *DOCS.rglob("*.md")]
        for version in versions
        if re.search(rf"(?<![\d.]){re.escape(version)}(?![\d.])", page.read_text())
    }
    assert typed == set()


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).is_file()] == []
