"""What was added and what was cut, as a matrix and as a graph."""

import numpy as np

from dashboard.figures import topology

BEFORE = np.array([[1, 0], [1, 1]], np.uint8)
NOW = np.array([[1, 1], [0, 1]], np.uint8)


def test_added_and_cut_connections_are_told_apart():
    kinds = topology.changes(NOW, BEFORE)
    assert kinds.tolist() == [[topology.KEPT, topology.ADDED], [topology.CUT, topology.KEPT]]


def test_without_an_earlier_best_nothing_was_added():
    assert set(topology.changes(NOW, None).ravel().tolist()) == {topology.OFF, topology.KEPT}


def test_a_matrix_of_another_shape_is_no_earlier_best():
    assert topology.ADDED not in topology.changes(NOW, np.zeros((3, 3), np.uint8))


def test_bars_count_the_tokens_of_each_expert_and_not_those_that_were_cut():
    figure = topology.draw(topology.changes(NOW, BEFORE))
    assert list(figure.data[1].y) == [1, 2] == topology.degrees(NOW).tolist()


def test_the_graph_has_a_line_for_each_connection():
    kept = topology.graph(topology.changes(NOW, None)).data[0]
    assert np.isnan(np.array(kept.x, float)).sum() == int(NOW.sum())


def test_a_token_passes_top_k_of_its_experts_or_all_where_they_are_fewer():
    now = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=np.uint8)
    assert topology.path_length(now, 2) == 1.0
