"""Fits other projects' routers on exported data; run by `peers.py` with the peers' own interpreter.

It imports nothing of agentnet. It reads ``vectors.npy`` (one row per text), ``llm_vectors.npy`` (one per
agent) and ``task.json`` from a folder and prints nothing that matters: the choices go to ``choices.json``.
Embedding calls of the peers are replaced by a look-up of our vectors; nothing reaches the network.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

HPARAMS: dict[str, dict[str, Any]] = {
    "knn": {
        "n_neighbors": 5, "weights": "uniform", "algorithm": "auto", "leaf_size": 30, "p": 2,
        "metric": "minkowski",
    },
    "mlp": {
        "hidden_layer_sizes": [128, 64], "activation": "relu", "lr": 0.001, "epochs": 100, "batch_size": 32,
        "alpha": 0.0001,
    },
    "mf": {"latent_dim": 128, "lr": 0.001, "epochs": 5, "batch_size": 64, "noise_alpha": 0.0},
    "graph": {
        "hidden_dim": 64, "learning_rate": 0.001, "weight_decay": 0.0001, "train_epoch": 100,
        "batch_size": 4, "train_mask_rate": 0.3, "val_split_ratio": 0.2,
    },
}  # fmt: skip
"""llmrouter-lib's own: what its classes take where nothing is set, save that MF's text_dim is ours."""
STRONG, WEAK = "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1"
"""Names that stand for our pair: routellm knows 64 fixed ones."""
CHECKED = 8
"""Queries on which the vectorised GraphRouter is compared with its own ``route_single``."""


def seeded(seed: int) -> None:
    """Seeds every generator a peer may draw from."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Data:
    """What was exported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vectors = np.load(folder / "vectors.npy")
        self.llm_vectors = np.load(folder / "llm_vectors.npy")
        task = json.loads((folder / "task.json").read_text())
        self.agents: list[str] = task["agents"]
        self.train: list[str] = task["train"]
        self.test: list[str] = task["test"]
        self.scores: list[list[float]] = task["scores"]
        """[n train, A]."""
        self.orders: dict[str, list[str]] = task["orders"]
        self.seeds: int = task["seeds"]
        self.pair: dict[str, Any] | None = task["pair"]
        self.peers: list[str] = task["peers"]
        self.row = {query: i for i, query in enumerate([*self.train, *self.test])}


# -- llmrouter-lib -----------------------------------------------------------------------------
def llmrouter(data: Data) -> dict[str, Any]:
    """Choices by router, order of the rows and seed."""
    import torch
    from llmrouter.models import graphrouter, knnrouter, mfrouter, mlprouter

    torch.set_num_threads(1)

    def embed(text: str) -> Any:
        return torch.from_numpy(data.vectors[data.row[text]]).float()

    for module in (graphrouter, knnrouter, mfrouter, mlprouter):
        module.router.get_longformer_embedding = embed
    kinds: dict[str, tuple[Callable[[str], Any], Callable[..., Any]]] = {
        "knn": (knnrouter.KNNRouter, knnrouter.KNNRouterTrainer),
        "mlp": (mlprouter.MLPRouter, mlprouter.MLPTrainer),
        "mf": (mfrouter.MFRouter, mfrouter.MFRouterTrainer),
        "graph": (graphrouter.GraphRouter, graphrouter.GraphTrainer),
    }
    found: dict[str, Any] = {}
    for order, agents in data.orders.items():
        export(data, order, agents)
        for kind, (router_class, trainer_class) in kinds.items():
            for seed in range(1 if kind == "knn" else data.seeds):
                print(f"llmrouter {kind}, {order}, seed {seed}", file=sys.stderr, flush=True)
                seeded(seed)
                start = time.perf_counter()
                with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    router = router_class(str(config(data, order, kind)))
                    trainer_class(router, device="cpu").train()
                    fitted = time.perf_counter()
                    chosen, note = choose(kind, router, data)
                found.setdefault(kind, {}).setdefault(order, []).append(
                    {
                        "seed": seed,
                        "chosen": chosen,
                        "fit_s": fitted - start,
                        "route_s": time.perf_counter() - fitted,
                        "note": note,
                    }
                )
    return found


def export(data: Data, order: str, agents: list[str]) -> None:
    """Writes the training rows in llmrouter-lib's format, an agent's row at its place in the order."""
    import torch

    folder = data.folder / order
    folder.mkdir(exist_ok=True)
    column = {agent: i for i, agent in enumerate(data.agents)}
    with (folder / "routing_train.jsonl").open("w") as file:
        for i, query in enumerate(data.train):
            for agent in agents:
                row = {
                    "query": query, "model_name": agent, "performance": data.scores[i][column[agent]],
                    "embedding_id": i,
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")
    torch.save(torch.from_numpy(data.vectors[: len(data.train)]).float(), folder / "embeddings.pt")


def config(data: Data, order: str, kind: str) -> Path:
    """Writes the YAML file from which a router of llmrouter-lib is made."""
    folder = data.folder / order
    suffix = {"knn": "pkl", "mlp": "pkl", "mf": "pkl", "graph": "pt"}[kind]
    model = str(folder / "models" / f"{kind}.{suffix}")
    (folder / "models").mkdir(exist_ok=True)
    Path(model).unlink(missing_ok=True)
    hparam = dict(HPARAMS[kind]) | ({"text_dim": data.vectors.shape[1]} if kind == "mf" else {})
    content = {
        "data_path": {
            "routing_data_train": str(folder / "routing_train.jsonl"),
            "query_embedding_data": str(folder / "embeddings.pt"),
        },
        "llm_data": {
            agent: {"embedding": data.llm_vectors[i].tolist()} for i, agent in enumerate(data.agents)
        },
        "hparam": hparam,
        "model_path": {
            "ini_model_path": str(folder / "models" / "none"),
            "save_model_path": model,
            "load_model_path": model,
        },
    }
    path = folder / f"{kind}.yaml"
    path.write_text(json.dumps(content))  # JSON is YAML
    return path


def choose(kind: str, router: Any, data: Data) -> tuple[list[str], str]:
    """The router's agent for every test query, and a note on how it was asked."""
    if kind != "graph":
        return [router.route_single({"query": query})["model_name"] for query in data.test], "route_single"
    chosen = graph_choices(router, data.vectors[len(data.train) :])
    at = np.linspace(0, len(data.test) - 1, min(CHECKED, len(data.test))).astype(int)
    own = [router.route_single({"query": data.test[i]})["model_name"] for i in at]
    same = sum(chosen[i] == name for i, name in zip(at, own, strict=True))
    return chosen, f"vectorised; equals route_single on {same} of {len(at)}"


