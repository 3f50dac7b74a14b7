"""The plan of docs/scaling.md: its formulas, what it counts, and that the page says the same."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import scaling  # noqa: E402
import scaling_plan as plan  # noqa: E402
from scaling_rank import SIZES  # noqa: E402

CELLS, REFINEMENT, WIDTH, LAYERS = 3000, 2, 16, 3


@pytest.fixture(scope="module")
def net():
    return plan.network(CELLS, REFINEMENT, WIDTH, LAYERS)


def test_operations_are_those_of_the_products_with_matrices(net):
    """Two for every entry of a matrix and every point it stands at."""
    nodes, w = 10 * 4**REFINEMENT + 2, WIDTH
    edges = 60 * (4 ** (REFINEMENT + 1) - 1) // 3
    inputs, into, out = plan.CHANNELS + plan.FORCINGS, len(net.encoder.edges.source), 3 * CELLS
    encoder = into * (2 * w + w * w) + CELLS * inputs * w + nodes * (2 * w + w * w + w * w)
    layer = edges * 2 * w * w + nodes * w * w + nodes * 3 * w * w
    embedding = edges * (2 * w + w * w)
    decoder = out * (2 * w + w * w) + nodes * w * w + CELLS * (inputs * w + 2 * w * w)
    output = CELLS * (w * w + w * plan.CHANNELS)
    expected = 2 * (encoder + LAYERS * layer + embedding + decoder + output)
    found, _ = plan.counted(net, CELLS, backward=False)
    assert found == pytest.approx(expected, rel=1e-6)


def test_layers_are_made_again_in_the_backward_pass(net):
    """And cost then what they cost before; the backward pass costs at most twice the forward."""
    w, nodes = WIDTH, 10 * 4**REFINEMENT + 2
    edges = 60 * (4 ** (REFINEMENT + 1) - 1) // 3
    layers = 2 * LAYERS * (edges * 2 * w * w + nodes * 4 * w * w)
    step, _ = plan.counted(net, CELLS)
    net.processor.checkpointing = False
    plain, _ = plan.counted(net, CELLS)
    net.processor.checkpointing = True
    forward, _ = plan.counted(net, CELLS, backward=False)
    assert step - plain == pytest.approx(layers, rel=1e-6)
    assert 2 * forward < plain <= 3 * forward


def test_what_lives_is_counted():
    """x → 2x → (2x)²: backward keeps 2x, and makes as many again on the way."""
    n = 1000
    with torch.device("meta"):
        x = torch.empty(n, requires_grad=True)
        with plan.Live() as live:
            y = (2 * x).square().sum()
            kept = live.now
            y.backward()
    assert kept in (4 * n + 4, 8 * n + 4)  # 2x and the sum, perhaps the squares
    assert 8 * n <= live.peak <= 20 * n


def test_an_all_reduce_on_a_ring():
    size, machine = 1e9, plan.A100
    assert plan.reduce_time(machine, size, 1) == 0
    moved = 2 * 3 / 4 * size / (plan.LINK * machine.nvlink)
    assert plan.reduce_time(machine, size, 4) == pytest.approx(moved + 6 * plan.ALPHA_IN)
    between = 2 * size / (plan.LINK * machine.network)  # of so many that (N - 1)/N is 1
    assert plan.reduce_time(machine, size, 1024) == pytest.approx(between, rel=0.02)


def test_efficiency_is_compute_over_the_step_and_files_can_be_the_limit():
    load = plan.Load("net", 10**8, 1e12, 1e6, None, None)
    row = plan.plan(plan.A100, load, 64)
    parts = row["compute_ms"] + row["reduce_ms"]
    assert row["efficiency"] == pytest.approx(row["compute_ms"] / parts)
    hungry = plan.Load("net", 10**8, 1e12, 1e12, None, None)
    row = plan.plan(plan.A100, hungry, 64)
    assert row["read_gb_s"] == pytest.approx(plan.A100.files / 1e9)


def test_a_transformer_costs_six_operations_a_weight_and_token():
    assert plan.transformer(10**9, 1000, 10, 1, 0) == 6e12


def test_the_model_of_communication_is_found_again():
    sweep = {str(s): 50e-6 + s / 2e9 for s in SIZES}
    found = scaling.fitted(sweep, 2)  # 2 (N - 1)/N is 1
    assert found["alpha_us"] == pytest.approx(50) and found["beta_gb_s"] == pytest.approx(2)
    assert scaling.reduced_in(found, 2e9, 2) == pytest.approx(1.00005)


@pytest.mark.parametrize("name", ["described", "weak", "strong", "limits"])
def test_the_page_has_the_tables_that_were_computed(name):
    page = (ROOT / "docs" / "scaling.md").read_text()
    rows = json.loads(scaling.RESULT.read_text())["plan"][name]
    assert plan.table(rows) in page


def test_the_results_are_those_of_the_code():
    kept = json.loads(scaling.RESULT.read_text())["plan"]["described"][0]
    load = plan.fastnet("O96")
    assert kept["TFLOP a sample"] == pytest.approx(load.flop / 1e12)
    assert kept["parameters / M"] == pytest.approx(62.2, abs=0.1)
