"""The image is built from this machine's own mirrors."""

from millrace.box import image

TARGETS = """\
Debian http://mirror.example/debian/
Debian-Security http://mirror.example/debian-security/
Debian http://second.example/debian/
 https://elsewhere.example/apt/
"""


def test_sources_are_the_first_mirrors_of_this_machine_for_debian_13() -> None:
    assert image.sources(TARGETS).splitlines() == [
        "deb http://mirror.example/debian/ trixie main",
        "deb http://mirror.example/debian/ trixie-updates main",
        "deb http://mirror.example/debian-security/ trixie-security main",
    ]


def test_without_both_mirrors_the_choice_is_left_to_mmdebstrap() -> None:
    assert image.sources("") == ""
    assert image.sources("Debian http://mirror.example/debian/\n") == ""