def graph_choices(router: Any, vectors: np.ndarray) -> list[str]:
    """GraphRouter's ``route_single`` for all queries at once, its scaling of new queries included.

    A new query's node is only read where its own edges are predicted: no message passes along them, so
    queries do not see each other.
    """
    import torch

    path = router._get_model_path("load_model_path")
    router.gnn_predictor.model.load_state_dict(torch.load(path, map_location="cpu"))
    known, agents = router.query_embedding_list, router.num_llms
    low = np.minimum(known.min(0), vectors)
    spread = np.maximum(known.max(0), vectors) - low
    scaled = (vectors - low) / np.where(spread == 0, 1, spread)
    everything = np.vstack([known, scaled])
    edges = len(everything) * agents
    new = torch.zeros(edges)
    new[len(known) * agents :] = 1
    made = router.form_data.formulation(
        query_feature=everything,
        llm_feature=router.llm_embedding,
        org_node=np.repeat(np.arange(len(everything)), agents).tolist(),
        des_node=np.tile(np.arange(agents), len(everything)).tolist(),
        edge_feature=np.concatenate([router.performance_list, np.zeros(len(vectors) * agents)]),
        label=np.zeros((edges, 1)),
        edge_mask=new,
        train_mask=1 - new,
        valide_mask=torch.zeros(edges),
        test_mask=new,
    )
    return [router.model_names[i] for i in router.gnn_predictor.predict(made).tolist()]


# -- routellm ----------------------------------------------------------------------------------
def routellm(data: Data) -> dict[str, Any]:
    """Predicted win rates of the strong agent on val and test rows, by router and seed."""
    os.environ.setdefault("OPENAI_API_KEY", "none")  # a client is made on import, and never used
    import torch

    torch.set_num_threads(1)
    pair = data.pair
    if pair is None:
        raise ValueError("the pack has no such pair")
    found: dict[str, Any] = {}
    for name, fit in (("mf", matrix_factorisation), ("sw_ranking", weighted_ranking)):
        try:
            runs = []
            for seed in range(data.seeds if name == "mf" else 1):
                print(f"routellm {name}, seed {seed}", file=sys.stderr, flush=True)
                seeded(seed)
                start = time.perf_counter()
                rate = fit(data, pair)
                fitted = time.perf_counter()
                rates = [rate(query) for query in [*pair["val"], *data.test]]
                n = len(pair["val"])
                runs.append(
                    {
                        "seed": seed,
                        "val": rates[:n],
                        "test": rates[n:],
                        "fit_s": fitted - start,
                        "route_s": time.perf_counter() - fitted,
                    }
                )
            found[name] = runs
        except Exception as error:
            found[name] = {"reason": f"{type(error).__name__}: {error}"}
    return found


class Lookup:
    """In place of the client that asks for embeddings."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.embeddings = self

    def create(self, input: list[str], model: str) -> Any:
        """Returns an answer of the client's shape."""
        vector = self.data.vectors[self.data.row[input[0]]].tolist()
        item = type("Item", (), {"embedding": vector})()
        return type("Answer", (), {"data": [item]})()


