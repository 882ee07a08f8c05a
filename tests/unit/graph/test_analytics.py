"""Graph analytics against networkx, which computes them by code of its own, on graphs that everybody knows and on random ones."""

from __future__ import annotations

import itertools
from typing import Any

import networkx as nx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.analytics.likeness import alike, neighbours
from graph.analytics.measures import betweenness, communities, components, degrees, pagerank, way
from graph.analytics.network import Network
from graph.analytics.ownership import groups, held, holdings
from pilothouse.kernel.errors import GraphError


def edges_of(graph: Any) -> pl.DataFrame:
    rows = [(str(source), str(target), float(said.get("weight", 1))) for source, target, said in graph.edges(data=True)]
    return pl.DataFrame(rows, schema={"source": pl.String, "target": pl.String, "weight": pl.Float64}, orient="row")


def named(graph: Any) -> Any:
    return nx.relabel_nodes(graph, {node: str(node) for node in graph.nodes})


def network(graph: Any) -> Network:
    return Network(edges_of(graph), [str(node) for node in graph.nodes], directed=graph.is_directed())


def by_node(frame: pl.DataFrame, measure: str) -> dict[str, Any]:
    return dict(frame.select("node", measure).iter_rows())


def random_graphs(*, directed: bool) -> st.SearchStrategy[Any]:
    pair = st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda each: each[0] != each[1])
    edges = st.dictionaries(pair, st.sampled_from([0.25, 1.0, 3.0]), max_size=25)

    def made(weights: dict[tuple[int, int], float]) -> Any:
        graph = nx.DiGraph() if directed else nx.Graph()
        graph.add_nodes_from(str(each) for each in range(12))
        graph.add_weighted_edges_from((str(one), str(other), weight) for (one, other), weight in weights.items())
        return graph

    return edges.map(made)


KNOWN = [named(nx.karate_club_graph()), named(nx.florentine_families_graph()), named(nx.les_miserables_graph())]


def agrees(graph: Any) -> None:
    here = network(graph)
    assert by_node(pagerank(here), "pagerank") == pytest.approx(nx.pagerank(graph, alpha=0.85, tol=1e-12, max_iter=1_000), abs=1e-8)
    assert by_node(betweenness(here), "betweenness") == pytest.approx(nx.betweenness_centrality(graph, normalized=False), abs=1e-8)
    found = degrees(here)
    if graph.is_directed():
        assert by_node(found, "incoming") == dict(graph.in_degree())
        assert by_node(found, "outgoing") == dict(graph.out_degree())
    else:
        assert by_node(found, "incoming") == by_node(found, "outgoing") == dict(graph.degree())
    parts = nx.weakly_connected_components(graph) if graph.is_directed() else nx.connected_components(graph)
    together = components(here).group_by("group").agg("node", pl.col("members").first())
    assert {frozenset(row["node"]) for row in together.to_dicts()} == {frozenset(part) for part in parts}
    assert all(row["group"] == min(row["node"]) and row["members"] == len(row["node"]) for row in together.to_dicts())
    for one, other in itertools.islice(itertools.permutations(sorted(graph.nodes), 2), 200):
        found_way = way(here, one, other)
        if nx.has_path(graph, one, other):
            assert len(found_way) - 1 == nx.shortest_path_length(graph, one, other)
            assert all(graph.has_edge(*step) for step in itertools.pairwise(found_way))
            assert (found_way[0], found_way[-1]) == (one, other)
        else:
            assert list(found_way) == []


@pytest.mark.parametrize("graph", KNOWN, ids=["karate club", "florentine families", "les misérables"])
def test_the_measures_of_known_graphs_are_those_of_networkx(graph: Any) -> None:
    agrees(graph)


@settings(max_examples=25)
@given(random_graphs(directed=True))
def test_the_measures_of_any_directed_graph_are_those_of_networkx(graph: Any) -> None:
    agrees(graph)


@settings(max_examples=25)
@given(random_graphs(directed=False))
def test_the_measures_of_any_graph_are_those_of_networkx(graph: Any) -> None:
    agrees(graph)


@pytest.mark.parametrize("graph", KNOWN, ids=["karate club", "florentine families", "les misérables"])
def test_communities_are_as_close_as_the_best_that_networkx_finds_and_the_same_in_every_run(graph: Any) -> None:
    found = communities(network(graph))
    parts = [set(row["node"]) for row in found.group_by("group").agg("node").to_dicts()]
    ours = nx.community.modularity(graph, parts, weight="weight")
    theirs = max(nx.community.modularity(graph, nx.community.louvain_communities(graph, seed=seed), weight="weight") for seed in range(5))
    assert ours >= theirs - 1e-9
    shuffled = edges_of(graph).sample(fraction=1, shuffle=True, seed=3)
    assert communities(Network(shuffled, directed=False)).equals(found)


