"""Locations: one manner for local paths and URIs, names that stay inside, no credential in a URI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faulty_files import Faults, faulty
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import InputError
from agents.files import sha256, write_text, written
from sim.storage.files import Location, locate


def test_a_path_and_its_uri_are_one_place(tmp_path: Path) -> None:
    place = locate(tmp_path / "a")
    assert place == locate(f"file://{tmp_path}/a") == locate(str(tmp_path)) / "a"
    assert not place.remote and place.local == tmp_path / "a" and os.fspath(place) == str(tmp_path / "a")
    assert locate("runs/a").local == Path.cwd() / "runs" / "a"
    assert (place / "b.tar.gz").name == "b.tar.gz" and (place / "b.json").stem == "b" and (place / "b").parent == place


@pytest.mark.parametrize("remote", [False, True])
def test_files_are_written_listed_moved_and_deleted(tmp_path: Path, remote: bool) -> None:
    home = faulty(tmp_path / "home", Faults()) if remote else locate(tmp_path / "home")
    assert list(home.iterdir()) == [] and not home.exists() and home.glob("*") == []
    (home / "a" / "b.txt").write_text("grün")
    (home / "a" / ".hidden").write_bytes(b"x")
    assert (home / "a" / "b.txt").read_text() == "grün" and (home / "a" / "b.txt").size() == 5
    assert abs((home / "a" / "b.txt").modified() - (tmp_path / "home/a/b.txt").stat().st_mtime) < 1e-3
    assert [one.name for one in (home / "a").iterdir()] == ["b.txt"] == [one.name for one in (home / "a").glob("b*")]
    assert [one.relative_to(home) for one in home.walk()] == ["a/.hidden", "a/b.txt"]
    (home / "a").rename(home / "c")
    assert not (home / "a").exists() and (home / "c").is_dir() and (home / "c" / "b.txt").is_file()
    (home / "c" / "b.txt").unlink()
    (home / "c" / "b.txt").unlink()
    with pytest.raises(FileNotFoundError):
        (home / "c" / "b.txt").read_bytes()
    with pytest.raises(FileNotFoundError):
        (home / "c" / "b.txt").modified()


@given(st.lists(st.sampled_from(["..", "a", ".", "", "b.txt"]), min_size=1, max_size=5).map("/".join))
def test_no_name_leaves_its_folder(name: str) -> None:
    home = locate("/home/somebody")
    try:
        inside = home / name
    except InputError as error:
        assert "must not leave" in str(error)
    else:
        assert Path(os.path.normpath(inside.local)).is_relative_to(home.local) and inside != home


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIAKEY:hush@bucket/runs",
        "s3://hush@bucket/runs",
        "s3://bucket/runs?access_key=hush",
        "s3://bucket/runs?region=eu-west-1&secret_key=hush",
        "s3://bucket/runs?session_token=hush",
        "s3://bucket/runs?endpoint_override=http://a:hush@127.0.0.1:9",
        "s3://bucket/runs?%73ecret_key=hush",
        "gs://hush@bucket/runs",
        "abfs://container:hush@account/runs",
        "hdfs://me:hush@namenode/runs",
    ],
)
def test_a_credential_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InputError, match="in the environment") as told:
        locate(uri)
    assert "hush" not in str(told.value) and "AKIAKEY" not in str(told.value)


def test_a_uri_that_cannot_be_used_is_an_input_error() -> None:
    for uri in ("nope://bucket/x", "s3://bucket/x?region=us-east-1&unheard=1"):
        with pytest.raises(InputError, match="cannot be used as a folder"):
            locate(uri)


def test_a_remote_place_has_no_local_path() -> None:
    place = locate("s3://bucket/runs?region=us-east-1") / "a"
    assert str(place) == "s3://bucket/runs/a?region=us-east-1" and place.path == "bucket/runs/a"
    assert place.parent == locate("s3://bucket/runs?region=us-east-1") and locate(str(place)) == place
    with pytest.raises(InputError, match="not on a local disk"):
        os.fspath(place)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), written(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and [one.name for one in tmp_path.iterdir()] == ["a.json"]
    assert sha256(path) == "cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4"


def test_a_location_is_its_uri() -> None:
    assert isinstance(locate(locate("/a")), Location) and str(locate("/a")) == "/a"
