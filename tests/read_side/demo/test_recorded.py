"""The loaders give what data/README.md says the recorded files hold."""

from functools import cache
from pathlib import Path

import pytest

from read_side.demo.recorded import NODES_CHOSEN, NoRecordedInput, data_folder, load_scenario
from read_side.demo.recorded_cluster import load_nodes, load_pods
from read_side.demo.recorded_graphs import load_graphs
from read_side.demo.recorded_runs import load_runs
from read_side.demo.scenario import Scenario
from read_side.demo.totals import totals_of, totals_of_files

NODES_HEADER = "sn,cpu_milli,memory_mib,gpu,model\n"
PODS_HEADER = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
)


@cache
def scenario_in(folder: Path) -> Scenario:
    """The files of a folder, read once."""
    return load_scenario(folder)


@pytest.mark.data
class TestTheRecordedFiles:
    def test_have_the_totals_of_their_readme(self, recorded_folder: Path) -> None:
        totals = totals_of_files(recorded_folder)
        assert totals.runs == {"completed": 112, "handed_over": 35, "failed": 3}
        assert (totals.messages, totals.tool_replies) == (3_916, 862)
        assert (totals.pipelines, totals.pipeline_jobs, totals.edges) == (10, 822, 1_556)
        assert totals.pods == {"completed": 5_193 + 192, "failed": 1_870, "cancelled": 897}
        assert totals.gpu_milli_ms == 185_294_426_970_000

    def test_are_loaded_without_losing_anything(self, recorded_folder: Path) -> None:
        assert totals_of(scenario_in(recorded_folder)) == totals_of_files(recorded_folder)

    def test_make_a_cluster_of_ten_nodes(self, recorded_folder: Path) -> None:
        assert len(scenario_in(recorded_folder).nodes) == NODES_CHOSEN

    def test_carry_no_shell_text_into_the_graphs(self, recorded_folder: Path) -> None:
        texts = [task.name + task.recorded_id for graph in load_graphs(recorded_folder) for task in graph.tasks]
        assert not any("\n" in text or "|" in text or "$" in text for text in texts)

    def test_ask_a_part_of_the_tasks_by_capability(self, recorded_folder: Path) -> None:
        _, runs = load_runs(recorded_folder)
        assert sum(run.agent_id is None for run in runs) == 50

    def test_name_every_job_and_task_once(self, recorded_folder: Path) -> None:
        scenario = scenario_in(recorded_folder)
        jobs = [task.id for graph in scenario.graphs for task in graph.tasks] + [pod.id for pod in scenario.pods]
        assert len(set(jobs)) == 822 + 8_152
        assert len({run.id for run in scenario.runs}) == 150


class TestATraceOfTheSameForm:
    def test_splits_the_gpu_models(self, tmp_path: Path) -> None:
        pod = "p1,4000,1024,1,500,V100M16|T4,LS,Running,5,9,6\n"
        folder = _trace(tmp_path, "n1,8000,2048,1,T4\n", pod)
        assert load_pods(folder)[0].gpu_models == ("V100M16", "T4")

    def test_measures_from_scheduling_to_deletion(self, tmp_path: Path) -> None:
        folder = _trace(tmp_path, "n1,8000,2048,1,T4\n", "p1,4000,1024,1,500,,LS,Failed,5,9,6\n")
        pod = load_pods(folder)[0]
        assert (pod.ending, pod.duration_ms) == ("failed", 3_000)

    def test_reads_a_pod_that_was_never_scheduled_as_cancelled(self, tmp_path: Path) -> None:
        folder = _trace(tmp_path, "n1,8000,2048,1,T4\n", "p1,4000,1024,0,0,,BE,Pending,5,9,\n")
        pod = load_pods(folder)[0]
        assert (pod.ending, pod.duration_ms) == ("cancelled", 0)

    def test_reads_a_node_without_gpus(self, tmp_path: Path) -> None:
        folder = _trace(tmp_path, "n1,8000,2048,0,\n", "")
        assert load_nodes(folder)[0].shape.gpu_model is None

    def test_submits_pods_in_the_order_of_their_creation(self, tmp_path: Path) -> None:
        late, early = "late,1000,64,0,0,,BE,Running,7,9,8\n", "early,1000,64,0,0,,BE,Running,5,9,6\n"
        folder = _trace(tmp_path, "n1,8000,2048,0,\n", late + early)
        assert [pod.id for pod in load_pods(folder)] == ["early", "late"]


class TestTheDataFolder:
    def test_is_refused_when_it_is_given_but_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(NoRecordedInput):
            data_folder(tmp_path / "nowhere")

    def test_is_refused_when_nothing_in_it_can_be_played(self, tmp_path: Path) -> None:
        with pytest.raises(NoRecordedInput):
            load_scenario(tmp_path)

    def test_comes_from_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOLDWORK_DATA", str(tmp_path))
        assert data_folder(None) == tmp_path

    def test_may_be_absent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FOLDWORK_DATA", raising=False)
        monkeypatch.chdir(tmp_path)
        assert data_folder(None) is None


def _trace(folder: Path, nodes: str, pods: str) -> Path:
    (folder / "openb").mkdir()
    (folder / "openb" / "openb_node_list_all_node.csv").write_text(NODES_HEADER + nodes)
    (folder / "openb" / "openb_pod_list_default.csv").write_text(PODS_HEADER + pods)
    return folder
