"""SkyPilot catalogues: rows as they are in skypilot-org/skypilot-catalog, at the commits named."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from planner.catalogue import find_gpu
from pricing.http import RefreshError
from pricing.offer import ON_DEMAND, SPOT, Offer
from pricing.sources import SOURCES
from pricing.sources.base import AGAIN, NO_GPU, NO_PRICE, SLICE, Fetched
from pricing.sources.documents import parse_csv
from pricing.sources.gcp_machines import APART, BARE, DISCOUNTED, gcp_machines
from pricing.sources.skypilot import COLUMNS, NOT_A_GPU, NOT_IN_TABLE, URL, card_memory_gib, parse
from tests.support.http_server import LocalServer, Reply

DAY = date(2026, 11, 22)

# catalogs/v8/aws/vms.csv has these columns @00148f2a; its cards' GpuInfo is as EC2 reports it
AWS = """InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone,Arch
a1.2xlarge,,,8.0,16.0,,0.2568,0.256800,ap-northeast-1,apne1-az2,arm64
g6.xlarge,L4,1.0,4.0,16.0,"{'Gpus': [{'Name': 'L4', 'Manufacturer': 'NVIDIA', 'Count': 1, 'MemoryInfo': {'SizeInMiB': 22888}}], 'TotalGpuMemoryInMiB': 22888}",0.8048,0.360000,us-east-1,use1-az1,x86_64
g6.xlarge,L4,1.0,4.0,16.0,"{'Gpus': [{'Name': 'L4', 'Manufacturer': 'NVIDIA', 'Count': 1, 'MemoryInfo': {'SizeInMiB': 22888}}], 'TotalGpuMemoryInMiB': 22888}",0.8048,0.310000,us-east-1,use1-az2,x86_64
g6f.large,L4,0.125,2.0,8.0,,0.2,,us-east-1,use1-az1,x86_64
trn1.2xlarge,Trainium,1.0,8.0,32.0,,1.34375,0.4,us-east-1,use1-az4,x86_64
p5.48xlarge,H100,8.0,192.0,2048.0,"{'Gpus': [{'Name': 'H100', 'MemoryInfo': {'SizeInMiB': 81920}}]}",,,us-east-1,use1-az6,x86_64
"""  # noqa: E501

# catalogs/v8/gcp/vms.csv @006059e0
GCP = """InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice
a2-highgpu-2g,24.0,170.0,,,,us-central1,us-central1-a,1.47895,0.7395
a2-highgpu-2g,24.0,170.0,,,,asia-northeast1,asia-northeast1-a,1.89606,0.83566
a2-highgpu-4g,48.0,340.0,,,,us-central1,us-central1-a,2.95791,1.479
a2-ultragpu-1g,12.0,170.0,,,,us-central1,us-central1-a,1.09962,0.54978
t2d-standard-48,48.0,192.0,,,,us-west4,us-west4-b,2.28384,0.32995
,,,A100,2,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 40960}}]},us-central1,us-central1-a,5.86782,2.8682
,,,A100,2,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 40960}}]},us-west3,us-west3-b,6.87373,3.1296
,,,A100,2,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 40960}}]},asia-northeast1,asia-northeast1-a,3.41172,2.4614
,,,A100-80GB,1,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 81920}}]},us-central1,us-central1-a,1.8462,1.964
,,,A100-80GB,1,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 81920}}]},us-east5,us-east5-a,4.4242,1.3356
,,,P100,4,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 16384}}]},asia-east1,asia-east1-a,6.4,0.576
,,,tpu-v3-32,1,tpu-v3-32,us-east1,us-east1-d,32.0,9.6
"""


def read(csv: str, cloud: str) -> Fetched:
    return parse(parse_csv(csv.encode(), "vms.csv", COLUMNS), cloud, "vms.csv", DAY)


def find(fetched: Fetched, instance_type: str, market: str = ON_DEMAND, region: str | None = None) -> Offer:
    (offer,) = [
        offer
        for offer in fetched.offers
        if (offer.instance_type, offer.market) == (instance_type, market) and region in (None, offer.region)
    ]
    return offer


def test_aws() -> None:
    fetched = read(AWS, "aws")
    assert len(fetched.offers) == 2
    on_demand, spot = find(fetched, "g6.xlarge"), find(fetched, "g6.xlarge", SPOT)
    assert (on_demand.usd_per_hour, on_demand.gpu, on_demand.vcpus, on_demand.ram_gib) == (
        Decimal("0.8048"), "L4", 4, 16.0,
    )  # fmt: skip
    # of the cheapest zone
    assert spot.usd_per_hour == Decimal("0.31")
    assert fetched.left_out == {NO_GPU: 1, AGAIN: 2, SLICE: 1, NOT_A_GPU: 1, NO_PRICE: 1}


def test_a_gcp_machine_costs_as_much_as_its_parts() -> None:
    # 1.47895 for the machine + 5.86782 for two cards; the price of a2-highgpu-2g in us-central1 is 7.34677 in
    # cloudpilot-ai/karpenter-provider-gcp pkg/providers/pricing/initial-prices.json @417f047b
    offer = find(read(GCP, "gcp"), "a2-highgpu-2g", region="us-central1")
    assert offer.usd_per_hour == Decimal("7.34677")
    assert (offer.gpu, offer.gpu_count, offer.vcpus, offer.ram_gib) == ("A100-40GB-SXM", 2, 24, 170.0)


def test_gcp_spot_is_the_sum_of_spot_prices() -> None:
    offer = find(read(GCP, "gcp"), "a2-highgpu-2g", SPOT, "us-central1")
    assert offer.usd_per_hour == Decimal("0.7395") + Decimal("2.8682")


def test_gcp_prices_with_a_commitment_are_not_taken_for_on_demand() -> None:
    # 1.8462 for an A100-80GB on demand, less than as spot: a2-ultragpu-1g would cost 2.95 instead of the 5.07 of
    # karpenter-provider-gcp
    fetched = read(GCP, "gcp")
    assert [offer.market for offer in fetched.offers if offer.instance_type == "a2-ultragpu-1g"] == [SPOT]
    assert [offer.region for offer in fetched.offers if offer.market == ON_DEMAND] == ["us-central1"]
    assert fetched.left_out[DISCOUNTED] == 2


def test_what_of_gcp_is_left_out() -> None:
    left_out = read(GCP, "gcp").left_out
    # the TPU and the P100 have no machine in the table, a2-highgpu-4g has no cards in its zone
    assert (left_out[APART], left_out[BARE], left_out[NO_GPU]) == (2, 1, 1)


def test_cards_on_an_n1_cost_what_both_do() -> None:
    rows = (
        GCP.splitlines()[0]
        + """
