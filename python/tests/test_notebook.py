"""The example runs, and its figures are right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "notebook.py"


def test_the_notebook_counts_the_events(writer, tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("duckdb")
    counts = {"search": 300, "rank-v1": 200, "click": 100}
    records = [(event, b"12345678") for event, count in counts.items() for _ in range(count)]
    writer.events(tmp_path, records)
    run = [sys.executable, str(NOTEBOOK), str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "600 records, lost {'at_least': 0, 'at_most': 0}, dropped 0" in done.stdout
    for event, count in counts.items():
        assert f"{event} {count} {8 * count}\n" in done.stdout
        assert re.search(rf"│ {event} +│ +{count} │", done.stdout)
    assert "600 records in the last ten minutes" in done.stdout


def test_its_cells_are_percent_cells():
    assert NOTEBOOK.read_text().count("\n# %% ") >= 5
