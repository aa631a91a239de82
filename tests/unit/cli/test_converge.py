"""What the screen shows of Ansible's output."""

from millrace.cli.converge import Follower

OUTPUT = """\
PLAY [Every host] **************************************************************

TASK [base : Packages] *********************************************************
changed: [node1]

TASK [base : Optional file] ****************************************************
fatal: [node1]: FAILED! => {"msg": "not there"}
...ignoring

TASK [dns : Zone] **************************************************************
ok: [node1]

RUNNING HANDLER [dns : Reload] *************************************************
changed: [node1]

TASK [artifact : Install dns] **************************************************
changed: [node1]

TASK [base : Again for dns] ****************************************************
changed: [node1]

TASK [kafka : Wait until it answers] *******************************************
[ERROR]: Task failed: Module failed: no answer at 9092
fatal: [node1]: FAILED! =>
    changed: false
    msg: no answer at 9092

PLAY RECAP *********************************************************************
node1                      : ok=12   changed=2    unreachable=0    failed=1    skipped=0
"""


def follow(output: str) -> tuple[Follower, list[str], list[str]]:
    notes: list[str] = []
    said: list[str] = []
    follower = Follower(["base", "dns", "kafka"], notes.append, said.append)
    for line in output.splitlines():
        follower.line(line)
    follower.close()
    return follower, notes, said


def test_every_role_is_shown_once_with_its_changes() -> None:
    _, _, said = follow(OUTPUT)
    assert [line.split()[0] for line in said] == ["base", "dns", "kafka"]
    assert said[0].endswith("s, 1 changed")
    assert said[2].endswith("s")


def test_what_a_role_includes_counts_as_its_own() -> None:
    _, _, said = follow(OUTPUT)
    assert said[1].endswith("s, 3 changed")


def test_the_note_is_the_task_that_runs() -> None:
    _, notes, _ = follow(OUTPUT)
    assert notes[0] == "base: Packages"
    assert notes[-1] == "kafka: Wait until it answers"


def test_the_last_failure_is_quoted_with_its_task() -> None:
    follower, _, _ = follow(OUTPUT)
    lines = follower.failure.splitlines()
    assert lines[0] == "kafka: Wait until it answers"
    assert "    msg: no answer at 9092" in lines
    assert "not there" not in follower.failure


def test_changes_of_all_hosts_are_counted() -> None:
    follower, _, _ = follow(OUTPUT.replace("node1       ", "node2       ") + OUTPUT)
    assert follower.changed == 4


def test_an_ignored_failure_is_none() -> None:
    follower, _, _ = follow(OUTPUT.split("TASK [kafka")[0])
    assert follower.failure == ""