n1-standard-4,4.0,15.0,,,,us-central1,us-central1-a,0.19,0.04
,,,T4,1,{'Gpus': [{'MemoryInfo': {'SizeInMiB': 16384}}]},us-central1,us-central1-a,0.35,0.11
"""
    )
    offer = find(read(rows, "gcp"), "n1-standard-4 + 1 T4")
    assert (offer.usd_per_hour, offer.gpu, offer.gpu_memory_gib) == (Decimal("0.54"), "T4", 16.0)


@pytest.mark.parametrize(
    ("info", "count", "cloud", "gib"),
    [
        # catalogs/v8/aws: MiB of one card
        ("{'Gpus': [{'Name': 'L4', 'MemoryInfo': {'SizeInMiB': 22888}}]}", 1, "aws", 22888 / 1024),
        # catalogs/v8/lambda @0f407038: MiB of one card, and the total is wrong
        (
            "{'Gpus': [{'Count': 8.0, 'MemoryInfo': {'SizeInMiB': 16384}}], 'TotalGpuMemoryInMiB': 16384}",
            8,
            "lambda",
            16,
        ),
        # catalogs/v8/verda @000c1d0b: JSON
        ('{"Gpus": [{"Name": "H100", "Count": 1, "MemoryInfo": {"SizeInMiB": 81920}}]}', 1, "verda", 80),
        # catalogs/v8/runpod @01acdfd4 and v8/shadeform @002363da: GiB
        ("{'Gpus': [{'Name': 'A100 PCIe', 'MemoryInfo': {'SizeInMiB': 80}}]}", 2, "runpod", 80),
        # catalogs/v8/vast @01b8cddd: MiB of all cards together
        ("{'Gpus': [{'Name': 'H200', 'Count': 4, 'MemoryInfo': {'SizeInMiB': 575084}}]}", 4, "vast", 143771 / 1024),
        # catalogs/v8/seeweb @004a1aef
        ("{'Gpus': [{'Name': 'RTX PRO 6000 96GB', 'MemoryInfo': {'SizeInMiB': 0}}]}", 1, "seeweb", None),
        ("V100", 4, "azure", None),
        ("", 1, "aws", None),
        ("{'SizeInMiB': __import__('os')}", 1, "aws", None),
        ("[" * 100_000, 1, "aws", None),
    ],
)
def test_memory_of_one_card(info: str, count: int, cloud: str, gib: float | None) -> None:
    assert card_memory_gib(info, count, cloud) == gib


# catalogs/v8/vast/vms.csv @01b8cddd
VAST = """InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region
2x-A100_SXM4-32-65536,A100,2,32,64.0,"{'Gpus': [{'Name': 'A100', 'Count': 2, 'MemoryInfo': {'SizeInMiB': 81920}}], 'TotalGpuMemoryInMiB': 81920}",1.49,0.00,"Slovenia, SI, EU"
1x-H100_NVL-32-65536,H100,1,32,64.0,"{'Gpus': [{'Name': 'H100', 'Count': 1, 'MemoryInfo': {'SizeInMiB': 95830}}], 'TotalGpuMemoryInMiB': 95830}",2.08,0.00,"Bulgaria, BG, EU"
1x-RTX_4090-32-65536,RTX4090,1,32,64.0,"{'Gpus': [{'Name': 'RTX4090', 'Count': 1, 'MemoryInfo': {'SizeInMiB': 49140}}], 'TotalGpuMemoryInMiB': 49140}",0.40,0.00,"Hong Kong, HK, AS"
2x-RTX_4070S_Ti-32-65536,RTX4070,2,32,64.0,"{'Gpus': [{'Name': 'RTX4070', 'Count': 2, 'MemoryInfo': {'SizeInMiB': 32752}}], 'TotalGpuMemoryInMiB': 32752}",0.36,0.00,"Bulgaria, BG, EU"
"""  # noqa: E501


def test_vast_cards_by_their_own_memory() -> None:
    fetched = read(VAST, "vast")
    assert {offer.instance_type.split("-")[1]: offer.gpu for offer in fetched.offers} == {
        "A100_SXM4": "A100-40GB-SXM",
        "H100_NVL": "H100-NVL",
        "RTX_4090": None,
        "RTX_4070S_Ti": None,
    }
    assert {offer.market for offer in fetched.offers} == {ON_DEMAND}


# catalogs/v8/runpod/vms.csv @01acdfd4, two of 47 zones
RUNPOD = """InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Region,SpotPrice,Price,AvailabilityZone,GpuInfo
1x_A100-80GB_SECURE,A100-80GB,1.0,8.0,117.0,IN,1.39,1.39,AP-IN-1,"{'Gpus': [{'Name': 'A100 PCIe', 'MemoryInfo': {'SizeInMiB': 80}}]}"
1x_A100-80GB_SECURE,A100-80GB,1.0,8.0,117.0,JP,1.39,1.39,AP-JP-1,"{'Gpus': [{'Name': 'A100 PCIe', 'MemoryInfo': {'SizeInMiB': 80}}]}"
"""  # noqa: E501


def test_runpod_repeats_its_price_where_it_has_no_spot_price() -> None:
    (offer,) = read(RUNPOD, "runpod").offers
    assert (offer.market, offer.gpu, offer.region) == (ON_DEMAND, "A100-80GB-PCIe", "")


# catalogs/v5/azure/vms.csv @3f5f6971: 12 cards in an 8-card size, one card in a third of one, spot prices that are none
AZURE = """InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,Generation
Standard_ND96isr_H100_v5,H100,12,96.0,1900,H100,98.32,98.32,eastus,V2
Standard_NC40ads_H100_v5,H100,1,40.0,320,H100,6.98,6.98,eastus,V2
Standard_NV12ads_A10_v5,A10,1,12.0,110,A10,0.908,0.227,eastus,"V1,V2"
Standard_NC6_Promo,K80,1,6.0,56,K80,0.216,,southcentralus,V1
Standard_NP10s,,,10.0,168,,1.65,0.1815,eastus,V1
"""


def test_azure_sizes_hold_what_the_table_says() -> None:
    fetched = read(AZURE, "azure")
    assert {(offer.instance_type, offer.gpu, offer.gpu_count, offer.market) for offer in fetched.offers} == {
        ("Standard_ND96isr_H100_v5", "H100-SXM", 8, ON_DEMAND),
        ("Standard_NC40ads_H100_v5", "H100-NVL", 1, ON_DEMAND),
    }
    assert fetched.left_out == {NOT_IN_TABLE: 2, NO_GPU: 1}


def fetch(server: LocalServer, provider: str) -> Fetched:
    (source,) = [source for source in SOURCES if source.provider == provider]
    return source.fetch(server.get, DAY)


def test_fetching(server: LocalServer) -> None:
    server.answer(URL.format(cloud="aws"), Reply(AWS, type="text/plain; charset=utf-8"))
    fetched = fetch(server, "aws")
    assert {offer.as_of for offer in fetched.offers} == {DAY}
    assert {offer.source for offer in fetched.offers} == {"skypilot-org/skypilot-catalog catalogs/v8/aws/vms.csv"}


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("InstanceType,Price\ng6.xlarge,1\n", "lacks the column AcceleratorName"),
        (AWS.replace("Arch", "Price", 1), "has a column twice"),
        (AWS + 'p5.48xlarge,"never closed', "is not whole CSV"),
        (b"\xff\xfe\x00I", "is not text in UTF-8"),
        ("<!DOCTYPE html><title>404</title>", "a web page"),
        ("", "answers with nothing"),
    ],
)
def test_a_list_of_another_shape(server: LocalServer, body: str, what: str) -> None:
    server.answer(URL.format(cloud="aws"), Reply(body, type="text/plain"))
    with pytest.raises(RefreshError, match=what):
        fetch(server, "aws")


def test_a_row_that_is_cut_off_is_left_out(server: LocalServer) -> None:
    server.answer(URL.format(cloud="aws"), Reply(AWS + "p4d.24xlarge,A100", type="text/plain"))
    assert fetch(server, "aws").left_out[NO_GPU] == 2


@pytest.mark.parametrize("machine", gcp_machines(), ids=lambda machine: f"{machine.name}+{machine.count}")
def test_each_gcp_machine_has_a_card_of_the_catalogue(machine) -> None:
    gpu = find_gpu(machine.gpu).gpu
    assert (gpu.name, gpu.marketing_gb) == (machine.gpu, machine.memory_gib)
    # A2 and A3 name their number of cards: a2-highgpu-4g
    if machine.name.endswith("g"):
        assert machine.name.endswith(f"-{machine.count}g")