def battles(data: Data, pair: dict[str, Any]) -> list[tuple[str, str]]:
    """Training queries with who won: ``model_a`` is the strong agent."""
    strong, weak = data.agents.index(pair["strong"]), data.agents.index(pair["weak"])
    train, found = set(pair["train"]), []
    for query, scores in zip(data.train, data.scores, strict=True):
        if query in train:
            gap = scores[strong] - scores[weak]
            found.append((query, "model_a" if gap > 0 else "model_b" if gap < 0 else "tie"))
    return found


def matrix_factorisation(data: Data, pair: dict[str, Any]) -> Callable[[str], float]:
    """Trains with routellm's own training module (its settings), routes with its own router class."""
    import torch
    from routellm.routers import routers
    from routellm.routers.matrix_factorization import model as inference
    from routellm.routers.matrix_factorization import train_matrix_factorization as training

    decided = [item for item in battles(data, pair) if item[1] != "tie"]
    if not decided:
        raise ValueError("the two agents never differ in training")
    rows = [
        {"model_a": STRONG, "model_b": WEAK, "winner": winner, "idx": data.row[query]}
        for query, winner in decided
    ]
    random.shuffle(rows)
    cut = int(len(rows) * 0.95)
    text_dim = int(data.vectors.shape[1])
    net = training.MFModel_Train(
        dim=128, num_models=len(training.MODEL_IDS), num_prompts=len(data.vectors), text_dim=text_dim,
        npy_path=data.folder / "vectors.npy",
    )  # fmt: skip
    with contextlib.redirect_stderr(io.StringIO()):
        training.train_loops(
            net,
            training.PairwiseDataset(rows[:cut]).get_dataloaders(batch_size=64, shuffle=True),
            training.PairwiseDataset(rows[cut:]).get_dataloaders(1024, shuffle=False),
            lr=3e-4, weight_decay=1e-5, alpha=0.1, num_epochs=100, device="cpu",
        )  # fmt: skip
    inference.OPENAI_CLIENT = Lookup(data)
    model = inference.MFModel(
        dim=128, num_models=len(training.MODEL_IDS), text_dim=text_dim, num_classes=1, use_proj=True
    )
    state = net.state_dict()
    renamed = {"text_proj.weight": "text_proj.0.weight", "classifier.weight": "classifier.0.weight"}
    model.load_state_dict({renamed.get(name, name): state[name] for name in ("P.weight", *renamed)})
    router = routers.MatrixFactorizationRouter.__new__(routers.MatrixFactorizationRouter)
    router.model = model.eval()
    router.strong_model_id, router.weak_model_id = inference.MODEL_IDS[STRONG], inference.MODEL_IDS[WEAK]
    torch.set_grad_enabled(True)
    return lambda query: float(router.calculate_strong_win_rate(query))


def weighted_ranking(data: Data, pair: dict[str, Any]) -> Callable[[str], float]:
    """Its similarity-weighted Elo rating over our battles; data sets and embeddings are handed to it."""
    import pandas
    from routellm.routers import routers

    rows = battles(data, pair)
    frame = pandas.DataFrame(
        {
            "model_a": STRONG,
            "model_b": WEAK,
            "prompt": [json.dumps([query.ljust(16, ".")]) for query, _ in rows],
            "winner_model_a": [int(winner == "model_a") for _, winner in rows],
            "winner_model_b": [int(winner == "model_b") for _, winner in rows],
        }
    )
    vectors = data.vectors[[data.row[query] for query, _ in rows]]

    class Frame:
        def to_pandas(self) -> Any:
            return frame

        def to_dict(self) -> dict[str, Any]:
            return {"embeddings": vectors}

    routers.load_dataset = lambda name, split: Frame()
    routers.concatenate_datasets = lambda parts: parts[0]
    routers.OPENAI_CLIENT = Lookup(data)
    warnings.simplefilter("ignore")
    router = routers.SWRankingRouter(["battles"], ["vectors"], STRONG, WEAK, num_tiers=2)
    return lambda query: float(router.calculate_strong_win_rate(query))


def main() -> None:
    """Runs the peers named in ``task.json``."""
    data = Data(Path(sys.argv[1]))
    found: dict[str, Any] = {"versions": {}, "results": {}}
    for name, package, run in (
        ("llmrouter", "llmrouter-lib", llmrouter),
        ("routellm", "routellm", routellm),
    ):
        if name not in data.peers:
            continue
        try:
            found["versions"][package] = version(package)
            found["results"][name] = run(data)
        except Exception as error:
            found["results"][name] = {"reason": f"{type(error).__name__}: {error}"}
    for package in ("torch", "scikit-learn", "torch-geometric"):
        with contextlib.suppress(Exception):
            found["versions"][package] = version(package)
    (data.folder / "choices.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