@settings(max_examples=40)
@given(st.sets(st.tuples(st.sampled_from("abcdefg"), st.sampled_from("12345")), max_size=20))
def test_likeness_is_that_of_networkx(has: set[tuple[str, str]]) -> None:
    frame = pl.DataFrame(sorted(has), schema={"node": pl.String, "item": pl.String}, orient="row")
    graph = nx.Graph(has)
    firms = sorted({firm for firm, _ in has})
    pairs = list(itertools.permutations(firms, 2))
    jaccard = {(one, other): value for one, other, value in nx.jaccard_coefficient(graph, pairs) if value}
    adamic = {(one, other): value for one, other, value in nx.adamic_adar_index(graph, pairs) if value}
    found = alike(frame)
    assert {(row["node"], row["other"]): row["jaccard"] for row in found.to_dicts()} == pytest.approx(jaccard)
    assert {(row["node"], row["other"]): row["adamic_adar"] for row in found.to_dicts()} == pytest.approx(adamic)
    best = alike(frame, best=1, least=0.3)
    for firm in firms:
        others = {other: value for (one, other), value in jaccard.items() if one == firm and value >= 0.3}
        kept = best.filter(pl.col("node") == firm)
        assert kept.height == min(1, len(others))
        assert not others or kept["jaccard"][0] == pytest.approx(max(others.values()))


def test_likeness_of_neighbours_is_that_of_networkx() -> None:
    graph = KNOWN[0]
    found = alike(neighbours(edges_of(graph)))
    pairs = [(row["node"], row["other"]) for row in found.to_dicts()]
    assert found["jaccard"].to_list() == pytest.approx([value for _, _, value in nx.jaccard_coefficient(graph, pairs)])
    assert found["adamic_adar"].to_list() == pytest.approx([value for _, _, value in nx.adamic_adar_index(graph, pairs)])


def test_items_that_nearly_everybody_has_may_be_left_out() -> None:
    has = pl.DataFrame({"node": ["a", "b", "c", "a", "b"], "item": ["all", "all", "all", "rare", "rare"]})
    assert {(row["node"], row["other"]) for row in alike(has, common=2).to_dicts()} == {("a", "b"), ("b", "a")}


def owned(*rows: tuple[str, str, float]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"owner": pl.String, "owned": pl.String, "share": pl.Float64}, orient="row")


OWNS = owned(("holding", "steel", 1.0), ("holding", "wood", 0.6), ("steel", "bolts", 0.5), ("wood", "bolts", 0.4), ("fund", "wood", 0.4))


def test_a_group_is_what_one_firm_controls_directly_or_through_others() -> None:
    found = groups(OWNS, pl.Series(["alone", "bolts", "fund", "holding", "steel", "wood"]))
    assert {row["firm_id"]: (row["group_id"], row["group_firms"]) for row in found.to_dicts()} == {
        "alone": ("alone", 1),
        "fund": ("fund", 1),
        **dict.fromkeys(("bolts", "holding", "steel", "wood"), ("holding", 4)),
    }


def test_a_holding_adds_up_over_every_way() -> None:
    found = {(row["owner"], row["owned"]): (row["share"], row["direct_share"], row["levels"]) for row in holdings(OWNS).to_dicts()}
    assert found["holding", "bolts"] == (pytest.approx(0.5 + 0.6 * 0.4), 0, 2)
    assert found["fund", "bolts"] == (pytest.approx(0.16), 0, 2)
    assert found["steel", "bolts"] == (0.5, 0.5, 1)
    owed = pl.DataFrame({"firm_id": ["bolts", "fund", "holding", "steel", "wood"], "open_eur": [1_000, 0, 50, 200, 100]})
    assert dict(held(owed, holdings(OWNS)).iter_rows()) == {"bolts": 1_000, "fund": 200, "holding": 1_050, "steel": 700, "wood": 500}


@settings(max_examples=30)
@given(random_graphs(directed=True))
def test_holdings_are_the_shares_along_every_way_there_is(graph: Any) -> None:
    """On graphs without circles: every simple path, one by one."""
    graph = nx.DiGraph((one, other, {"weight": 0.5}) for one, other in graph.edges if one < other)
    expected: dict[tuple[str, str], float] = {}
    for one, other in itertools.permutations(sorted(graph.nodes), 2):
        total = sum(0.5 ** (len(path) - 1) for path in nx.all_simple_paths(graph, one, other))
        if total:
            expected[one, other] = min(total, 1.0)
    found = holdings(owned(*((one, other, 0.5) for one, other in graph.edges)))
    shares = {(row["owner"], row["owned"]): row["share"] for row in found.to_dicts() if row["share"] > 1e-5}
    assert shares == pytest.approx({pair: share for pair, share in expected.items() if share > 1e-5}, abs=1e-4)


def test_firms_that_own_each_other_in_full_come_to_an_end() -> None:
    found = holdings(owned(("a", "b", 1.0), ("b", "c", 1.0), ("c", "b", 1.0)))
    assert found["share"].max() == 1.0
    assert set(groups(owned(("a", "b", 1.0), ("b", "a", 1.0)), pl.Series(["a", "b"]))["group_id"]) == {"a"}


def test_an_empty_network_has_empty_measures() -> None:
    empty = Network(pl.DataFrame(schema={"source": pl.String, "target": pl.String}))
    for measure in (pagerank, betweenness, degrees, components, communities):
        assert measure(empty).is_empty()
    assert alike(pl.DataFrame(schema={"node": pl.String, "item": pl.String})).is_empty()
    assert holdings(owned()).is_empty()


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(GraphError, match="no source, no target or no weight"):
        Network(pl.DataFrame({"source": ["a", None], "target": ["b", "c"]}))
    with pytest.raises(GraphError, match="there is no 'z'"):
        way(Network(pl.DataFrame({"source": ["a"], "target": ["b"]})), "a", "z")
