"""Puts the recorded parts of a data folder together, and finds that folder."""

import os
from pathlib import Path

from infra.errors import Invalid
from read_side.demo.invented import invented_nodes
from read_side.demo.node_choice import choose_nodes, needs_of
from read_side.demo.recorded_cluster import load_nodes, load_pods
from read_side.demo.recorded_graphs import load_graphs
from read_side.demo.recorded_runs import load_runs
from read_side.demo.scenario import Scenario

NODES_CHOSEN = 10
DATA_FOLDER_DEFAULT = Path("../shared/data")


class NoRecordedInput(Invalid):
    """The data folder holds nothing that the demo can play."""


def data_folder(given: Path | None) -> Path | None:
    """The folder that is given, else FOLDWORK_DATA, else ../shared/data if it is there; None: there is none."""
    if given is None and os.environ.get("FOLDWORK_DATA"):
        given = Path(os.environ["FOLDWORK_DATA"])
    if given is None:
        return DATA_FOLDER_DEFAULT if DATA_FOLDER_DEFAULT.is_dir() else None
    if not given.is_dir():
        raise NoRecordedInput(f"There is no folder {given}.")
    return given


def load_scenario(folder: Path) -> Scenario:
    """What the folder holds of tau-bench runs, nextflow graphs and the openb cluster."""
    agents, runs = load_runs(folder)
    graphs = load_graphs(folder)
    pods = load_pods(folder)
    nodes = choose_nodes(load_nodes(folder) or invented_nodes(), needs_of(pods, graphs), NODES_CHOSEN)
    if not (runs or graphs or pods):
        raise NoRecordedInput(f"{folder} has none of tau-bench-airline/, nextflow/ and openb/.")
    return Scenario(str(folder), agents, runs, graphs, nodes, pods)
