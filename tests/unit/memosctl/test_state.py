from pathlib import Path

import pytest

from memosctl.failures import Failure
from memosctl.keys import ensure_grant_keys
from memosctl.lock import is_locked, locked
from memosctl.state import StateDir, write_private


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_option_goes_before_the_environment_and_that_before_the_default(tmp_path: Path) -> None:
    environ = {"MEMOS_STATE_DIR": str(tmp_path / "env"), "XDG_STATE_HOME": str(tmp_path / "xdg")}

    assert StateDir.locate(tmp_path / "option", environ=environ).root == tmp_path / "option"
    assert StateDir.locate(environ=environ).root == tmp_path / "env"
    assert StateDir.locate(environ={"XDG_STATE_HOME": str(tmp_path / "xdg")}).root == tmp_path / "xdg" / "memos"
    assert StateDir.locate(environ={}).root == Path.home() / ".local" / "state" / "memos"


def test_the_directories_are_closed_to_everybody_else_even_if_they_were_open(tmp_path: Path) -> None:
    root = tmp_path / "state"
    root.mkdir(mode=0o755)

    state = StateDir(root).make()

    assert mode(root) == 0o700
    assert mode(state.of("storage")) == 0o700


def test_a_private_file_is_replaced_whole_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"

    write_private(path, b"one")
    write_private(path, b"two")

    assert path.read_bytes() == b"two"
    assert mode(path) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["secret"]


def test_a_socket_directory_whose_path_is_too_long_is_made_elsewhere(tmp_path: Path) -> None:
    near = StateDir(Path("/tmp") / tmp_path.name / "s")
    far = StateDir(tmp_path / ("x" * 120))

    assert near.socket_directory() == near.root / "run"
    directory = far.socket_directory()
    assert len(str(directory / "internal.sock")) <= 100
    assert mode(directory) == 0o700
    directory.rmdir()


def test_a_second_process_is_refused_and_told_who_holds_the_directory(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")

    with locked(state):
        assert is_locked(state)
        with pytest.raises(Failure, match=r"Process \d+ serves from") as caught, locked(state):
            pass
    assert "--state-dir" in caught.value.hint
    assert not is_locked(state)


def test_grant_keys_are_made_once(tmp_path: Path) -> None:
    state = StateDir(tmp_path)

    assert ensure_grant_keys(state)
    before = state.private_key_file.read_bytes()

    assert not ensure_grant_keys(state)
    assert state.private_key_file.read_bytes() == before
    assert mode(state.private_key_file) == 0o600


def test_a_lost_public_key_is_made_again_from_the_private_one(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    ensure_grant_keys(state)
    before = state.public_key_file.read_bytes()
    state.public_key_file.unlink()

    assert not ensure_grant_keys(state)
    assert state.public_key_file.read_bytes() == before


def test_a_lost_private_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    ensure_grant_keys(state)
    state.private_key_file.unlink()

    with pytest.raises(Failure, match="missing"):
        ensure_grant_keys(state)


def test_a_public_key_of_another_pair_is_refused(tmp_path: Path) -> None:
    state, other = StateDir(tmp_path / "a"), StateDir(tmp_path / "b")
    ensure_grant_keys(state)
    ensure_grant_keys(other)
    write_private(state.public_key_file, other.public_key_file.read_bytes())

    with pytest.raises(Failure, match="not the public half"):
        ensure_grant_keys(state)
