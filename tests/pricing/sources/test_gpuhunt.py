"""gpuhunt catalogues, by the columns of its CSV and the way its script publishes them."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from decimal import Decimal

import pytest

from pricing.http import RefreshError
from pricing.offer import ON_DEMAND, SPOT
from pricing.sources import SOURCES
from pricing.sources.archive import Member, open_members
from pricing.sources.base import NO_GPU, Fetched
from pricing.sources.gpuhunt import NOT_A_GPU, URL, WITH_TERMS, parse_archive
from tests.support.http_server import LocalServer, Reply

DAY = date(2026, 11, 22)

HEADER = (
    "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags,cpu_arch,"
    "provider_data\n"
)
LAMBDA = HEADER + (
    "gpu_1x_h100_pcie,us-west-3,3.29,26,200.0,1,H100,80.0,False,1024.0,nvidia,,x86,{}\n"
    "gpu_8x_a100_80gb_sxm4,us-east-1,22.32,240,1800.0,8,A100,80.0,False,,nvidia,,x86,{}\n"
    "gpu_1x_gh200,us-east-3,2.29,64,432.0,1,GH200,96.0,False,,nvidia,lambda-arm,arm,{}\n"
    "cpu_4x_general,us-east-1,0.2,4,16.0,0,,,False,,,,x86,{}\n"
)
GCP = HEADER + (
    "a3-highgpu-8g,us-east4-a,43.79,208,1872.0,8,H100,80.0,False,,nvidia,gcp-dws-calendar-mode,x86,{}\n"
    "a3-edgegpu-8g,us-east4-a,9.46,208,1872.0,8,H100,80.0,False,,nvidia,,x86,{}\n"
    "a2-highgpu-1g,us-central1-a,1.93,12,85.0,1,A100,40.0,True,,nvidia,,x86,{}\n"
    "v3-8,us-central1-a,8.0,96,340.0,1,v3,0.0,False,,google,,x86,{}\n"
)


def zipped(**files: str | bytes) -> bytes:
    """A zip of these files, `__` in their names for a slash."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name.replace("__", "/"), (2026, 9, 15, 6, 5, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


def fetch(
    server: LocalServer, archive: bytes, version: str = "20260915-9376\n", type: str = "binary/octet-stream"
) -> Fetched:
    server.answer(URL.format(name="lambdalabs", what="version"), Reply(version, type=type))
    server.answer(URL.format(name="lambdalabs", what=f"{version.strip()}/catalog.zip"), Reply(archive, type=type))
    (source,) = [source for source in SOURCES if source.provider == "lambda"]
    return source.fetch(server.get, DAY)


def test_a_provider(server: LocalServer) -> None:
    fetched = fetch(server, zipped(**{"lambdalabs.csv": LAMBDA}))
    assert {(offer.instance_type, offer.gpu, offer.gpu_count) for offer in fetched.offers} == {
        ("gpu_1x_h100_pcie", "H100-PCIe", 1),
        ("gpu_8x_a100_80gb_sxm4", "A100-80GB-SXM", 8),
        ("gpu_1x_gh200", "GH200-96GB", 1),
    }
    first = fetched.offers[0]
    assert (first.provider, first.usd_per_hour, first.market, first.vcpus) == ("lambda", Decimal("3.29"), ON_DEMAND, 26)
    assert fetched.left_out == {NO_GPU: 1}


def test_prices_are_of_the_day_of_the_version(server: LocalServer) -> None:
    assert fetch(server, zipped(**{"lambdalabs.csv": LAMBDA})).offers[0].as_of == date(2026, 9, 15)


@pytest.mark.parametrize("version", ["20991231-1", "20260231-1"])
def test_a_version_of_no_day_or_one_to_come_is_of_today(server: LocalServer, version: str) -> None:
    assert fetch(server, zipped(**{"lambdalabs.csv": LAMBDA}), version).offers[0].as_of == DAY


@pytest.mark.parametrize("version", ["../../x", "latest", "2026", "20260915-9376 and more", "20260915/../../x"])
def test_a_version_that_is_none_is_not_asked_for(server: LocalServer, version: str) -> None:
    with pytest.raises(RefreshError, match="names no version"):
        fetch(server, b"", version)
    assert len(server.asked) == 1


def test_an_archive_of_all_providers() -> None:
    found = parse_archive(
        zipped(**{"gcp.csv": GCP, "lambdalabs.csv": LAMBDA, "version": "20260915"}), "catalog.zip", DAY
    )
    assert set(found) == {"gcp", "lambda"}
    (spot,) = found["gcp"].offers
    assert (spot.market, spot.region, spot.as_of) == (SPOT, "us-central1-a", date(2026, 9, 15))
    assert found["gcp"].left_out == {WITH_TERMS: 2, NOT_A_GPU: 1}


BOMB = b"0" * 3_000_000


@pytest.mark.parametrize(
    ("archive", "what"),
    [
        (b"PK\x03\x04 and no more", "is not a whole zip"),
        (zipped(**{"a.csv": "x" * 9999})[:-40], "is not a whole zip"),
        (zipped(**{"..__evil.csv": LAMBDA}), "holds a path"),
        (zipped(__etc__passwd=LAMBDA), "holds a path"),
        (zipped(**{"C:evil.csv": LAMBDA}), "holds a path"),
        (zipped(**{"a\\\\b.csv": LAMBDA}), "holds a path"),
        (zipped(**{"inner.zip": zipped(a="b")}), "holds a zip within the zip"),
        (zipped(**{f"{n}.csv": "" for n in range(100)}), "holds 100 files"),
    ],
)
def test_archives_that_are_refused(archive: bytes, what: str) -> None:
    with pytest.raises(RefreshError, match=what):
        list(open_members(archive, "catalog.zip"))


def test_a_bomb_is_not_unpacked() -> None:
    archive = zipped(**{"a.csv": BOMB, "b.csv": BOMB})
    assert len(archive) < 10_000
    with pytest.raises(RefreshError, match="unpacks to more than any catalogue"):
        list(open_members(archive, "catalog.zip", largest=5_000_000))


def test_a_bomb_that_lies_about_its_size_is_not_unpacked() -> None:
    archive = bytearray(zipped(**{"a.csv": BOMB}))
    while (at := archive.find(len(BOMB).to_bytes(4, "little"))) >= 0:
        archive[at : at + 4] = (10).to_bytes(4, "little")
    with pytest.raises(RefreshError):
        list(open_members(bytes(archive), "catalog.zip", largest=1_000_000))


def test_an_encrypted_archive_is_refused() -> None:
    archive = bytearray(zipped(**{"a.csv": "x"}))
    at = archive.find(b"PK\x01\x02")
    archive[at + 8] |= 1
    with pytest.raises(RefreshError, match="is encrypted"):
        list(open_members(bytes(archive), "catalog.zip"))


def test_members() -> None:
    (member,) = open_members(zipped(**{"a.csv": "x,y"}), "catalog.zip")
    assert member == Member("a.csv", b"x,y", date(2026, 9, 15))


def test_a_zip_without_the_provider(server: LocalServer) -> None:
    with pytest.raises(RefreshError, match=r"holds no lambdalabs\.csv"):
        fetch(server, zipped(**{"aws.csv": LAMBDA}))


def test_no_zip(server: LocalServer) -> None:
    with pytest.raises(RefreshError, match="something other than a zip"):
        fetch(server, b"<Error><Code>AccessDenied</Code></Error>")
