"""Which wheels install on the hosts."""

import pytest

from millrace.artifacts.wheels import Target


@pytest.mark.parametrize(
    ("wheel", "fits"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("a-1-cp39-abi3-manylinux_2_28_x86_64.whl", True),
        ("a-1-1build-cp313-cp313-manylinux2014_x86_64.whl", True),
        ("a-1-cp314-abi3-manylinux_2_28_x86_64.whl", False),
        ("a-1-cp312-cp312-manylinux_2_28_x86_64.whl", False),
        ("a-1-cp313-cp313t-manylinux_2_28_x86_64.whl", False),
        ("a-1-cp313-cp313-manylinux_2_34_x86_64.whl", False),
        ("a-1-cp313-cp313-manylinux_2_28_aarch64.whl", False),
        ("a-1-py2-none-any.whl", False),
        ("a-1.tar.gz", False),
    ],
)
def test_wheels_for_the_hosts(wheel: str, fits: bool) -> None:
    assert Target("3.13", "manylinux_2_28_x86_64").fits(wheel) is fits
